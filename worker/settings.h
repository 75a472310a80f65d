/* The options of stoker-worker: one struct, filled from one table (lib/config.h). */
#ifndef STOKER_WORKER_SETTINGS_H
#define STOKER_WORKER_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/config.h"
#include "lib/log.h"

struct worker_settings {
	char *redis_url;
	char *redis_ca;
	char *prefix;
	char *log_level;
	bool log_json;
	int64_t ready_fd;
	char *queues; /* comma-separated */
	char *id;     /* NULL: kept in the state folder */
	char *state_dir;
	int64_t checkpoint_cache_bytes;
	char *store; /* NULL: file://<state_dir>/store */
	int64_t code_cache_bytes;
	int64_t cpus;         /* 0: what this process may use */
	int64_t memory_bytes; /* 0: what the machine or the cgroup has */
	char *gpus;           /* "auto" or a number */
	char *labels;         /* "k=v,…" or NULL */
	char *python;
	char *trainer; /* NULL: beside the program, or in ../share/stoker */
	int64_t keep_runs;
	int64_t breaker;         /* jobs in a row; 0: off */
	int64_t breaker_time_ms; /* died within so long */
	int64_t disk_least_bytes;
	int64_t stall_least_ms;
	char *preempt_file, *preempt_command, *preempt_url; /* worker/notice.h; NULL: not asked */
	int64_t preempt_interval_ms;
};

extern const struct option_table worker_options;

enum log_level worker_log_level(const struct worker_settings *settings);

#endif
