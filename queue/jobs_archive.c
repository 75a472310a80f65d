#include "queue/jobs_archive.h"
#include "queue/jobs_internal.h"

/* [now_ms, how many are due, n, version, record, …] */
static bool jobs_read_taken(const struct redisReply *reply, struct archive_taken *taken, struct archive_record *records)
{
	if (!jobs_reply_number(jobs_reply_item(reply, 0), &taken->now_ms) ||
	    !jobs_reply_number(jobs_reply_item(reply, 1), &taken->due))
		return false;
	taken->count = (reply->elements - 2) / 3;
	taken->records = records;
	for (size_t i = 0; i < taken->count; i++) {
		struct archive_record *r = &records[i];
		if (!jobs_reply_number(reply->element[2 + 3 * i], &r->n) ||
		    !jobs_reply_text(reply->element[3 + 3 * i], &r->version, NULL) ||
		    !jobs_reply_text(reply->element[4 + 3 * i], &r->json, &r->len))
			return false;
	}
	return true;
}

static void jobs_decode_taken(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_taken_fn *fn = (jobs_taken_fn *)call->fn;
	struct archive_taken taken = { 0 };
	struct error bad;
	CLEANUP(free_p)
	struct archive_record *records = mem_alloc(err ? 1 : (reply->elements / 3 + 1) * sizeof *records);
	if (!err && !jobs_read_taken(reply, &taken, records)) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	fn(call->arg, err ? NULL : &taken, err);
}

void jobs_archive_take(struct jobs *jobs, const char *queue, const char *who, jobs_taken_fn *fn, void *arg)
{
	struct jobs_call *call =
		jobs_call_new(jobs, "stoker_archive_take", queue, jobs_decode_taken, (jobs_any_fn *)fn, arg);
	jobs_arg(call, who);
	jobs_send(call);
}

void jobs_archive(struct jobs *jobs, const char *queue, const struct archive_record *records, size_t count,
		  jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_archive", queue, fn, arg);
	for (size_t i = 0; i < count; i++) {
		jobs_arg_number(call, records[i].n);
		jobs_arg(call, records[i].version);
	}
	jobs_send(call);
}

void jobs_reindex(struct jobs *jobs, const char *queue, const char *who, const char *verb,
		  const struct archive_record *records, size_t count, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_reindex", queue, fn, arg);
	jobs_arg(call, who);
	jobs_arg(call, verb);
	for (size_t i = 0; i < count; i++) {
		jobs_arg_number(call, records[i].n);
		jobs_arg_bytes(call, records[i].json, records[i].len);
	}
	jobs_send(call);
}
