#include "queue/redis_calls.h"

#include "lib/buf.h"

struct redis_end_row {
	enum error_kind kind;
	const char *text;
	bool shows_why; /* what befell the connection belongs to it */
};

static const struct redis_end_row redis_ends[] = {
	[END_LOST] = { ERR_UNKNOWN, "the connection was lost before the answer came", true },
	[END_UNSENT] = { ERR_UNAVAILABLE, "the connection was lost before the command was sent", true },
	[END_LATE] = { ERR_UNKNOWN, "no answer in time", false },
	[END_NEVER] = { ERR_UNAVAILABLE, "the command could not be sent in time", true },
	[END_DOWN] = { ERR_UNAVAILABLE, "not connected", true },
	[END_FULL] = { ERR_FULL, "too many calls are waiting for an answer", false },
	[END_MISUSE] = { ERR_INTERNAL, "a connection that has subscribed takes no other commands", false },
};

void redis_calls_init(struct redis_calls *calls)
{
	*calls = (struct redis_calls){ 0 };
	TAILQ_INIT(&calls->again);
	TAILQ_INIT(&calls->waiting);
	TAILQ_INIT(&calls->sent);
	TAILQ_INIT(&calls->ended);
}

void redis_calls_done(struct redis_calls *calls)
{
	free(calls->heap);
	calls->heap = NULL;
}

struct redis_call *redis_call_new(redis_reply_fn *fn, void *arg, char *bytes, size_t len)
{
	struct redis_call *call = mem_alloc(sizeof *call);
	call->fn = fn;
	call->arg = arg;
	call->bytes = bytes;
	call->len = len;
	call->heap_place = HEAP_NOWHERE;
	return call;
}

void redis_call_free(struct redis_call *call)
{
	free(call->bytes);
	free(call->error);
	free(call);
}

static void redis_heap_put(struct redis_calls *calls, size_t place, struct redis_call *call)
{
	calls->heap[place] = call;
	call->heap_place = place;
}

/* Moves the call from the free place up or down to where it belongs. */
static void redis_heap_settle(struct redis_calls *calls, size_t place, struct redis_call *call)
{
	while (place > 0) {
		size_t parent = (place - 1) / 2;
		if (calls->heap[parent]->due_ms <= call->due_ms)
			break;
		redis_heap_put(calls, place, calls->heap[parent]);
		place = parent;
	}
	for (;;) {
		size_t child = 2 * place + 1;
		if (child >= calls->heap_count)
			break;
		if (child + 1 < calls->heap_count && calls->heap[child + 1]->due_ms < calls->heap[child]->due_ms)
			child++;
		if (call->due_ms <= calls->heap[child]->due_ms)
			break;
		redis_heap_put(calls, place, calls->heap[child]);
		place = child;
	}
	redis_heap_put(calls, place, call);
}

static void redis_heap_remove(struct redis_calls *calls, struct redis_call *call)
{
	size_t place = call->heap_place;
	if (place == HEAP_NOWHERE)
		return;
	call->heap_place = HEAP_NOWHERE;
	struct redis_call *last = calls->heap[--calls->heap_count];
	if (last != call)
		redis_heap_settle(calls, place, last);
}

void redis_calls_due(struct redis_calls *calls, struct redis_call *call, int64_t due_ms)
{
	redis_heap_remove(calls, call);
	if (calls->heap_count == calls->heap_capacity) {
		calls->heap_capacity = calls->heap_capacity ? calls->heap_capacity * 2 : 16;
		calls->heap = mem_realloc(calls->heap, calls->heap_capacity * sizeof *calls->heap);
	}
	call->due_ms = due_ms;
	redis_heap_settle(calls, calls->heap_count++, call);
}

int64_t redis_calls_next_due(const struct redis_calls *calls)
{
	return calls->heap_count ? calls->heap[0]->due_ms : INT64_MAX;
}

void redis_calls_add(struct redis_calls *calls, struct redis_call_list *list, struct redis_call *call)
{
	TAILQ_INSERT_TAIL(list, call, entry);
	call->list = list;
	calls->count++;
}

void redis_calls_remove(struct redis_calls *calls, struct redis_call *call)
{
	TAILQ_REMOVE(call->list, call, entry);
	call->list = NULL;
	redis_heap_remove(calls, call);
	calls->count--;
}

void redis_calls_move(struct redis_call *call, struct redis_call_list *to)
{
	TAILQ_REMOVE(call->list, call, entry);
	TAILQ_INSERT_TAIL(to, call, entry);
	call->list = to;
}

void redis_calls_end(struct redis_calls *calls, struct redis_call *call, enum redis_end end)
{
	redis_calls_remove(calls, call);
	if (!call->fn) {
		redis_call_free(call);
		return;
	}
	call->end = end;
	redis_calls_add(calls, &calls->ended, call);
}

struct redis_call *redis_calls_bury(struct redis_calls *calls, struct redis_call *call)
{
	struct redis_call *tombstone = redis_call_new(NULL, NULL, NULL, 0);
	tombstone->out_end = call->out_end;
	tombstone->sent_ms = call->sent_ms;
	tombstone->list = call->list;
	TAILQ_INSERT_BEFORE(call, tombstone, entry);
	calls->count++;
	redis_calls_end(calls, call, END_LATE);
	return tombstone;
}

void redis_call_error(const struct redis_call *call, const char *where, const struct error *why, struct error *err)
{
	if (call->end == END_OUR_ERROR) {
		*err = *call->error;
		return;
	}
	const struct redis_end_row *row = &redis_ends[call->end];
	bool shows_why = row->shows_why && why->kind != ERR_NONE;
	if (call->end == END_LATE || call->end == END_NEVER)
		error_set(err, row->kind, shows_why ? why->hint : NULL, "redis at %s: %s (%lld ms)%s%s", where,
			  row->text, (long long)call->deadline_ms, shows_why ? ": " : "",
			  shows_why ? why->message : "");
	else
		error_set(err, row->kind, shows_why ? why->hint : NULL, "redis at %s: %s%s%s", where, row->text,
			  shows_why ? ": " : "", shows_why ? why->message : "");
}
