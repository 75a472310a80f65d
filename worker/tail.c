#include "worker/tail.h"

#include "lib/buf.h"
#include "lib/clock.h"
#include "worker/feed.h"
#include "worker/run_folder.h"

enum {
	TAIL_BYTES_MAX = 64 * 1024 * 1024, /* of spool, read from its start to find the place */
	TAIL_WAIT_MS = 2000,
};

/* A record that cannot be the next one: the answer says which one is wanted, and nothing changes. */
#define TAIL_FAR_LINE (INT64_C(1) << 50)

struct tail_question {
	struct tail *tail; /* NULL: it is gone */
};

struct tail {
	struct spool spool;
	struct feed *feed;
	struct event *timer; /* gives up, or ends it after the turn */
	struct tail_question *question;
	void (*on_done)(void *arg);
	void *arg;
	bool is_done;
};

static void tail_end(struct tail *tail)
{
	struct timeval now = { 0 };
	event_add(tail->timer, &now);
}

static void tail_timer(evutil_socket_t fd, short what, void *arg)
{
	struct tail *tail = arg;
	(void)fd;
	(void)what;
	if (tail->is_done)
		return;
	tail->is_done = true;
	tail->on_done(tail->arg);
}

static void tail_drained(void *arg)
{
	tail_end(arg);
}

static void tail_answered(void *arg, bool ok, int64_t next, const struct error *err)
{
	struct tail_question *question = arg;
	struct tail *tail = question->tail;
	free(question);
	(void)ok;
	if (!tail)
		return;
	tail->question = NULL;
	if (err || next < 1) {
		tail_end(tail);
		return;
	}
	feed_begin_at(tail->feed, next);
	feed_open(tail->feed);
	feed_drain(tail->feed);
	if (feed_is_drained(tail->feed))
		tail_end(tail);
}

struct tail *tail_new(struct event_base *base, struct jobs *jobs, const struct attempt_ref *ref, const char *folder,
		      void (*on_done)(void *arg), void *arg)
{
	struct error err;
	struct tail *tail = mem_alloc(sizeof *tail);
	struct timeval wait = clock_timeval(TAIL_WAIT_MS);
	CLEANUP(free_p) char *path = run_path(folder, "spool.log");
	tail->on_done = on_done;
	tail->arg = arg;
	if (!spool_open_left(&tail->spool, path, &err) || !tail->spool.size || tail->spool.size > TAIL_BYTES_MAX) {
		tail_free(tail);
		return NULL;
	}
	struct feed_options o = { .base = base,
				  .spool = &tail->spool,
				  .max_records = 256,
				  .jobs = jobs,
				  .ref = ref,
				  .send = feed_send_log,
				  .on_drained = tail_drained,
				  .arg = tail };
	struct log_entry far = { .first = TAIL_FAR_LINE, .stream = "stoker", .lines = 1, .text = "" };
	tail->feed = feed_new(&o);
	tail->timer = evtimer_new(base, tail_timer, tail);
	event_add(tail->timer, &wait);
	tail->question = mem_alloc(sizeof *tail->question);
	tail->question->tail = tail;
	jobs_log(jobs, ref, &far, 1, tail_answered, tail->question);
	return tail;
}

void tail_free(struct tail *tail)
{
	if (!tail)
		return;
	if (tail->question)
		tail->question->tail = NULL;
	if (tail->timer)
		event_free(tail->timer);
	feed_free(tail->feed);
	spool_done(&tail->spool);
	free(tail);
}
