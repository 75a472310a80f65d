#include "scheduler/stored_units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "queue/spec.h"

const char *const stored_kind_names[STORED_KINDS] = { "checkpoints", "transcripts", "archives" };

void stored_units_done(struct stored_units *units)
{
	for (size_t i = 0; i < units->count; i++)
		free(units->all[i].prefix);
	for (size_t i = 0; i < units->upload_count; i++)
		free(units->uploads[i].key);
	free(units->all);
	free(units->uploads);
	*units = (struct stored_units){ 0 };
}

const char *const *stored_unit_names(const struct stored_unit *unit)
{
	static const char *const checkpoint[] = { "manifest.json", "data.tar", NULL };
	static const char *const transcript[] = { "transcript.json", "log.gz", "metrics.gz", NULL };
	static const char *const archived[] = { "", NULL };
	static const char *const *const names[STORED_KINDS] = { checkpoint, transcript, archived };
	return names[unit->kind];
}

/* Of the jobs in it the one with the lowest number stands for all. */
static bool stored_archived_parse(const char *key, const char *part, struct stored_unit *unit, const char **name)
{
	char noise[9] = "";
	int used = 0;
	unit->kind = STORED_ARCHIVED;
	*name = key + strlen(key);
	return sscanf(part, "/archive/%63[^/]/%*d/%" SCNd64 "-%*d-%*d.%8[0-9a-f]%n", unit->queue, &unit->n, noise,
		      &used) == 3 &&
	       used > 0 && !part[used] && str_format(unit->job, sizeof unit->job, "%s-%" PRId64, unit->queue, unit->n);
}

/* As struct stored_unit has them, and a name of theirs. */
static bool stored_unit_parse(const char *key, struct stored_unit *unit, const char **name)
{
	char folder[160];
	int used = 0;
	const char *part = strchr(key, '/');
	if (part && strncmp(part, "/archive/", strlen("/archive/")) == 0)
		return stored_archived_parse(key, part, unit, name);
	bool is_run = part && strncmp(part, "/runs/", strlen("/runs/")) == 0;
	unit->kind = is_run ? STORED_TRANSCRIPT : STORED_CHECKPOINT;
	if (!part ||
	    (is_run ? sscanf(part, "/runs/%159[^/]/%" SCNd64 "-%" SCNd64 "/%n", folder, &unit->seq, &unit->token, &used)
		    : sscanf(part, "/checkpoints/%159[^/]/%" SCNd64 "/%" SCNd64 "/%n", folder, &unit->token, &unit->seq,
			     &used)) != 3)
		return false;
	char *uid = strrchr(folder, '-');
	if (!used || !uid || strspn(uid + 1, "0123456789abcdef") != strlen(uid + 1))
		return false;
	*uid++ = '\0';
	*name = part + used;
	return str_copy(unit->job, sizeof unit->job, folder) && str_copy(unit->uid, sizeof unit->uid, uid) &&
	       spec_split_id(unit->job, unit->queue, &unit->n, NULL);
}

static struct stored_unit *stored_unit_add(struct stored_units *units, const struct stored_unit *unit, const char *key,
					   size_t prefix_len)
{
	struct stored_unit *last = units->count ? &units->all[units->count - 1] : NULL;
	if (last && strncmp(last->prefix, key, prefix_len) == 0 && !last->prefix[prefix_len])
		return last;
	if (units->count == units->capacity) {
		units->capacity = units->capacity * 2 + 64;
		units->all = mem_realloc(units->all, units->capacity * sizeof *units->all);
	}
	last = &units->all[units->count++];
	*last = *unit;
	last->prefix = mem_strndup(key, prefix_len);
	return last;
}

static void stored_units_object(struct stored_units *units, const char *key, int64_t size, int64_t modified_ms)
{
	struct stored_unit unit = { .n = 0 };
	const char *name = "";
	if (!stored_unit_parse(key, &unit, &name))
		return;
	const char *const *names = stored_unit_names(&unit);
	size_t which = 0;
	while (names[which] && strcmp(name, names[which]) != 0)
		which++;
	if (!names[which])
		return;
	struct stored_unit *into = stored_unit_add(units, &unit, key, (size_t)(name - key));
	into->has_data = into->has_data || which > 0;
	into->has_manifest = into->has_manifest || which == 0;
	into->size += size;
	if (modified_ms > into->modified_ms)
		into->modified_ms = modified_ms;
}

static void stored_units_upload(struct stored_units *units, const char *key, int64_t begun_ms)
{
	if (units->upload_count == units->upload_capacity) {
		units->upload_capacity = units->upload_capacity * 2 + 16;
		units->uploads = mem_realloc(units->uploads, units->upload_capacity * sizeof *units->uploads);
	}
	units->uploads[units->upload_count++] = (struct stored_upload){ .key = mem_strdup(key), .begun_ms = begun_ms };
}

static int stored_unit_order(const void *a, const void *b)
{
	const struct stored_unit *x = a, *y = b;
	int order = strcmp(x->queue, y->queue);
	if (!order)
		order = (x->n > y->n) - (x->n < y->n);
	if (!order)
		order = strcmp(x->uid, y->uid);
	if (!order)
		order = (x->token > y->token) - (x->token < y->token);
	return order ? order : (x->seq > y->seq) - (x->seq < y->seq);
}

/* In lines that are sorted by key, so that the objects of a unit stand together. */
static int stored_line_order(const void *a, const void *b)
{
	const char *x = *(const char *const *)a, *y = *(const char *const *)b;
	return strcmp(strrchr(x, ' '), strrchr(y, ' '));
}

static void stored_units_line(struct stored_units *units, const char *line)
{
	int64_t size = -1, ms = 0;
	const char *key = strrchr(line, ' ') + 1;
	if (line[0] == '-' && sscanf(line, "- %" SCNd64, &ms) == 1)
		stored_units_upload(units, key, ms);
	else if (sscanf(line, "%" SCNd64 " %" SCNd64, &size, &ms) == 2)
		stored_units_object(units, key, size, ms);
}

void stored_units_read(struct stored_units *units, const char *text)
{
	CLEANUP(free_p) char *copy = mem_strdup(text);
	size_t count = 0, used = 0;
	*units = (struct stored_units){ 0 };
	for (const char *c = copy; *c; c++)
		count += *c == '\n';
	CLEANUP(free_p) char **lines = mem_alloc((count + 1) * sizeof *lines);
	char *rest = copy;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
		if (strchr(line, ' '))
			lines[used++] = line;
	qsort(lines, used, sizeof *lines, stored_line_order);
	for (size_t i = 0; i < used; i++)
		stored_units_line(units, lines[i]);
	if (units->count)
		qsort(units->all, units->count, sizeof *units->all, stored_unit_order);
}

size_t stored_units_next(const struct stored_units *units, size_t at)
{
	size_t next = at + 1;
	while (next < units->count && strcmp(units->all[next].job, units->all[at].job) == 0 &&
	       strcmp(units->all[next].uid, units->all[at].uid) == 0)
		next++;
	return next;
}
