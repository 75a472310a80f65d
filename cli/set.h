/*
 * --set: one key of a document changed before it is checked: "train.steps=500",
 * "resources.labels.zone=a", "command.1=eval.py". The value is YAML, so numbers, true
 * and lists are what they look like; quote what must be text ("name='42'").
 */
#ifndef STOKER_CLI_SET_H
#define STOKER_CLI_SET_H

#include <jansson.h>
#include "lib/error.h"

/* value, which the caller keeps, under a key as above. */
bool set_value(json_t *document, const char *place, json_t *value, struct error *err) MUST_CHECK;
bool set_apply(json_t *document, const char *assignment, struct error *err) MUST_CHECK;

#endif
