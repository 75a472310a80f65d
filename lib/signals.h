/*
 * Signals as events of one loop, by signalfd: no handler, no global, and nothing
 * that a forked process would share with its parent. The signals are blocked from
 * signals_new on; what arrives is delivered by fn, in the loop.
 */
#ifndef STOKER_LIB_SIGNALS_H
#define STOKER_LIB_SIGNALS_H

#include <signal.h>
#include <event2/event.h>
#include "lib/error.h"

struct signals;
typedef void signals_fn(void *arg, int signal_number);

struct signals *signals_new(struct event_base *base, const sigset_t *set, signals_fn *fn, void *arg, struct error *err);
void signals_free(struct signals *signals); /* they stay blocked */

#endif
