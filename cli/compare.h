/*
 * What is different between two jobs, as the API gives them: {section: {name: [first,
 * second]}}, with null where one has none. Equal values are left out, and sections without
 * any.
 */
#ifndef STOKER_CLI_COMPARE_H
#define STOKER_CLI_COMPARE_H

#include <jansson.h>

/* Adds the section, unless there is nothing to say. Objects are compared by the paths of what is in them. */
void compare_objects(json_t *into, const char *section, const json_t *first, const json_t *second);

/* "numpy-1.24.2 torch-2.1.0" by name and version. */
void compare_packages(json_t *into, const char *first, const char *second);

/* Two manifests of code: the files, each with what is known of it in each. */
void compare_files(json_t *into, const json_t *first, const json_t *second);

#endif
