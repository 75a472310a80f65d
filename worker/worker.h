/*
 * The worker daemon: registers what this machine can give, claims jobs that fit
 * (worker/claims.h), and keeps their runs (worker/runs.h).
 *
 * SIGTERM and SIGINT drain: no new claims, every run gives its job back, then the
 * worker ends. SIGUSR2 hands over: it ends at once, the runs go on and the next
 * worker of the same state folder adopts them; so do they when it is killed.
 */
#ifndef STOKER_WORKER_WORKER_H
#define STOKER_WORKER_WORKER_H

#include <event2/event.h>
#include "lib/error.h"
#include "worker/settings.h"

struct worker;

/* Takes the state folder (one worker at a time), finds the machine's capacity and adopts what runs. */
struct worker *worker_new(struct event_base *base, const struct worker_settings *settings, struct error *err);
void worker_free(struct worker *worker);

#endif
