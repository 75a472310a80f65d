/* See the header. */
#include "cli/series.h"

#include <math.h>
#include <string.h>
#include "cli/entry.h"
#include "cli/spark.h"
#include "cli/text.h"
#include "lib/fields.h"

#define SERIES_WIDTH 32

static struct series *series_of(struct series_set *set, const char *name)
{
	for (size_t i = 0; i < set->count; i++)
		if (strcmp(set->items[i].name, name) == 0)
			return &set->items[i];
	set->items = mem_realloc(set->items, (set->count + 1) * sizeof *set->items);
	set->items[set->count] = (struct series){ .name = mem_strdup(name) };
	return &set->items[set->count++];
}

static void series_add(struct series *series, int64_t step, double value)
{
	if (series->count == series->capacity) {
		series->capacity = series->capacity ? 2 * series->capacity : 256;
		series->values = mem_realloc(series->values, series->capacity * sizeof *series->values);
		series->steps = mem_realloc(series->steps, series->capacity * sizeof *series->steps);
	}
	series->steps[series->count] = step;
	series->values[series->count++] = value;
}

/* Points of earlier attempts past the step at which this one went on are superseded. */
static void series_add_resume(struct series_set *set, const json_t *entry)
{
	struct entry_id id;
	int64_t step = fields_int(entry, "resumed_at", 0);
	for (size_t i = 0; i < set->count && !set->keeps_superseded; i++)
		while (set->items[i].count && set->items[i].steps[set->items[i].count - 1] > step)
			set->items[i].count--;
	if (step <= 0 || !entry_id_read(entry, &id))
		return;
	set->resumes = mem_realloc(set->resumes, (set->resume_count + 1) * sizeof *set->resumes);
	set->resumes[set->resume_count++] = (struct series_resume){ id.attempt, step };
}

void series_add_entry(struct series_set *set, const json_t *entry)
{
	static const char *const skip[] = { "id", "time_ms", "step", "epoch", "resumed_at", "attempt" };
	const char *name;
	json_t *field;
	if (json_object_get(entry, "resumed_at")) {
		series_add_resume(set, entry);
		return;
	}
	json_object_foreach((json_t *)entry, name, field)
	{
		double value;
		bool skipped = !fields_number(entry, name, &value);
		for (size_t i = 0; i < ARRAY_LEN(skip); i++)
			skipped = skipped || strcmp(skip[i], name) == 0;
		if (!skipped)
			series_add(series_of(set, name), fields_int(entry, "step", 0), value);
	}
}

static void series_print_one(const struct series_set *set, const struct series *series, size_t width, struct buf *into)
{
	char first[32];
	char last[32];
	char low[32];
	double lowest = INFINITY;
	for (size_t i = 0; i < series->count; i++)
		if (isfinite(series->values[i]))
			lowest = fmin(lowest, series->values[i]);
	text_number(series->values[0], first, sizeof first);
	text_number(series->values[series->count - 1], last, sizeof last);
	text_number(lowest, low, sizeof low);
	text_clean(into, series->name);
	for (size_t at = text_width(series->name); at < width + 2; at++)
		buf_byte(into, ' ');
	buf_printf(into, "%s ", first);
	spark_print(series->values, series->count, SERIES_WIDTH, into);
	buf_printf(into, " %s   (%zu point%s", last, series->count, series->count == 1 ? "" : "s");
	if (isfinite(lowest))
		buf_printf(into, ", lowest %s", low);
	for (size_t i = 0; i < set->resume_count; i++)
		buf_printf(into, "; attempt %lld from step %lld", (long long)set->resumes[i].attempt,
			   (long long)set->resumes[i].step);
	buf_str(into, ")\n");
}

void series_print(const struct series_set *set, struct buf *into)
{
	size_t width = 0;
	for (size_t i = 0; i < set->count; i++)
		if (text_width(set->items[i].name) > width)
			width = text_width(set->items[i].name);
	for (size_t i = 0; i < set->count; i++)
		if (set->items[i].count)
			series_print_one(set, &set->items[i], width, into);
}

void series_set_done(struct series_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		free(set->items[i].name);
		free(set->items[i].steps);
		free(set->items[i].values);
	}
	free(set->items);
	free(set->resumes);
	*set = (struct series_set){ 0 };
}
