/*
 * The options of a program: one table of rows holds name, type, range, default and
 * help; everything else (flags, environment, file, --help, docs/config.md,
 * `config show --origin`) is made from it.
 *
 * Order: flag (--redis-url X or --redis-url=X) over STOKER_REDIS_URL over the
 * YAML file (redis_url: or redis-url:) over the default. An unknown flag, an
 * unknown key in the file, or a value out of range is an error that names its origin
 * and what is allowed. Unknown STOKER_* variables are an error only when they are
 * close to a known one: the environment is shared by all three programs.
 */
#ifndef STOKER_LIB_CONFIG_H
#define STOKER_LIB_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "lib/error.h"

enum option_type {
	OPTION_TEXT,     /* char *, NULL when the default is NULL */
	OPTION_INT,      /* int64_t, min..max */
	OPTION_DURATION, /* int64_t in ms; "30s", "500ms", "5m", "1h"; min..max in ms */
	OPTION_SIZE,     /* int64_t in bytes; "64MiB", "2GiB", "1000" */
	OPTION_BOOL,     /* bool; "true"/"false"; a flag without value is true */
	OPTION_CHOICE,   /* char *, one of choices ("a|b|c") */
	OPTION_LIST,     /* char *, comma-separated words, kept as one text */
};

struct option_row {
	const char *name; /* "redis-url" */
	enum option_type type;
	size_t offset;            /* into the program's config struct */
	const char *default_text; /* as a user would write it; NULL: none */
	int64_t min, max;
	const char *choices;
	const char *help; /* one line, lower case, no full stop */
	bool is_secret;   /* never printed: shown as (set) */
};

struct option_table {
	const char *program; /* "stoker-worker" */
	const char *summary; /* one line for --help */
	const char *usage;   /* "stoker-worker [options]" */
	const struct option_row *rows;
	size_t count;
};

struct config_origin {
	char text[96]; /* "default", "flag --x", "STOKER_X", "/etc/stoker.yaml:3" */
};

/* Fills the config struct (into) and origins[count] (may be NULL). argv[0] is skipped; parsing
 * ends at the first word that is no option, whose index is left in *rest (may be
 * NULL: then such a word is an error). --config FILE (or STOKER_CONFIG) names the
 * file. --help and --version are the program's: they come back as kinds. */
enum config_result { CONFIG_OK, CONFIG_HELP, CONFIG_VERSION, CONFIG_FAILED };
enum config_result config_load(const struct option_table *table, int argc, char **argv, void *into,
			       struct config_origin *origins, int *rest, struct error *err);
/* The start of a daemon: config_load, and the answers to --help, --version, --print-config[=origin|json] and
 * to mistakes. into is zeroed. False: the program is to end with *status. Either way config_done frees. */
bool config_start(const struct option_table *table, int argc, char **argv, void *into, int *status);
void config_done(const struct option_table *table, void *into); /* frees the texts */

void config_print_help(const struct option_table *table, FILE *out);
void config_print_markdown(const struct option_table *table, FILE *out);
void config_print_values(const struct option_table *table, const void *into, const struct config_origin *origins,
			 FILE *out);
/* {"name":{"value":"text or null","origin":"default"},…} */
void config_print_json(const struct option_table *table, const void *into, const struct config_origin *origins,
		       FILE *out);

/* The value grammars, shared with job specs. Whole text must match. */
bool config_parse_int(const char *text, int64_t *value);
bool config_parse_duration(const char *text, int64_t *ms); /* number with ms, s, m, h, d; a bare number is seconds */
bool config_parse_size(const char *text, int64_t *bytes);  /* number with B, KiB, MiB, GiB, TiB, KB, MB, GB, TB */
/* The units of OPTION_DURATION (in ms) and OPTION_SIZE (in bytes). */
struct config_unit {
	const char *name;
	double factor;
};
const struct config_unit *config_units(enum option_type type, size_t *count);
/* The way back, in the largest unit that is exact: "30s", "1500ms"; "2GiB", "1000B". */
#define CONFIG_VALUE_MAX 32
void config_format_duration(int64_t ms, char text[CONFIG_VALUE_MAX]);
void config_format_size(int64_t bytes, char text[CONFIG_VALUE_MAX]);

#endif
