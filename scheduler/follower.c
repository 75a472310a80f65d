#include "scheduler/follower.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lib/fields.h"
#include "queue/transcript.h"
#include "scheduler/api.h"
#include "scheduler/archive.h"
#include "scheduler/follow_client.h"

enum {
	FOLLOW_PAGE = 100,             /* entries a read, at most */
	FOLLOW_PAGE_BYTES = 512 * 1024 /* … and about so much text */
};

/* ---- how far it is ---- */

void follower_position(const struct follower *f, struct buf *into)
{
	const struct follow_lines *lines = &f->lines;
	if (f->is_over)
		buf_str(into, "end");
	else if (!f->topic.n)
		buf_str(into, f->sources[2].after);
	else if (lines->log_attempt)
		buf_printf(into, "%" PRId64 "-%" PRId64 ",%s,%" PRId64 "-%" PRId64, lines->log_attempt,
			   lines->log_next - 1, f->sources[1].after, lines->history_time_ms, lines->history_same);
	else
		buf_printf(into, ",%s,%" PRId64 "-%" PRId64, f->sources[1].after, lines->history_time_ms,
			   lines->history_same);
}

/* The text up to the comma or the end, as an id; moves on behind it. */
static bool follower_resume_part(const char **position, char *into, size_t size, struct entry_place *place)
{
	size_t len = strcspn(*position, ",");
	bool is_good = str_format(into, size, "%.*s", (int)len, *position) && entry_place_parse(into, place);
	*position += len + ((*position)[len] == ',');
	return is_good;
}

bool follower_resume(struct follower *f, const char *position)
{
	struct entry_place log, metrics, history;
	char spare[64];
	if (strcmp(position, "end") == 0 && f->topic.n) {
		f->is_over = f->is_seen = true;
		return true;
	}
	for (size_t i = 0; i < FOLLOW_SOURCES; i++)
		f->sources[i].is_resumed = true;
	if (!f->topic.n)
		return follower_resume_part(&position, f->sources[2].after, sizeof f->sources[2].after, &log) &&
		       !*position;
	if (!follower_resume_part(&position, f->sources[0].after, sizeof f->sources[0].after, &log) ||
	    !follower_resume_part(&position, f->sources[1].after, sizeof f->sources[1].after, &metrics) ||
	    !follower_resume_part(&position, spare, sizeof spare, &history) || *position)
		return false;
	f->lines.log_attempt = log.attempt;
	f->lines.log_next = log.number + 1;
	f->lines.history_time_ms = history.attempt;
	f->lines.history_same = history.number;
	return true;
}

/* ---- reading the streams ---- */

struct follow_read {
	struct follower *follower;
	struct follow_source *source;
};

/* Small entries by the hundred, large ones one by one: a page waits here and in Redis for the reader. */
static void follow_source_turn_page(struct follow_source *source, size_t count, size_t bytes)
{
	size_t fits = FOLLOW_PAGE_BYTES * count / (bytes + 1);
	if (!count)
		return;
	source->page = fits < 1 ? 1 : fits > FOLLOW_PAGE ? FOLLOW_PAGE : (int)fits;
}

static void follower_take_one(struct follower *f, struct follow_source *source, const struct stream_entry *entry)
{
	str_copy(source->after, sizeof source->after, entry->id);
	if (source->stream == STREAM_LOG)
		follow_lines_log(&f->lines, entry);
	else
		follow_lines_entry(&f->lines, source->kind, entry);
}

static void follower_take(struct follower *f, struct follow_source *source, const struct stream_entry *entries,
			  size_t count)
{
	size_t bytes = 0;
	bool is_all = count < (size_t)source->page;
	for (size_t i = 0; i < count; i++) {
		bytes += entries[i].len;
		follower_take_one(f, source, &entries[i]);
	}
	source->is_drained = is_all && source->is_last_read;
	source->is_dirty = source->is_dirty || !is_all;
	follow_source_turn_page(source, count, bytes);
}

/* The first of all entries: does it stand behind what the client has seen? The log needs no such look. */
static void follower_check_hole(struct follower *f, struct follow_source *source, const struct stream_entry *entries,
				size_t count)
{
	struct entry_place first, after;
	source->is_resumed = false;
	source->is_dirty = true;
	bool is_there = count && entry_place_parse(entries[0].id, &first) && entry_place_parse(source->after, &after) &&
			entry_place_compare(&first, &after) <= 0;
	if (!is_there)
		follow_lines_hole(&f->lines, source->name);
}

/* The read is over; false: nobody waits for it any more. */
static bool follow_read_done(struct follow_read *read, const struct error *err)
{
	struct follower *f = read->follower;
	f->client->pending--;
	f->client->reading--;
	read->source->is_reading = false;
	if (!f->client->out.reply) {
		follow_client_settle(f->client);
		return false;
	}
	read->source->is_dirty = read->source->is_dirty || err; /* it is asked again at the next look */
	return !err;
}

static void follower_on_entries(void *arg, const struct stream_entry *entries, size_t count, const struct error *err)
{
	struct follow_read read = *(struct follow_read *)arg;
	free(arg);
	if (!follow_read_done(&read, err))
		return;
	if (read.source->is_resumed)
		follower_check_hole(read.follower, read.source, entries, count);
	else
		follower_take(read.follower, read.source, entries, count);
	if (read.follower->is_archived) { /* since it was asked for */
		read.source->is_drained = false;
		read.source->is_dirty = true;
	}
	follow_client_pump(read.follower->client);
	follow_client_settle(read.follower->client);
}

static void follower_on_archived(void *arg, const char *text, size_t len, const struct error *err)
{
	struct follow_read read = *(struct follow_read *)arg;
	free(arg);
	if (!follow_read_done(&read, err))
		return;
	json_auto_t *page = fields_parse(text, len);
	size_t i;
	json_t *item;
	json_array_foreach(page, i, item)
	{
		CLEANUP(free_p) char *json = json_dumps(item, JSON_COMPACT);
		const struct stream_entry entry = {
			.id = fields_text(item, "id"), .lines = entry_lines(item), .json = json, .len = strlen(json)
		};
		follower_take_one(read.follower, read.source, &entry);
	}
	read.source->is_drained = i == 0;
	read.source->is_dirty = i > 0;
	follow_client_pump(read.follower->client);
	follow_client_settle(read.follower->client);
}

static void follower_read(struct follower *f, struct follow_source *source)
{
	const struct follow_shared *shared = f->shared;
	struct follow_read *read = mem_alloc(sizeof *read);
	*read = (struct follow_read){ f, source };
	source->is_dirty = false;
	source->is_reading = true;
	source->is_last_read = f->is_final;
	source->is_resumed = source->is_resumed && *source->after && source->stream != STREAM_LOG && !f->is_archived;
	f->client->pending++;
	f->client->reading++;
	if (f->is_archived) {
		struct transcript_query query = { .n = f->topic.n,
						  .part = source->stream == STREAM_LOG ? TRANSCRIPT_LOG
										       : TRANSCRIPT_METRICS,
						  .limit = source->page };
		if (source->stream == STREAM_LOG && f->lines.log_attempt)
			query.after = (struct entry_place){ f->lines.log_attempt, f->lines.log_next - 1 };
		else if (source->stream != STREAM_LOG)
			entry_place_parse(source->after, &query.after);
		archive_transcript(shared->archive, f->topic.queue, &query, true, follower_on_archived, read);
		return;
	}
	jobs_read_entries(shared->jobs, f->topic.queue, source->stream, f->topic.n,
			  source->is_resumed ? "" : source->after, source->is_resumed ? 1 : source->page,
			  follower_on_entries, read);
}

/* All was read, and that is the end, if the job is still where it was read from. */
static void follower_finish(struct follower *f)
{
	if (f->is_archived || f->is_confirmed || !f->shared->archive) {
		f->is_over = true;
		follow_lines_end(&f->lines, f->show);
	} else if (!f->is_looking) {
		f->is_confirmed = true;
		follower_look(f);
	}
}

void follower_pump(struct follower *f)
{
	bool is_done = f->is_final && !f->is_looking;
	if (!f->client->out.reply || !f->client->is_started || f->is_over || http_stream_is_full(f->client->out.reply))
		return;
	for (size_t i = 0; i < FOLLOW_SOURCES; i++) {
		struct follow_source *source = &f->sources[i];
		if (!source->is_wanted)
			continue;
		is_done = is_done && source->is_drained && !source->is_dirty && !source->is_reading;
		if (source->is_dirty && !source->is_reading && f->client->reading < FOLLOW_READS_MAX)
			follower_read(f, source);
	}
	if (is_done)
		follower_finish(f);
}

void follower_touch(struct follower *f)
{
	for (size_t i = 0; i < FOLLOW_SOURCES; i++)
		f->sources[i].is_dirty = true;
}

/* ---- looking at the job ---- */

static bool follower_is_final(const json_t *job)
{
	return fields_is(job, "state", "succeeded") || fields_is(job, "state", "failed") ||
	       fields_is(job, "state", "cancelled");
}

/* What was learned about the job, and what it means for the streams. */
void follower_begin(struct follower *f)
{
	static const char *const tails[] = { "attempt", "log_next", "metric_next", "state" };
	const json_t *job = json_object_get(f->show, "job");
	if (f->topic.n && !f->is_over) {
		if (follow_lines_is_news(&f->tail_seen, job, tails, ARRAY_LEN(tails)))
			follower_touch(f);
		f->is_final = follower_is_final(job);
		follow_lines_job(&f->lines, f->show);
		if (f->wants_history)
			follow_lines_history(&f->lines, f->show);
	}
	follower_pump(f);
}

/* Takes show. */
static void follower_seen(struct follower *f, json_t *show)
{
	json_decref(f->show);
	f->show = show;
	f->is_seen = true;
	json_object_set(json_object_get(show, "job"), "id", json_object_get(show, "id"));
	if (f->must_look) {
		f->must_look = false;
		follower_look(f);
	}
	if (f->client->is_started)
		follower_begin(f);
}

/* No answer about the job: before the stream began that is the answer; a stream goes on, and
 * asks again at the next look, unless there is no such job any more. */
static void follower_unseen(struct follower *f, const struct error *err)
{
	f->is_confirmed = false;
	if (!f->client->is_started && err) {
		f->client->failed = *err;
	} else if (!f->client->is_started) {
		error_set(&f->client->failed, ERR_INTERNAL, NULL, "what is kept of job %s is no JSON", f->id);
	} else if (err && err->kind == ERR_NOT_FOUND) {
		f->is_over = true;
		follow_lines_gone(&f->lines);
	}
}

/* An answer has come; false: nobody waits for it any more. */
static bool follower_answered(struct follower *f)
{
	f->client->pending--;
	f->is_looking = false;
	if (f->client->out.reply)
		return true;
	follow_client_settle(f->client);
	return false;
}

static void follower_on_record(void *arg, const char *text, size_t len, const struct error *err)
{
	struct follower *f = arg;
	json_t *show = err ? NULL : api_record_read(text, len, f->id);
	if (!follower_answered(f)) {
		json_decref(show);
		return;
	}
	f->is_archived = show != NULL;
	if (show) {
		follower_touch(f);
		for (size_t i = 0; i < FOLLOW_SOURCES; i++)
			f->sources[i].is_drained = false;
		follower_seen(f, show);
	} else {
		follower_unseen(f, err);
	}
	follow_client_settle(f->client);
}

static void follower_on_show(void *arg, const char *text, size_t len, const struct error *err)
{
	struct follower *f = arg;
	json_t *show = err ? NULL : fields_parse(text, len);
	if (!follower_answered(f)) {
		json_decref(show);
		return;
	}
	if (show) {
		follower_seen(f, show);
	} else if (err && err->kind == ERR_NOT_FOUND && f->shared->archive) {
		f->is_looking = true;
		f->client->pending++;
		archive_read(f->shared->archive, f->topic.queue, f->topic.n, ARCHIVE_RECORD, follower_on_record, f);
		return;
	} else {
		follower_unseen(f, err);
	}
	follow_client_settle(f->client);
}

void follower_look(struct follower *f)
{
	bool is_settled = f->is_final && !f->is_confirmed;
	if (!f->topic.n || f->is_over || f->is_archived || is_settled)
		return;
	if (f->is_looking) {
		f->must_look = true;
		return;
	}
	f->is_looking = true;
	f->client->pending++;
	jobs_show(f->shared->jobs, f->topic.queue, f->topic.n, follower_on_show, f);
}

static bool follower_is_named(const struct follower *f, const char *event)
{
	char quoted[sizeof f->id + 2];
	return str_format(quoted, sizeof quoted, "\"%s\"", f->id) && strstr(event, quoted);
}

bool follower_hears(struct follower *f, const struct follow_channel *channel, const char *text)
{
	for (size_t i = 0; i < FOLLOW_SOURCES; i++) {
		struct follow_source *source = &f->sources[i];
		if (source->channel != channel)
			continue;
		source->is_dirty = source->is_dirty || source->is_wanted;
		if (source->stream == STREAM_EVENTS && f->topic.n && follower_is_named(f, text))
			follower_look(f);
		return true;
	}
	return false;
}

/* ---- its life ---- */

static void follower_add_source(struct follower *f, size_t index, enum jobs_stream stream, bool is_wanted,
				bool is_heard)
{
	static const char *const kinds[] = { "log", "metric", "event" }, *const names[] = { "log", "metrics",
											    "events" };
	char channel[256];
	struct follow_source *source = &f->sources[index];
	*source = (struct follow_source){ .stream = stream,
					  .kind = kinds[index],
					  .name = names[index],
					  .page = 2,
					  .is_wanted = is_wanted,
					  .is_dirty = is_wanted };
	jobs_channel(f->shared->jobs, f->topic.queue, stream, f->topic.n, channel, sizeof channel);
	if (is_heard)
		source->channel = follow_channels_take(f->shared->channels, channel);
}

void follower_init(struct follower *f, struct follow_client *client, const struct follow_shared *shared,
		   const struct follower_options *options)
{
	bool is_job = options->topic.n > 0;
	*f = (struct follower){ .client = client,
				.shared = shared,
				.topic = options->topic,
				.wants_history = is_job && options->wants_history,
				.is_seen = !is_job,
				.lines = { .out = &client->out, .source = f->id } };
	if (is_job)
		str_format(f->id, sizeof f->id, "%s-%" PRId64, options->topic.queue, options->topic.n);
	else
		str_copy(f->id, sizeof f->id, options->topic.queue);
	/* Heard before anything is read: what comes in between is hinted at. */
	follower_add_source(f, 0, STREAM_LOG, is_job && options->wants_logs, is_job && options->wants_logs);
	follower_add_source(f, 1, STREAM_METRICS, is_job && options->wants_metrics, is_job && options->wants_metrics);
	follower_add_source(f, 2, STREAM_EVENTS, !is_job, true);
	if (!is_job)
		str_copy(f->sources[2].after, sizeof f->sources[2].after, options->after);
}

void follower_leave(struct follower *f)
{
	for (size_t i = 0; i < FOLLOW_SOURCES; i++)
		follow_channels_drop(f->shared->channels, STEAL(f->sources[i].channel));
}

void follower_done(struct follower *f)
{
	follow_lines_done(&f->lines);
	free(f->tail_seen);
	json_decref(f->show);
}
