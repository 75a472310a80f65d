/*
 * Reads what ended runs left in the store, and compares it with what it says of itself: a
 * transcript with its index (queue/transcript.h), an object of the archive with the one at
 * its front (scheduler/archive_store.h). Its calls block: they belong into helper processes.
 *
 * What does not hold is ERR_DAMAGED, and says which part; ERR_NOT_FOUND: it is not there any
 * more.
 */
#ifndef STOKER_SCHEDULER_STORE_CHECK_H
#define STOKER_SCHEDULER_STORE_CHECK_H

#include "lib/store.h"

/* folder: "<installation>/runs/<job>-<uid>/<attempt>-<token>/" */
bool store_check_transcript(struct store *store, const char *folder, struct error *err) MUST_CHECK;
bool store_check_archived(struct store *store, const char *key, struct error *err) MUST_CHECK;

#endif
