/*
 * The keys of a job spec: one table of rows. From it come the C decoder
 * (spec_check.c, spec_decode.c), the checks inside stoker_submit (spec_print_lua
 * prints the rows, lua/spec.lua walks them) and docs/spec.md. The rule it
 * protects: a bad spec is refused at every door with the same sentence.
 *
 * So that both walkers find the same first error, the order is part of the table:
 *
 *   1. the text: at most SPEC_MAX_BYTES, UTF-8, valid, an object at the top;
 *   2. for each section in table order ("" is the top):
 *        it is an object (null counts as not given);
 *        its unknown keys: the smallest by bytes is named;
 *        its rows in table order: the value, then what is in it: list items in
 *        their order, of a map's names and values the smallest name that fails;
 *   3. for each section and then its rows in table order: given though its
 *      condition (when) does not hold, missing though required; none or both of
 *      one_of; given without what it needs, or with what it must be without, below at_least.
 *
 * Sentences: "<path>: expected <expected>, got <value>", "<path>: unknown key; known
 * here: <known>", "<path>: only when <path> is <word>", "<path>: required[ when …]",
 * "<path>: expected <key> or <key>, got neither|both", "<path>: only with <key>",
 * "<path>: not together with <key>".
 * <expected> and <known> are made here once and printed for Lua, too.
 *
 * <value> is shown so (spec_show_value): null, true, false; an integer below 10^15 with
 * %.0f, any other number with %.14g; text in quotes, cut to 40 bytes, with \" \\ and
 * \u00xx for control characters; "a list of 3", "an object of 2", and "an empty list" for
 * an empty list and for an empty object: Lua cannot tell them apart, so an empty
 * one counts as either everywhere. 2.0 is an integer, for the same reason.
 */
#ifndef STOKER_QUEUE_SPEC_TABLE_H
#define STOKER_QUEUE_SPEC_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include "lib/buf.h"
#include "queue/spec.h"

enum spec_type {
	SPEC_TEXT,
	SPEC_INTEGER,
	SPEC_NUMBER,
	SPEC_BOOL,
	SPEC_CHOICE,
	SPEC_DURATION, /* text of config_parse_duration, or a number of seconds; decoded to ms */
	SPEC_SIZE,     /* text of config_parse_size, or a number of bytes */
	SPEC_LIST,     /* of texts */
	SPEC_MAP,      /* of texts by name */
	SPEC_COMMAND,  /* a text, or a list of texts */
	SPEC_EVERY,    /* "200 steps" or a duration */
	SPEC_BEST,     /* an object: metric, mode, count */
	SPEC_AFTER,    /* a list of texts, or an object of them and choices */
	SPEC_TYPES
};

/* What a text may look like. */
struct spec_grammar {
	const char *pattern;  /* a Lua pattern of sets only: "[a-z0-9][a-z0-9-]*" (spec_grammar.c) */
	size_t min, max;      /* length in bytes */
	const char *also;     /* these texts are taken as well: "latest|best"; NULL: none */
	const char *words;    /* only these: "SIGHUP|SIGINT"; the pattern is not looked at. NULL: any */
	int whole_max;        /* an integer from 1 to this is taken as well; 0: texts only */
	const char *refuse;   /* not with this beginning; NULL: none */
	bool inside;          /* a relative path that does not leave its folder */
	bool url;             /* of http or https (spec_is_url) */
	const char *expected; /* "a queue name of …" */
};

struct spec_condition {
	const char *path; /* of a choice; NULL: always */
	const char *is;
};

struct spec_row {
	const char *key;
	enum spec_type type;
	size_t offset;                    /* into struct spec; the rows of train have none */
	const char *standard;             /* default as a user would write it; NULL: none */
	double min, max;                  /* value in its decoded unit; of lists and maps: how many */
	const char *choices;              /* "command|tinygrad" */
	const struct spec_grammar *text;  /* of a text, of list items, of a map's values */
	const struct spec_grammar *names; /* of a map's names */
	struct spec_condition when;       /* else the key must not be given */
	bool is_required;                 /* when its condition holds */
	const char *at_least;             /* path of the row that this may not fall below */
	const char *needs;                /* key of the section without which this must not be given */
	const char *without;              /* key of the section with which this must not be given */
	const char *help;
};

struct spec_section {
	const char *name; /* "" for the top */
	const struct spec_row *rows;
	size_t count;
	struct spec_condition when;
	bool is_required;
	const char *one_of[2]; /* keys of it: exactly one is given */
	const char *help;
};

extern const struct spec_section spec_sections[];
extern const size_t spec_section_count;

/* Finds "retry.backoff", "backend"; NULL if there is none. */
const struct spec_row *spec_row_at(const char *path, const struct spec_section **section);

/* "resources.gpus" into path. */
#define SPEC_PATH_MAX 256
void spec_row_path(const struct spec_section *section, const struct spec_row *row, char path[SPEC_PATH_MAX]);

/* "an integer from 0 to 1024" */
void spec_show_expected(const struct spec_row *row, struct buf *out);
/* "cancel or hold" */
void spec_show_choices(const char *choices, struct buf *out);
/* "cpus, gpus, memory, labels" */
void spec_show_known(const struct spec_section *section, struct buf *out);

/* The value of a number, duration or size in its decoded unit from its text; the same grammar as
 * lua/spec.lua. */
bool spec_parse_text(enum spec_type type, const char *text, double *value);
/* "200 steps" */
bool spec_parse_steps(const char *text, double *steps);

bool spec_grammar_takes(const struct spec_grammar *grammar, const char *text, size_t len);
bool spec_grammar_takes_number(const struct spec_grammar *grammar, double number);
/* Does the whole text match? Sets like [a-z_], [^%c], [^%z], each once, or with * or +. */
bool spec_pattern_takes(const char *pattern, const char *text, size_t len);

/* "https://host:443/path?x": no name and password, no fragment. */
bool spec_is_url(const char *text);

/* "command" is one of "command|tinygrad". */
bool spec_is_choice(const char *choices, const char *word);

#endif
