#include <inttypes.h>
#include <string.h>
#include "lib/fields.h"
#include "scheduler/explain.h"

enum { EXPLAIN_PARENTS = 4 }; /* that are named */

static bool explain_is_open(const json_t *parent)
{
	static const char *const ends[] = { "succeeded", "failed", "cancelled", "gone" };
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (fields_is(parent, "state", ends[i]))
			return false;
	return true;
}

/* "the checkpoint of gpu-41 that it goes on from (best)" */
static void explain_loan(const json_t *job, struct buf *why)
{
	buf_printf(why, "the checkpoint of %s that it goes on from (%s)", fields_text(job, "lender"),
		   fields_text(job, "borrows"));
}

/* "waits for gpu-3 (running) and gpu-4 (queued)" */
void explain_parents(const json_t *show, struct buf *why)
{
	const json_t *job = json_object_get(show, "job"), *parents = json_object_get(show, "parents");
	bool borrows = *fields_text(job, "borrows") != '\0';
	int64_t needs = fields_int(job, "needs", 0) - borrows, named = 0;
	const char *id;
	json_t *parent;
	if (*fields_text(job, "unmet")) {
		buf_printf(why, "held: %s", fields_text(job, "unmet"));
		return;
	}
	buf_str(why, "waits for ");
	if (borrows)
		explain_loan(job, why);
	if (needs <= 0)
		return;
	buf_str(why, borrows ? ", and for " : "");
	json_object_foreach((json_t *)parents, id, parent)
	{
		const char *state = fields_text(parent, "state");
		if (!explain_is_open(parent) || named == EXPLAIN_PARENTS)
			continue;
		buf_printf(why, "%s%s", named == 0 ? "" : named + 1 == needs ? " and " : ", ", id);
		if (strcmp(state, "-") != 0)
			buf_printf(why, " (%s)", state);
		named++;
	}
	if (named == 0)
		buf_printf(why, needs == 1 ? "another job" : "%" PRId64 " other jobs", needs);
	else if (named < needs)
		buf_printf(why, " and %" PRId64 " more", needs - named);
}
