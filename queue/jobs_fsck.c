#include "queue/jobs_internal.h"

void jobs_fsck(struct jobs *jobs, const char *queue, const char *cursor, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_fsck", queue, fn, arg);
	jobs_arg(call, cursor);
	jobs_send(call);
}

void jobs_repair(struct jobs *jobs, const char *queue, const char *where, const char *code, const char *actor,
		 jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_repair", queue, fn, arg);
	jobs_arg(call, where);
	jobs_arg(call, code);
	jobs_arg(call, actor);
	jobs_send(call);
}
