#include "scheduler/gc_archived.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/fields.h"
#include "scheduler/gc.h"

struct gc_archived {
	struct archive *archive;
	const char *queue;
	json_t *lent;
	gc_archived_fn *fn;
	void *arg;
	json_t *part;
	size_t at; /* in it */
};

static void gc_archived_next(struct gc_archived *g);

static void gc_archived_end(struct gc_archived *g, const struct error *err)
{
	g->fn(g->arg, err);
	json_decref(g->part);
	free(g);
}

static void gc_archived_on_record(void *arg, const char *text, size_t len, const struct error *err)
{
	struct gc_archived *g = arg;
	if (err && err->kind != ERR_NOT_FOUND) {
		gc_archived_end(g, err);
		return;
	}
	json_auto_t *record = err ? NULL : fields_parse(text, len);
	gc_lent_add(g->lent, record);
	gc_archived_next(g);
}

bool gc_archived_is_whole(const json_t *part, struct error *err)
{
	const json_t *damaged = json_array_get(json_object_get(part, "damaged"), 0);
	return !damaged ||
	       error_set(err, ERR_DAMAGED, "move it away when it is beyond help",
			 "%s in the archive cannot be read: who needs what of jobs that are gone is not known",
			 json_string_value(damaged));
}

static void gc_archived_on_part(void *arg, const char *text, size_t len, const struct error *err)
{
	struct gc_archived *g = arg;
	if (err) {
		gc_archived_end(g, err);
		return;
	}
	json_decref(g->part);
	g->part = fields_parse(text, len);
	g->at = 0;
	struct error why;
	if (gc_archived_is_whole(g->part, &why))
		gc_archived_next(g);
	else
		gc_archived_end(g, &why);
}

/* Whose newest checkpoint is one of attempt 0 has none of its own. */
static void gc_archived_next(struct gc_archived *g)
{
	const json_t *jobs = json_object_get(g->part, "jobs");
	while (g->at < json_array_size(jobs)) {
		const json_t *job = json_array_get(jobs, g->at++);
		if (strncmp(fields_text(job, "checkpoint"), "0-", 2) == 0) {
			archive_read(g->archive, g->queue, fields_int(job, "n", 0), ARCHIVE_RECORD,
				     gc_archived_on_record, g);
			return;
		}
	}
	const char *cursor = fields_text(g->part, "cursor");
	if (*cursor || !g->part)
		archive_part_of_all(g->archive, g->queue, cursor, gc_archived_on_part, g);
	else
		gc_archived_end(g, NULL);
}

void gc_archived_lent(struct archive *archive, const char *queue, json_t *lent, gc_archived_fn *fn, void *arg)
{
	struct gc_archived *g = mem_alloc(sizeof *g);
	*g = (struct gc_archived){ .archive = archive, .queue = queue, .lent = lent, .fn = fn, .arg = arg };
	gc_archived_next(g);
}
