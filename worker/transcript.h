/*
 * Writes the transcript of an ended attempt (queue/transcript.h) from the spools in its
 * folder. It blocks: it belongs into a helper process. The same folder gives the same
 * transcript: one that was cut off is written again, over what it left.
 */
#ifndef STOKER_WORKER_TRANSCRIPT_H
#define STOKER_WORKER_TRANSCRIPT_H

#include "lib/error.h"

/* ERR_DAMAGED: the folder is no good, and will not be. Any other error is the store's, or passes. */
bool transcript_write(const char *store_url, const char *folder, struct error *err) MUST_CHECK;

#endif
