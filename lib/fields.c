#include "lib/fields.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *fields_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "";
}

int64_t fields_int(const json_t *object, const char *name, int64_t otherwise)
{
	const json_t *value = json_object_get(object, name);
	if (json_is_integer(value))
		return json_integer_value(value);
	if (json_is_real(value)) {
		double real = json_real_value(value);
		return real >= (double)INT64_MIN && real < -(double)INT64_MIN ? (int64_t)real : otherwise;
	}
	const char *text = json_string_value(value);
	if (!text || !*text)
		return otherwise;
	char *end;
	errno = 0;
	long long number = strtoll(text, &end, 10);
	return errno || *end ? otherwise : number;
}

bool fields_number(const json_t *object, const char *name, double *value)
{
	const json_t *field = json_object_get(object, name);
	if (json_is_number(field)) {
		*value = json_number_value(field);
		return true;
	}
	const char *text = json_string_value(field);
	if (!text || !*text)
		return false;
	char *end;
	*value = strtod(text, &end);
	return *end == '\0';
}

bool fields_is_true(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name)) || fields_int(object, name, 0) == 1 ||
	       fields_is(object, name, "true");
}

bool fields_is(const json_t *object, const char *name, const char *text)
{
	return strcmp(fields_text(object, name), text) == 0;
}

json_t *fields_parse(const char *text, size_t len)
{
	return text ? json_loadb(text, len, JSON_DECODE_ANY, NULL) : NULL;
}

json_t *fields_json(const json_t *object, const char *name)
{
	json_t *value = json_object_get(object, name);
	if (json_is_object(value) || json_is_array(value))
		return json_incref(value);
	const char *text = json_string_value(value);
	return text ? json_loads(text, 0, NULL) : NULL;
}
