/*
 * One sentence on why a job does not run, or why it ended: a pure function of what
 * stoker_show and stoker_list say and of the workers of its queue. What needs no
 * explaining (it runs, it succeeded) gets an empty one.
 *
 * The sentence stands beside the state ("waiting", "retries in 42 s (2 of 3: exit 1)")
 * and does not repeat it. Its words are for people and may get better; programs read
 * the fields.
 */
#ifndef STOKER_SCHEDULER_EXPLAIN_H
#define STOKER_SCHEDULER_EXPLAIN_H

#include <stdint.h>
#include <jansson.h>
#include <stdint.h>
#include "lib/buf.h"

/* show: `job` and `now_ms`, and as far as they are known `id`, `requirement`, `ahead`, `spec`, `paused`.
 * workers: array as of jobs_workers; NULL: not known, then only the job itself speaks. */
void explain_job(const json_t *show, const json_t *workers, struct buf *why);

/* How long a running job still takes at the pace of its last steps, in ms; -1: nobody can say. */
int64_t explain_left_ms(const json_t *job, int64_t now_ms);
/* Adds it to a job as left_ms, if it is known. */
void explain_add_left(json_t *job, int64_t now_ms);

/* How an attempt ended: "exit 1", "killed by SIGKILL (signal 9)", with its error if that says more. */
void explain_end(const json_t *job, struct buf *into);

/* " by ada since 2026-11-22 09:15 UTC", as far as it is known. */
void explain_who(struct buf *into, const char *who, int64_t since_ms);

/* Why no worker takes a queued job (explain_queued.c). */
void explain_queued(const json_t *show, const json_t *workers, struct buf *why);

/* For which jobs it waits (explain_parents.c). */
void explain_parents(const json_t *show, struct buf *why);

#endif
