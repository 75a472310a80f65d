#include "scheduler/bell.h"

#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/fields.h"

enum {
	BELL_WAIT_MS = 5000,  /* then it looks whether others were let in */
	BELL_PAUSE_MS = 1000, /* after a failure */
	BELL_REPLY_MAX = 512 * 1024,
	BELL_INBOXES_MAX = 10000, /* of all queues; more are left to the tick */
};

struct bell {
	struct jobs *jobs; /* the scheduler's; NULL in bell_free */
	struct jobs *own;
	struct event *timer;
	struct inbox_ref *items, *next_items;
	size_t count, next_count;
	struct inbox_wait wait;
	size_t pending; /* answers of the collecting, or of the taking */
	bool has_failed;
	int64_t collected_ms;
};

/* One question about one queue. */
struct bell_call {
	struct bell *bell;
	char queue[64];
};

static struct bell_call *bell_call_new(struct bell *bell, const char *queue)
{
	struct bell_call *call = mem_alloc(sizeof *call);
	call->bell = bell;
	str_copy(call->queue, sizeof call->queue, queue);
	bell->pending++;
	return call;
}

static void bell_sleep(struct bell *bell, int64_t ms)
{
	struct timeval wait = clock_timeval(ms);
	event_add(bell->timer, &wait);
}

/* ---- taking what rang ---- */

static void bell_listen(struct bell *bell)
{
	bell->wait.items = bell->items;
	bell->wait.count = bell->count;
	jobs_inbox_wait(bell->own, &bell->wait);
}

/* A failure is the tick's to tell of. */
static void bell_on_taken(void *arg, int64_t done, int64_t next_ms, const struct error *err)
{
	struct bell_call *call = arg;
	struct bell *bell = call->bell;
	(void)done;
	if (!err && next_ms == 0) {
		jobs_inbox(bell->jobs, call->queue, bell_on_taken, call);
		return;
	}
	bell->has_failed = bell->has_failed || err;
	free(call);
	if (--bell->pending > 0)
		return;
	if (bell->has_failed)
		bell_sleep(bell, BELL_PAUSE_MS);
	else if (clock_boot_ms() - bell->collected_ms >= BELL_WAIT_MS)
		bell_sleep(bell, 0);
	else
		bell_listen(bell);
}

static bool bell_has_rung_before(const struct bell *bell, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (bell->items[k].rang && strcmp(bell->items[k].queue, bell->items[i].queue) == 0)
			return true;
	return false;
}

static void bell_on_rang(void *arg, const struct error *err)
{
	struct bell *bell = arg;
	if (!bell->jobs)
		return; /* bell_free is at work */
	bell->has_failed = false;
	/* Lost in the middle of an answer: perhaps it was too large, and of whom is not known. */
	for (size_t i = 0; err && err->kind == ERR_UNKNOWN && i < bell->count; i++)
		bell->items[i].rang = true;
	bell->pending++;
	for (size_t i = 0; i < bell->count; i++)
		if (bell->items[i].rang && !bell_has_rung_before(bell, i))
			jobs_inbox(bell->jobs, bell->items[i].queue, bell_on_taken,
				   bell_call_new(bell, bell->items[i].queue));
	bell->pending--;
	if (bell->pending == 0)
		bell_sleep(bell, err ? BELL_PAUSE_MS : 0);
	else if (err)
		bell->has_failed = true;
}

/* ---- who may use an inbox ---- */

static void bell_collected(struct bell *bell)
{
	if (--bell->pending > 0)
		return;
	free(bell->items);
	bell->items = STEAL(bell->next_items);
	bell->count = bell->next_count;
	bell->next_count = 0;
	bell->collected_ms = clock_boot_ms();
	if (bell->has_failed || bell->count == 0)
		bell_sleep(bell, bell->has_failed ? BELL_PAUSE_MS : BELL_WAIT_MS);
	else
		bell_listen(bell);
}

/* Where an inbox that was known before had rung last. */
static const char *bell_after(const struct bell *bell, const char *queue, const char *name)
{
	for (size_t i = 0; i < bell->count; i++)
		if (strcmp(bell->items[i].name, name) == 0 && strcmp(bell->items[i].queue, queue) == 0)
			return bell->items[i].after;
	return "";
}

static void bell_on_names(void *arg, const char *text, size_t len, const struct error *err)
{
	struct bell_call *call = arg;
	struct bell *bell = call->bell;
	json_auto_t *names = err ? NULL : fields_parse(text, len);
	size_t i, count = json_array_size(names);
	json_t *name;
	bell->has_failed = bell->has_failed || err;
	if (count > BELL_INBOXES_MAX - bell->next_count)
		count = 0;
	if (count > 0)
		bell->next_items = mem_realloc(bell->next_items, (bell->next_count + count) * sizeof *bell->next_items);
	json_array_foreach(names, i, name)
	{
		if (i >= count)
			break;
		struct inbox_ref *item = &bell->next_items[bell->next_count++];
		*item = (struct inbox_ref){ 0 };
		str_copy(item->queue, sizeof item->queue, call->queue);
		str_copy(item->name, sizeof item->name, json_string_value(name));
		str_copy(item->after, sizeof item->after, bell_after(bell, item->queue, item->name));
	}
	free(call);
	bell_collected(bell);
}

static void bell_on_queues(void *arg, const char *text, size_t len, const struct error *err)
{
	struct bell_call *call = arg;
	struct bell *bell = call->bell;
	json_auto_t *queues = err ? NULL : fields_parse(text, len);
	size_t i;
	json_t *queue;
	bell->has_failed = err != NULL;
	json_array_foreach(queues, i, queue) jobs_submitter_names(bell->jobs, json_string_value(queue), bell_on_names,
								  bell_call_new(bell, json_string_value(queue)));
	free(call);
	bell_collected(bell);
}

static void bell_collect(evutil_socket_t fd, short what, void *arg)
{
	struct bell *bell = arg;
	(void)fd;
	(void)what;
	jobs_queues(bell->jobs, bell_on_queues, bell_call_new(bell, ""));
}

/* ---- the bell ---- */

struct bell *bell_new(struct event_base *base, struct jobs *jobs, const struct jobs_options *options, struct error *err)
{
	struct jobs_options own = *options;
	own.load_library = false;
	own.redis.name = "stoker-scheduler-bell";
	own.redis.max_reply = BELL_REPLY_MAX;
	struct bell *bell = mem_alloc(sizeof *bell);
	bell->jobs = jobs;
	bell->wait = (struct inbox_wait){ .timeout_ms = BELL_WAIT_MS, .fn = bell_on_rang, .arg = bell };
	bell->timer = event_new(base, -1, 0, bell_collect, bell);
	bell->own = jobs_new(base, &own, err);
	if (!bell->timer)
		abort();
	if (!bell->own) {
		bell_free(bell);
		return NULL;
	}
	bell_sleep(bell, 0);
	return bell;
}

void bell_free(struct bell *bell)
{
	if (!bell)
		return;
	bell->jobs = NULL;
	jobs_free(bell->own);
	event_free(bell->timer);
	free(bell->items);
	free(bell->next_items);
	free(bell);
}
