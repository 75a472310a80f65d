/*
 * Checkpoints that a job of one queue goes on from and that one of another queue, or of
 * the archive, has saved (lua/abroad.lua): looks for them, and carries the two letters.
 * Nothing is kept here.
 */
#ifndef STOKER_SCHEDULER_LOAN_H
#define STOKER_SCHEDULER_LOAN_H

#include "queue/jobs_loans.h"
#include "scheduler/archive.h"

struct loan_place {
	struct jobs *jobs;
	struct archive *archive; /* NULL: there is none */
};

/* What jobs_lend answers, wherever the job is; copies what it is given (wish->archived is its own). ERR_NOT_FOUND:
 * there is no such queue, or no such job. */
void loan_find(const struct loan_place *place, const char *lender, const struct loan_wish *wish, jobs_text_fn *fn,
	       void *arg);

/* "borrow <lender> <n>" of this queue. */
void loan_carry_borrow(const struct loan_place *place, const char *queue, const char *lender, int64_t n);
/* "lent <borrower> <n> <time>" of this queue. */
void loan_carry_lent(const struct loan_place *place, const char *queue, const char *borrower, int64_t n,
		     const char *time);

#endif
