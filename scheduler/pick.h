/*
 * Which checkpoint of a job is meant: latest, best, a step, or an id; for what the API
 * hands out. What a job goes on from is decided in lua/lend.lua, by the same words.
 */
#ifndef STOKER_SCHEDULER_PICK_H
#define STOKER_SCHEDULER_PICK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "lib/error.h"

bool pick_is_word(const char *word, struct error *err) MUST_CHECK;

/* Its summary with "id" in it, a new reference; show: the document of stoker_show. NULL: there is none. */
json_t *pick_checkpoint(const json_t *show, const char *word, struct error *err);

/* The URI of a manifest: its own (object 0), or that of an earlier checkpoint of the attempt, by its number, of which
 * it uses files. ERR_NOT_FOUND: it uses none of that. The caller frees it. */
char *pick_uri(const json_t *summary, int64_t object, struct error *err);

/* The key of a manifest in the store of this URL; NULL: it is in another. The caller frees it. */
char *pick_key(const char *store, const char *uri, struct error *err);

#endif
