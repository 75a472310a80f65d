#include "cli/pages.h"

#include <string.h>

#include "cli/client.h"
#include "cli/entry.h"
#include "lib/fields.h"

#define PAGE 1000

bool pages_each(struct cli *cli, const char *id, const char *tail, pages_fn *fn, void *arg, struct error *err)
{
	CLEANUP(free_p) char *path = client_job_path(id, tail, err);
	CLEANUP(free_p) char *after = mem_strdup("");
	if (!path)
		return false;
	for (;;) {
		CLEANUP(free_p)
		char *page = mem_printf("%s%climit=%d%s%s", path, strchr(path, '?') ? '&' : '?', PAGE,
					*after ? "&after=" : "", after);
		json_auto_t *answer = NULL;
		if (!client_get(cli, page, &answer, err))
			return false;
		const char *next = fields_text(answer, "next");
		size_t i;
		json_t *entry;
		json_array_foreach(json_object_get(answer, "entries"), i, entry) fn(arg, entry);
		/* merged points may leave a page empty: only the id says whether there is more */
		if (!*next || strcmp(next, after) == 0)
			return true;
		free(after);
		after = mem_strdup(next);
	}
}

/* ---- points that hold ---- */

struct pages_points {
	struct entry_id *resumes; /* attempt, and the step that it went on from; attempts rise */
	size_t count;
	pages_fn *fn;
	void *arg;
};

static void pages_note_resume(void *arg, const json_t *entry)
{
	struct pages_points *points = arg;
	struct entry_id id;
	if (!json_object_get(entry, "resumed_at") || !entry_id_read(entry, &id))
		return;
	points->resumes = mem_realloc(points->resumes, (points->count + 1) * sizeof *points->resumes);
	points->resumes[points->count++] = (struct entry_id){ id.attempt, fields_int(entry, "resumed_at", 0) };
}

/* What a later attempt went over again does not hold. */
static void pages_point(void *arg, const json_t *entry)
{
	const struct pages_points *points = arg;
	struct entry_id id;
	int64_t step = fields_int(entry, "step", -1);
	if (json_object_get(entry, "resumed_at") || !entry_id_read(entry, &id))
		return;
	for (size_t i = points->count; i > 0 && points->resumes[i - 1].attempt > id.attempt; i--)
		if (step > points->resumes[i - 1].number)
			return;
	points->fn(points->arg, entry);
}

bool pages_points(struct cli *cli, const char *id, pages_fn *fn, void *arg, struct error *err)
{
	struct pages_points points = { .fn = fn, .arg = arg };
	bool ok = pages_each(cli, id, "/metrics", pages_note_resume, &points, err) &&
		  pages_each(cli, id, "/metrics", pages_point, &points, err);
	free(points.resumes);
	return ok;
}

bool pages_checkpoints(struct cli *cli, const char *id, json_t **all, struct error *err)
{
	CLEANUP(free_p) char *path = client_job_path(id, "/checkpoints", err);
	CLEANUP(free_p) char *cursor = mem_strdup("");
	json_auto_t *list = json_array();
	if (!path)
		return false;
	do {
		CLEANUP(free_p)
		char *page = mem_printf("%s?limit=%d%s%s", path, PAGE, *cursor ? "&cursor=" : "", cursor);
		json_auto_t *answer = NULL;
		if (!client_get(cli, page, &answer, err))
			return false;
		json_array_extend(list, json_object_get(answer, "checkpoints"));
		free(cursor);
		cursor = mem_strdup(fields_text(answer, "cursor"));
	} while (*cursor);
	*all = STEAL(list);
	return true;
}
