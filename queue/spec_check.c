#include "queue/spec_check.h"

#include <math.h>
#include <string.h>
#include "lib/nearest.h"
#include "lib/utf8.h"

#define SPEC_SHOWN_BYTES 40 /* of a text in a message */

struct spec_walk {
	const json_t *root;
	char *path; /* char[SPEC_PATH_MAX]: what the error is about */
	struct error *err;
};

/* ---- showing what was found ---- */

static void spec_show_text(const char *text, size_t len, struct buf *out)
{
	size_t cut = utf8_cut(text, len, SPEC_SHOWN_BYTES);
	buf_byte(out, '"');
	for (size_t i = 0; i < cut; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buf_printf(out, "\\u%04x", c);
		else
			buf_byte(out, text[i]);
	}
	buf_str(out, cut < len ? "…\"" : "\"");
}

static void spec_show_number(double number, struct buf *out)
{
	if (number == floor(number) && fabs(number) < 1e15)
		buf_printf(out, "%.0f", number == 0 ? 0.0 : number); /* no -0 */
	else
		buf_printf(out, "%.14g", number);
}

void spec_show_value(const json_t *value, struct buf *out)
{
	size_t count = json_is_array(value) ? json_array_size(value) : json_object_size(value);
	if (json_is_null(value))
		buf_str(out, "null");
	else if (json_is_boolean(value))
		buf_str(out, json_is_true(value) ? "true" : "false");
	else if (json_is_number(value))
		spec_show_number(json_number_value(value), out);
	else if (json_is_string(value))
		spec_show_text(json_string_value(value), json_string_length(value), out);
	else if (count == 0)
		buf_str(out, "an empty list");
	else
		buf_printf(out, json_is_array(value) ? "a list of %zu" : "an object of %zu", count);
}

/* A name as part of a path: in quotes unless it is short and plain. */
static void spec_show_name(const char *name, struct buf *out)
{
	size_t len = strlen(name);
	if (len > 0 && len <= 64 && spec_pattern_takes("[A-Za-z0-9_.-]+", name, len))
		buf_str(out, name);
	else
		spec_show_text(name, len, out);
}

/* ---- sentences ---- */

static bool spec_fail(const struct spec_walk *w, const char *path, const char *hint, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

static bool spec_fail(const struct spec_walk *w, const char *path, const char *hint, const char *fmt, ...)
{
	CLEANUP(buf) struct buf what;
	buf_init(&what, sizeof w->err->message - 1);
	va_list args;
	va_start(args, fmt);
	buf_vprintf(&what, fmt, args);
	va_end(args);
	str_copy(w->path, SPEC_PATH_MAX, path);
	return error_set(w->err, ERR_INPUT, hint, "%s: %s", path, buf_text(&what));
}

static bool spec_fail_value(const struct spec_walk *w, const char *path, const char *expected, const json_t *value)
{
	CLEANUP(buf) struct buf got;
	buf_init(&got, 400);
	spec_show_value(value, &got);
	return spec_fail(w, path, NULL, "expected %s, got %s", expected, buf_text(&got));
}

static bool spec_fail_row(const struct spec_walk *w, const char *path, const struct spec_row *row, const json_t *value)
{
	CLEANUP(buf) struct buf expected;
	buf_init(&expected, 400);
	spec_show_expected(row, &expected);
	return spec_fail_value(w, path, buf_text(&expected), value);
}

/* ---- values ---- */

/* A text without a NUL in it, else NULL. */
static const char *spec_text_of(const json_t *value)
{
	const char *text = json_string_value(value);
	return text && strlen(text) == json_string_length(value) ? text : NULL;
}

static bool spec_takes_text(const struct spec_grammar *grammar, const json_t *value)
{
	if (json_is_number(value))
		return spec_grammar_takes_number(grammar, json_number_value(value));
	return json_is_string(value) &&
	       spec_grammar_takes(grammar, json_string_value(value), json_string_length(value));
}

static bool spec_is_empty(const json_t *value)
{
	return (json_is_array(value) && json_array_size(value) == 0) ||
	       (json_is_object(value) && json_object_size(value) == 0);
}

bool spec_number_of(const struct spec_row *row, const json_t *given, double *value)
{
	bool has_unit = row->type == SPEC_DURATION || row->type == SPEC_SIZE;
	if (!given && !row->standard)
		return false;
	if (!given && !has_unit) {
		*value = strtod(row->standard, NULL);
		return true;
	}
	if (!given)
		return spec_parse_text(row->type, row->standard, value);
	if (has_unit && spec_text_of(given))
		return spec_parse_text(row->type, spec_text_of(given), value);
	if (!json_is_number(given))
		return false;
	*value = json_number_value(given);
	if (row->type == SPEC_DURATION)
		*value = floor(*value * 1000 + 0.5); /* seconds */
	return row->type == SPEC_NUMBER || *value == floor(*value);
}

bool spec_every_of(const json_t *given, double *steps, double *ms)
{
	static const struct spec_row duration = { .type = SPEC_DURATION };
	const char *text = spec_text_of(given);
	*steps = *ms = 0;
	return (text && spec_parse_steps(text, steps)) || spec_number_of(&duration, given, ms);
}

const char *spec_choice_of(const struct spec_row *row, const json_t *given)
{
	const char *word = given ? spec_text_of(given) : row->standard;
	return word ? word : "";
}

const json_t *spec_given(const json_t *root, const struct spec_section *section, const struct spec_row *row)
{
	const json_t *object = *section->name ? json_object_get(root, section->name) : root;
	const json_t *value = json_object_get(object, row->key);
	return json_is_null(value) ? NULL : value;
}

bool spec_condition_holds(const json_t *root, const struct spec_condition *when)
{
	const struct spec_section *section = NULL;
	if (!when->path)
		return true;
	const struct spec_row *row = spec_row_at(when->path, &section);
	return row && strcmp(spec_choice_of(row, spec_given(root, section, row)), when->is) == 0;
}

/* ---- first walk: each value by itself ---- */

static bool spec_check_list(const struct spec_walk *w, const char *path, const struct spec_row *row,
			    const json_t *value)
{
	size_t i, count = json_array_size(value);
	const json_t *item;
	bool is_list = json_is_array(value) || spec_is_empty(value);
	if (!is_list || (double)count < row->min || (double)count > row->max)
		return spec_fail_row(w, path, row, value);
	json_array_foreach(value, i, item)
	{
		if (spec_takes_text(row->text, item))
			continue;
		char at[SPEC_PATH_MAX];
		str_format(at, sizeof at, "%s[%zu]", path, i);
		return spec_fail_value(w, at, row->text->expected, item);
	}
	return true;
}

static bool spec_check_map(const struct spec_walk *w, const char *path, const struct spec_row *row, const json_t *value)
{
	const char *name, *worst = NULL;
	json_t *item;
	bool is_map = json_is_object(value) || spec_is_empty(value);
	if (!is_map || (double)json_object_size(value) > row->max)
		return spec_fail_row(w, path, row, value);
	json_object_foreach((json_t *)value, name, item)
	{
		bool ok = spec_grammar_takes(row->names, name, strlen(name)) && spec_takes_text(row->text, item);
		if (!ok && (!worst || strcmp(name, worst) < 0))
			worst = name;
	}
	if (!worst)
		return true;
	if (!spec_grammar_takes(row->names, worst, strlen(worst))) {
		json_auto_t *text = json_string(worst);
		return spec_fail_value(w, path, row->names->expected, text);
	}
	char at[SPEC_PATH_MAX];
	str_format(at, sizeof at, "%s.%s", path, worst);
	return spec_fail_value(w, at, row->text->expected, json_object_get(value, worst));
}

/* Jobs and the condition of each. */
static bool spec_check_after(const struct spec_walk *w, const char *path, const struct spec_row *row,
			     const json_t *value)
{
	const char *name, *worst = NULL;
	json_t *item;
	if ((double)json_object_size(value) > row->max)
		return spec_fail_row(w, path, row, value);
	json_object_foreach((json_t *)value, name, item)
	{
		bool ok = spec_grammar_takes(row->text, name, strlen(name)) && spec_text_of(item) &&
			  spec_is_choice(row->choices, spec_text_of(item));
		if (!ok && (!worst || strcmp(name, worst) < 0))
			worst = name;
	}
	if (!worst)
		return true;
	if (!spec_grammar_takes(row->text, worst, strlen(worst))) {
		json_auto_t *text = json_string(worst);
		return spec_fail_value(w, path, row->text->expected, text);
	}
	char at[SPEC_PATH_MAX];
	CLEANUP(buf) struct buf expected;
	buf_init(&expected, 400);
	spec_show_choices(row->choices, &expected);
	str_format(at, sizeof at, "%s.%s", path, worst);
	return spec_fail_value(w, at, buf_text(&expected), json_object_get(value, worst));
}

static bool spec_is_number_in(const struct spec_row *row, const json_t *value)
{
	double number = 0;
	return spec_number_of(row, value, &number) && number >= row->min && number <= row->max;
}

static bool spec_is_every(const struct spec_row *row, const json_t *value)
{
	double steps = 0, ms = 0;
	return spec_every_of(value, &steps, &ms) && (steps >= 1 || (ms >= row->min && ms <= row->max));
}

static bool spec_is_best(const struct spec_row *row, const json_t *value)
{
	const char *name;
	const json_t *item, *mode = json_object_get(value, "mode"), *count = json_object_get(value, "count");
	double number = json_number_value(count);
	if (!json_is_object(value))
		return false;
	json_object_foreach((json_t *)value, name, item) if (!spec_is_choice("metric|mode|count", name)) return false;
	bool is_mode =
		!mode || json_is_null(mode) || (spec_text_of(mode) && spec_is_choice(row->choices, spec_text_of(mode)));
	bool is_count = !count || json_is_null(count) ||
			(json_is_number(count) && number == floor(number) && number >= row->min && number <= row->max);
	return is_mode && is_count && spec_takes_text(row->text, json_object_get(value, "metric"));
}

/* Everything but lists and maps. */
static bool spec_takes(const struct spec_row *row, const json_t *value)
{
	switch (row->type) {
	case SPEC_TEXT:
		return spec_takes_text(row->text, value);
	case SPEC_BOOL:
		return json_is_boolean(value);
	case SPEC_CHOICE:
		return spec_text_of(value) && spec_is_choice(row->choices, spec_text_of(value));
	case SPEC_INTEGER:
	case SPEC_NUMBER:
	case SPEC_DURATION:
	case SPEC_SIZE:
		return spec_is_number_in(row, value);
	case SPEC_EVERY:
		return spec_is_every(row, value);
	case SPEC_BEST:
		return spec_is_best(row, value);
	case SPEC_COMMAND: /* as one text */
		return json_string_length(value) > 0 && spec_takes_text(row->text, value);
	case SPEC_LIST:
	case SPEC_MAP:
	case SPEC_AFTER:
	case SPEC_TYPES:
	default:
		return false;
	}
}

static bool spec_check_row(const struct spec_walk *w, const struct spec_section *section, const struct spec_row *row)
{
	const json_t *value = spec_given(w->root, section, row);
	char path[SPEC_PATH_MAX];
	if (!value)
		return true;
	spec_row_path(section, row, path);
	if (row->type == SPEC_MAP)
		return spec_check_map(w, path, row, value);
	if (row->type == SPEC_AFTER && json_is_object(value))
		return spec_check_after(w, path, row, value);
	if (row->type == SPEC_LIST || row->type == SPEC_AFTER || (row->type == SPEC_COMMAND && !json_is_string(value)))
		return spec_check_list(w, path, row, value);
	return spec_takes(row, value) || spec_fail_row(w, path, row, value);
}

static bool spec_is_known(const struct spec_section *section, const char *key)
{
	for (size_t i = 0; i < section->count; i++)
		if (strcmp(section->rows[i].key, key) == 0)
			return true;
	for (size_t i = 0; i < spec_section_count && !*section->name; i++)
		if (*spec_sections[i].name && strcmp(spec_sections[i].name, key) == 0)
			return true;
	return false;
}

/* The hint names the key that was probably meant, wherever in the spec it belongs. */
static bool spec_fail_unknown(const struct spec_walk *w, const struct spec_section *section, const char *key)
{
	CLEANUP(buf) struct buf path, known;
	char hint[120] = "";
	struct nearest nearest = { .name = key };
	buf_init(&path, SPEC_PATH_MAX - 1);
	buf_init(&known, 400);
	if (*section->name)
		buf_printf(&path, "%s.", section->name);
	spec_show_name(key, &path);
	spec_show_known(section, &known);
	for (size_t i = 0; i < section->count; i++)
		nearest_offer(&nearest, section->rows[i].key);
	for (size_t i = 0; i < spec_section_count && !*section->name; i++)
		nearest_offer(&nearest, spec_sections[i].name);
	if (nearest.best)
		str_format(hint, sizeof hint, "did you mean %s?", nearest.best);
	return spec_fail(w, buf_text(&path), hint, "unknown key; known here: %s", buf_text(&known));
}

static bool spec_check_section(const struct spec_walk *w, const struct spec_section *section)
{
	const json_t *object = *section->name ? json_object_get(w->root, section->name) : w->root;
	const char *path = *section->name ? section->name : "spec";
	const char *key, *unknown = NULL;
	json_t *value;
	if (*section->name && (!object || json_is_null(object)))
		return true;
	if (!json_is_object(object) && !spec_is_empty(object))
		return spec_fail_value(w, path, "an object", object);
	json_object_foreach((json_t *)object, key, value) if (!spec_is_known(section, key) &&
							      (!unknown || strcmp(key, unknown) < 0)) unknown = key;
	if (unknown)
		return spec_fail_unknown(w, section, unknown);
	for (size_t i = 0; i < section->count; i++)
		if (!spec_check_row(w, section, &section->rows[i]))
			return false;
	return true;
}

/* ---- second walk: what depends on other values ---- */

/* Given only when its condition holds, and given if it is required then. */
static bool spec_check_presence(const struct spec_walk *w, const char *path, const struct spec_condition *when,
				bool is_required, bool is_given)
{
	bool holds = spec_condition_holds(w->root, when);
	if (is_given && !holds)
		return spec_fail(w, path, NULL, "only when %s is %s", when->path, when->is);
	if (is_given || !is_required || !holds)
		return true;
	if (when->path)
		return spec_fail(w, path, NULL, "required when %s is %s", when->path, when->is);
	return spec_fail(w, path, NULL, "required");
}

/* A key that stands in the section's object and is not null. */
static bool spec_is_given(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	return value && !json_is_null(value);
}

static bool spec_check_one_of(const struct spec_walk *w, const struct spec_section *section, const json_t *object)
{
	const char *const *keys = section->one_of;
	if (!keys[0] || spec_is_given(object, keys[0]) != spec_is_given(object, keys[1]))
		return true;
	return spec_fail(w, section->name, NULL, "expected %s or %s, got %s", keys[0], keys[1],
			 spec_is_given(object, keys[0]) ? "both" : "neither");
}

static bool spec_check_needs(const struct spec_walk *w, const char *path, const struct spec_row *row,
			     const json_t *object)
{
	if (!spec_is_given(object, row->key))
		return true;
	if (row->needs && !spec_is_given(object, row->needs))
		return spec_fail(w, path, NULL, "only with %s", row->needs);
	if (row->without && spec_is_given(object, row->without))
		return spec_fail(w, path, NULL, "not together with %s", row->without);
	return true;
}

static bool spec_check_at_least(const struct spec_walk *w, const char *path, const struct spec_row *row,
				const json_t *given)
{
	const struct spec_section *section = NULL;
	const struct spec_row *other = row->at_least ? spec_row_at(row->at_least, &section) : NULL;
	double value = 0, least = 0;
	if (!other || !given || !spec_number_of(row, given, &value) ||
	    !spec_number_of(other, spec_given(w->root, section, other), &least) || value >= least)
		return true;
	char expected[SPEC_PATH_MAX];
	str_format(expected, sizeof expected, "at least %s", row->at_least);
	return spec_fail_value(w, path, expected, given);
}

static bool spec_check_together(const struct spec_walk *w, const struct spec_section *section)
{
	bool is_top = !*section->name;
	const json_t *object = is_top ? w->root : json_object_get(w->root, section->name);
	bool is_given = object && !json_is_null(object);
	if (!is_top && !spec_check_presence(w, section->name, &section->when, section->is_required, is_given))
		return false;
	if (!is_given)
		return true;
	if (!spec_check_one_of(w, section, object))
		return false;
	for (size_t i = 0; i < section->count; i++) {
		const struct spec_row *row = &section->rows[i];
		const json_t *given = spec_given(w->root, section, row);
		char path[SPEC_PATH_MAX];
		spec_row_path(section, row, path);
		if (!spec_check_presence(w, path, &row->when, row->is_required, given) ||
		    !spec_check_needs(w, path, row, object) || !spec_check_at_least(w, path, row, given))
			return false;
	}
	return true;
}

bool spec_check(const json_t *root, char path[SPEC_PATH_MAX], struct error *err)
{
	struct error ignored;
	struct spec_walk w = { .root = root, .path = path, .err = err ? err : &ignored };
	for (size_t i = 0; i < spec_section_count; i++)
		if (!spec_check_section(&w, &spec_sections[i]))
			return false;
	for (size_t i = 0; i < spec_section_count; i++)
		if (!spec_check_together(&w, &spec_sections[i]))
			return false;
	return true;
}
