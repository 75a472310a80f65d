#include "queue/spec_decode.h"

#include <string.h>
#include "lib/json.h"
#include "queue/spec_check.h"

/* ---- one value into its field ---- */

static struct spec_list spec_list_of(const json_t *value)
{
	struct spec_list list = { 0 };
	size_t i;
	const json_t *item;
	if (json_array_size(value) == 0)
		return list;
	list.items = mem_alloc(json_array_size(value) * sizeof *list.items);
	json_array_foreach(value, i, item) list.items[list.count++] =
		json_is_string(item) ? mem_strdup(json_string_value(item))
				     : mem_printf("%.0f", json_number_value(item));
	return list;
}

static struct spec_map spec_map_of(const json_t *value)
{
	struct spec_map map = { 0 };
	const char *key;
	json_t *item;
	if (json_object_size(value) == 0)
		return map;
	map.items = mem_alloc(json_object_size(value) * sizeof *map.items);
	json_object_foreach((json_t *)value, key, item)
	{
		map.items[map.count].key = mem_strdup(key);
		map.items[map.count++].value = mem_strdup(json_string_value(item));
	}
	return map;
}

/* Of a list each must have succeeded. */
static struct spec_map spec_after_of(const json_t *value)
{
	struct spec_map map = { 0 };
	size_t i;
	const json_t *item;
	if (!json_is_array(value) || json_array_size(value) == 0)
		return spec_map_of(value);
	map.items = mem_alloc(json_array_size(value) * sizeof *map.items);
	json_array_foreach(value, i, item)
	{
		map.items[map.count].key = mem_strdup(json_string_value(item));
		map.items[map.count++].value = mem_strdup("succeeded");
	}
	return map;
}

/* A list as it is; one text is a line for the shell. */
static struct spec_list spec_command_of(const json_t *value)
{
	if (!json_is_string(value))
		return spec_list_of(value);
	struct spec_list list = { .items = mem_alloc(3 * sizeof *list.items), .count = 3 };
	list.items[0] = mem_strdup("/bin/sh");
	list.items[1] = mem_strdup("-c");
	list.items[2] = mem_strdup(json_string_value(value));
	return list;
}

/* The place of the word among the choices: the enums of queue/spec.h count alike. */
static unsigned spec_choice_index(const struct spec_row *row, const char *word)
{
	unsigned index = 0;
	size_t len = strlen(word);
	const char *at = row->choices;
	while (strncmp(at, word, len) != 0 || (at[len] != '|' && at[len] != '\0')) {
		at = strchr(at, '|');
		if (!at)
			return 0; /* not reached: the word was checked */
		at++;
		index++;
	}
	return index;
}

/* Where a grammar takes whole numbers, too, they are kept as texts. */
static char *spec_text_copy(const struct spec_row *row, const json_t *given)
{
	if (json_is_number(given))
		return mem_printf("%.0f", json_number_value(given));
	return mem_strdup(given ? json_string_value(given) : row->standard);
}

static struct spec_best spec_best_of(const struct spec_row *row, const json_t *given)
{
	struct spec_best best = { .count = 1 };
	const json_t *mode = json_object_get(given, "mode"), *count = json_object_get(given, "count");
	if (!given)
		return best;
	best.metric = mem_strdup(json_string_value(json_object_get(given, "metric")));
	if (json_is_string(mode))
		best.mode = spec_choice_index(row, json_string_value(mode));
	if (json_is_number(count))
		best.count = (int64_t)json_number_value(count);
	return best;
}

static void spec_store(const struct spec_row *row, const json_t *given, struct spec *spec)
{
	void *field = (char *)spec + row->offset;
	double number = 0, steps = 0;
	switch (row->type) {
	case SPEC_TEXT:
		*(char **)field = spec_text_copy(row, given);
		break;
	case SPEC_BOOL:
		*(bool *)field = given ? json_is_true(given) : strcmp(row->standard, "true") == 0;
		break;
	case SPEC_CHOICE:
		*(unsigned *)field = spec_choice_index(row, spec_choice_of(row, given));
		break;
	case SPEC_NUMBER:
		if (spec_number_of(row, given, &number))
			*(double *)field = number;
		break;
	case SPEC_INTEGER:
	case SPEC_DURATION:
	case SPEC_SIZE:
		if (spec_number_of(row, given, &number))
			*(int64_t *)field = (int64_t)number;
		break;
	case SPEC_LIST:
		*(struct spec_list *)field = spec_list_of(given);
		break;
	case SPEC_COMMAND:
		*(struct spec_list *)field = spec_command_of(given);
		break;
	case SPEC_MAP:
		*(struct spec_map *)field = spec_map_of(given);
		break;
	case SPEC_AFTER:
		*(struct spec_map *)field = spec_after_of(given);
		break;
	case SPEC_EVERY:
		if (given && spec_every_of(given, &steps, &number))
			*(struct spec_every *)field = (struct spec_every){ (int64_t)steps, (int64_t)number };
		break;
	case SPEC_BEST:
		*(struct spec_best *)field = spec_best_of(row, given);
		break;
	case SPEC_TYPES:
	default:
		break;
	}
}

/* Where only the lower bound of a pair was given, the default of the upper one gives way. */
static void spec_raise_defaults(const json_t *root, const struct spec_section *section, struct spec *spec)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct spec_row *row = &section->rows[i];
		const struct spec_row *other = row->at_least ? spec_row_at(row->at_least, NULL) : NULL;
		if (!other || spec_given(root, section, row))
			continue;
		int64_t *value = (int64_t *)((char *)spec + row->offset);
		const int64_t *least = (const int64_t *)((char *)spec + other->offset);
		if (*value < *least)
			*value = *least;
	}
}

/* ---- the train section: JSON for the trainer, with every default in place ---- */

static json_t *spec_train_value(const struct spec_row *row, const json_t *given)
{
	double number = 0;
	if (row->type == SPEC_TEXT || row->type == SPEC_CHOICE)
		return given ? json_deep_copy(given) : row->standard ? json_string(row->standard) : NULL;
	if (row->type == SPEC_BOOL)
		return given ? json_deep_copy(given) : json_boolean(strcmp(row->standard, "true") == 0);
	return spec_number_of(row, given, &number) ? json_real(number) : NULL;
}

static char *spec_train_json(const json_t *root, const struct spec_section *section)
{
	json_auto_t *train = json_object();
	CLEANUP(buf) struct buf text;
	buf_init(&text, SPEC_MAX_BYTES);
	for (size_t i = 0; i < section->count; i++) {
		const struct spec_row *row = &section->rows[i];
		json_t *value = NULL;
		if (spec_condition_holds(root, &row->when))
			value = spec_train_value(row, spec_given(root, section, row));
		if (value)
			json_object_set_new(train, row->key, value);
	}
	json_canonical(train, &text);
	return buf_take(&text);
}

void spec_decode(const json_t *root, struct spec *spec)
{
	*spec = (struct spec){ 0 };
	for (size_t i = 0; i < spec_section_count; i++) {
		const struct spec_section *section = &spec_sections[i];
		if (strcmp(section->name, "train") == 0) {
			if (spec_condition_holds(root, &section->when))
				spec->train_json = spec_train_json(root, section);
			continue;
		}
		for (size_t j = 0; j < section->count; j++)
			spec_store(&section->rows[j], spec_given(root, section, &section->rows[j]), spec);
		spec_raise_defaults(root, section, spec);
	}
}

/* ---- the end ---- */

static void spec_list_free(struct spec_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
}

static void spec_map_free(struct spec_map *map)
{
	for (size_t i = 0; i < map->count; i++) {
		free(map->items[i].key);
		free(map->items[i].value);
	}
	free(map->items);
}

void spec_done(struct spec *spec)
{
	for (size_t i = 0; i < spec_section_count; i++) {
		const struct spec_section *section = &spec_sections[i];
		for (size_t j = 0; j < section->count && strcmp(section->name, "train") != 0; j++) {
			void *field = (char *)spec + section->rows[j].offset;
			if (section->rows[j].type == SPEC_TEXT)
				free(*(char **)field);
			else if (section->rows[j].type == SPEC_BEST)
				free(((struct spec_best *)field)->metric);
			else if (section->rows[j].type == SPEC_LIST || section->rows[j].type == SPEC_COMMAND)
				spec_list_free(field);
			else if (section->rows[j].type == SPEC_MAP || section->rows[j].type == SPEC_AFTER)
				spec_map_free(field);
		}
	}
	free(spec->train_json);
	*spec = (struct spec){ 0 };
}
