/*
 * The words after a command: its options, declared as rows, and what is left. Options
 * and words may stand in any order (stoker logs ID -f); "--" ends the options; short
 * flags may be joined (-fn20). Values point into argv: nothing is copied.
 */
#ifndef STOKER_CLI_ARGS_H
#define STOKER_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/error.h"

enum arg_type {
	ARG_FLAG, /* bool */
	ARG_TEXT, /* const char *, NULL when not given */
	ARG_INT,  /* int64_t, at least min; keeps what was there when not given */
	ARG_LIST, /* struct arg_list: may be given several times */
};

struct arg_list {
	const char **items; /* freed by args_done */
	size_t count;
};

struct arg_row {
	const char *name; /* "follow": --follow */
	char letter;      /* 'f': -f; 0: none */
	enum arg_type type;
	size_t offset;     /* into the command's struct of options */
	const char *value; /* what to write for it: "FILE"; NULL for a flag */
	const char *help;  /* one line, lower case, no full stop */
	int64_t min;
};

struct arg_table {
	const struct arg_row *rows;
	size_t count;
};

/* Fills into (zeroed, or holding defaults) and words. The names of several tables are
 * one space: tables[i] fills intos[i]. The error names the nearest option of an unknown one. */
bool args_parse(const struct arg_table *tables, void *const *intos, size_t count, const char *const *argv,
		struct arg_list *words, struct error *err);
void args_done(const struct arg_table *table, void *into); /* frees the lists */
void arg_list_add(struct arg_list *list, const char *item);
void arg_list_done(struct arg_list *list);

static inline void cleanup_arg_list(struct arg_list *list)
{
	arg_list_done(list);
}

#endif
