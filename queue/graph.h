/*
 * A graph: several specs in one document, {"jobs": [spec, …], "batch": id} and what comes
 * when it is done, which name each other in `after`. Checked as a whole before anything of it is sent: each spec by the
 * table, then the names, then that nobody waits for himself. stoker_graph says the
 * same sentences (lua/graph.lua).
 */
#ifndef STOKER_QUEUE_GRAPH_H
#define STOKER_QUEUE_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include "lib/error.h"
#include "queue/following.h"

#define GRAPH_MAX_JOBS 10000
#define GRAPH_A_CALL   100 /* what one stoker_graph takes */

struct graph {
	char **specs; /* canonical JSON, in the order of the document */
	char **names; /* NULL: the job has none */
	size_t count;
	size_t *order; /* indexes, parents before their children */
	char *queue;   /* the first that a spec names; NULL: none does */
	char *batch;   /* NULL: it is named after its first job */
	struct following following;
};

/* Has the document the form of a graph, right or wrong? */
bool graph_is_one(const char *text, size_t len);

/* YAML or JSON text. Errors carry "origin:line: jobs[2]: path: sentence". */
bool graph_read(const char *text, size_t len, const char *origin, struct graph *graph, struct error *err) MUST_CHECK;
void graph_done(struct graph *graph);

/* {"jobs":[…]} in the order of the document; to be freed. */
char *graph_json(const struct graph *graph);

static inline void cleanup_graph(struct graph *graph)
{
	graph_done(graph);
}

#endif
