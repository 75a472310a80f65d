/*
 * What was handed over to a worker that waits, since its last claim: jobs that came
 * as a message before it asked for them (lua/offer.lua).
 *
 * The rule it protects: a job that came as a message and again in the answer to a
 * claim, because the two crossed, is started once. A message counts from the
 * claim on that its offer came from; the answer to a later one has all of it.
 */
#ifndef STOKER_WORKER_GIVEN_H
#define STOKER_WORKER_GIVEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/buf.h"
#include "queue/jobs.h"

enum { GIVEN_MAX = 32, GIVEN_CHANNEL_SIZE = 33 }; /* two claims' worth: lua/offer.lua gives at most 16 in between */

struct given {
	size_t count;
	struct {
		int64_t request, n;
		char token[sizeof((struct attempt_ref *)0)->token];
	} all[GIVEN_MAX];
};

/* The name of a channel that nobody else has, and that this process will never have again. */
bool given_channel(char into[GIVEN_CHANNEL_SIZE], struct error *err) MUST_CHECK;

/* False: there is no room, or it is there already; then it is not to be started. */
bool given_add(struct given *given, const struct claim *claim);
bool given_has(const struct given *given, const struct claim *claim);
/* The claim of this number was answered: what was handed over before it needs no remembering. */
void given_forget(struct given *given, int64_t request);
/* As a claim tells it: JSON list of "<n>:<token>". */
void given_json(const struct given *given, struct buf *into);

#endif
