/*
 * Reading the store, which blocks: each question in a helper process of its own, and
 * only so many at a time.
 */
#ifndef STOKER_SCHEDULER_READERS_H
#define STOKER_SCHEDULER_READERS_H

#include <event2/event.h>
#include "lib/helper.h"

struct readers;

struct readers *readers_new(struct event_base *base, size_t max_text);
void readers_free(struct readers *readers); /* those under way are not answered */

/* Once, and never from within readers_ask; text is what run made, and NULL when err is set. */
typedef void reader_fn(void *arg, const char *text, size_t len, const struct error *err);
/* run gets question, a block of memory that is freed with the answer. */
void readers_ask(struct readers *readers, helper_run_fn *run, void *question, reader_fn *fn, void *arg);

#endif
