/*
 * Walks a decoded spec along the table (queue/spec_table.h has the order and the
 * sentences) and reads values out of one that has passed.
 */
#ifndef STOKER_QUEUE_SPEC_CHECK_H
#define STOKER_QUEUE_SPEC_CHECK_H

#include <jansson.h>
#include "queue/spec_table.h"

/* False and the first error. path receives what it is about ("resources.gpus"), so that its
 * line can be found. */
bool spec_check(const json_t *root, char path[SPEC_PATH_MAX], struct error *err);

/* Puts where it is in front of the message: "bad.yaml:6: "; nothing without an origin. Cuts path down. False. */
bool spec_place(const char *text, size_t len, const char *origin, char *path, struct error *err);

/* As messages show what was found (queue/spec_table.h). */
void spec_show_value(const json_t *value, struct buf *out);

/* The value given for a row; NULL when there is none or null. */
const json_t *spec_given(const json_t *root, const struct spec_section *section, const struct spec_row *row);

/* Does the condition hold, by what is given or by default? */
bool spec_condition_holds(const json_t *root, const struct spec_condition *when);

/* The value of an integer, number, duration or size in its decoded unit: the given one or the
 * default. False when there is neither, or it is not of that type. */
bool spec_number_of(const struct spec_row *row, const json_t *given, double *value);

/* "200 steps" → *steps, else *ms: the other is 0. */
bool spec_every_of(const json_t *given, double *steps, double *ms);

/* The word of a choice: given or default; "" for none. */
const char *spec_choice_of(const struct spec_row *row, const json_t *given);

#endif
