/*
 * One line per event on stderr: `level message key=value …`, or one JSON object
 * a line with log_format_json. Always say job= and attempt= where there is one.
 * Never log a spec's environment or a credential.
 *
 *	log_info("runner started", "job=%s attempt=%d", id, attempt);
 *
 * The settings are the only mutable globals of the project.
 */
#ifndef STOKER_LIB_LOG_H
#define STOKER_LIB_LOG_H

#include <stdbool.h>
#include "lib/cleanup.h"
#include "lib/error.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* program stands in front of every line; it is not copied. */
void log_setup(const char *program, enum log_level level, bool json);

/* fields is printf-like text of `key=value` words, or NULL. */
void log_event(enum log_level level, const char *message, const char *fields, ...) PRINTF_LIKE(3, 4);

/* Logs err with its kind and hint. what is what was being done. */
void log_failure(enum log_level level, const char *what, const struct error *err);

#define log_error(...) log_event(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_event(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_event(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_event(LOG_DEBUG, __VA_ARGS__)

#endif
