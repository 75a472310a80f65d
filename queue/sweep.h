/*
 * A sweep: one spec with a `sweep` block becomes many, one for each set of parameters.
 *
 *	sweep: {grid: {lr: [0.1, 0.01], width: [32, 64]}}            every combination
 *	sweep: {random: {lr: {min: 1e-4, max: 0.1, log: true}}, count: 20, seed: 7}
 *	sweep: {list: [{lr: 0.1, width: 32}, {lr: 0.01, width: 64}]}
 *
 * A parameter is put into the environment under its name, and where `{{name}}` stands in
 * the spec. A value that is nothing but `{{name}}` becomes what the parameter is, a number
 * for example; in command, env and name it is text. The same text gives the same specs, in
 * the same order, wherever and however often it is expanded.
 */
#ifndef STOKER_QUEUE_SWEEP_H
#define STOKER_QUEUE_SWEEP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "lib/error.h"
#include "queue/following.h"

#define SWEEP_MAX_JOBS   10000
#define SWEEP_MAX_PARAMS 16

struct sweep {
	char **specs;  /* canonical JSON, each checked by the table */
	char **labels; /* "lr=0.1 width=32" */
	size_t count;
	char *batch; /* what the spec says, else the one that was given */
	char *queue; /* NULL: the spec names none */
	struct following following;
};

/* Has the document a `sweep` block, right or wrong? */
bool sweep_is_one(const char *text, size_t len);

/* YAML or JSON text. batch: for a spec that names none. Errors carry "origin:line: path: sentence". */
bool sweep_read(const char *text, size_t len, const char *origin, const char *batch, struct sweep *sweep,
		struct error *err) MUST_CHECK;
void sweep_done(struct sweep *sweep);

static inline void cleanup_sweep(struct sweep *sweep)
{
	sweep_done(sweep);
}

/* The sets of parameters of a sweep block (sweep_points.c): a new list of objects. NULL and err; path
 * (char[SPEC_PATH_MAX]) receives what it is about. */
json_t *sweep_points(const json_t *block, char *path, struct error *err);
/* A value as it stands in a command: "0.01", "true". To be freed. */
char *sweep_value_text(const json_t *value);

#endif
