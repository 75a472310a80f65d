#include "scheduler/gc_lent.h"

#include <stdlib.h>

#include "lib/buf.h"
#include "lib/fields.h"
#include "scheduler/gc.h"

struct gc_gather {
	struct jobs *jobs;
	struct archive *archive;
	json_t *lent;
	gc_archived_fn *fn;
	void *arg;
	json_t *queues;
	size_t at; /* in it */
};

static void gc_gather_next(struct gc_gather *g);

static void gc_gather_end(struct gc_gather *g, const struct error *err)
{
	g->fn(g->arg, err);
	json_decref(g->queues);
	free(g);
}

static void gc_gather_on_archived(void *arg, const struct error *err)
{
	struct gc_gather *g = arg;
	g->at++;
	if (err)
		gc_gather_end(g, err);
	else
		gc_gather_next(g);
}

/* A queue that is only listed has lent nothing yet. */
static void gc_gather_on_lent(void *arg, const char *text, size_t len, const struct error *err)
{
	struct gc_gather *g = arg;
	if (err && err->kind != ERR_NOT_FOUND) {
		gc_gather_end(g, err);
		return;
	}
	json_auto_t *uris = err ? NULL : fields_parse(text, len);
	json_auto_t *lent = gc_lent(uris);
	json_object_update(g->lent, lent);
	if (g->archive)
		gc_archived_lent(g->archive, json_string_value(json_array_get(g->queues, g->at)), g->lent,
				 gc_gather_on_archived, g);
	else
		gc_gather_on_archived(g, NULL);
}

static void gc_gather_next(struct gc_gather *g)
{
	const char *queue = json_string_value(json_array_get(g->queues, g->at));
	if (queue)
		jobs_lent(g->jobs, queue, gc_gather_on_lent, g);
	else
		gc_gather_end(g, NULL);
}

static void gc_gather_on_queues(void *arg, const char *text, size_t len, const struct error *err)
{
	struct gc_gather *g = arg;
	g->queues = err ? NULL : fields_parse(text, len);
	if (err)
		gc_gather_end(g, err);
	else
		gc_gather_next(g);
}

void gc_lent_gather(struct jobs *jobs, struct archive *archive, json_t *lent, gc_archived_fn *fn, void *arg)
{
	struct gc_gather *g = mem_alloc(sizeof *g);
	*g = (struct gc_gather){ .jobs = jobs, .archive = archive, .lent = lent, .fn = fn, .arg = arg };
	jobs_queues(jobs, gc_gather_on_queues, g);
}
