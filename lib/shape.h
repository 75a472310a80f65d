/*
 * Shapes: what JSON looks like, in one line that people read as it stands and that becomes a JSON Schema.
 *
 *   {reason?: text 0..200, attempt?: int 1.., state: state}   an object; ? may be left out; names of other shapes
 *   [text] 1..100                                             a list
 *   {*: int}                                                  an object of anything by that name
 *   "min"|"max"   text|int                                    one of several
 *
 * The words of their own: text, int, number, bool, object, list, any, null. Bounds of a text are characters, of a list
 * items, of a number its value.
 */
#ifndef STOKER_LIB_SHAPE_H
#define STOKER_LIB_SHAPE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "lib/error.h"

/* A shape that others use by its name. */
struct shape_row {
	const char *name;
	const char *shape;
	json_t *(*schema)(void); /* makes it, where one line does not say enough; NULL: shape does */
	const char *pattern;     /* of a text: an ECMA regular expression; NULL: any */
	const char *example;     /* of a text; NULL: none */
	const char *help;
};

/* A JSON Schema (2020-12) as a new reference; other names are $refs to #/components/schemas/<name>. is_open: objects
 * may have more than is named, as answers may; what is sent may not. NULL: the text is no shape. */
json_t *shape_schema(const char *shape, bool is_open, struct error *err) MUST_CHECK;

/* The fields of an object's shape, one at a time: *at is moved behind it. False: there are no more, or it is none
 * (then err->kind is set). schema is a new reference. */
struct shape_field {
	char name[64];
	bool is_required;
	json_t *schema;
};
bool shape_next_field(const char **at, struct shape_field *field, struct error *err) MUST_CHECK;

#endif
