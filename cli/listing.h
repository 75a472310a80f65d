/*
 * A list of the API as a table for people, or its JSON as it is for programs.
 */
#ifndef STOKER_CLI_LISTING_H
#define STOKER_CLI_LISTING_H

#include "cli/cli.h"
#include "cli/table.h"

struct listing {
	const char *path;
	const char *member; /* of the answer: the list */
	const char *const *titles;
	size_t columns;
	void (*row)(struct table *table, const json_t *item);
	const char *empty; /* said on stderr when there is nothing; NULL: the titles alone */
};

/* answer: what was listed, for more words about it (to be released with json_decref); NULL inside: it went out
 * as JSON. May be NULL. */
bool listing_print(struct cli *cli, const struct listing *listing, json_t **answer, struct error *err) MUST_CHECK;

#endif
