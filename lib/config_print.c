/*
 * What is printed from an option table: --help, docs/config.md, `config show`.
 */
#include "lib/config.h"

#include <jansson.h>
#include <string.h>
#include "lib/config_rows.h"

/* What stands for the value in "--redis-url VALUE". */
static const char *config_placeholder(enum option_type type)
{
	switch (type) {
	case OPTION_INT:
		return "N";
	case OPTION_DURATION:
		return "TIME";
	case OPTION_SIZE:
		return "SIZE";
	case OPTION_CHOICE:
		return "WORD";
	case OPTION_LIST:
		return "A,B";
	case OPTION_BOOL:
	case OPTION_TEXT:
	default:
		return "TEXT";
	}
}

void config_show_flag(const struct option_row *row, struct buf *out)
{
	buf_printf(out, "--%s", row->name);
	if (row->type != OPTION_BOOL)
		buf_printf(out, " %s", config_placeholder(row->type));
}

static const char *config_default(const struct option_row *row)
{
	return row->default_text && *row->default_text ? row->default_text : NULL;
}

static void config_help_line(const char *flag, const char *help, const char *choices, const char *standard, FILE *out)
{
	fprintf(out, "  %-26s %s", flag, help);
	if (choices)
		fprintf(out, " (%s)", choices);
	if (standard)
		fprintf(out, " [%s]", standard);
	fputc('\n', out);
}

void config_print_help(const struct option_table *table, FILE *out)
{
	fprintf(out, "%s: %s\n\nusage: %s\n\noptions:\n", table->program, table->summary, table->usage);
	for (size_t i = 0; i < table->count; i++) {
		const struct option_row *row = &table->rows[i];
		CLEANUP(buf) struct buf flag;
		buf_init(&flag, 200);
		config_show_flag(row, &flag);
		config_help_line(buf_text(&flag), row->help, row->choices,
				 row->type == OPTION_BOOL ? NULL : config_default(row), out);
	}
	config_help_line("--config FILE", "read options from this YAML file", NULL, NULL, out);
	config_help_line("--print-config[=origin|json]", "print the settings in force, and where they come from", NULL,
			 NULL, out);
	config_help_line("--help", "print this", NULL, NULL, out);
	config_help_line("--version", "print the version", NULL, NULL, out);
	fputs("\nEach option can also be set as STOKER_<NAME> in the environment, or as name: value in the file;\n"
	      "a flag wins over the environment, and that over the file.\n",
	      out);
}

/* A cell of a Markdown table. */
static void config_print_cell(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (*text == '|')
			fputc('\\', out);
		fputc(*text, out);
	}
}

void config_print_markdown(const struct option_table *table, FILE *out)
{
	fprintf(out, "## %s\n\n", table->program);
	config_print_cell(table->summary, out);
	fputs("\n\n| option | environment | default | allowed | meaning |\n|---|---|---|---|---|\n", out);
	for (size_t i = 0; i < table->count; i++) {
		const struct option_row *row = &table->rows[i];
		const char *standard = config_default(row);
		char env[CONFIG_ENV_MAX];
		CLEANUP(buf) struct buf expected;
		buf_init(&expected, 400);
		config_show_expected(row, &expected);
		config_env_name(row, env);
		fprintf(out, "| `--%s` | `%s` | ", row->name, env);
		if (standard) {
			fputc('`', out);
			config_print_cell(standard, out);
			fputc('`', out);
		}
		fputs(" | ", out);
		config_print_cell(buf_text(&expected), out);
		fputs(" | ", out);
		config_print_cell(row->help, out);
		fputs(row->is_secret ? " (never printed) |\n" : " |\n", out);
	}
	fputc('\n', out);
}

void config_print_values(const struct option_table *table, const void *into, const struct config_origin *origins,
			 FILE *out)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option_row *row = &table->rows[i];
		CLEANUP(buf) struct buf value;
		buf_init(&value, 64 * 1024);
		config_show_value(row, into, &value);
		if (!value.len)
			buf_str(&value, "-");
		if (origins)
			fprintf(out, "%-22s %-40s # %s\n", row->name, buf_text(&value), origins[i].text);
		else
			fprintf(out, "%-22s %s\n", row->name, buf_text(&value));
	}
}

void config_print_json(const struct option_table *table, const void *into, const struct config_origin *origins,
		       FILE *out)
{
	json_auto_t *all = json_object();
	for (size_t i = 0; i < table->count; i++) {
		CLEANUP(buf) struct buf value;
		buf_init(&value, 64 * 1024);
		config_show_value(&table->rows[i], into, &value);
		json_object_set_new(all, table->rows[i].name,
				    json_pack("{s:s?, s:s}", "value", value.len ? buf_text(&value) : NULL, "origin",
					      origins[i].text));
	}
	json_dumpf(all, out, JSON_INDENT(2));
	fputc('\n', out);
}
