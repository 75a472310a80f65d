#include "worker/units.h"

#include <fnmatch.h>
#include <string.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "worker/names.h"

#define SETTLE_RENAMED_MS 200  /* for the other files of the same save */
#define SETTLE_FILE_MS    2000 /* quiet after writing in place */
#define SETTLE_FOLDER_MS  3000
#define SETTLE_STEP_MS    300   /* quiet when a later step was reported */
#define SETTLE_FEWER_MS   60000 /* quiet when the save before had more files */
#define STEP_MARGIN_MS    100   /* a line that comes sooner after a change may have been printed before it */
#define FOLDER_DEPTH_MAX  8     /* watched below a unit */

struct unit_usual { /* how many files a whole save of one kind has */
	enum unit_root root;
	char kind[16]; /* "step" of the group "step 200" */
	size_t files;
};

struct units {
	struct unit_usual usual[UNIT_KINDS_MAX];
	size_t usual_count;
	char **patterns;
	size_t pattern_count;
	struct unit **items;
	size_t count;
	int64_t clock;   /* the newest of all changes */
	int64_t step_ms; /* when the program last reported a step */
};

struct unit_place { /* where a path belongs */
	bool is_folder;
	char *name; /* of the unit */
	char *path; /* the unit's own path, or the file */
};

static void cleanup_unit_place(struct unit_place *place)
{
	free(place->name);
	free(place->path);
}

struct units *units_new(const struct spec_list *patterns)
{
	struct units *u = mem_alloc(sizeof *u);
	u->patterns = mem_alloc((patterns->count + 1) * sizeof *u->patterns);
	for (size_t i = 0; i < patterns->count; i++) {
		size_t len = strlen(patterns->items[i]);
		while (len > 1 && patterns->items[i][len - 1] == '/')
			len--;
		const char *start =
			strncmp(patterns->items[i], "./", 2) == 0 ? patterns->items[i] + 2 : patterns->items[i];
		u->patterns[u->pattern_count++] = mem_strndup(start, len - (size_t)(start - patterns->items[i]));
	}
	return u;
}

static void unit_free(struct unit *unit)
{
	for (size_t i = 0; i < unit->file_count; i++)
		free(unit->files[i]);
	free(unit->files);
	free(unit->name);
	free(unit->sha256);
	free(unit);
}

void units_free(struct units *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->pattern_count; i++)
		free(u->patterns[i]);
	free(u->patterns);
	for (size_t i = 0; i < u->count; i++)
		unit_free(u->items[i]);
	free(u->items);
	free(u);
}

static int unit_depth(const char *path)
{
	int depth = *path != '\0';
	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

/* The length of the first `depth` parts. */
static size_t unit_prefix(const char *path, int depth)
{
	const char *at = path;
	for (; *at; at++)
		if (*at == '/' && --depth == 0)
			break;
	return (size_t)(at - path);
}

/* Part by part, so that a star never crosses a slash; a leading dot must be named. */
static bool unit_matches(const char *pattern, const char *path, int depth)
{
	CLEANUP(free_p) char *a = mem_strndup(pattern, unit_prefix(pattern, depth));
	CLEANUP(free_p) char *b = mem_strndup(path, unit_prefix(path, depth));
	return depth == 0 || fnmatch(a, b, FNM_PATHNAME | FNM_PERIOD) == 0;
}

bool units_wants_folder(const struct units *u, enum unit_root root, const char *path)
{
	int depth = unit_depth(path);
	if (root == UNIT_IN_CHECKPOINTS) {
		CLEANUP(free_p) char *first = mem_strndup(path, unit_prefix(path, 1));
		return depth <= FOLDER_DEPTH_MAX && (depth == 0 || !name_is_ignored(first, true));
	}
	for (size_t i = 0; i < u->pattern_count; i++) {
		int parts = unit_depth(u->patterns[i]);
		if (depth <= parts + FOLDER_DEPTH_MAX &&
		    unit_matches(u->patterns[i], path, depth < parts ? depth : parts))
			return true;
	}
	return false;
}

static bool unit_place_at(struct unit_place *place, const char *path, bool is_folder, int depth)
{
	CLEANUP(free_p) char *own = mem_strndup(path, unit_prefix(path, depth));
	const char *slash = strrchr(own, '/');
	place->is_folder = is_folder || unit_depth(path) > depth;
	if (name_is_ignored(slash ? slash + 1 : own, place->is_folder))
		return false;
	place->name = place->is_folder ? mem_strdup(own) : mem_strdup(name_parse(own).group);
	place->path = STEAL(own);
	return true;
}

static bool units_place(const struct units *u, const struct unit_event *event, struct unit_place *place)
{
	if (!*event->path)
		return false;
	if (event->root == UNIT_IN_CHECKPOINTS)
		return unit_place_at(place, event->path, event->is_folder, 1);
	int depth = unit_depth(event->path);
	for (size_t i = 0; i < u->pattern_count; i++) {
		int parts = unit_depth(u->patterns[i]);
		if (parts <= depth && unit_matches(u->patterns[i], event->path, parts))
			return unit_place_at(place, event->path, event->is_folder, parts);
	}
	return false;
}

static struct unit *units_find(struct units *u, enum unit_root root, const char *name, bool is_folder)
{
	for (size_t i = 0; i < u->count; i++)
		if (u->items[i]->root == root && u->items[i]->is_folder == is_folder &&
		    strcmp(u->items[i]->name, name) == 0)
			return u->items[i];
	return NULL;
}

/* Room for one more: the oldest that is dealt with goes, else the oldest that is not being shipped. */
static void units_evict(struct units *u)
{
	size_t oldest = u->count;
	for (size_t i = 0; i < u->count; i++) {
		if (u->items[i]->is_busy)
			continue;
		if (oldest == u->count || unit_is_pending(u->items[i]) < unit_is_pending(u->items[oldest]) ||
		    (unit_is_pending(u->items[i]) == unit_is_pending(u->items[oldest]) &&
		     u->items[i]->changes < u->items[oldest]->changes))
			oldest = i;
	}
	unit_free(u->items[oldest]);
	u->items[oldest] = u->items[--u->count];
}

static struct unit *units_make(struct units *u, enum unit_root root, const char *name, bool is_folder)
{
	if (u->count == UNITS_MAX)
		units_evict(u);
	struct unit *unit = mem_alloc(sizeof *unit);
	*unit = (struct unit){ .root = root,
			       .name = mem_strdup(name),
			       .is_folder = is_folder,
			       .said_step = -1,
			       .said_optimizer = -1,
			       .step = -1 };
	u->items = mem_realloc(u->items, (u->count + 1) * sizeof(struct unit *));
	u->items[u->count++] = unit;
	return unit;
}

static size_t unit_index(const struct unit *unit, const char *path)
{
	size_t i = 0;
	while (i < unit->file_count && strcmp(unit->files[i], path) != 0)
		i++;
	return i;
}

static void unit_add_file(struct unit *unit, const char *path)
{
	if (unit_index(unit, path) < unit->file_count)
		return;
	if (unit->file_count == UNIT_FILES_MAX) {
		unit->has_too_many = true;
		return;
	}
	unit->files = mem_realloc(unit->files, (unit->file_count + 1) * sizeof(char *));
	unit->files[unit->file_count++] = mem_strdup(path);
}

static void unit_remove_file(struct unit *unit, const char *path)
{
	size_t i = unit_index(unit, path);
	if (i == unit->file_count)
		return;
	free(unit->files[i]);
	unit->files[i] = unit->files[--unit->file_count];
}

/* What the program said belongs to what it said it about. */
static void unit_forget_said(struct unit *unit)
{
	unit->is_announced = false;
	unit->said_step = -1;
	unit->said_optimizer = -1;
	free(STEAL(unit->sha256));
}

static void unit_touch(struct units *u, struct unit *unit, const struct unit_event *event)
{
	unit->changes = ++u->clock;
	unit->changed_ms = event->now_ms;
	unit->step = event->step;
	unit->marks = event->marks;
	unit_forget_said(unit);
	unit->retry_ms = 0;
	unit->backoff_ms = 0;
	unit->was_written |= event->change == UNIT_WRITTEN;
}

/* What is taken away is no new checkpoint; but one that waits is waited for a little longer. */
static void units_gone(struct unit *unit, const struct unit_event *event)
{
	unit_remove_file(unit, event->path);
	unit->changed_ms = event->now_ms;
}

void units_event(struct units *u, const struct unit_event *event)
{
	CLEANUP(unit_place) struct unit_place place = { .name = NULL };
	if (!units_place(u, event, &place))
		return;
	struct unit *unit = units_find(u, event->root, place.name, place.is_folder);
	if (event->change == UNIT_GONE) {
		if (unit)
			units_gone(unit, event);
		return;
	}
	if (!unit)
		unit = units_make(u, event->root, place.name, place.is_folder);
	unit_add_file(unit, place.path);
	if (event->change != UNIT_FOUND)
		unit_touch(u, unit, event);
}

struct unit *units_announce(struct units *u, const struct unit_event *event)
{
	CLEANUP(unit_place) struct unit_place place = { .name = NULL };
	struct unit *natural =
		units_place(u, event, &place) ? units_find(u, event->root, place.name, place.is_folder) : NULL;
	struct unit *unit = natural;
	if (!natural || natural->file_count != 1 || strcmp(natural->files[0], event->path) != 0 ||
	    natural->is_folder != event->is_folder) {
		if (natural)
			unit_settle(natural, natural->changes);
		CLEANUP(free_p) char *name = mem_printf("=%s", event->path);
		unit = units_find(u, event->root, name, event->is_folder);
		if (!unit)
			unit = units_make(u, event->root, name, event->is_folder);
		unit_add_file(unit, event->path);
	}
	unit_touch(u, unit, event);
	unit->is_announced = true;
	return unit;
}

void units_step(struct units *u, int64_t now_ms)
{
	u->step_ms = now_ms;
}

bool units_is_outlived(const struct units *u, const struct unit *unit)
{
	return u->step_ms >= unit->changed_ms + STEP_MARGIN_MS;
}

/* ---- a group of fewer files than the save before ---- */

/* "step 200" → "step"; false: its files are not told apart by a step. */
static bool unit_kind(const struct unit *unit, char kind[16])
{
	const char *blank = strchr(unit->name, ' ');
	return !unit->is_folder && unit->name[0] != '=' && blank &&
	       str_format(kind, 16, "%.*s", (int)(blank - unit->name), unit->name);
}

/* Which of u->usual is of this kind and root; usual_count: none is known. */
static size_t units_usual(const struct units *u, enum unit_root root, const char *kind)
{
	size_t i = 0;
	while (i < u->usual_count && (u->usual[i].root != root || strcmp(u->usual[i].kind, kind) != 0))
		i++;
	return i;
}

void units_whole(struct units *u, const struct unit *unit)
{
	char kind[16];
	if (!unit_kind(unit, kind))
		return;
	size_t at = units_usual(u, unit->root, kind);
	if (at == UNIT_KINDS_MAX)
		return;
	if (at == u->usual_count) {
		u->usual[u->usual_count++] = (struct unit_usual){ .root = unit->root };
		str_copy(u->usual[at].kind, sizeof u->usual[at].kind, kind);
	}
	u->usual[at].files = unit->file_count;
}

size_t units_lacks(const struct units *u, const struct unit *unit)
{
	char kind[16];
	if (!unit_kind(unit, kind))
		return 0;
	size_t at = units_usual(u, unit->root, kind);
	bool is_known = at < u->usual_count;
	size_t most = is_known ? u->usual[at].files : 0;
	for (size_t i = 0; !is_known && i < u->count; i++) { /* what was put back, or is of an earlier run */
		char other[16];
		if (u->items[i]->changes == 0 && u->items[i]->root == unit->root && unit_kind(u->items[i], other) &&
		    strcmp(other, kind) == 0 && u->items[i]->file_count > most)
			most = u->items[i]->file_count;
	}
	return most > unit->file_count ? most - unit->file_count : 0;
}

int64_t units_settles_ms(const struct units *u, const struct unit *unit)
{
	if (unit->is_announced)
		return unit->changed_ms;
	if (!units_is_outlived(u, unit) && units_lacks(u, unit))
		return unit->changed_ms + SETTLE_FEWER_MS;
	if (!unit->was_written)
		return unit->changed_ms + SETTLE_RENAMED_MS;
	int64_t quiet_ms = unit->changed_ms + (unit->is_folder ? SETTLE_FOLDER_MS : SETTLE_FILE_MS);
	if (!units_is_outlived(u, unit))
		return quiet_ms;
	int64_t step_ms = unit->changed_ms + SETTLE_STEP_MS;
	if (step_ms < u->step_ms)
		step_ms = u->step_ms;
	return step_ms < quiet_ms ? step_ms : quiet_ms;
}

struct unit *units_next(struct units *u, int64_t now_ms, bool is_over, int64_t *due_ms)
{
	struct unit *newest = NULL;
	*due_ms = -1;
	for (size_t i = 0; i < u->count; i++) {
		struct unit *unit = u->items[i];
		if (!unit_is_pending(unit) || unit->is_busy)
			continue;
		int64_t due = is_over ? 0 : units_settles_ms(u, unit);
		if (due < unit->retry_ms)
			due = unit->retry_ms;
		if (due > now_ms)
			*due_ms = *due_ms < 0 || due < *due_ms ? due : *due_ms;
		else if (!newest || unit->changes > newest->changes)
			newest = unit;
	}
	return newest;
}

bool unit_is_pending(const struct unit *unit)
{
	return unit->changes > unit->settled && unit->file_count > 0;
}

void unit_settle(struct unit *unit, int64_t changes)
{
	if (changes > unit->settled)
		unit->settled = changes;
	if (unit->changes > unit->settled)
		return; /* it changed again meanwhile */
	unit->was_written = false;
	unit_forget_said(unit);
}

void units_settle_older(struct units *u, int64_t changes)
{
	for (size_t i = 0; i < u->count; i++)
		if (u->items[i]->changes < changes)
			unit_settle(u->items[i], u->items[i]->changes);
}

void units_committed(struct units *u, struct unit *unit, int64_t changes)
{
	unit_settle(unit, changes);
	units_settle_older(u, changes);
	if (!unit_is_pending(unit))
		units_whole(u, unit);
}

bool units_any_pending(const struct units *u)
{
	for (size_t i = 0; i < u->count; i++)
		if (unit_is_pending(u->items[i]))
			return true;
	return false;
}

void unit_describe(const struct unit *unit, char *into, size_t size)
{
	str_format(into, size, "%.200s%s", unit->file_count ? unit->files[0] : unit->name,
		   unit->file_count > 1 ? " and the files with it" : "");
}

bool units_check_patterns(const struct spec_list *patterns, struct error *err)
{
	for (size_t i = 0; i < patterns->count; i++) {
		const char *pattern = patterns->items[i];
		size_t len = strlen(pattern);
		CLEANUP(free_p) char *clean = mem_strndup(pattern, len > 1 && pattern[len - 1] == '/' ? len - 1 : len);
		if (!beneath_is_path(strncmp(clean, "./", 2) == 0 ? clean + 2 : clean))
			return error_set(
				err, ERR_INPUT, "for example out/*.pt",
				"checkpoint.paths[%zu]: expected a path relative to the working folder, without "
				"\"..\", got \"%s\"",
				i, pattern);
	}
	return true;
}
