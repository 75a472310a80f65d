/* See the header. */
#include "cli/set.h"

#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/config.h"
#include "lib/yaml.h"

/* The place of a key: in an object, or an item that a list already has. */
static bool set_in_list(json_t *list, const char *key, size_t *index)
{
	int64_t number;
	if (!json_is_array(list) || !config_parse_int(key, &number))
		return false;
	if (number < 0 || (size_t)number >= json_array_size(list))
		return false;
	*index = (size_t)number;
	return true;
}

/* The value under key, made an empty object if there is none; borrowed. NULL: key cannot stand there. */
static json_t *set_descend(json_t *at, const char *key)
{
	size_t index;
	if (set_in_list(at, key, &index))
		return json_array_get(at, index);
	if (!json_is_object(at))
		return NULL;
	json_t *below = json_object_get(at, key);
	if (!below || json_is_null(below)) {
		below = json_object();
		json_object_set_new(at, key, below);
	}
	return below;
}

static bool set_store(json_t *at, const char *key, json_t *value)
{
	size_t index;
	if (set_in_list(at, key, &index))
		return json_array_set_new(at, index, value) == 0;
	return json_object_set_new(at, key, value) == 0; /* releases value also when at is no object */
}

bool set_value(json_t *document, const char *place, json_t *value, struct error *err)
{
	CLEANUP(free_p) char *path = mem_strdup(place);
	char *key = path;
	json_t *at = document;
	for (char *dot = strchr(key, '.'); at && dot; dot = strchr(key, '.')) {
		*dot = '\0';
		at = set_descend(at, key);
		key = dot + 1;
	}
	if (!at || !set_store(at, key, json_incref(value)))
		return error_set(err, ERR_INPUT, NULL, "what stands before \"%s\" is no mapping", key);
	return true;
}

bool set_apply(json_t *document, const char *assignment, struct error *err)
{
	const char *equals = strchr(assignment, '=');
	if (!equals || equals == assignment)
		return error_set(err, ERR_INPUT, "write it as --set resources.cpus=2", "--set %s: expected key=value",
				 assignment);
	json_auto_t *value = yaml_decode(equals + 1, strlen(equals + 1), NULL, err);
	CLEANUP(free_p) char *key = mem_strndup(assignment, (size_t)(equals - assignment));
	if (!value || !set_value(document, key, value, err))
		return error_wrap(err, "--set %s", assignment);
	return true;
}
