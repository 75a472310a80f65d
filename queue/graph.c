#include "queue/graph.h"

#include <stdlib.h>
#include <string.h>
#include "lib/json.h"
#include "lib/nearest.h"
#include "lib/yaml.h"
#include "queue/spec_check.h"
#include "queue/spec_decode.h"

#define GRAPH_MAX_BYTES (GRAPH_MAX_JOBS * 1024u)

/* One job while the graph is checked. */
struct graph_node {
	struct spec spec;
	const char **after; /* names in it, sorted; those of spec */
	size_t next;        /* of them that the walk has not looked at */
	enum { GRAPH_NEW, GRAPH_ON_THE_WAY, GRAPH_FINE } mark;
};

struct graph_walk {
	const char *text; /* the document */
	size_t len;
	const char *origin;
	struct graph *graph;
	struct graph_node *nodes;
	json_t *index_of; /* name → index */
	size_t *way;      /* from the first job to the one that is looked at */
	size_t depth;
	size_t placed; /* in graph->order */
	struct error *err;
};

/* ---- what is wrong, and where ---- */

/* The sentence of one job in its place. path: of the spec, "" for the whole; it is cut down. */
static bool graph_fail_at(const struct graph_walk *w, size_t i, const char *path)
{
	char place[SPEC_PATH_MAX + 32];
	error_wrap(w->err, "jobs[%zu]", i);
	str_format(place, sizeof place, "jobs[%zu]%s%s", i, *path ? "." : "", path);
	return spec_place(w->text, w->len, w->origin, place, w->err);
}

static bool graph_fail(const struct graph_walk *w, const char *path)
{
	char place[SPEC_PATH_MAX];
	str_copy(place, sizeof place, path);
	return spec_place(w->text, w->len, w->origin, place, w->err);
}

/* ---- each spec by itself ---- */

static int graph_name_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool graph_read_job(struct graph_walk *w, size_t i, const json_t *job)
{
	struct graph_node *node = &w->nodes[i];
	char path[SPEC_PATH_MAX] = "";
	CLEANUP(buf) struct buf text;
	buf_init(&text, SPEC_MAX_BYTES);
	if (!spec_check(job, path, w->err))
		return graph_fail_at(w, i, path);
	if (!json_canonical(job, &text)) {
		error_set(w->err, ERR_INPUT, NULL, "spec: expected at most %d bytes as JSON", SPEC_MAX_BYTES);
		return graph_fail_at(w, i, "");
	}
	spec_decode(job, &node->spec);
	if (node->spec.batch) {
		error_set(w->err, ERR_INPUT, NULL, "batch: a graph is one batch: name it beside jobs");
		return graph_fail_at(w, i, "batch");
	}
	w->graph->specs[i] = buf_take(&text);
	w->graph->names[i] = mem_strdup(node->spec.name);
	if (!w->graph->queue)
		w->graph->queue = mem_strdup(node->spec.queue);
	node->after = mem_alloc((node->spec.after.count + 1) * sizeof *node->after);
	for (size_t k = 0; k < node->spec.after.count; k++)
		node->after[k] = node->spec.after.items[k].key;
	qsort(node->after, node->spec.after.count, sizeof *node->after, graph_name_order);
	return true;
}

/* ---- the names ---- */

static size_t graph_index(const struct graph_walk *w, const char *name, bool *is_there)
{
	const json_t *index = json_object_get(w->index_of, name);
	*is_there = index != NULL;
	return (size_t)json_integer_value(index);
}

static bool graph_take_names(struct graph_walk *w)
{
	for (size_t i = 0; i < w->graph->count; i++) {
		const char *name = w->graph->names[i];
		bool is_there;
		size_t other = name ? graph_index(w, name, &is_there) : 0;
		if (!name)
			continue;
		if (is_there) {
			error_set(w->err, ERR_INPUT, NULL, "name: jobs[%zu] has the name \"%s\", too", other, name);
			return graph_fail_at(w, i, "name");
		}
		json_object_set_new(w->index_of, name, json_integer((json_int_t)i));
	}
	return true;
}

static bool graph_fail_unknown(struct graph_walk *w, size_t i, const char *name)
{
	struct nearest nearest = { .name = name };
	char hint[120] = "";
	const char *other;
	json_t *index;
	json_object_foreach(w->index_of, other, index) nearest_offer(&nearest, other);
	if (nearest.best)
		str_format(hint, sizeof hint, "did you mean %s?", nearest.best);
	error_set(w->err, ERR_INPUT, hint, "after: \"%s\" is no job of this graph, and no job id", name);
	return graph_fail_at(w, i, "after");
}

static bool graph_check_names(struct graph_walk *w)
{
	char queue[SPEC_QUEUE_MAX + 1];
	for (size_t i = 0; i < w->graph->count; i++)
		for (size_t k = 0; k < w->nodes[i].spec.after.count; k++) {
			const char *name = w->nodes[i].after[k];
			bool is_there;
			int64_t n;
			graph_index(w, name, &is_there);
			if (!is_there && !spec_split_id(name, queue, &n, NULL))
				return graph_fail_unknown(w, i, name);
		}
	return true;
}

/* ---- circles ---- */

/* The way leads back to the job at. */
static bool graph_fail_circle(struct graph_walk *w, size_t at)
{
	CLEANUP(buf) struct buf words;
	buf_init(&words, 400);
	size_t from = w->depth - 1;
	while (w->way[from] != at)
		from--;
	for (size_t k = from; k < w->depth; k++) {
		size_t following = k + 1 < w->depth ? w->way[k + 1] : at;
		if (!buf_printf(&words, "%s%s waits for %s", k > from ? ", " : "", w->graph->names[w->way[k]],
				w->graph->names[following]))
			break;
	}
	error_set(w->err, ERR_INPUT, NULL, "jobs: a circle: %s", buf_text(&words));
	return graph_fail(w, "jobs");
}

/* The next parent of the last job on the way that stands in this graph; false: there is none. */
static bool graph_next_parent(struct graph_walk *w, size_t *parent)
{
	struct graph_node *node = &w->nodes[w->way[w->depth - 1]];
	bool is_there = false;
	while (!is_there && node->next < node->spec.after.count)
		*parent = graph_index(w, node->after[node->next++], &is_there);
	return is_there;
}

static void graph_enter(struct graph_walk *w, size_t i)
{
	w->nodes[i].mark = GRAPH_ON_THE_WAY;
	w->way[w->depth++] = i;
}

/* Parents first: what is done with all it waits for takes its place in the order. */
static bool graph_visit(struct graph_walk *w, size_t first)
{
	graph_enter(w, first);
	while (w->depth) {
		size_t parent;
		if (!graph_next_parent(w, &parent)) {
			size_t i = w->way[--w->depth];
			w->nodes[i].mark = GRAPH_FINE;
			w->graph->order[w->placed++] = i;
		} else if (w->nodes[parent].mark == GRAPH_ON_THE_WAY) {
			return graph_fail_circle(w, parent);
		} else if (w->nodes[parent].mark == GRAPH_NEW) {
			graph_enter(w, parent);
		}
	}
	return true;
}

/* ---- the whole ---- */

static bool graph_read_batch(const struct graph_walk *w, const json_t *batch)
{
	const struct spec_grammar *grammar = spec_row_at("batch", NULL)->text;
	const char *text = json_string_value(batch);
	if (!batch)
		return true;
	if (text && spec_grammar_takes(grammar, text, json_string_length(batch))) {
		w->graph->batch = mem_strdup(text);
		return true;
	}
	CLEANUP(free_p) char *shown = text ? mem_strdup(text) : json_dumps(batch, JSON_ENCODE_ANY | JSON_COMPACT);
	error_set(w->err, ERR_INPUT, NULL, "batch: expected %s, got \"%.60s\"", grammar->expected, shown);
	return graph_fail(w, "batch");
}

static bool graph_check_form(const struct graph_walk *w, const json_t *root)
{
	const json_t *jobs = json_object_get(root, "jobs");
	const char *name;
	json_t *value;
	const struct following_document document = { w->text, w->len, w->origin, "" };
	json_object_foreach((json_t *)root, name, value) if (strcmp(name, "jobs") != 0 && strcmp(name, "batch") != 0 &&
							     strcmp(name, "then") != 0 && strcmp(name, "webhook") != 0)
	{
		error_set(w->err, ERR_INPUT, NULL, "\"%.60s\": unknown key; known here: jobs, batch, then, webhook",
			  name);
		return graph_fail(w, name);
	}
	if (!graph_read_batch(w, json_object_get(root, "batch")) ||
	    !following_read(root, &document, &w->graph->following, w->err))
		return false;
	if (json_is_array(jobs) && json_array_size(jobs) > 0 && json_array_size(jobs) <= GRAPH_MAX_JOBS)
		return true;
	error_set(w->err, ERR_INPUT, NULL, "jobs: expected a list of 1 to %d specs", GRAPH_MAX_JOBS);
	return graph_fail(w, "jobs");
}

static bool graph_check(struct graph_walk *w, const json_t *jobs)
{
	size_t i;
	const json_t *job;
	json_array_foreach(jobs, i, job) if (!graph_read_job(w, i, job)) return false;
	if (!graph_take_names(w) || !graph_check_names(w))
		return false;
	for (i = 0; i < w->graph->count; i++)
		if (w->nodes[i].mark == GRAPH_NEW && !graph_visit(w, i))
			return false;
	return true;
}

bool graph_read(const char *text, size_t len, const char *origin, struct graph *graph, struct error *err)
{
	struct error ignored;
	struct graph_walk w = { text, len, origin, graph, .err = err ? err : &ignored };
	*graph = (struct graph){ 0 };
	json_auto_t *root = yaml_decode(text, len, origin, w.err);
	if (!root || !graph_check_form(&w, root)) {
		graph_done(graph);
		return false;
	}
	const json_t *jobs = json_object_get(root, "jobs");
	size_t count = json_array_size(jobs);
	graph->count = count;
	graph->specs = mem_alloc(count * sizeof *graph->specs);
	graph->names = mem_alloc(count * sizeof *graph->names);
	graph->order = mem_alloc(count * sizeof *graph->order);
	w.nodes = mem_alloc(count * sizeof *w.nodes);
	w.way = mem_alloc(count * sizeof *w.way);
	w.index_of = json_object();
	bool ok = graph_check(&w, jobs);
	for (size_t i = 0; i < count; i++) {
		spec_done(&w.nodes[i].spec);
		free(w.nodes[i].after);
	}
	free(w.nodes);
	free(w.way);
	json_decref(w.index_of);
	if (!ok)
		graph_done(graph);
	return ok;
}

void graph_done(struct graph *graph)
{
	for (size_t i = 0; i < graph->count; i++) {
		free(graph->specs[i]);
		free(graph->names[i]);
	}
	free(graph->specs);
	free(graph->names);
	free(graph->order);
	free(graph->queue);
	free(graph->batch);
	following_done(&graph->following);
	*graph = (struct graph){ 0 };
}

bool graph_is_one(const char *text, size_t len)
{
	if (!memmem(text, len, "jobs", 4))
		return false;
	json_auto_t *root = yaml_decode(text, len, NULL, NULL);
	return json_object_get(root, "jobs") != NULL;
}

char *graph_json(const struct graph *graph)
{
	struct buf text;
	buf_init(&text, GRAPH_MAX_BYTES);
	buf_str(&text, "{\"jobs\":[");
	for (size_t i = 0; i < graph->count; i++) {
		buf_str(&text, i ? "," : "");
		buf_str(&text, graph->specs[i]);
	}
	buf_str(&text, "]");
	if (graph->batch)
		buf_printf(&text, ",\"batch\":\"%s\"", graph->batch);
	following_write(&graph->following, &text);
	buf_str(&text, "}");
	return buf_take(&text);
}
