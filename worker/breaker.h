/*
 * The circuit breaker of a worker: when several jobs in a row die soon after their
 * start, the machine may be broken, and takes no more before it has broken them all.
 * Pure.
 *
 * Attempts of one job count once: a job that is broken itself fails anywhere.
 */
#ifndef STOKER_WORKER_BREAKER_H
#define STOKER_WORKER_BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BREAKER_MAX 100

/* How a run ended, as far as it says something about the machine: also the exit status of its runner. */
enum run_end {
	RUN_END_FINE = 0,  /* it succeeded, or ran for long enough */
	RUN_END_DIED = 3,  /* its program died soon after its start, or could not be started */
	RUN_END_OTHER = 4, /* it says nothing: stopped on request, or its own input was at fault */
};

/* cause: of stoker_finish. */
enum run_end breaker_judge(const char *cause, int64_t ran_ms, int64_t soon_ms);

struct breaker {       /* all zero at the start, but for limit */
	int64_t limit; /* jobs in a row, at most BREAKER_MAX; 0: off */
	size_t count;
	char jobs[BREAKER_MAX][96]; /* that died in a row */
	bool is_open;
};

/* true: with this one it opened. */
bool breaker_note(struct breaker *breaker, const char *job, enum run_end end);
void breaker_reset(struct breaker *breaker);
/* "3 jobs in a row died within 1m of their start: a-1, a-2, a-3" */
void breaker_why(const struct breaker *breaker, int64_t soon_ms, char *into, size_t size);

#endif
