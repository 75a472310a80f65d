#include "queue/jobs_internal.h"

void jobs_code_uses(struct jobs *jobs, const char *queue, const char *cursor, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_code_uses", queue, fn, arg);
	jobs_arg(call, cursor);
	jobs_send(call);
}

void jobs_condemn(struct jobs *jobs, const char *queue, const char *verb, const char *run, const char *const *hashes,
		  size_t count, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_condemn", queue, fn, arg);
	jobs_arg(call, verb);
	jobs_arg(call, run);
	for (size_t i = 0; i < count; i++)
		jobs_arg(call, hashes[i]);
	jobs_send(call);
}
