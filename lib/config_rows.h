/*
 * Inside lib/config*.c only: one row of an option table and its value in the
 * program's config struct.
 */
#ifndef STOKER_LIB_CONFIG_ROWS_H
#define STOKER_LIB_CONFIG_ROWS_H

#include "lib/buf.h"
#include "lib/config.h"

/* Sets the field from text as a user wrote it. where stands in front of the message
 * ("--cpus", "/etc/stoker.yaml:3: cpus"). Text that was there before is freed. */
bool config_set_value(const struct option_row *row, const char *text, void *into, const char *where, struct error *err);

/* The value as a user would write it; "(set)" for a secret; "" for none. */
void config_show_value(const struct option_row *row, const void *from, struct buf *out);

/* "an integer from 0 to 1024": what config_set_value accepts. */
void config_show_expected(const struct option_row *row, struct buf *out);

void config_free_value(const struct option_row *row, void *into);

/* STOKER_REDIS_URL for redis-url. */
#define CONFIG_ENV_MAX 80
void config_env_name(const struct option_row *row, char name[CONFIG_ENV_MAX]);

/* "--redis-url URL", "--log-json" */
void config_show_flag(const struct option_row *row, struct buf *out);

#endif
