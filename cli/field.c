/* See the header. */
#include "cli/field.h"

#include <stdlib.h>
#include <string.h>
#include "lib/config.h"

const char *field_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "";
}

int64_t field_int(const json_t *object, const char *name, int64_t instead)
{
	const json_t *value = json_object_get(object, name);
	int64_t number = instead;
	if (json_is_integer(value))
		return json_integer_value(value);
	if (json_is_real(value))
		return (int64_t)json_real_value(value);
	if (json_is_string(value) && config_parse_int(json_string_value(value), &number))
		return number;
	return instead;
}

bool field_number(const json_t *object, const char *name, double *value)
{
	const json_t *field = json_object_get(object, name);
	if (json_is_number(field)) {
		*value = json_number_value(field);
		return true;
	}
	const char *text = json_string_value(field);
	if (!text || !*text)
		return false;
	char *end = NULL;
	*value = strtod(text, &end);
	return *end == '\0';
}

bool field_is_true(const json_t *object, const char *name)
{
	const json_t *field = json_object_get(object, name);
	return json_is_true(field) || field_int(object, name, 0) == 1 || strcmp(field_text(object, name), "true") == 0;
}

json_t *field_nested(const json_t *object, const char *name)
{
	json_t *field = json_object_get(object, name);
	if (json_is_string(field))
		return json_loads(json_string_value(field), 0, NULL);
	return json_incref(field);
}
