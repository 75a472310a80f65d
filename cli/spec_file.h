/*
 * A spec file made ready to be sent: read, --set applied, paths of training data made
 * absolute, checked with the same table as everywhere. Errors name file and line.
 */
#ifndef STOKER_CLI_SPEC_FILE_H
#define STOKER_CLI_SPEC_FILE_H

#include <stdbool.h>
#include <jansson.h>
#include "cli/args.h"
#include "lib/error.h"

struct code_folders;

/* path "-": stdin. *json is canonical JSON, to be freed: a spec, or a graph of them (queue/graph.h). Relative working
 * folders are packed and sent (cli/code.h) once all else was found to be right; folders NULL: they are refused. */
bool spec_file_load(const char *path, const struct arg_list *sets, struct code_folders *folders, char **json,
		    struct error *err) MUST_CHECK;

/* train.text and train.data (a path or a list of paths): each relative one that exists beside the
 * spec file becomes absolute, so that the worker finds it wherever it runs on this machine. */
void spec_file_absolute(json_t *spec, const char *folder);

#endif
