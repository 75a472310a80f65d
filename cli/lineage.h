/*
 * Where packed code comes from, as it is kept in the spec (`lineage`), and as people read
 * it.
 */
#ifndef STOKER_CLI_LINEAGE_H
#define STOKER_CLI_LINEAGE_H

#include <jansson.h>
#include <stdbool.h>
#include "lib/buf.h"

/* Of a folder on this machine: git, host, user, folder; a new reference. */
json_t *lineage_of(const char *folder);

/* "3f2a9c1b04d2… · git 5afee13 on main (dirty, 3 files)"; nothing when the spec has no code. */
void lineage_line(const json_t *spec, struct buf *into);

#endif
