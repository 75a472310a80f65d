#include "scheduler/sweeper.h"

#include <string.h>
#include "lib/buf.h"
#include "queue/spec.h"

struct sweeper {
	struct sweeper_options options;
	char queue[64], stem[40], actor[129];
	json_t *ids;
	bool has_batch;
	sweeper_fn *fn;
	void *arg;
};

static void sweeper_next(struct sweeper *s);

static void sweeper_end(struct sweeper *s, const struct error *err)
{
	s->fn(s->arg, s->ids, s->has_batch, err);
	json_decref(s->ids);
	free(s);
}

/* What is in stays in: the same again goes on from there. */
static void sweeper_refuse(struct sweeper *s, size_t at, const struct error *err)
{
	const struct sweep *sweep = s->options.sweep;
	struct error own = *err;
	error_wrap(&own, "job %zu of the sweep (%.100s)", at + 1, sweep->labels[at]);
	str_format(own.hint, sizeof own.hint, "%s%s%zu of %zu jobs of batch %s are in; with the same key it goes on",
		   err->hint, *err->hint ? "; " : "", json_array_size(s->ids), sweep->count, sweep->batch);
	sweeper_end(s, &own);
}

static void sweeper_on_page(void *arg, const struct bulk_answer *answers, size_t count, const struct error *err)
{
	struct sweeper *s = arg;
	size_t at = json_array_size(s->ids);
	if (err) {
		sweeper_refuse(s, at, err);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (!answers[i].id) {
			sweeper_refuse(s, at + i, &answers[i].error);
			return;
		}
		json_array_append_new(s->ids, json_string(answers[i].id));
	}
	sweeper_next(s);
}

static void sweeper_next(struct sweeper *s)
{
	struct bulk_item items[JOBS_BULK_MAX];
	char keys[JOBS_BULK_MAX][80];
	size_t at = json_array_size(s->ids), count = 0;
	while (count < JOBS_BULK_MAX && at + count < s->options.sweep->count) {
		const char *spec = s->options.sweep->specs[at + count];
		str_format(keys[count], sizeof keys[count], "sweep:%s:%zu", s->stem, at + count);
		items[count] = (struct bulk_item){ spec, strlen(spec), keys[count] };
		count++;
	}
	if (count)
		jobs_bulk(s->options.jobs, s->queue, s->actor, items, count, sweeper_on_page, s);
	else
		sweeper_end(s, NULL);
}

static void sweeper_on_batch(void *arg, const char *text, size_t len, const struct error *err)
{
	struct sweeper *s = arg;
	(void)text;
	(void)len;
	s->has_batch = !err;
	if (err)
		sweeper_end(s, err);
	else
		sweeper_next(s);
}

void sweeper_run(const struct sweeper_options *options, sweeper_fn *fn, void *arg)
{
	const struct sweep *sweep = options->sweep;
	struct sweeper *s = mem_alloc(sizeof *s);
	CLEANUP(buf) struct buf json;
	buf_init(&json, 2 * SPEC_MAX_BYTES);
	buf_printf(&json, "{\"size\":%zu", sweep->count);
	following_write(&sweep->following, &json);
	buf_byte(&json, '}');
	s->options = *options;
	s->fn = fn;
	s->arg = arg;
	s->ids = json_array();
	str_copy(s->queue, sizeof s->queue, options->queue);
	str_copy(s->stem, sizeof s->stem, options->stem);
	str_copy(s->actor, sizeof s->actor, options->actor);
	jobs_batch(options->jobs, s->queue, sweep->batch, buf_text(&json), s->actor, sweeper_on_batch, s);
}
