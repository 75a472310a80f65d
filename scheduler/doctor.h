/*
 * What a stoker installation risks: the Redis behind a scheduler, its clock, its store,
 * and the machines of the workers. Judged from facts that others gathered: pure
 * functions, so that each verdict is a row of a test.
 */
#ifndef STOKER_SCHEDULER_DOCTOR_H
#define STOKER_SCHEDULER_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "lib/error.h"

struct doctor_facts {
	const json_t *info;              /* as of jobs_server_info */
	const char *store;               /* its URL; NULL: the scheduler has none */
	const char *store_says;          /* what trying it showed (scheduler/stored_probe.h) */
	const struct error *store_error; /* NULL: it works */
	const json_t *workers;           /* of all queues, each once, as stoker_worker keeps them */
	int64_t now_ms;                  /* of Redis */
};

/* A new {"checks":[{"name","ok","detail","hint"}],"ok":bool}. */
json_t *doctor_judge(const struct doctor_facts *facts);

/* The same when Redis cannot be reached at `where`. */
json_t *doctor_unreachable(const char *where);

/* ---- for the files of the doctor ---- */
void doctor_add(json_t *checks, bool ok, const char *name, const char *detail, const char *hint);
void doctor_add_versions(json_t *checks, const json_t *info);            /* doctor_versions.c */
void doctor_add_fleet(json_t *checks, const struct doctor_facts *facts); /* doctor_fleet.c */

#endif
