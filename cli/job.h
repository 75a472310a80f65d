/*
 * A job as the API gives it (the fields are those of docs/protocol.md), in words.
 */
#ifndef STOKER_CLI_JOB_H
#define STOKER_CLI_JOB_H

#include <stdbool.h>
#include <jansson.h>
#include "cli/table.h"

bool job_is_final(const json_t *job);
enum paint job_paint(const json_t *job);
/* 0, EXIT_JOB_FAILED or EXIT_JOB_CANCELLED of a final job. */
int job_exit_code(const json_t *job);
/* How long its last attempt ran, or has been running; -1: it never did. */
int64_t job_attempt_ms(const json_t *job, int64_t now_ms);
/* The same of all its attempts together. */
int64_t job_ran_ms(const json_t *job, int64_t now_ms);
/* "1200/5000", "1200" or "". */
void job_step(const json_t *job, char *into, size_t size);
/* "about 12 min left"; false: nobody can say. */
bool job_left(const json_t *job, char *into, size_t size);
/* "succeeded in 2 min 51 s · 2 attempts", "failed after 12 s: exit 1". why: the server's sentence, may be "". */
void job_outcome(const json_t *job, const char *why, struct buf *into);

/* "  last lines" and what the program wrote last, as far as the API says it: of a job that did not end well. */
void job_last_lines(const json_t *shown, struct buf *into);
/* What to type next: "stoker logs default-1 · stoker retry default-1"; nothing when there is nothing to see. */
void job_commands(const json_t *job, const char *id, struct buf *into);

#endif
