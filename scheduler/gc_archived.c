#include "scheduler/gc_archived.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/fields.h"
#include "queue/spec.h"
#include "scheduler/gc.h"

enum { GC_PAGE = 1000 };

struct gc_archived {
	struct archive *archive;
	const char *queue;
	json_t *lent;
	gc_archived_fn *fn;
	void *arg;
	json_t *page;
	size_t at;      /* in it */
	int64_t before; /* where the next page begins; 0: there is none */
};

static void gc_archived_next(struct gc_archived *g);

static void gc_archived_end(struct gc_archived *g, const struct error *err)
{
	g->fn(g->arg, err);
	json_decref(g->page);
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

static void gc_archived_on_page(void *arg, const char *text, size_t len, const struct error *err)
{
	struct gc_archived *g = arg;
	if (err) {
		gc_archived_end(g, err);
		return;
	}
	json_decref(g->page);
	g->page = fields_parse(text, len);
	g->at = 0;
	g->before = strtoll(fields_text(g->page, "cursor"), NULL, 10);
	gc_archived_next(g);
}

/* Whose newest checkpoint is one of attempt 0 has none of its own. */
static void gc_archived_next(struct gc_archived *g)
{
	const json_t *jobs = json_object_get(g->page, "jobs");
	while (g->at < json_array_size(jobs)) {
		const json_t *job = json_array_get(jobs, g->at++);
		char queue[64];
		int64_t n;
		if (strncmp(fields_text(job, "checkpoint"), "0-", 2) == 0 &&
		    spec_split_id(fields_text(job, "id"), queue, &n, NULL)) {
			archive_read(g->archive, g->queue, n, ARCHIVE_RECORD, gc_archived_on_record, g);
			return;
		}
	}
	const struct archive_query query = { .before = g->before, .limit = GC_PAGE };
	if (g->before > 0)
		archive_page(g->archive, g->queue, &query, gc_archived_on_page, g);
	else
		gc_archived_end(g, NULL);
}

void gc_archived_lent(struct archive *archive, const char *queue, int64_t newest, json_t *lent, gc_archived_fn *fn,
		      void *arg)
{
	struct gc_archived *g = mem_alloc(sizeof *g);
	*g = (struct gc_archived){
		.archive = archive, .queue = queue, .lent = lent, .fn = fn, .arg = arg, .before = newest + 1
	};
	gc_archived_next(g);
}
