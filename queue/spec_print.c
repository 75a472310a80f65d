/* The table of keys as Lua (for stoker_submit) and as Markdown (docs/spec.md). */
#include <string.h>
#include "lib/config.h"
#include "queue/spec_table.h"

static const char *const spec_type_names[SPEC_TYPES] = {
	[SPEC_TEXT] = "text",     [SPEC_INTEGER] = "integer",   [SPEC_NUMBER] = "number", [SPEC_BOOL] = "bool",
	[SPEC_CHOICE] = "choice", [SPEC_DURATION] = "duration", [SPEC_SIZE] = "size",     [SPEC_LIST] = "list",
	[SPEC_MAP] = "map",       [SPEC_COMMAND] = "command",   [SPEC_EVERY] = "every",   [SPEC_AFTER] = "after",
	[SPEC_BEST] = "best",
};

/* A Lua string; every byte that is not plain ASCII as \ddd. */
static void spec_lua_text(const char *name, const char *text)
{
	printf(" %s = \"", name);
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			printf("\\%c", *p);
		else if (*p < 0x20 || *p > 0x7e)
			printf("\\%03u", *p);
		else
			putchar(*p);
	}
	fputs("\",", stdout);
}

/* "a|b" as a set. */
static void spec_lua_words(const char *name, const char *words)
{
	printf(" %s = { [\"", name);
	for (const char *c = words; *c; c++)
		printf(*c == '|' ? "\"] = true, [\"" : "%c", *c);
	fputs("\"] = true },", stdout);
}

static void spec_lua_grammar(const char *name, const struct spec_grammar *g)
{
	printf(" %s = { min = %zu, max = %zu, pattern = \"^%s$\",", name, g->min, g->max, g->pattern ? g->pattern : "");
	if (g->words)
		spec_lua_words("words", g->words);
	if (g->whole_max)
		printf(" whole_max = %d,", g->whole_max);
	if (g->also)
		spec_lua_words("also", g->also);
	if (g->refuse)
		spec_lua_text("refuse", g->refuse);
	if (g->inside)
		fputs(" inside = true,", stdout);
	if (g->url)
		fputs(" url = true,", stdout);
	spec_lua_text("expected", g->expected);
	fputs(" },", stdout);
}

static void spec_lua_condition(const struct spec_condition *when, bool is_required)
{
	if (when->path)
		printf(" when = { path = \"%s\", is = \"%s\" },", when->path, when->is);
	if (is_required)
		fputs(" required = true,", stdout);
}

/* The default in its decoded form. */
static void spec_lua_standard(const struct spec_row *row)
{
	double number = 0;
	if (!row->standard)
		return;
	if (row->type == SPEC_TEXT || row->type == SPEC_CHOICE) {
		spec_lua_text("default", row->standard);
	} else if (row->type == SPEC_DURATION || row->type == SPEC_SIZE) {
		if (spec_parse_text(row->type, row->standard, &number))
			printf(" default = %.0f,", number);
	} else {
		printf(" default = %s,", row->standard);
	}
}

static void spec_lua_row(const struct spec_section *section, const struct spec_row *row)
{
	char path[SPEC_PATH_MAX];
	CLEANUP(buf) struct buf expected;
	buf_init(&expected, 400);
	spec_show_expected(row, &expected);
	spec_row_path(section, row, path);

	printf("\t\t\t{ key = \"%s\", path = \"%s\", type = \"%s\",", row->key, path, spec_type_names[row->type]);
	if (row->max > 0)
		printf(" min = %.17g, max = %.17g,", row->min, row->max);
	if (row->type == SPEC_AFTER) {
		CLEANUP(buf) struct buf choices;
		buf_init(&choices, 400);
		spec_show_choices(row->choices, &choices);
		spec_lua_text("expected_choice", buf_text(&choices));
	}
	if (row->choices)
		spec_lua_words("choices", row->choices);
	if (row->text)
		spec_lua_grammar("text", row->text);
	if (row->names)
		spec_lua_grammar("names", row->names);
	spec_lua_condition(&row->when, row->is_required);
	if (row->at_least)
		spec_lua_text("at_least", row->at_least);
	if (row->needs)
		spec_lua_text("needs", row->needs);
	if (row->without)
		spec_lua_text("without", row->without);
	spec_lua_standard(row);
	spec_lua_text("expected", buf_text(&expected));
	fputs(" },\n", stdout);
}

/* The names of spec_show_known as a set. */
static void spec_lua_keys(const struct spec_section *section)
{
	fputs(" keys = {", stdout);
	for (size_t i = 0; i < section->count; i++)
		printf(" [\"%s\"] = true,", section->rows[i].key); /* it may be a word of Lua */
	for (size_t i = 0; i < spec_section_count && !*section->name; i++)
		if (*spec_sections[i].name)
			printf(" [\"%s\"] = true,", spec_sections[i].name);
	fputs(" },", stdout);
}

static void spec_lua_units(const char *name, enum option_type type)
{
	size_t count = 0;
	const struct config_unit *units = config_units(type, &count);
	printf("\t%s = {", name);
	for (size_t i = 0; i < count; i++)
		printf(" %s = %.0f,", units[i].name, units[i].factor);
	fputs(" },\n", stdout);
}

void spec_print_lua(void)
{
	printf("local spec_table = {\n\tmax_bytes = %d,\n", SPEC_MAX_BYTES);
	spec_lua_units("durations", OPTION_DURATION);
	spec_lua_units("sizes", OPTION_SIZE);
	fputs("\tsections = {\n", stdout);
	for (size_t i = 0; i < spec_section_count; i++) {
		const struct spec_section *s = &spec_sections[i];
		CLEANUP(buf) struct buf known;
		buf_init(&known, 1000);
		spec_show_known(s, &known);
		printf("\t\t{ name = \"%s\",", s->name);
		spec_lua_condition(&s->when, s->is_required);
		if (s->one_of[0])
			printf(" one_of = { \"%s\", \"%s\" },", s->one_of[0], s->one_of[1]);
		spec_lua_text("known", buf_text(&known));
		spec_lua_keys(s);
		fputs(" rows = {\n", stdout);
		for (size_t j = 0; j < s->count; j++)
			spec_lua_row(s, &s->rows[j]);
		fputs("\t\t} },\n", stdout);
	}
	fputs("\t},\n}\n", stdout);
}
