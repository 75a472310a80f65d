/*
 * The value grammars and how a row's value gets into the config struct and out
 * again. The grammars are shared with job specs, and lua/spec.lua reads the same
 * ones: change both or none.
 */
#include "lib/config.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include "lib/config_rows.h"

/* 2^53: what a double, and so JSON and Lua, hold exactly */
#define CONFIG_EXACT_MAX 9007199254740992.0

/* Largest first: formatting takes the first that divides. */
static const struct config_unit config_durations[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};

static const struct config_unit config_sizes[] = {
	{ "TiB", 1099511627776 }, { "GiB", 1073741824 }, { "MiB", 1048576 }, { "KiB", 1024 }, { "B", 1 },
	{ "TB", 1000000000000 },  { "GB", 1000000000 },  { "MB", 1000000 },  { "KB", 1000 },
};

const struct config_unit *config_units(enum option_type type, size_t *count)
{
	*count = type == OPTION_SIZE ? ARRAY_LEN(config_sizes) : ARRAY_LEN(config_durations);
	return type == OPTION_SIZE ? config_sizes : config_durations;
}

bool config_parse_int(const char *text, int64_t *value)
{
	const char *digits = text + (*text == '-');
	if (!*digits || digits[strspn(digits, "0123456789")] != '\0')
		return false;
	errno = 0;
	long long number = strtoll(text, NULL, 10);
	if (errno != 0)
		return false;
	*value = number;
	return true;
}

/* digits[.digits], at most one space, unit; no unit at all counts as bare. Rounded to the
 * nearest whole number. */
static bool config_parse_unit(const char *text, const struct config_unit *units, size_t count, double bare,
			      int64_t *value)
{
	size_t whole = strspn(text, "0123456789");
	const char *rest = text + whole;
	if (whole == 0)
		return false;
	if (*rest == '.') {
		size_t part = strspn(rest + 1, "0123456789");
		if (part == 0)
			return false;
		rest += 1 + part;
	}
	double number = strtod(text, NULL); /* stops at the unit: no unit begins like an exponent or a hex digit */
	double factor = *rest ? 0 : bare;
	if (*rest == ' ')
		rest++;
	for (size_t i = 0; i < count && factor == 0; i++)
		if (strcmp(rest, units[i].name) == 0)
			factor = units[i].factor;
	double product = floor(number * factor + 0.5);
	if (factor == 0 || !(product <= CONFIG_EXACT_MAX))
		return false;
	*value = (int64_t)product;
	return true;
}

bool config_parse_duration(const char *text, int64_t *ms)
{
	return config_parse_unit(text, config_durations, ARRAY_LEN(config_durations), 1000, ms);
}

bool config_parse_size(const char *text, int64_t *bytes)
{
	return config_parse_unit(text, config_sizes, ARRAY_LEN(config_sizes), 1, bytes);
}

/* In the first unit that divides the value; 0 in the last. */
static void config_format_unit(int64_t value, const struct config_unit *units, size_t count, char *text)
{
	size_t i = 0;
	while (i < count - 1 && (value == 0 || value % (int64_t)units[i].factor != 0))
		i++;
	str_format(text, CONFIG_VALUE_MAX, "%lld%s", (long long)(value / (int64_t)units[i].factor), units[i].name);
}

void config_format_duration(int64_t ms, char text[CONFIG_VALUE_MAX])
{
	if (ms == 0)
		str_copy(text, CONFIG_VALUE_MAX, "0s");
	else
		config_format_unit(ms, config_durations, ARRAY_LEN(config_durations), text);
}

void config_format_size(int64_t bytes, char text[CONFIG_VALUE_MAX])
{
	config_format_unit(bytes, config_sizes, 5, text); /* the binary units and B */
}

/* ---- one row ---- */

static void *config_field(const struct option_row *row, void *into)
{
	return (char *)into + row->offset;
}

static bool config_has_text(const struct option_row *row)
{
	return row->type == OPTION_TEXT || row->type == OPTION_CHOICE || row->type == OPTION_LIST;
}

static bool config_is_choice(const char *choices, const char *text)
{
	size_t len = strlen(text);
	for (const char *at = choices; *at; at += *at == '|') {
		size_t word = strcspn(at, "|");
		if (word == len && memcmp(at, text, len) == 0)
			return true;
		at += word;
	}
	return false;
}

static bool config_parse_row(const struct option_row *row, const char *text, void *field)
{
	int64_t number = 0;
	bool is_number = false;
	switch (row->type) {
	case OPTION_INT:
		is_number = config_parse_int(text, &number);
		break;
	case OPTION_DURATION:
		is_number = config_parse_duration(text, &number);
		break;
	case OPTION_SIZE:
		is_number = config_parse_size(text, &number);
		break;
	case OPTION_BOOL:
		*(bool *)field = strcmp(text, "true") == 0;
		return *(bool *)field || strcmp(text, "false") == 0;
	case OPTION_CHOICE:
		if (!config_is_choice(row->choices, text))
			return false;
		/* fallthrough */
	case OPTION_TEXT:
	case OPTION_LIST:
		free(*(char **)field);
		*(char **)field = mem_strdup(text);
		return true;
	default:
		return false;
	}
	if (!is_number || number < row->min || number > row->max)
		return false;
	*(int64_t *)field = number;
	return true;
}

bool config_set_value(const struct option_row *row, const char *text, void *into, const char *where, struct error *err)
{
	if (config_parse_row(row, text, config_field(row, into)))
		return true;
	CLEANUP(buf) struct buf expected;
	buf_init(&expected, 400);
	config_show_expected(row, &expected);
	if (row->is_secret)
		return error_set(err, ERR_INPUT, NULL, "%s: expected %s", where, buf_text(&expected));
	return error_set(err, ERR_INPUT, NULL, "%s: expected %s, got \"%.80s\"", where, buf_text(&expected), text);
}

void config_show_value(const struct option_row *row, const void *from, struct buf *out)
{
	const void *field = (const char *)from + row->offset;
	char text[CONFIG_VALUE_MAX];
	if (config_has_text(row)) {
		const char *value = *(char *const *)field;
		if (value)
			buf_str(out, row->is_secret ? "(set)" : value);
	} else if (row->type == OPTION_BOOL) {
		buf_str(out, *(const bool *)field ? "true" : "false");
	} else if (row->type == OPTION_INT) {
		buf_printf(out, "%lld", (long long)*(const int64_t *)field);
	} else {
		if (row->type == OPTION_DURATION)
			config_format_duration(*(const int64_t *)field, text);
		else
			config_format_size(*(const int64_t *)field, text);
		buf_str(out, text);
	}
}

void config_show_expected(const struct option_row *row, struct buf *out)
{
	char min[CONFIG_VALUE_MAX], max[CONFIG_VALUE_MAX];
	switch (row->type) {
	case OPTION_INT:
		buf_printf(out, "an integer from %lld to %lld", (long long)row->min, (long long)row->max);
		break;
	case OPTION_DURATION:
		config_format_duration(row->min, min);
		config_format_duration(row->max, max);
		buf_printf(out, "a duration from %s to %s", min, max);
		break;
	case OPTION_SIZE:
		config_format_size(row->min, min);
		config_format_size(row->max, max);
		buf_printf(out, "a size from %s to %s", min, max);
		break;
	case OPTION_BOOL:
		buf_str(out, "true or false");
		break;
	case OPTION_CHOICE:
		buf_str(out, "one of ");
		for (const char *c = row->choices; *c; c++)
			buf_printf(out, *c == '|' ? ", " : "%c", *c);
		break;
	case OPTION_LIST:
		buf_str(out, "words separated by commas");
		break;
	case OPTION_TEXT:
	default:
		buf_str(out, "text");
		break;
	}
}

void config_free_value(const struct option_row *row, void *into)
{
	if (!config_has_text(row))
		return;
	char **text = config_field(row, into);
	free(*text);
	*text = NULL;
}
