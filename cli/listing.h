/*
 * A list of the API as a table for people, once or again and again, or its JSON as it is for programs.
 */
#ifndef STOKER_CLI_LISTING_H
#define STOKER_CLI_LISTING_H

#include "cli/cli.h"
#include "cli/table.h"

#define LISTING_AGE(column) (1U << (column))

struct listing {
	const char *path;
	const char *member; /* of the answer: the list */
	const char *const *titles;
	size_t columns;
	void (*row)(struct table *table, const json_t *item);
	const char *empty; /* said on stderr when there is nothing; NULL: the titles alone */
	unsigned ages;     /* LISTING_AGE of columns that change by themselves: no reason to print the list again */
	bool watch;        /* go on, once a second; not with JSON */
};

/* answer: what was listed, for more words about it (to be released with json_decref); NULL inside: there is nothing
 * to add. May be NULL. */
bool listing_print(struct cli *cli, const struct listing *listing, json_t **answer, struct error *err) MUST_CHECK;

/* --watch with a verb that lists nothing; false. */
bool listing_refuse_watch(struct error *err);

#endif
