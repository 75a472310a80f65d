/*
 * The parts of the worker share one struct:
 *   worker.c        its life: heartbeats, runs, draining, the end
 *   worker_setup.c  what its settings come to: queues, folders, what every runner is told
 * Nothing else includes this header.
 */
#ifndef STOKER_WORKER_WORKER_INTERNAL_H
#define STOKER_WORKER_WORKER_INTERNAL_H

#include "lib/signals.h"
#include "queue/jobs.h"
#include "queue/spec.h"
#include "worker/breaker.h"
#include "worker/claims.h"
#include "worker/identity.h"
#include "worker/notice.h"
#include "worker/room.h"
#include "worker/runs.h"
#include "worker/worker.h"

#define WORKER_QUEUES_MAX 64

struct worker_queue {
	struct worker *worker;
	char name[SPEC_QUEUE_MAX + 1];
	struct claims *claims;
	int64_t resumed_ms; /* when an operator last asked it to go on, as its heartbeats are told */
	bool is_registered;
	bool has_begun;   /* to claim: later it is only stopped and resumed */
	int asking;       /* heartbeats on their way: one, and the last */
	bool is_outdated; /* and something changed since it was sent */
	bool has_said_no; /* a heartbeat failed; said once */
	bool is_gone;     /* the last heartbeat was answered */
};

struct worker {
	struct event_base *base;
	const struct worker_settings *settings;
	int lock_fd;
	char id[WORKER_ID_MAX + 1];
	char host[65];
	char *state_dir;
	char *store;
	char *python, *trainer, *cache_dir, *checkpoint_cache, *code_dir;
	char *labels_json;
	struct jobs_options jobs_options; /* of the worker's own connections */
	struct jobs_options runner_jobs;
	struct runner_settings runner;
	struct jobs *jobs;
	struct redis *control;
	struct slots slots;
	struct runs *runs;
	struct worker_queue queues[WORKER_QUEUES_MAX];
	size_t queue_count;
	size_t first_queue; /* that asks for what became free: each in turn */
	struct claims_turn turn;
	struct breaker breaker;
	struct room *room;
	char full[ROOM_WHY_MAX]; /* its disk has no room: why nothing is claimed; "": it has */
	struct notice *notice;
	char noticed[NOTICE_MAX + 1]; /* this machine goes away: why; "": it does not */
	struct signals *signals;
	struct event *heartbeat;
	int64_t beat_at_ms; /* boot clock: the last heartbeat */
	struct event *goodbye;
	bool is_draining, is_leaving, was_ready, is_cut_off;
};

bool worker_setup(struct worker *worker, struct error *err) MUST_CHECK;
void worker_setup_done(struct worker *worker);

#endif
