/* A job spec as a JSON Schema (2020-12), made of the table of its keys: what it takes, spec_check.c may still refuse
 * (keys that need one another, texts that mean something); what it refuses, that refuses, too. */
#ifndef STOKER_QUEUE_SPEC_SCHEMA_H
#define STOKER_QUEUE_SPEC_SCHEMA_H

#include <jansson.h>

json_t *spec_schema(void); /* a new reference */

#endif
