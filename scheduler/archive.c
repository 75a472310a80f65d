#include "scheduler/archive.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lib/clock.h"
#include "lib/fields.h"
#include "lib/helper.h"
#include "lib/log.h"

enum {
	ARCHIVE_BATCH_BYTES = 8 * 1024 * 1024, /* of logs and metrics: then no further job is added to a batch */
	ARCHIVE_ENTRIES = 100000,              /* of a stream: more than its bound */
	ARCHIVE_REST_MS = 5000,                /* after a failure */
};

struct archive_batch_job {
	struct archive_job job;
	char version[48];
	bool has[ARCHIVE_PARTS]; /* is there a stream to read? */
};

/* What leaves Redis together; count 0: nothing is under way. */
struct archive_batch {
	char queue[64];
	int64_t now_ms, due;
	struct archive_batch_job *jobs;
	size_t count;
	size_t at; /* whose streams are read */
	enum archive_part part;
	size_t bytes;
};

struct archive {
	struct archive_options options;
	char who[40];
	struct event *again;
	struct helper *writer; /* NULL: none is at work */
	bool is_busy;
	struct archive_batch batch;
	char next[64];       /* another queue that was looked at meanwhile; "": none */
	int64_t rest_until;  /* boot time */
	char complaint[512]; /* that was logged: said once; "" after a batch that went well */
};

/* ---- the end of a batch ---- */

static void archive_batch_free(struct archive_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		for (int part = 0; part < ARCHIVE_PARTS; part++)
			free(batch->jobs[i].job.parts[part]);
	free(batch->jobs);
	memset(batch, 0, sizeof *batch);
}

/* That Redis is away is said by the connection itself. */
static void archive_fail(struct archive *archive, const struct error *err)
{
	bool is_told = strcmp(archive->complaint, err->message) == 0 || !jobs_is_ready(archive->options.jobs);
	archive->rest_until = clock_boot_ms() + ARCHIVE_REST_MS;
	archive->is_busy = false;
	if (!is_told) {
		log_failure(LOG_ERROR, "what has ended cannot be archived, and stays in Redis", err);
		str_copy(archive->complaint, sizeof archive->complaint, err->message);
	}
	archive_batch_free(&archive->batch);
}

static void archive_again(evutil_socket_t fd, short what, void *arg)
{
	struct archive *archive = arg;
	char queue[sizeof archive->batch.queue];
	(void)fd;
	(void)what;
	str_copy(queue, sizeof queue, *archive->next ? archive->next : archive->batch.queue);
	archive->next[0] = '\0';
	archive->is_busy = false;
	archive_batch_free(&archive->batch);
	archive_look(archive, queue);
}

static void archive_on_left(void *arg, const char *text, size_t len, const struct error *err)
{
	struct archive *archive = arg;
	struct timeval now = { 0 };
	if (err) {
		archive_fail(archive, err);
		return;
	}
	log_debug("ended jobs were archived", "queue=%s count=%.*s", archive->batch.queue, (int)len, text);
	if (strtoll(text, NULL, 10) == 0) { /* else the same would be written again and again */
		struct error none;
		error_set(&none, ERR_CONFLICT, "it is tried again",
			  "queue %s: all %zu records changed while they were written", archive->batch.queue,
			  archive->batch.count);
		archive_fail(archive, &none);
		return;
	}
	archive->complaint[0] = '\0';
	if (archive->batch.due > (int64_t)archive->batch.count || *archive->next) {
		event_add(archive->again, &now); /* not from inside: queues take turns */
		return;
	}
	archive->is_busy = false;
	archive_batch_free(&archive->batch);
}

/* ---- written, then out of Redis ---- */

static void archive_on_written(void *arg, const char *text, const struct error *err)
{
	struct archive *archive = arg;
	struct archive_batch *batch = &archive->batch;
	(void)text;
	helper_free(STEAL(archive->writer));
	if (err) {
		archive_fail(archive, err);
		return;
	}
	CLEANUP(free_p) struct archive_record *records = mem_alloc(batch->count * sizeof *records);
	for (size_t i = 0; i < batch->count; i++)
		records[i] = (struct archive_record){ .n = batch->jobs[i].job.n, .version = batch->jobs[i].version };
	jobs_archive(archive->options.jobs, batch->queue, records, batch->count, archive_on_left, archive);
}

static struct archive_place archive_place_of(const struct archive *archive, const char *queue)
{
	return (struct archive_place){ .store = archive->options.store,
				       .installation = archive->options.installation,
				       .queue = queue };
}

/* In the helper. Numbers without a job are not written, and the jobs of each block are an object. */
static bool archive_write_batch(void *arg, struct buf *text, struct error *err)
{
	const struct archive *archive = arg;
	const struct archive_batch *batch = &archive->batch;
	const struct archive_place place = archive_place_of(archive, batch->queue);
	struct archive_job jobs[ARCHIVE_JOBS_MAX];
	bool is_written[ARCHIVE_JOBS_MAX] = { false };
	(void)text;
	for (size_t first = 0; first < batch->count; first++) {
		size_t count = 0;
		int64_t block = batch->jobs[first].job.n / ARCHIVE_BLOCK;
		for (size_t i = first; i < batch->count; i++) {
			const struct archive_job *job = &batch->jobs[i].job;
			if (is_written[i] || job->n / ARCHIVE_BLOCK != block || !job->parts[ARCHIVE_RECORD])
				continue;
			is_written[i] = true;
			jobs[count++] = *job;
		}
		if (count && !archive_put(&place, batch->now_ms, jobs, count, err))
			return false;
	}
	return true;
}

static void archive_write_start(struct archive *archive)
{
	struct error err;
	const struct helper_options options = { .name = "stoker-archive",
						.run = archive_write_batch,
						.run_arg = archive,
						.done = archive_on_written,
						.done_arg = archive };
	archive->writer = helper_start(archive->options.base, &options, &err);
	if (!archive->writer)
		archive_fail(archive, &err);
}

/* ---- the streams of a batch, one after the other ---- */

static void archive_read_streams(struct archive *archive);

static void archive_on_stream(void *arg, const char *text, size_t len, const struct error *err)
{
	struct archive *archive = arg;
	struct archive_batch *batch = &archive->batch;
	if (err) {
		archive_fail(archive, err);
		return;
	}
	batch->jobs[batch->at].job.parts[batch->part] = mem_strndup(text, len);
	batch->bytes += len;
	batch->part++;
	archive_read_streams(archive);
}

static void archive_read_streams(struct archive *archive)
{
	struct archive_batch *batch = &archive->batch;
	for (; batch->at < batch->count; batch->at++) {
		bool is_begun = batch->at == 0 || batch->part > ARCHIVE_LOG;
		if (!is_begun && batch->bytes >= ARCHIVE_BATCH_BYTES)
			break;
		const struct archive_batch_job *one = &batch->jobs[batch->at];
		while (batch->part < ARCHIVE_PARTS && !one->has[batch->part])
			batch->part++;
		if (batch->part < ARCHIVE_PARTS) {
			jobs_read_stream(archive->options.jobs, batch->queue,
					 batch->part == ARCHIVE_LOG ? STREAM_LOG : STREAM_METRICS, one->job.n, "",
					 ARCHIVE_ENTRIES, archive_on_stream, archive);
			return;
		}
		batch->part = ARCHIVE_LOG;
	}
	while (batch->count > batch->at) /* the rest is for the next batch */
		free(batch->jobs[--batch->count].job.parts[ARCHIVE_RECORD]);
	archive_write_start(archive);
}

/* ---- the beginning of a batch ---- */

static bool archive_batch_add(struct archive_batch *batch, const struct archive_record *record, struct error *err)
{
	struct archive_batch_job *one = &batch->jobs[batch->count++];
	one->job.n = record->n;
	if (!str_copy(one->version, sizeof one->version, record->version))
		return error_set(err, ERR_INTERNAL, NULL, "the version of a record is too long: %s", record->version);
	if (record->len == 0)
		return true;
	one->job.parts[ARCHIVE_RECORD] = mem_strndup(record->json, record->len);
	json_auto_t *parsed = fields_parse(record->json, record->len);
	const json_t *job = json_object_get(parsed, "job");
	one->has[ARCHIVE_LOG] = fields_int(job, "log_next", 0) > 1;
	one->has[ARCHIVE_METRICS] = fields_int(job, "metric_next", 0) > 1;
	return job || error_set(err, ERR_INTERNAL, "is the function library of another version?",
				"the record of job %s-%" PRId64 " has no job", batch->queue, record->n);
}

static void archive_on_taken(void *arg, const struct archive_taken *taken, const struct error *err)
{
	struct archive *archive = arg;
	struct archive_batch *batch = &archive->batch;
	struct error bad = { 0 };
	size_t count = err ? 0 : taken->count;
	if (count == 0 || count > ARCHIVE_JOBS_MAX) {
		archive->is_busy = false; /* another scheduler does it */
		if (err)
			archive_fail(archive, err);
		return;
	}
	batch->now_ms = taken->now_ms;
	batch->due = taken->due;
	batch->part = ARCHIVE_LOG;
	batch->jobs = mem_alloc(count * sizeof *batch->jobs);
	for (size_t i = 0; i < count; i++)
		if (!archive_batch_add(batch, &taken->records[i], &bad)) {
			archive_fail(archive, &bad);
			return;
		}
	archive_read_streams(archive);
}

void archive_look(struct archive *archive, const char *queue)
{
	if (archive->is_busy && strcmp(queue, archive->batch.queue) != 0)
		str_copy(archive->next, sizeof archive->next, queue);
	if (archive->is_busy || clock_boot_ms() < archive->rest_until)
		return;
	archive->is_busy = true;
	str_copy(archive->batch.queue, sizeof archive->batch.queue, queue);
	jobs_archive_take(archive->options.jobs, queue, archive->who, archive_on_taken, archive);
}

/* ---- reading ---- */

struct archive_question {
	const struct archive *archive;
	char queue[64];
	int64_t n; /* of the job; 0: a page; -1: a part of all of it */
	enum archive_part part;
	struct archive_query query;
	struct transcript_query transcript; /* n 0: it is none of those */
	bool is_archived;
	char scan[80]; /* its cursor; n -1 */
};

/* In the helper. */
static bool archive_answer(void *arg, struct buf *text, struct error *err)
{
	const struct archive_question *question = arg;
	const struct archive_place place = archive_place_of(question->archive, question->queue);
	text->max = ARCHIVE_PART_MAX;
	if (question->transcript.n)
		return (question->is_archived ? transcript_archived_page
					      : transcript_page)(&place, &question->transcript, text, err);
	if (question->n < 0)
		return archive_scan(&place, question->scan, text, err);
	return question->n ? archive_get(&place, question->n, question->part, text, err)
			   : archive_list(&place, &question->query, text, err);
}

static void archive_ask(struct archive *archive, const char *queue, struct archive_question *question, stored_fn *fn,
			void *arg)
{
	question->archive = archive;
	str_copy(question->queue, sizeof question->queue, queue);
	stored_run_in(archive->options.stored, archive_answer, question, fn, arg);
}

void archive_read(struct archive *archive, const char *queue, int64_t n, enum archive_part part, stored_fn *fn,
		  void *arg)
{
	struct archive_question question = { .n = n, .part = part };
	archive_ask(archive, queue, &question, fn, arg);
}

void archive_page(struct archive *archive, const char *queue, const struct archive_query *query, stored_fn *fn,
		  void *arg)
{
	struct archive_question question = { .query = *query };
	archive_ask(archive, queue, &question, fn, arg);
}

void archive_part_of_all(struct archive *archive, const char *queue, const char *cursor, stored_fn *fn, void *arg)
{
	struct archive_question question = { .n = -1 };
	str_copy(question.scan, sizeof question.scan, cursor);
	archive_ask(archive, queue, &question, fn, arg);
}

void archive_transcript(struct archive *archive, const char *queue, const struct transcript_query *query,
			bool is_archived, stored_fn *fn, void *arg)
{
	struct archive_question question = { .transcript = *query, .is_archived = is_archived };
	archive_ask(archive, queue, &question, fn, arg);
}

/* ---- the whole ---- */

struct archive *archive_new(const struct archive_options *options)
{
	struct archive *archive = mem_alloc(sizeof *archive);
	unsigned char random[8];
	archive->options = *options;
	archive->again = evtimer_new(options->base, archive_again, archive);
	evutil_secure_rng_get_bytes(random, sizeof random);
	for (size_t i = 0; i < sizeof random; i++)
		str_format(archive->who + 2 * i, 3, "%02x", random[i]);
	return archive;
}

void archive_free(struct archive *archive)
{
	if (!archive)
		return;
	helper_free(archive->writer);
	archive_batch_free(&archive->batch);
	event_free(archive->again);
	free(archive);
}
