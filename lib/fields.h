/*
 * Reading what Redis kept as hash fields: in the JSON documents of the function
 * library a number may stand as a number or as decimal text, and an object as an
 * object or as its text. Used where json_t is: in the API and in the commands that
 * read its answers.
 */
#ifndef STOKER_LIB_FIELDS_H
#define STOKER_LIB_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* "" where it is absent or no text. object may be NULL. */
const char *fields_text(const json_t *object, const char *name);
/* Also where it is none, or no int64_t has it: `otherwise`. What is behind the point is cut off. */
int64_t fields_int(const json_t *object, const char *name, int64_t otherwise);
/* False where it is absent; reads NaN, Infinity and -Infinity, too. */
bool fields_number(const json_t *object, const char *name, double *value);
bool fields_is_true(const json_t *object, const char *name);
bool fields_is(const json_t *object, const char *name, const char *text);

/* A new reference to the object or array, parsed if it stands as text; NULL: there is none. */
json_t *fields_json(const json_t *object, const char *name);

/* Parses len bytes of an answer; NULL if it is no JSON. */
json_t *fields_parse(const char *text, size_t len);

#endif
