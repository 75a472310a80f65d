/*
 * Cron expressions, read with a table of the five fields. What is wrong is said with the
 * name of the field and what may stand there, and where it stands in the text.
 */
#include "lib/cron.h"

#include <string.h>
#include <strings.h>
#include "lib/buf.h"
#include "lib/nearest.h"

#define CRON_SHAPE      "minute hour day-of-month month day-of-week"
#define CRON_HINT       "as in \"30 8-18/2 * * MON-FRI\": " CRON_SHAPE
#define CRON_HINT_EVERY "\"*/15 * * * *\" is every 15 minutes; what recurs in seconds is an interval"
#define CRON_BLANKS     " \t"
#define CRON_SHOWN      24 /* bytes of the text that a message repeats */

static const char *const cron_month_names[] = { "JAN", "FEB", "MAR", "APR", "MAY", "JUN",
						"JUL", "AUG", "SEP", "OCT", "NOV", "DEC" };
static const char *const cron_weekday_names[] = { "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT" };

struct cron_field {
	const char *name;
	const char *allowed;
	int min, max;
	int most; /* how many values there are: the longest step */
	const char *const *names;
	int name_count;
};

enum cron_place { CRON_MINUTE, CRON_HOUR, CRON_DAY, CRON_MONTH, CRON_WEEKDAY, CRON_FIELDS };

static const struct cron_field cron_fields[CRON_FIELDS] = {
	[CRON_MINUTE] = { .name = "minute", .allowed = "0 to 59", .max = 59, .most = 60 },
	[CRON_HOUR] = { .name = "hour", .allowed = "0 to 23", .max = 23, .most = 24 },
	[CRON_DAY] = { .name = "day-of-month", .allowed = "1 to 31", .min = 1, .max = 31, .most = 31 },
	[CRON_MONTH] = { .name = "month",
			 .allowed = "1 to 12 or JAN to DEC",
			 .min = 1,
			 .max = 12,
			 .most = 12,
			 .names = cron_month_names,
			 .name_count = ARRAY_LEN(cron_month_names) },
	[CRON_WEEKDAY] = { .name = "day-of-week",
			   .allowed = "0 to 7 or SUN to SAT",
			   .max = 7,
			   .most = 7,
			   .names = cron_weekday_names,
			   .name_count = ARRAY_LEN(cron_weekday_names) },
};

static const struct cron_macro {
	const char *name;
	const char *text;
} cron_macros[] = {
	{ "@hourly", "0 * * * *" },   { "@daily", "0 0 * * *" },   { "@midnight", "0 0 * * *" },
	{ "@weekly", "0 0 * * 0" },   { "@monthly", "0 0 1 * *" }, { "@yearly", "0 0 1 1 *" },
	{ "@annually", "0 0 1 1 *" },
};

struct cron_reader {
	const char *text;
	const char *at;
	const struct cron_field *field;
	uint64_t values; /* of the field, so far */
	bool is_open;    /* the field begins with "*" */
	bool is_fixed;   /* no "*" and no step in it */
	struct error *err;
};

/* Digits or letters, of which one value consists. */
static size_t cron_word(const char *at)
{
	return strcspn(at, " \t,-/");
}

/* What was got, as far as the next separator; the position is that of the start of it. */
static bool cron_expected(const struct cron_reader *r, const char *at, const char *what)
{
	size_t len = cron_word(at), shown = len < CRON_SHOWN ? len : CRON_SHOWN;
	bool is_number = len > 0 && strspn(at, "0123456789") >= len;
	char got[CRON_SHOWN + 16];

	if (len > 0)
		str_format(got, sizeof got, is_number ? "%.*s%s" : "\"%.*s%s\"", (int)shown, at,
			   shown < len ? "…" : "");
	else if (*at == '\0' || strchr(CRON_BLANKS, *at))
		str_copy(got, sizeof got, "nothing");
	else
		str_format(got, sizeof got, "\"%c\"", *at);
	return error_set(r->err, ERR_INPUT, CRON_HINT, "%s: expected %s, got %s (character %d)", r->field->name, what,
			 got, (int)(at - r->text) + 1);
}

/* At most four digits, which is more than any value has; -1: no number. */
static int cron_number(const char *at, size_t len)
{
	int number = 0;
	if (len == 0 || len > 4 || strspn(at, "0123456789") < len)
		return -1;
	for (size_t i = 0; i < len; i++)
		number = number * 10 + (at[i] - '0');
	return number;
}

static bool cron_value(struct cron_reader *r, int *value)
{
	const struct cron_field *field = r->field;
	size_t len = cron_word(r->at);

	*value = cron_number(r->at, len);
	for (int i = 0; i < field->name_count && *value < 0; i++)
		if (len == strlen(field->names[i]) && strncasecmp(r->at, field->names[i], len) == 0)
			*value = field->min + i;
	if (*value < field->min || *value > field->max)
		return cron_expected(r, r->at, field->allowed);
	r->at += len;
	return true;
}

static bool cron_step(struct cron_reader *r, int *step)
{
	char allowed[32];
	size_t len = cron_word(r->at);

	*step = cron_number(r->at, len);
	str_format(allowed, sizeof allowed, "a step of 1 to %d", r->field->most);
	if (*step < 1 || *step > r->field->most)
		return cron_expected(r, r->at, allowed);
	r->at += len;
	r->is_fixed = false;
	return true;
}

/* The part that starts here is a range which ends before it starts. */
static bool cron_backwards(const struct cron_reader *r, const char *part, int first, int last)
{
	char hint[64];
	int max = r->field == &cron_fields[CRON_WEEKDAY] ? 6 : r->field->max;
	str_format(hint, sizeof hint, "write it as two: %d-%d,%d-%d", first, max, r->field->min, last);
	return error_set(r->err, ERR_INPUT, hint, "%s: %.*s ends before it starts (character %d)", r->field->name,
			 (int)(r->at - part), part, (int)(part - r->text) + 1);
}

/* "*", value or value-value, with "/step" after the first and the last. */
static bool cron_part(struct cron_reader *r)
{
	const struct cron_field *field = r->field;
	const char *part = r->at;
	bool is_range = true;
	int first = field->min, last = field->min + field->most - 1, step = 1;

	if (*r->at == '*') {
		r->at++;
		r->is_fixed = false;
	} else {
		if (!cron_value(r, &first))
			return false;
		last = first;
		is_range = *r->at == '-';
		if (is_range) {
			r->at++;
			if (!cron_value(r, &last))
				return false;
			if (field == &cron_fields[CRON_WEEKDAY] && last == 0 && first > 0)
				last = 7; /* a week may end on Sunday */
		}
	}
	if (last < first)
		return cron_backwards(r, part, first, last);
	if (*r->at == '/' && !is_range)
		return cron_expected(r, r->at, "* or a range before a step");
	if (*r->at == '/') {
		r->at++;
		if (!cron_step(r, &step))
			return false;
	}
	for (int value = first; value <= last; value += step)
		r->values |= 1ULL << value;
	return true;
}

static bool cron_read_field(struct cron_reader *r, const struct cron_field *field)
{
	r->field = field;
	r->values = 0;
	r->is_open = *r->at == '*';
	r->is_fixed = true;
	for (bool is_more = true; is_more;) {
		if (!cron_part(r))
			return false;
		is_more = *r->at == ',';
		r->at += is_more;
	}
	if (*r->at != '\0' && !strchr(CRON_BLANKS, *r->at))
		return cron_expected(r, r->at, "a comma or the next field");
	r->at += strspn(r->at, CRON_BLANKS);
	return true;
}

static int cron_count_fields(const char *at)
{
	int count = 0;
	for (at += strspn(at, CRON_BLANKS); *at; at += strspn(at, CRON_BLANKS)) {
		count++;
		at += strcspn(at, CRON_BLANKS);
	}
	return count;
}

static bool cron_read(const char *text, struct cron *cron, struct error *err)
{
	struct cron_reader r = { .text = text, .at = text + strspn(text, CRON_BLANKS), .err = err };
	uint64_t values[CRON_FIELDS];
	bool is_open[CRON_FIELDS];
	int count = cron_count_fields(text);

	if (count != CRON_FIELDS)
		return error_set(err, ERR_INPUT, count > CRON_FIELDS ? CRON_HINT_EVERY : CRON_HINT,
				 "schedule: expected 5 fields (" CRON_SHAPE "), got %d", count);
	*cron = (struct cron){ .is_fixed = true };
	for (int i = 0; i < CRON_FIELDS; i++) {
		if (!cron_read_field(&r, &cron_fields[i]))
			return false;
		values[i] = r.values;
		is_open[i] = r.is_open;
		if (i <= CRON_HOUR && !r.is_fixed)
			cron->is_fixed = false;
	}
	cron->minutes = values[CRON_MINUTE];
	cron->hours = (uint32_t)values[CRON_HOUR];
	cron->days = (uint32_t)values[CRON_DAY];
	cron->months = (uint32_t)values[CRON_MONTH];
	cron->weekdays = (uint32_t)(values[CRON_WEEKDAY] | values[CRON_WEEKDAY] >> 7) & 0x7f; /* 7 is 0 */
	cron->is_either_day = !is_open[CRON_DAY] && !is_open[CRON_WEEKDAY];
	if (cron_match(cron, 0) == CRON_NEVER)
		return error_set(err, ERR_INPUT, "take a day that one of the months has",
				 "day-of-month: \"%s\" is never due: none of its months has such a day", text);
	return true;
}

/* The end of the word at the start of text. */
static bool cron_read_macro(const char *text, struct cron *cron, struct error *err)
{
	char name[16], hint[128] = "";
	size_t len = strcspn(text, CRON_BLANKS);
	bool is_alone = text[len + strspn(text + len, CRON_BLANKS)] == '\0';
	struct nearest nearest = { .name = name };

	str_format(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), text);
	for (size_t i = 0; i < ARRAY_LEN(cron_macros); i++) {
		const char *macro = cron_macros[i].name;
		if (is_alone && strlen(macro) == len && strncasecmp(text, macro, len) == 0)
			return cron_read(cron_macros[i].text, cron, err);
		nearest_offer(&nearest, macro);
	}
	if (nearest.best && is_alone)
		str_format(hint, sizeof hint, "did you mean %s?", nearest.best);
	return error_set(err, ERR_INPUT, *hint ? hint : CRON_HINT,
			 "schedule: expected @hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually, "
			 "got \"%.*s\"",
			 CRON_SHOWN, text);
}

bool cron_parse(const char *text, struct cron *cron, struct error *err)
{
	size_t len = strnlen(text, CRON_TEXT_MAX + 1);

	if (len > CRON_TEXT_MAX)
		return error_set(err, ERR_INPUT, CRON_HINT, "schedule: expected at most %d bytes", CRON_TEXT_MAX);
	for (size_t i = 0; i < len; i++)
		if ((text[i] < ' ' || text[i] > '~') && text[i] != '\t')
			return error_set(err, ERR_INPUT, CRON_HINT,
					 "schedule: expected ASCII without control characters (character %zu)", i + 1);
	const char *start = text + strspn(text, CRON_BLANKS);
	return *start == '@' ? cron_read_macro(start, cron, err) : cron_read(text, cron, err);
}
