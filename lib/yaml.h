/*
 * YAML text to JSON values: the part of YAML 1.2 that people mean. One document of
 * mappings, lists and scalars. Plain scalars follow the core schema, so that only
 * true/false are booleans (no, on, yes stay text) and only what looks like a JSON
 * number, 0x10 or 0o17 is a number (.inf and .nan stay text: JSON has neither).
 *
 * Refused, with the line: duplicate keys, anchors, aliases, tags, several documents,
 * nesting past YAML_MAX_DEPTH, text past YAML_MAX_BYTES, what is not UTF-8.
 *
 * A path names a value in messages: "resources.gpus", "command[0]".
 */
#ifndef STOKER_LIB_YAML_H
#define STOKER_LIB_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>
#include "lib/error.h"

#define YAML_MAX_BYTES (1024 * 1024)
#define YAML_MAX_DEPTH 32

/* The value of the document (JSON null when there is none), to be released with json_decref;
 * JSON is taken as JSON: YAML has other escapes. What is wrong with it is said as about YAML.
 * NULL on error. Messages start with "origin:line: ", or "line <n>: " when origin is NULL. */
json_t *yaml_decode(const char *text, size_t len, const char *origin, struct error *err);

/* The line (from 1) of the value with this path: of its key, for what stands in a mapping.
 * 0 when there is none. Reads the text again: for error messages. */
int yaml_line_of(const char *text, size_t len, const char *path);

#endif
