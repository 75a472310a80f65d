#include "queue/jobs_loans.h"
#include "queue/jobs_internal.h"

void jobs_lend(struct jobs *jobs, const char *queue, int64_t n, const struct loan_wish *wish, jobs_text_fn *fn,
	       void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_lend", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_arg(call, wish->which);
	jobs_arg(call, wish->borrower);
	jobs_arg_number(call, wish->count);
	jobs_arg(call, wish->metric);
	jobs_arg(call, wish->mode);
	if (wish->archived)
		jobs_arg(call, wish->archived);
	jobs_send(call);
}

void jobs_borrow_read(struct jobs *jobs, const char *queue, int64_t n, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_borrow", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_send(call);
}

void jobs_borrow(struct jobs *jobs, const char *queue, int64_t n, const char *resume, const char *answer,
		 const char *wrong, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_borrow", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_arg(call, resume);
	jobs_arg(call, answer);
	jobs_arg(call, wrong);
	jobs_send(call);
}

void jobs_borrowing(struct jobs *jobs, const char *queue, const char *lender, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_borrowing", queue, fn, arg);
	jobs_arg(call, lender);
	jobs_send(call);
}

void jobs_returned(struct jobs *jobs, const char *queue, int64_t n, const char *borrower, const char *time,
		   const char *answer, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_returned", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_arg(call, borrower);
	jobs_arg(call, time);
	jobs_arg(call, answer);
	jobs_send(call);
}
