/* From a spec with a sweep block and a set of parameters to a spec. */
#include "queue/sweep.h"

#include <string.h>
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/utf8.h"
#include "lib/yaml.h"
#include "queue/spec_check.h"

#define SWEEP_NAME_BYTES 64
#define SWEEP_TEXT_MAX   (1024u * 1024)

struct sweep_fill {
	const json_t *point;
	char path[SPEC_PATH_MAX]; /* of the value that is filled */
	struct error *err;
};

/* ---- {{name}} ---- */

static size_t sweep_name_len(const char *text)
{
	size_t len = 0;
	while ((text[len] >= 'a' && text[len] <= 'z') || (text[len] >= 'A' && text[len] <= 'Z') || text[len] == '_' ||
	       (len > 0 && text[len] >= '0' && text[len] <= '9'))
		len++;
	return len;
}

/* The parameter that stands at text, "{{lr}}…"; *len is that of the whole place. false: no place of ours. */
static bool sweep_place(const char *text, char name[SWEEP_NAME_BYTES + 1], size_t *len)
{
	size_t name_len = sweep_name_len(text + 2);
	*len = name_len + 4;
	return name_len > 0 && name_len <= SWEEP_NAME_BYTES && strncmp(text + 2 + name_len, "}}", 2) == 0 &&
	       str_format(name, SWEEP_NAME_BYTES + 1, "%.*s", (int)name_len, text + 2) && strcmp(name, "resume") != 0;
}

static bool sweep_fail_unknown(struct sweep_fill *f, const char *name)
{
	CLEANUP(buf) struct buf known;
	const char *other;
	json_t *value;
	buf_init(&known, 200);
	json_object_foreach((json_t *)f->point, other, value) buf_printf(&known, "%s%s", known.len ? ", " : "", other);
	return error_set(f->err, ERR_INPUT, NULL, "%s: {{%.64s}} is no parameter of the sweep; it has %s", f->path,
			 name, buf_text(&known));
}

static bool sweep_fill_text(struct sweep_fill *f, const char *text, struct buf *out)
{
	const char *at;
	while ((at = strstr(text, "{{"))) {
		char name[SWEEP_NAME_BYTES + 1];
		size_t len;
		buf_add(out, text, (size_t)(at - text));
		if (!sweep_place(at, name, &len)) {
			buf_str(out, "{{");
			text = at + 2;
			continue;
		}
		const json_t *value = json_object_get(f->point, name);
		if (!value)
			return sweep_fail_unknown(f, name);
		CLEANUP(free_p) char *shown = sweep_value_text(value);
		buf_str(out, shown);
		text = at + len;
	}
	return buf_str(out, text);
}

/* What stands instead of a text: the parameter itself if it is nothing else, and is_typed. NULL on error. */
static json_t *sweep_fill_string(struct sweep_fill *f, const char *text, bool is_typed)
{
	char name[SWEEP_NAME_BYTES + 1];
	size_t len;
	CLEANUP(buf) struct buf out;
	buf_init(&out, SWEEP_TEXT_MAX);
	if (is_typed && strncmp(text, "{{", 2) == 0 && sweep_place(text, name, &len) && len == strlen(text) &&
	    json_object_get(f->point, name))
		return json_incref(json_object_get(f->point, name));
	if (!sweep_fill_text(f, text, &out))
		return NULL;
	return json_stringn(buf_text(&out), out.len);
}

static json_t *sweep_fill_value(struct sweep_fill *f, json_t *value, bool is_typed);

static json_t *sweep_fill_object(struct sweep_fill *f, json_t *object, bool is_typed)
{
	json_t *filled = json_object();
	const char *key;
	json_t *value;
	size_t len = strlen(f->path);
	json_object_foreach(object, key, value)
	{
		str_format(f->path + len, sizeof f->path - len, "%s%.64s", len ? "." : "", key);
		bool is_text =
			!len && (strcmp(key, "command") == 0 || strcmp(key, "env") == 0 || strcmp(key, "name") == 0);
		json_t *item = sweep_fill_value(f, value, is_typed && !is_text);
		if (!item) {
			json_decref(filled);
			return NULL;
		}
		json_object_set_new(filled, key, item);
		f->path[len] = '\0';
	}
	return filled;
}

static json_t *sweep_fill_list(struct sweep_fill *f, json_t *list, bool is_typed)
{
	json_t *filled = json_array();
	size_t i, len = strlen(f->path);
	json_t *value;
	json_array_foreach(list, i, value)
	{
		str_format(f->path + len, sizeof f->path - len, "[%zu]", i);
		json_t *item = sweep_fill_value(f, value, is_typed);
		if (!item) {
			json_decref(filled);
			return NULL;
		}
		json_array_append_new(filled, item);
		f->path[len] = '\0';
	}
	return filled;
}

/* As deep as a document may nest (YAML_MAX_DEPTH). A new reference; NULL on error, with f->path. */
static json_t *sweep_fill_value(struct sweep_fill *f, json_t *value, bool is_typed)
{
	if (json_is_object(value))
		return sweep_fill_object(f, value, is_typed);
	if (json_is_array(value))
		return sweep_fill_list(f, value, is_typed);
	if (json_is_string(value) && strstr(json_string_value(value), "{{"))
		return sweep_fill_string(f, json_string_value(value), is_typed);
	return json_incref(value);
}

/* ---- one job ---- */

/* The same with its names sorted: nothing depends on the order in which somebody wrote them. */
static json_t *sweep_sorted(const json_t *point)
{
	CLEANUP(buf) struct buf canonical;
	buf_init(&canonical, SWEEP_TEXT_MAX);
	json_canonical(point, &canonical);
	return json_loadb(buf_text(&canonical), canonical.len, 0, NULL);
}

static char *sweep_label(const json_t *point)
{
	struct buf label;
	const char *name;
	json_t *value;
	buf_init(&label, SWEEP_TEXT_MAX);
	json_object_foreach((json_t *)point, name, value)
	{
		CLEANUP(free_p) char *text = sweep_value_text(value);
		buf_printf(&label, "%s%s=%s", label.len ? " " : "", name, text);
	}
	return buf_take(&label);
}

/* The parameters into its environment; into its name, unless that has places for them. */
static void sweep_mark(json_t *spec, const json_t *point, const json_t *template_name, const char *label,
		       const char *batch)
{
	const char *name, *given = json_string_value(template_name);
	json_t *value, *env = json_object_get(spec, "env");
	if (!json_is_object(env)) {
		env = json_object();
		json_object_set_new(spec, "env", env);
	}
	json_object_foreach((json_t *)point, name, value)
	{
		CLEANUP(free_p) char *text = sweep_value_text(value);
		json_object_set_new(env, name, json_string(text));
	}
	if (!json_object_get(spec, "batch"))
		json_object_set_new(spec, "batch", json_string(batch));
	if (template_name && (!given || strstr(given, "{{")))
		return;
	CLEANUP(free_p) char *full = mem_printf("%s%s%s", given ? given : "", given ? " " : "", label);
	for (char *c = full; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	json_object_set_new(spec, "name", json_stringn(full, utf8_cut(full, strlen(full), SWEEP_NAME_BYTES)));
}

struct sweep_walk {
	const char *text;
	size_t len;
	const char *origin;
	struct sweep *sweep;
	const char *batch;
	struct error *err;
};

static bool sweep_fail_job(const struct sweep_walk *w, size_t i, char *path)
{
	error_wrap(w->err, "job %zu of the sweep (%.100s)", i + 1, w->sweep->labels[i]);
	return spec_place(w->text, w->len, w->origin, path, w->err);
}

static bool sweep_add(struct sweep_walk *w, json_t *template, const json_t *unsorted)
{
	json_auto_t *point = sweep_sorted(unsorted);
	struct sweep *s = w->sweep;
	size_t i = s->count++;
	struct sweep_fill fill = { .point = point, .err = w->err };
	CLEANUP(buf) struct buf text;
	buf_init(&text, SPEC_MAX_BYTES);
	s->labels[i] = sweep_label(point);
	json_auto_t *spec = sweep_fill_value(&fill, template, true);
	if (!spec)
		return sweep_fail_job(w, i, fill.path);
	sweep_mark(spec, point, json_object_get(template, "name"), s->labels[i], w->batch);
	if (!spec_check(spec, fill.path, w->err))
		return sweep_fail_job(w, i, fill.path);
	if (!json_canonical(spec, &text)) {
		error_set(w->err, ERR_INPUT, NULL, "spec: expected at most %d bytes as JSON", SPEC_MAX_BYTES);
		return sweep_fail_job(w, i, fill.path);
	}
	if (i == 0) {
		s->batch = mem_strdup(json_string_value(json_object_get(spec, "batch")));
		s->queue = mem_strdup(json_string_value(json_object_get(spec, "queue")));
	}
	s->specs[i] = buf_take(&text);
	return true;
}

/* ---- the whole ---- */

static bool sweep_expand(struct sweep_walk *w, json_t *root)
{
	char path[SPEC_PATH_MAX] = "sweep";
	const json_t *block = json_object_get(root, "sweep");
	size_t i;
	const json_t *point;
	json_auto_t *points = sweep_points(block, path, w->err);
	if (!points)
		return spec_place(w->text, w->len, w->origin, path, w->err);
	const struct following_document document = { w->text, w->len, w->origin, "sweep" };
	if (!following_read(block, &document, &w->sweep->following, w->err))
		return false;
	json_auto_t *template = json_copy(root);
	json_object_del(template, "sweep");
	w->sweep->specs = mem_alloc(json_array_size(points) * sizeof *w->sweep->specs);
	w->sweep->labels = mem_alloc(json_array_size(points) * sizeof *w->sweep->labels);
	json_array_foreach(points, i, point) if (!sweep_add(w, template, point)) return false;
	return true;
}

bool sweep_read(const char *text, size_t len, const char *origin, const char *batch, struct sweep *sweep,
		struct error *err)
{
	struct error ignored;
	struct sweep_walk w = { text, len, origin, sweep, batch, err ? err : &ignored };
	*sweep = (struct sweep){ 0 };
	json_auto_t *root = yaml_decode(text, len, origin, w.err);
	if (root && sweep_expand(&w, root))
		return true;
	sweep_done(sweep);
	return false;
}

void sweep_done(struct sweep *sweep)
{
	for (size_t i = 0; i < sweep->count; i++) {
		free(sweep->specs[i]);
		free(sweep->labels[i]);
	}
	free(sweep->specs);
	free(sweep->labels);
	free(sweep->batch);
	free(sweep->queue);
	following_done(&sweep->following);
	*sweep = (struct sweep){ 0 };
}

bool sweep_is_one(const char *text, size_t len)
{
	if (!memmem(text, len, "sweep", 5))
		return false;
	json_auto_t *root = yaml_decode(text, len, NULL, NULL);
	return json_object_get(root, "sweep") != NULL;
}
