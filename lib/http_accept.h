/*
 * What headers say about types, encodings and tags: pure functions, tested as tables. Parameters of a type are passed
 * over, but for q=0, which says no.
 */
#ifndef STOKER_LIB_HTTP_ACCEPT_H
#define STOKER_LIB_HTTP_ACCEPT_H

#include <stdbool.h>

/* Is this Content-Type one of types, with spaces between them? NULL and "": no. */
bool http_is_type(const char *content_type, const char *types);

/* Does an Accept header allow one of types? NULL: it allows all. */
bool http_accepts_type(const char *accept, const char *types);

/* Does an Accept-Encoding header ask for this one? NULL: no. */
bool http_accepts_encoding(const char *accept, const char *encoding);

/* Does If-None-Match name this tag ("…" or W/"…")? Weakly compared; * names any. NULL: no. */
bool http_names_tag(const char *if_none_match, const char *tag);

#endif
