#include "scheduler/readers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum { READERS_MAX = 8 };

struct reader {
	LIST_ENTRY(reader) entry;
	struct readers *readers;
	struct helper *helper; /* NULL: it could not be started, and refused says why */
	struct event *refusal;
	struct error refused;
	void *question;
	reader_fn *fn;
	void *arg;
};

LIST_HEAD(reader_list, reader);

struct readers {
	struct event_base *base;
	size_t max_text;
	struct reader_list all;
	size_t count;
};

static void reader_free(struct reader *reader)
{
	LIST_REMOVE(reader, entry);
	reader->readers->count--;
	helper_free(reader->helper);
	if (reader->refusal)
		event_free(reader->refusal);
	free(reader->question);
	free(reader);
}

static void reader_done(void *arg, const char *text, const struct error *err)
{
	struct reader *reader = arg;
	reader_fn *fn = reader->fn;
	void *fn_arg = reader->arg;
	fn(fn_arg, text, text ? strlen(text) : 0, err);
	reader_free(reader);
}

static void reader_refuse(evutil_socket_t fd, short what, void *arg)
{
	struct reader *reader = arg;
	(void)fd;
	(void)what;
	reader_done(reader, NULL, &reader->refused);
}

void readers_ask(struct readers *readers, helper_run_fn *run, void *question, reader_fn *fn, void *arg)
{
	struct reader *reader = mem_alloc(sizeof *reader);
	struct timeval now = { 0 };
	const struct helper_options options = { .name = "stoker-archive",
						.run = run,
						.run_arg = question,
						.done = reader_done,
						.done_arg = reader,
						.max_text = readers->max_text };
	*reader = (struct reader){ .readers = readers, .question = question, .fn = fn, .arg = arg };
	LIST_INSERT_HEAD(&readers->all, reader, entry);
	if (readers->count++ >= READERS_MAX)
		error_set(&reader->refused, ERR_UNAVAILABLE, "try again", "the store is read by %d others",
			  READERS_MAX);
	else
		reader->helper = helper_start(readers->base, &options, &reader->refused);
	if (reader->helper)
		return;
	reader->refusal = evtimer_new(readers->base, reader_refuse, reader);
	event_add(reader->refusal, &now);
}

struct readers *readers_new(struct event_base *base, size_t max_text)
{
	struct readers *readers = mem_alloc(sizeof *readers);
	readers->base = base;
	readers->max_text = max_text;
	LIST_INIT(&readers->all);
	return readers;
}

void readers_free(struct readers *readers)
{
	if (!readers)
		return;
	for (struct reader *one = LIST_FIRST(&readers->all), *next; one; one = next) {
		next = LIST_NEXT(one, entry);
		reader_free(one);
	}
	free(readers);
}
