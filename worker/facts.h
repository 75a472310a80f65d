/*
 * What a run finds on its machine, for its lineage: kernel, processor, GPUs, and the Python
 * that its program would be run by, with the packages that are installed there. Read from
 * files: nothing is started. Runs in a helper process.
 */
#ifndef STOKER_WORKER_FACTS_H
#define STOKER_WORKER_FACTS_H

#include "lib/buf.h"

#define FACTS_MAX (16 * 1024)

/* A JSON object of texts. command: what the program is started by; path: its PATH. What is not known is left out. */
void facts_json(const char *command, const char *path, struct buf *into);

#endif
