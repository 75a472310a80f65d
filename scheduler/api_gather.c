#include "scheduler/api_gather.h"

#include <stdlib.h>
#include "lib/buf.h"
#include "lib/fields.h"

struct gather {
	struct api_call *call;
	struct api_gather_options options;
	struct gathered *all;
	size_t count;
	size_t pending;
	struct error err; /* the first that was met */
};

struct gather_slot { /* where one answer belongs */
	struct gather *gather;
	size_t index;
	size_t which;
};

static void gather_end(struct gather *g)
{
	if (g->err.kind)
		api_refuse(g->call, &g->err);
	else
		g->options.done(g->call, g->all, g->count);
	for (size_t i = 0; i < g->count; i++)
		for (size_t which = 0; which < GATHER_ANSWERS; which++)
			json_decref(g->all[i].answers[which]);
	free(g->all);
	free(g);
}

static void gather_on_answer(void *arg, const char *text, size_t len, const struct error *err)
{
	struct gather_slot slot = *(struct gather_slot *)arg;
	struct gather *g = slot.gather;
	free(arg);
	bool is_left_out = err && err->kind == ERR_NOT_FOUND && !*g->call->queue;
	json_t *answer = err ? NULL : fields_parse(text, len);
	g->all[slot.index].answers[slot.which] = answer;
	if (err && !is_left_out && !g->err.kind)
		g->err = *err;
	else if (!err && !answer && !g->err.kind)
		error_set(&g->err, ERR_INTERNAL, NULL, "the function library answered no JSON");
	if (--g->pending == 0)
		gather_end(g);
}

/* queues: borrowed array of names. */
static void gather_ask(struct api_call *call, const struct api_gather_options *options, const json_t *queues)
{
	struct gather *g = mem_alloc(sizeof *g);
	g->call = call;
	g->options = *options;
	g->count = json_array_size(queues);
	g->all = mem_alloc(g->count * sizeof *g->all);
	g->pending = g->count * options->questions;
	for (size_t i = 0; i < g->count; i++) {
		const char *queue = json_string_value(json_array_get(queues, i));
		str_copy(g->all[i].queue, sizeof g->all[i].queue, queue ? queue : "");
		for (size_t which = 0; which < options->questions; which++) {
			struct gather_slot *slot = mem_alloc(sizeof *slot);
			*slot = (struct gather_slot){ g, i, which };
			options->ask(call, g->all[i].queue, which, gather_on_answer, slot);
		}
	}
	if (g->count == 0)
		gather_end(g);
}

struct gather_start {
	struct api_call *call;
	struct api_gather_options options;
};

static void gather_on_queues(void *arg, const char *text, size_t len, const struct error *err)
{
	struct gather_start start = *(struct gather_start *)arg;
	free(arg);
	json_auto_t *queues = api_parse(start.call, text, len, err);
	if (queues)
		gather_ask(start.call, &start.options, queues);
}

void api_gather(struct api_call *call, const struct api_gather_options *options)
{
	if (*call->queue) {
		json_auto_t *one = json_pack("[s]", call->queue);
		gather_ask(call, options, one);
		return;
	}
	struct gather_start *start = mem_alloc(sizeof *start);
	*start = (struct gather_start){ call, *options };
	jobs_queues(call->scheduler->jobs, gather_on_queues, start);
}
