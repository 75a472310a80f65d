/* Checkpoints of a job, lent to one of another queue: the calls of lua/abroad.lua. */
#ifndef STOKER_QUEUE_JOBS_LOANS_H
#define STOKER_QUEUE_JOBS_LOANS_H

#include "queue/jobs.h"

struct loan_wish {
	const char *which;    /* latest, best, a step, or an id */
	const char *borrower; /* the queue that is to have it; "": nobody yet, it is only looked for */
	int64_t count;        /* so many, the wanted one last */
	const char *metric;   /* of the best one; "": loss */
	const char *mode;     /* min or max; "": min */
	const char *archived; /* the record of the job, if it has left Redis; else NULL */
};
/* text: the records, or {"instead": "<job>@<id>"}. ERR_NOT_FOUND: Redis does not have the job. */
void jobs_lend(struct jobs *jobs, const char *queue, int64_t n, const struct loan_wish *wish, jobs_text_fn *fn,
	       void *arg);

/* What this job waits for: {"lender","which","count","metric","mode"}; "": for nothing. */
void jobs_borrow_read(struct jobs *jobs, const char *queue, int64_t n, jobs_text_fn *fn, void *arg);
/* It gets what jobs_lend answered; or, with answer "", nothing, and why. */
void jobs_borrow(struct jobs *jobs, const char *queue, int64_t n, const char *resume, const char *answer,
		 const char *wrong, jobs_text_fn *fn, void *arg);

/* What this queue still needs of a job, and the same told where that is. */
void jobs_borrowing(struct jobs *jobs, const char *queue, const char *lender, jobs_text_fn *fn, void *arg);
void jobs_returned(struct jobs *jobs, const char *queue, int64_t n, const char *borrower, const char *time,
		   const char *answer, jobs_text_fn *fn, void *arg);

#endif
