#include "lib/shape.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"

struct shape_reader {
	const char *at;
	bool is_open;
	struct error *err;
};

static json_t *shape_union(struct shape_reader *r);

static bool shape_bad(struct shape_reader *r, const char *expected)
{
	return error_set(r->err, ERR_INTERNAL, NULL, "expected %s at \"%.40s\"", expected, r->at);
}

static void shape_skip(struct shape_reader *r)
{
	r->at += strspn(r->at, " \n\t");
}

static bool shape_takes(struct shape_reader *r, char c)
{
	shape_skip(r);
	bool is_there = *r->at == c;
	r->at += is_there;
	return is_there;
}

static bool shape_name(struct shape_reader *r, char *into, size_t size)
{
	shape_skip(r);
	size_t len = strcspn(r->at, " \n\t:?,{}[]|\"");
	if (len == 0 || !str_format(into, size, "%.*s", (int)len, r->at))
		return shape_bad(r, "a name");
	r->at += len;
	return true;
}

/* "1..64", "1..", "..64", if it stands there. */
static void shape_bounds(struct shape_reader *r, json_t *schema, const char *min, const char *max)
{
	shape_skip(r);
	const char *dots = r->at + strspn(r->at, "0123456789-");
	if (strncmp(dots, "..", 2) != 0)
		return;
	if (dots > r->at)
		json_object_set_new(schema, min, json_integer(strtoll(r->at, NULL, 10)));
	r->at = dots + 2;
	if (isdigit((unsigned char)*r->at)) {
		char *end;
		json_object_set_new(schema, max, json_integer(strtoll(r->at, &end, 10)));
		r->at = end;
	}
}

static json_t *shape_word(struct shape_reader *r)
{
	static const struct {
		const char *word, *type, *min, *max;
	} words[] = {
		{ "text", "string", "minLength", "maxLength" },
		{ "int", "integer", "minimum", "maximum" },
		{ "number", "number", "minimum", "maximum" },
		{ "bool", "boolean", NULL, NULL },
		{ "object", "object", NULL, NULL },
		{ "list", "array", NULL, NULL },
		{ "null", "null", NULL, NULL },
	};
	char name[64];
	if (!shape_name(r, name, sizeof name))
		return NULL;
	if (strcmp(name, "any") == 0)
		return json_object();
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(words[i].word, name) != 0)
			continue;
		json_t *schema = json_pack("{s:s}", "type", words[i].type);
		if (words[i].min)
			shape_bounds(r, schema, words[i].min, words[i].max);
		return schema;
	}
	return json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", name));
}

static json_t *shape_constant(struct shape_reader *r)
{
	size_t len = strcspn(r->at, "\"");
	if (r->at[len] != '"') {
		shape_bad(r, "the end of a text");
		return NULL;
	}
	json_t *schema = json_pack("{s:[s%]}", "enum", r->at, len);
	r->at += len + 1;
	return schema;
}

static json_t *shape_list(struct shape_reader *r)
{
	json_t *items = shape_union(r);
	if (!items)
		return NULL;
	json_t *schema = json_pack("{s:s, s:o}", "type", "array", "items", items);
	if (shape_takes(r, ']')) {
		shape_bounds(r, schema, "minItems", "maxItems");
		return schema;
	}
	json_decref(schema);
	shape_bad(r, "]");
	return NULL;
}

static bool shape_field(struct shape_reader *r, struct shape_field *field)
{
	*field = (struct shape_field){ .is_required = true };
	if (!shape_name(r, field->name, sizeof field->name))
		return false;
	field->is_required = !shape_takes(r, '?');
	if (!shape_takes(r, ':'))
		return shape_bad(r, ":");
	field->schema = shape_union(r);
	return field->schema != NULL;
}

static json_t *shape_object(struct shape_reader *r)
{
	json_auto_t *schema = json_pack("{s:s}", "type", "object");
	json_t *properties = json_object();
	json_auto_t *required = json_array();
	json_object_set_new(schema, "properties", properties);
	if (!r->is_open)
		json_object_set_new(schema, "additionalProperties", json_false());
	if (shape_takes(r, '}'))
		return json_incref(schema);
	do {
		struct shape_field field;
		if (!shape_field(r, &field))
			return NULL;
		if (strcmp(field.name, "*") == 0) {
			json_object_set_new(schema, "additionalProperties", field.schema);
			continue;
		}
		json_object_set_new(properties, field.name, field.schema);
		if (field.is_required)
			json_array_append_new(required, json_string(field.name));
	} while (shape_takes(r, ','));
	if (!shape_takes(r, '}')) {
		shape_bad(r, "}");
		return NULL;
	}
	if (json_array_size(required))
		json_object_set(schema, "required", required);
	return json_incref(schema);
}

static json_t *shape_one(struct shape_reader *r)
{
	if (shape_takes(r, '{'))
		return shape_object(r);
	if (shape_takes(r, '['))
		return shape_list(r);
	return shape_takes(r, '"') ? shape_constant(r) : shape_word(r);
}

/* Constants are one list of them; what else there is to choose from stands side by side. */
static json_t *shape_union(struct shape_reader *r)
{
	json_auto_t *all = json_array(), *constants = json_array();
	do {
		json_auto_t *one = shape_one(r);
		if (!one)
			return NULL;
		if (json_object_get(one, "enum"))
			json_array_extend(constants, json_object_get(one, "enum"));
		else
			json_array_append(all, one);
	} while (shape_takes(r, '|'));
	if (json_array_size(constants))
		json_array_append_new(all, json_pack("{s:O}", "enum", constants));
	if (json_array_size(all) == 1)
		return json_incref(json_array_get(all, 0));
	return json_pack("{s:O}", "anyOf", all);
}

json_t *shape_schema(const char *shape, bool is_open, struct error *err)
{
	struct shape_reader r = { shape, is_open, err };
	json_t *schema = shape_union(&r);
	shape_skip(&r);
	if (!schema || !*r.at)
		return schema;
	json_decref(schema);
	shape_bad(&r, "the end");
	return NULL;
}

bool shape_next_field(const char **at, struct shape_field *field, struct error *err)
{
	struct shape_reader r = { *at, true, err };
	err->kind = ERR_NONE;
	if (!shape_takes(&r, '{') && !shape_takes(&r, ','))
		return shape_takes(&r, '}') ? false : shape_bad(&r, "{, a comma or }");
	if (shape_takes(&r, '}') || !shape_field(&r, field))
		return false;
	*at = r.at;
	return true;
}
