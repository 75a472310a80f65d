/* See the header. */
#include "cli/progress.h"

#include <math.h>
#include <string.h>
#include "cli/text.h"
#include "lib/fields.h"

#define PROGRESS_EVERY_MS 5000
#define PROGRESS_PARTS    20

/* An attempt's first entry says from which step it goes on. */
static void progress_attempt(struct progress *p, struct entry_id id, const json_t *entry)
{
	if (id.attempt == p->attempt)
		return;
	if (p->attempt && p->step > p->resumed_at)
		p->done_before += p->step - p->resumed_at;
	p->attempt = id.attempt;
	p->resumed_at = fields_int(entry, "resumed_at", 0);
	p->step = p->shown_step = p->resumed_at;
	p->shown_ms = fields_int(entry, "time_ms", 0);
}

static void progress_best(struct progress *p, double loss, int64_t step)
{
	if (!isfinite(loss) || (p->has_best && loss >= p->best_loss))
		return;
	p->best_loss = loss;
	p->best_step = step;
	p->has_best = true;
}

static bool progress_is_due(const struct progress *p, int64_t time_ms)
{
	int64_t part = p->total / PROGRESS_PARTS;
	if (p->total && p->step == p->total)
		return true;
	return (part && p->step - p->shown_step >= part) || time_ms - p->shown_ms >= PROGRESS_EVERY_MS;
}

/* The other values of a point, besides step and loss: at most four. */
static void progress_values(const json_t *entry, struct buf *into)
{
	static const char *const skip[] = { "id", "time_ms", "step", "loss", "total", "resumed_at" };
	int shown = 0;
	const char *name;
	json_t *field;
	json_object_foreach((json_t *)entry, name, field)
	{
		double value;
		bool skipped = shown == 4 || !fields_number(entry, name, &value);
		for (size_t i = 0; i < ARRAY_LEN(skip); i++)
			skipped = skipped || strcmp(skip[i], name) == 0;
		if (skipped)
			continue;
		char text[32];
		text_number(value, text, sizeof text);
		buf_str(into, "   ");
		text_clean(into, name);
		buf_printf(into, " %s", text);
		shown++;
	}
}

static void progress_line(struct progress *p, const json_t *entry, int64_t time_ms, struct buf *into)
{
	char text[32];
	double loss;
	buf_printf(into, "step %lld", (long long)p->step);
	if (p->total)
		buf_printf(into, "/%lld", (long long)p->total);
	if (fields_number(entry, "loss", &loss)) {
		text_number(loss, text, sizeof text);
		buf_printf(into, "   loss %s", text);
	}
	progress_values(entry, into);
	if (p->shown_ms && time_ms > p->shown_ms && p->step > p->shown_step)
		buf_printf(into, "   %.3g steps/s",
			   (double)(p->step - p->shown_step) * 1000 / (double)(time_ms - p->shown_ms));
	buf_byte(into, '\n');
	p->shown_step = p->step;
	p->shown_ms = time_ms;
}

void progress_metric(struct progress *p, struct entry_id id, const json_t *entry, struct buf *into)
{
	double loss;
	int64_t time_ms = fields_int(entry, "time_ms", 0);
	int64_t step = fields_int(entry, "step", -1);
	progress_attempt(p, id, entry);
	if (step < 0)
		return;
	p->step = step;
	if (fields_number(entry, "loss", &loss))
		progress_best(p, loss, step);
	if (progress_is_due(p, time_ms))
		progress_line(p, entry, time_ms, into);
}

void progress_summary(const struct progress *p, struct buf *into)
{
	int64_t here = p->step > p->resumed_at ? p->step - p->resumed_at : 0;
	int64_t executed = p->done_before + here;
	if (p->done_before && p->step <= executed)
		buf_printf(into, " · %.1f %% productive", 100 * (double)p->step / (double)executed);
	if (!p->has_best)
		return;
	char loss[32];
	text_number(p->best_loss, loss, sizeof loss);
	buf_printf(into, " · best loss %s at step %lld", loss, (long long)p->best_step);
}
