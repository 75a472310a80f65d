#include "queue/marks.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "lib/buf.h"

static struct mark *marks_find(struct marks *marks, const char *name)
{
	for (size_t i = 0; i < marks->count; i++)
		if (strcasecmp(marks->all[i].name, name) == 0)
			return &marks->all[i];
	return NULL;
}

void marks_add(struct marks *marks, const char *name, double value)
{
	if (!name || marks->count == MARKS_MAX || marks_find(marks, name))
		return;
	struct mark *mark = &marks->all[marks->count];
	if (!str_copy(mark->name, sizeof mark->name, name))
		return;
	mark->value = isfinite(value) ? value : NAN;
	marks->count++;
}

struct marks marks_of_spec(const struct spec *spec)
{
	struct marks marks = { .count = 0 };
	marks_add(&marks, spec->metrics.watch, NAN);
	marks_add(&marks, spec->checkpoint.keep_best.metric, NAN);
	marks_add(&marks, spec->recovery.best.metric, NAN);
	return marks;
}

void marks_note(struct marks *marks, const char *name, double value)
{
	struct mark *mark = marks_find(marks, name);
	if (mark)
		mark->value = isfinite(value) ? value : NAN;
}

void marks_offer(struct marks *marks, const char *name, double value)
{
	const struct mark *mark = marks_find(marks, name);
	if (!isfinite(value))
		return;
	if (!mark)
		marks_add(marks, name, value);
	else if (!isfinite(mark->value))
		marks_note(marks, name, value);
}
