/*
 * Where time went, in words: of a job, of a queue.
 */
#ifndef STOKER_CLI_GOODPUT_H
#define STOKER_CLI_GOODPUT_H

#include <jansson.h>
#include <stddef.h>
#include "lib/buf.h"

/* "queued 3.1 s, setup 62 s (58 s of it loading), training 2 h 13 min: 93.1 % productive"; nothing is left out but
 * what is zero. */
void goodput_line(const json_t *time, struct buf *into);

/* "about every 12 min: one takes 3.0 s, and in queue gpu an attempt ends badly every 6 h (4 in 24 h)" */
void goodput_interval_line(const json_t *interval, const char *queue, struct buf *into);

/* "93.1 %"; "" when nothing has run. */
void goodput_share(const json_t *time, char *into, size_t size);

#endif
