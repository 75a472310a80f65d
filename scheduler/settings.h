/*
 * The settings of stoker-scheduler, and the one table they are read, explained and
 * documented from.
 */
#ifndef STOKER_SCHEDULER_SETTINGS_H
#define STOKER_SCHEDULER_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/config.h"

struct scheduler_settings {
	char *redis_url;
	char *redis_ca;
	char *store; /* NULL: none */
	char *prefix;
	char *listen;
	char *token_file;
	char *allowed_hosts;
	int64_t max_connections;
	int64_t max_connections_each; /* of one address */
	int64_t request_timeout_ms;
	char *webhook_allow;
	char *webhook_ca;
	int64_t webhook_timeout_ms;
	bool deploy; /* load the function library, and that is all */
	char *log_level;
	bool log_json;
	int64_t ready_fd;
};

extern const struct option_table scheduler_options;

#endif
