/* The document of a refusal: RFC 9457, application/problem+json. */
#ifndef STOKER_LIB_HTTP_PROBLEM_H
#define STOKER_LIB_HTTP_PROBLEM_H

#include <jansson.h>
#include "lib/buf.h"
#include "lib/error.h"

/* A message about a field begins with its path, "jobs[3].resources.gpus: …": as a JSON pointer,
 * "/jobs/3/resources/gpus". False: it begins with none. */
bool problem_pointer(const char *message, struct buf *pointer);

struct problem {
	int status;
	const struct error *err;
	const char *request_id;
	/* Does the query of the request have a parameter of this name? Then that is what was wrong. NULL: it has none.
	 */
	bool (*is_parameter)(const void *arg, const char *name);
	const void *arg;
};

/* A new reference. What is wrong in the request itself is named in errors: {detail, pointer} of the body, {detail,
 * parameter} of the query. */
json_t *problem_document(const struct problem *problem);

#endif
