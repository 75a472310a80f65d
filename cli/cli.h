/*
 * What every command gets: where the scheduler is, how to print, and how it ends.
 *
 * Data goes to stdout, everything else to stderr; colour only on a terminal and not
 * with NO_COLOR. A command that asks nobody makes no client.
 */
#ifndef STOKER_CLI_CLI_H
#define STOKER_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>
#include "cli/args.h"
#include "lib/config.h"
#include "lib/error.h"
#include "lib/http_client.h"

/* Exit codes besides those of lib/error.c: how the job ended that was waited for. */
enum {
	EXIT_JOB_FAILED = 10,
	EXIT_JOB_CANCELLED = 11,
	EXIT_CHECK_FAILED = 12, /* doctor found something */
	EXIT_INTERRUPTED = 130, /* Ctrl-C */
};

struct cli_config { /* options of every command: flag, STOKER_*, file */
	char *url;
	char *ca;
	char *token;
	char *token_file;
	char *dir;
};

#define CLI_OPTIONS 5

struct cli_common { /* options of every command: flags only */
	bool json;
	bool help;
};

struct cli {
	struct cli_config config;
	struct config_origin origins[CLI_OPTIONS];
	struct cli_common common;
	bool color;
	int exit_code; /* when the command succeeded */
	struct http_client *client;
};

struct command {
	const char *name;
	const char *usage;   /* "ID [-f]": the words and the main options */
	const char *summary; /* one line */
	const char *text;    /* what else there is to know; NULL: nothing */
	struct arg_table options;
	size_t options_size; /* of the struct that they fill, which starts zeroed */
	size_t words_min, words_max;
	bool (*run)(struct cli *cli, const void *options, const struct arg_list *words, struct error *err);
};

#define CLI_ANY_WORDS ((size_t)-1)
#define CLI_ROWS(rows)                                                                                                 \
	{                                                                                                              \
		(rows), ARRAY_LEN(rows)                                                                                \
	}

extern const struct option_table cli_options; /* those of struct cli_config */
extern const struct arg_table cli_common_options;

/* One JSON document, indented for a terminal; the caller keeps value. */
void cli_print_json(const json_t *value);
/* One JSON document on one line: streams. */
void cli_print_json_line(const json_t *value);
/* Writes the text to stdout as it is. */
void cli_print(const struct buf *text);
/* "stoker: <message>" and "  hint: …" on stderr. */
void cli_print_error(const struct error *err);

/* ~/.local/share/stoker, $XDG_DATA_HOME/stoker, --dir or STOKER_DIR; absolute; to be freed. */
char *cli_dir(const struct cli *cli, struct error *err) MUST_CHECK;

#endif
