/*
 * Short-lived links to objects of a store that has none of its own (file:///): a path
 * of this API with an end and a signature, which stand in for the token. Signed with
 * the API's token, so that every scheduler that has it takes them; where there is
 * none, with a secret of this process.
 */
#ifndef STOKER_SCHEDULER_DATA_LINK_H
#define STOKER_SCHEDULER_DATA_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/error.h"

struct data_link {
	const char *key;
	const char *name; /* what it is to be saved as */
	int64_t until_ms;
};

/* "/api/v1/data?key=…&name=…&until=…&signature=…". token may be NULL. The caller frees it. */
char *data_link_make(const char *token, const struct data_link *link);

/* ERR_AUTH when it was not made so, or is too old. */
bool data_link_check(const char *token, const struct data_link *link, const char *signature, int64_t now_ms,
		     struct error *err) MUST_CHECK;

#endif
