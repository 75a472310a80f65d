/*
 * Fields of the API's objects. Redis keeps text, so a number may come as text or as a
 * number: these read both.
 */
#ifndef STOKER_CLI_FIELD_H
#define STOKER_CLI_FIELD_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

/* "" when it is not there or is no text. */
const char *field_text(const json_t *object, const char *name);
/* instead when it is not there or is no integer. */
int64_t field_int(const json_t *object, const char *name, int64_t instead);
/* False when it is not there; reads NaN, Infinity and -Infinity, too. */
bool field_number(const json_t *object, const char *name, double *value);
bool field_is_true(const json_t *object, const char *name);
/* The object or array there, also when it came as JSON text; NULL if there is none. To be released. */
json_t *field_nested(const json_t *object, const char *name);

#endif
