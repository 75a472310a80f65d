#include "queue/spec_schema.h"

#include <string.h>
#include "lib/buf.h"
#include "queue/spec_table.h"

/* "a|b" as a list of texts. */
static json_t *schema_words(const char *words)
{
	json_t *list = json_array();
	for (const char *at = words; *at; at += strspn(at, "|")) {
		size_t len = strcspn(at, "|");
		json_array_append_new(list, json_stringn(at, len));
		at += len;
	}
	return json_pack("{s:o}", "enum", list);
}

/* Classes of Lua's patterns stand for bytes that JSON can hardly hold: such a text is bounded by its length alone. */
static json_t *schema_text(const struct spec_grammar *text)
{
	json_t *one = text->words ? schema_words(text->words) : json_pack("{s:s}", "type", "string");
	json_t *all = json_pack("[o]", one);
	if (!text->words && text->max)
		json_object_set_new(one, "maxLength", json_integer((json_int_t)text->max));
	if (!text->words && text->min)
		json_object_set_new(one, "minLength", json_integer(1)); /* min is in bytes */
	if (text->pattern && !strchr(text->pattern, '%'))
		json_object_set_new(one, "pattern", json_sprintf("^%s$", text->pattern));
	if (text->also)
		json_array_append_new(all, schema_words(text->also));
	if (text->whole_max)
		json_array_append_new(
			all, json_pack("{s:s, s:i, s:i}", "type", "integer", "minimum", 1, "maximum", text->whole_max));
	if (json_array_size(all) > 1)
		return json_pack("{s:o}", "anyOf", all);
	json_incref(one);
	json_decref(all);
	return one;
}

static json_t *schema_any_text(void)
{
	return json_pack("{s:s}", "type", "string");
}

static json_t *schema_list(const struct spec_row *row, json_t *items)
{
	json_t *list = json_pack("{s:s, s:o}", "type", "array", "items", items);
	if (row->max > 0)
		json_object_set_new(list, "maxItems", json_integer((json_int_t)row->max));
	return list;
}

static json_t *schema_number(const struct spec_row *row, const char *type)
{
	return json_pack("{s:s, s:f, s:f}", "type", type, "minimum", row->min, "maximum", row->max);
}

static json_t *schema_value(const struct spec_row *row)
{
	switch (row->type) {
	case SPEC_TEXT:
		return row->text ? schema_text(row->text) : schema_any_text();
	case SPEC_INTEGER:
		return schema_number(row, "integer");
	case SPEC_NUMBER:
		return schema_number(row, "number");
	case SPEC_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case SPEC_CHOICE:
		return schema_words(row->choices);
	case SPEC_DURATION:
	case SPEC_SIZE:
	case SPEC_EVERY:
		return json_pack("{s:[s, s]}", "type", "string", "number");
	case SPEC_LIST:
		return schema_list(row, row->text ? schema_text(row->text) : schema_any_text());
	case SPEC_MAP:
		return json_pack("{s:s, s:o}", "type", "object", "additionalProperties",
				 row->text ? schema_text(row->text) : schema_any_text());
	case SPEC_COMMAND:
		return json_pack("{s:[o, {s:s, s:o, s:i}]}", "anyOf", schema_any_text(), "type", "array", "items",
				 schema_any_text(), "minItems", 1);
	case SPEC_BEST:
		return json_pack("{s:s}", "type", "object");
	case SPEC_AFTER:
		return json_pack("{s:[s, s]}", "type", "array", "object");
	case SPEC_TYPES:
		break;
	}
	return json_object();
}

/* null counts as not given; nothing is required, since what is asked for depends on what else is there. */
static json_t *schema_or_null(json_t *schema)
{
	return json_pack("{s:[o, {s:s}]}", "anyOf", schema, "type", "null");
}

json_t *spec_schema(void)
{
	json_t *top = json_object();
	for (size_t i = 0; i < spec_section_count; i++) {
		const struct spec_section *section = &spec_sections[i];
		json_t *properties = *section->name ? json_object() : json_incref(top);
		for (size_t j = 0; j < section->count; j++) {
			json_t *value = schema_or_null(schema_value(&section->rows[j]));
			json_object_set_new(value, "description", json_string(section->rows[j].help));
			json_object_set_new(properties, section->rows[j].key, value);
		}
		if (!*section->name) {
			json_decref(properties);
			continue;
		}
		json_t *object = json_pack("{s:[s, s, s], s:o, s:b}", "type", "object", "array", "null", "properties",
					   properties, "additionalProperties", false);
		json_object_set_new(object, "description", json_string(section->help));
		json_object_set_new(top, section->name, object);
	}
	json_object_set_new(
		top, "sweep",
		json_pack("{s:s, s:s}", "type", "object", "description", "of a submit: it becomes many jobs"));
	return json_pack("{s:s, s:o, s:b}", "type", "object", "properties", top, "additionalProperties", false);
}
