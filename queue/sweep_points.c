/* The sets of parameters of a sweep: grid, random, list. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/json.h"
#include "queue/spec_check.h"
#include "queue/sweep.h"

#define SWEEP_SEED_MAX 4294967295.0
#define SWEEP_VALUE    "a number, true or false, or a text of at most 4096 bytes"
#define SWEEP_NAME     "a parameter name (letters, digits and _, no digit in front, at most 64, not STOKER_… or resume)"

struct points {
	char *path;
	struct error *err;
	const char *names[SWEEP_MAX_PARAMS]; /* sorted: the order must not depend on who wrote the text */
	size_t count;
};

/* ---- what is wrong ---- */

static bool points_fail(const struct points *p, const char *path, const char *expected, const json_t *value)
{
	CLEANUP(buf) struct buf got;
	buf_init(&got, 400);
	spec_show_value(value, &got);
	str_copy(p->path, SPEC_PATH_MAX, path);
	return error_set(p->err, ERR_INPUT, NULL, "%s: expected %s, got %s", path, expected, buf_text(&got));
}

static bool points_refuse(const struct points *p, const char *path, const char *sentence)
{
	str_copy(p->path, SPEC_PATH_MAX, path);
	return error_set(p->err, ERR_INPUT, NULL, "%s: %s", path, sentence);
}

/* ---- values and names ---- */

static bool points_is_value(const json_t *value)
{
	if (json_is_string(value))
		return json_string_length(value) <= 4096 &&
		       strlen(json_string_value(value)) == json_string_length(value);
	return json_is_boolean(value) || json_is_number(value);
}

static bool points_is_name(const char *name)
{
	return strlen(name) <= 64 && spec_pattern_takes("[A-Za-z_][A-Za-z0-9_]*", name, strlen(name)) &&
	       strncmp(name, "STOKER_", 7) != 0 && strcmp(name, "resume") != 0;
}

static int points_name_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Fills names from an object of parameters. */
static bool points_names(struct points *p, const char *path, const char *expected, const json_t *object)
{
	const char *name, *bad = NULL;
	json_t *value;
	p->count = 0;
	if (!json_is_object(object) || json_object_size(object) < 1 || json_object_size(object) > SWEEP_MAX_PARAMS)
		return points_fail(p, path, expected, object);
	json_object_foreach((json_t *)object, name, value)
	{
		if (!points_is_name(name) && (!bad || strcmp(name, bad) < 0))
			bad = name;
		p->names[p->count++] = name;
	}
	qsort(p->names, p->count, sizeof *p->names, points_name_order);
	if (!bad)
		return true;
	json_auto_t *text = json_string(bad);
	return points_fail(p, path, SWEEP_NAME, text);
}

static bool points_check_values(const struct points *p, const char *path, const json_t *values)
{
	size_t i;
	const json_t *value;
	if (!json_is_array(values) || json_array_size(values) < 1 || json_array_size(values) > SWEEP_MAX_JOBS)
		return points_fail(p, path, "a list of 1 to 10000 values", values);
	json_array_foreach(values, i, value) if (!points_is_value(value))
	{
		char at[SPEC_PATH_MAX];
		str_format(at, sizeof at, "%s[%zu]", path, i);
		return points_fail(p, at, SWEEP_VALUE, value);
	}
	return true;
}

/* ---- grid: the last name turns fastest ---- */

static json_t *points_grid(struct points *p, const json_t *grid)
{
	char path[SPEC_PATH_MAX], sentence[96];
	size_t total = 1;
	if (!points_names(p, "sweep.grid", "an object of 1 to 16 parameters and their values", grid))
		return NULL;
	for (size_t k = 0; k < p->count; k++) {
		const json_t *values = json_object_get(grid, p->names[k]);
		str_format(path, sizeof path, "sweep.grid.%s", p->names[k]);
		if (!points_check_values(p, path, values))
			return NULL;
		total = total <= SWEEP_MAX_JOBS ? total * json_array_size(values) : total;
	}
	if (total > SWEEP_MAX_JOBS) {
		str_format(sentence, sizeof sentence, "makes %zu jobs or more, at most %d are allowed", total,
			   SWEEP_MAX_JOBS);
		points_refuse(p, "sweep.grid", sentence);
		return NULL;
	}
	json_t *points = json_array();
	for (size_t i = 0; i < total; i++) {
		json_t *point = json_object();
		size_t rest = i;
		for (size_t k = p->count; k-- > 0;) {
			const json_t *values = json_object_get(grid, p->names[k]);
			json_object_set(point, p->names[k], json_array_get(values, rest % json_array_size(values)));
			rest /= json_array_size(values);
		}
		json_array_append_new(points, point);
	}
	return points;
}

/* ---- list ---- */

static json_t *points_list(struct points *p, const json_t *list)
{
	char path[SPEC_PATH_MAX];
	size_t i;
	const json_t *point;
	if (!json_is_array(list) || json_array_size(list) < 1 || json_array_size(list) > SWEEP_MAX_JOBS) {
		points_fail(p, "sweep.list", "a list of 1 to 10000 sets of parameters", list);
		return NULL;
	}
	json_array_foreach(list, i, point)
	{
		str_format(path, sizeof path, "sweep.list[%zu]", i);
		if (!points_names(p, path, "an object of 1 to 16 parameters", point))
			return NULL;
		for (size_t k = 0; k < p->count; k++) {
			const json_t *value = json_object_get(point, p->names[k]);
			str_format(path, sizeof path, "sweep.list[%zu].%s", i, p->names[k]);
			if (!points_is_value(value)) {
				points_fail(p, path, SWEEP_VALUE, value);
				return NULL;
			}
		}
	}
	return json_deep_copy(list);
}

/* ---- random ---- */

/* The next of a well-mixed sequence (splitmix64): the same on every machine. */
static uint64_t points_mix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static double points_unit(uint64_t *state)
{
	return (double)(points_mix(state) >> 11) / 9007199254740992.0; /* 0 to 1, 1 not included */
}

static bool points_check_range(const struct points *p, const char *path, const json_t *range)
{
	static const char expected[] = "a list of values, or {min, max} with log: true or int: true if need be";
	const json_t *min = json_object_get(range, "min"), *max = json_object_get(range, "max");
	const json_t *is_log = json_object_get(range, "log"), *is_int = json_object_get(range, "int");
	size_t known = 2 + (is_log != NULL) + (is_int != NULL);
	double from = json_number_value(min), to = json_number_value(max);
	if (!json_is_object(range) || json_object_size(range) != known || !json_is_number(min) ||
	    !json_is_number(max) || (is_log && !json_is_boolean(is_log)) || (is_int && !json_is_boolean(is_int)))
		return points_fail(p, path, expected, range);
	if (!(from < to))
		return points_refuse(p, path, "min must be less than max");
	if (json_is_true(is_log) && from <= 0)
		return points_refuse(p, path, "log: true wants a min above 0");
	if (json_is_true(is_int) && (from != floor(from) || to != floor(to) || fabs(from) > 1e15 || fabs(to) > 1e15))
		return points_refuse(p, path, "int: true wants whole numbers");
	return true;
}

/* Six digits are enough for anybody, and can be read. */
static json_t *points_draw(const json_t *range, uint64_t *state)
{
	if (json_is_array(range)) {
		size_t i = (size_t)(points_unit(state) * (double)json_array_size(range));
		return json_incref(json_array_get(range, i));
	}
	double from = json_number_value(json_object_get(range, "min"));
	double to = json_number_value(json_object_get(range, "max"));
	bool is_int = json_is_true(json_object_get(range, "int")), is_log = json_is_true(json_object_get(range, "log"));
	double unit = points_unit(state), value, end = is_int ? to + 1 : to;
	char text[32];
	if (is_log)
		value = exp(log(from) + unit * (log(end) - log(from)));
	else
		value = from + unit * (end - from);
	if (is_int)
		return json_integer((json_int_t)fmin(floor(value), to));
	str_format(text, sizeof text, "%.6g", value);
	return json_real(fmin(fmax(strtod(text, NULL), from), to));
}

static json_t *points_random(struct points *p, const json_t *random, size_t count, double seed)
{
	char path[SPEC_PATH_MAX];
	if (!points_names(p, "sweep.random", "an object of 1 to 16 parameters and their ranges", random))
		return NULL;
	for (size_t k = 0; k < p->count; k++) {
		const json_t *range = json_object_get(random, p->names[k]);
		str_format(path, sizeof path, "sweep.random.%s", p->names[k]);
		if (!(json_is_array(range) ? points_check_values(p, path, range) : points_check_range(p, path, range)))
			return NULL;
	}
	uint64_t state = (uint64_t)seed;
	json_t *points = json_array();
	for (size_t i = 0; i < count; i++) {
		json_t *point = json_object();
		for (size_t k = 0; k < p->count; k++)
			json_object_set_new(point, p->names[k],
					    points_draw(json_object_get(random, p->names[k]), &state));
		json_array_append_new(points, point);
	}
	return points;
}

/* ---- the block ---- */

static bool points_check_keys(const struct points *p, const json_t *block)
{
	static const char *const known[] = { "grid", "random", "list", "count", "seed", "then", "webhook" };
	const char *key, *unknown = NULL;
	json_t *value;
	if (!json_is_object(block))
		return points_fail(p, "sweep", "an object", block);
	json_object_foreach((json_t *)block, key, value)
	{
		bool is_known = false;
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			is_known = is_known || strcmp(key, known[i]) == 0;
		if (!is_known && (!unknown || strcmp(key, unknown) < 0))
			unknown = key;
	}
	if (!unknown)
		return true;
	char path[SPEC_PATH_MAX];
	str_format(path, sizeof path, "sweep.%.64s", unknown);
	return points_refuse(p, path, "unknown key; known here: grid, random, list, count, seed, then, webhook");
}

static bool points_number(const struct points *p, const json_t *block, const char *name, double least, double most,
			  double *number)
{
	char path[SPEC_PATH_MAX], expected[80];
	const json_t *value = json_object_get(block, name);
	str_format(path, sizeof path, "sweep.%s", name);
	if (!value)
		return true;
	if (!json_object_get(block, "random"))
		return points_refuse(p, path, "only with random");
	*number = json_number_value(value);
	if (json_is_number(value) && *number == floor(*number) && *number >= least && *number <= most)
		return true;
	str_format(expected, sizeof expected, "an integer from %.0f to %.0f", least, most);
	return points_fail(p, path, expected, value);
}

json_t *sweep_points(const json_t *block, char *path, struct error *err)
{
	struct points p = { .path = path, .err = err };
	const json_t *grid = json_object_get(block, "grid"), *list = json_object_get(block, "list");
	const json_t *random = json_object_get(block, "random");
	double count = 0, seed = 1;
	if (!points_check_keys(&p, block))
		return NULL;
	if ((grid != NULL) + (random != NULL) + (list != NULL) != 1) {
		points_refuse(&p, "sweep", "expected one of grid, random and list");
		return NULL;
	}
	if (!points_number(&p, block, "count", 1, SWEEP_MAX_JOBS, &count) ||
	    !points_number(&p, block, "seed", 0, SWEEP_SEED_MAX, &seed))
		return NULL;
	if (random && count < 1) {
		points_refuse(&p, "sweep.count", "required with random");
		return NULL;
	}
	if (grid)
		return points_grid(&p, grid);
	return list ? points_list(&p, list) : points_random(&p, random, (size_t)count, seed);
}

char *sweep_value_text(const json_t *value)
{
	char text[JSON_NUMBER_MAX];
	if (json_is_string(value))
		return mem_strdup(json_string_value(value));
	if (json_is_boolean(value))
		return mem_strdup(json_is_true(value) ? "true" : "false");
	json_number_text(json_number_value(value), text);
	return mem_strdup(text);
}
