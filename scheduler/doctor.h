/*
 * What the Redis behind a scheduler risks, judged from jobs_server_info: a pure
 * function, so that each verdict is a row of a test.
 */
#ifndef STOKER_SCHEDULER_DOCTOR_H
#define STOKER_SCHEDULER_DOCTOR_H

#include <jansson.h>

/* A new {"checks":[{"name","ok","detail","hint"}],"ok":bool}. */
json_t *doctor_judge(const json_t *info);

/* The same when Redis cannot be reached at `where`. */
json_t *doctor_unreachable(const char *where);

#endif
