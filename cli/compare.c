#include "cli/compare.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/fields.h"

/* "train.lr" → value; lists are values as a whole. */
static void compare_flatten(const json_t *object, const char *above, json_t *into)
{
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)object, name, value)
	{
		CLEANUP(free_p) char *path = mem_printf("%s%s%s", above, *above ? "." : "", name);
		if (json_is_object(value) && json_object_size(value))
			compare_flatten(value, path, into);
		else
			json_object_set(into, path, value);
	}
}

static void compare_add(json_t *section, const char *name, json_t *first, json_t *second)
{
	if (first && second && json_equal(first, second))
		return;
	json_t *pair = json_array();
	json_array_append_new(pair, first ? json_incref(first) : json_null());
	json_array_append_new(pair, second ? json_incref(second) : json_null());
	json_object_set_new(section, name, pair);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Both flat; what comes out is in the order of the names. */
static void compare_flat(json_t *into, const char *section_name, const json_t *first, const json_t *second)
{
	json_auto_t *all = json_copy((json_t *)first), *section = json_object();
	json_object_update_missing(all, (json_t *)second);
	size_t count = 0, size = json_object_size(all);
	CLEANUP(free_p) const char **names = mem_alloc((size + 1) * sizeof *names);
	const char *name;
	json_t *value;
	json_object_foreach(all, name, value)
	{
		(void)value;
		names[count++] = name;
	}
	qsort(names, count, sizeof *names, compare_names);
	for (size_t i = 0; i < count; i++)
		compare_add(section, names[i], json_object_get(first, names[i]), json_object_get(second, names[i]));
	if (json_object_size(section))
		json_object_set(into, section_name, section);
}

void compare_objects(json_t *into, const char *section, const json_t *first, const json_t *second)
{
	json_auto_t *a = json_object(), *b = json_object();
	compare_flatten(first, "", a);
	compare_flatten(second, "", b);
	compare_flat(into, section, a, b);
}

/* "scikit_learn-1.2.0": what follows the first hyphen before a digit is the version. */
static json_t *compare_package_list(const char *text)
{
	json_t *list = json_object();
	while (*text) {
		size_t len = strcspn(text, " "), name = 0;
		while (name < len && !(text[name] == '-' && text[name + 1] >= '0' && text[name + 1] <= '9'))
			name++;
		CLEANUP(free_p) char *key = mem_strndup(text, name);
		if (name < len)
			json_object_set_new(list, key, json_stringn(text + name + 1, len - name - 1));
		text += len;
		text += *text == ' ';
	}
	return list;
}

void compare_packages(json_t *into, const char *first, const char *second)
{
	json_auto_t *a = compare_package_list(first), *b = compare_package_list(second);
	compare_flat(into, "packages", a, b);
}

static json_t *compare_file_list(const json_t *manifest)
{
	json_t *list = json_object(), *file;
	size_t i;
	json_array_foreach(json_object_get(manifest, "files"), i, file)
	{
		json_object_set_new(list, fields_text(file, "path"),
				    json_pack("{s:O*, s:O*, s:O*}", "sha256", json_object_get(file, "sha256"), "size",
					      json_object_get(file, "size"), "executable",
					      json_object_get(file, "executable")));
	}
	return list;
}

void compare_files(json_t *into, const json_t *first, const json_t *second)
{
	json_auto_t *a = compare_file_list(first), *b = compare_file_list(second);
	compare_flat(into, "files", a, b);
}
