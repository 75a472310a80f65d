/* What a table of routes says (lib/http_route.h), as an OpenAPI 3.1 document for programs and as Markdown for people.
 */
#ifndef STOKER_LIB_OPENAPI_H
#define STOKER_LIB_OPENAPI_H

#include <jansson.h>
#include <stdio.h>
#include "lib/error.h"
#include "lib/http_route.h"
#include "lib/shape.h"

struct openapi {
	const char *title, *version, *help;
	const struct http_group *const *groups;
	size_t group_count;
	const struct shape_row *shapes;
	size_t shape_count;
};

/* A new reference; NULL: a row of the tables is wrong, and err names it. */
json_t *openapi_document(const struct openapi *api, struct error *err) MUST_CHECK;

void openapi_print_markdown(const struct openapi *api, FILE *out);

#endif
