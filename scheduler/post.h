/*
 * Carries letters between queues: what stoker_promote hands out of a queue's `outbox`
 * (lua/post.lua says what is in one). Nothing is kept here: a letter that got lost
 * is handed out again, one that came twice changes nothing.
 */
#ifndef STOKER_SCHEDULER_POST_H
#define STOKER_SCHEDULER_POST_H

#include <stddef.h>
#include "scheduler/loan.h"

/* letters are those of this queue; they are copied. */
void post_carry(const struct loan_place *place, const char *queue, const char *const *letters, size_t count);

#endif
