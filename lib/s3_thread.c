/*
 * The thread that moves all transfers of one struct s3. Connections are served while the caller reads and hashes what
 * goes out next: with both in one thread each waited for the other.
 *
 * What is shared is under the lock: the inbox, and of a call only is_done, transfer and is_cancelled. A call and its
 * body belong to the thread from s3_begin until is_done; curl and the settings belong to it as long as calls are under
 * way.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "lib/clock.h"
#include "lib/s3_internal.h"

enum { LOWEST_NICE = 19 };

enum { S3_IDLE_MS = 3600 * 1000 }; /* until somebody wakes it */

void s3_end(struct s3_transfer *t)
{
	struct s3 *s3 = t->s3;
	for (struct s3_transfer **at = &s3->all; *at; at = &(*at)->next)
		if (*at == t) {
			*at = t->next;
			break;
		}
	pthread_mutex_lock(&s3->lock);
	t->call->is_done = true;
	t->call->transfer = NULL;
	s3->ended++;
	pthread_cond_broadcast(&s3->moved);
	pthread_mutex_unlock(&s3->lock);
	free(t);
}

/* False: it is over. */
static bool s3_take_inbox(struct s3 *s3)
{
	pthread_mutex_lock(&s3->lock);
	bool is_closing = s3->is_closing;
	while (s3->inbox) {
		struct s3_transfer *t = s3->inbox;
		s3->inbox = t->next;
		t->next = s3->all;
		s3->all = t;
	}
	struct s3_transfer *cancelled = NULL; /* one a turn: the caller waits for each */
	for (struct s3_transfer *t = s3->all; t; t = t->next)
		if (t->is_cancelled)
			cancelled = t;
	pthread_mutex_unlock(&s3->lock);
	if (cancelled) {
		s3_drop_easy(cancelled);
		s3_end(cancelled);
	}
	return !is_closing;
}

/* Begins what is new, or to be tried again; how long until the next. */
static int s3_begin_due(struct s3 *s3)
{
	int wait_ms = S3_IDLE_MS;
	int64_t now_ms = clock_boot_ms();
	for (struct s3_transfer *t = s3->all, *next; t; t = next) {
		next = t->next;
		if (!t->easy && t->due_ms <= now_ms)
			s3_try(t);
		else if (!t->easy && t->due_ms - now_ms < wait_ms)
			wait_ms = (int)(t->due_ms - now_ms);
	}
	return wait_ms;
}

/* A helper at the lowest priority is one that nobody is to feel: its second thread must not double its share. */
static void s3_thread_stay_low(void)
{
	const struct sched_param none = { 0 };
	if (getpriority(PRIO_PROCESS, 0) >= LOWEST_NICE)
		(void)!sched_setscheduler(0, SCHED_IDLE, &none);
}

static void *s3_thread(void *arg)
{
	struct s3 *s3 = arg;
	s3_thread_stay_low();
	while (s3_take_inbox(s3)) {
		int running = 0, left = 0, wait_ms = s3_begin_due(s3);
		CURLMsg *message;
		bool is_moved = false;
		s3->api.multi_perform(s3->multi, &running);
		while ((message = s3->api.multi_info_read(s3->multi, &left))) {
			char *private = NULL;
			if (message->msg != CURLMSG_DONE)
				continue;
			s3->api.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
			s3_tried((struct s3_transfer *)private, message->data.result);
			is_moved = true;
		}
		if (!is_moved)
			s3->api.multi_poll(s3->multi, NULL, 0, wait_ms, NULL);
	}
	return NULL;
}

/* It takes no signals: what a process does on one is its main thread's. */
bool s3_thread_start(struct s3 *s3, struct error *err)
{
	sigset_t all, before;
	pthread_mutex_init(&s3->lock, NULL);
	pthread_cond_init(&s3->moved, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int result = pthread_create(&s3->thread, NULL, s3_thread, s3);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s3->has_thread = result == 0;
	errno = result;
	return s3->has_thread || error_errno(err, ERR_SYSTEM, "raise the limit of processes (ulimit -u)",
					     "store %s: no thread for its connections", s3->settings.url);
}

void s3_thread_stop(struct s3 *s3)
{
	if (!s3->has_thread)
		return;
	pthread_mutex_lock(&s3->lock);
	s3->is_closing = true;
	pthread_mutex_unlock(&s3->lock);
	s3->api.multi_wakeup(s3->multi);
	pthread_join(s3->thread, NULL);
	pthread_cond_destroy(&s3->moved);
	pthread_mutex_destroy(&s3->lock);
}

/* ---- for the caller's thread ---- */

void s3_begin(struct s3 *s3, struct s3_call *call)
{
	/* Only now: a process that confines itself after it has opened the store has a thread that is confined, too. */
	if (!s3->has_thread && !s3_thread_start(s3, &call->error)) {
		call->is_done = true;
		s3->ended++;
		return;
	}
	struct s3_transfer *t = mem_alloc(sizeof *t);
	*t = (struct s3_transfer){ .s3 = s3, .call = call };
	if (!call->sha256)
		t->sha256 = digest_of(call->body, call->body_len);
	call->got = 0;
	pthread_mutex_lock(&s3->lock);
	call->transfer = t;
	call->is_done = false;
	t->next = s3->inbox;
	s3->inbox = t;
	pthread_mutex_unlock(&s3->lock);
	s3->api.multi_wakeup(s3->multi);
}

bool s3_is_done(struct s3 *s3, const struct s3_call *call)
{
	pthread_mutex_lock(&s3->lock);
	bool is_done = call->is_done;
	pthread_mutex_unlock(&s3->lock);
	return is_done;
}

void s3_wait(struct s3 *s3)
{
	pthread_mutex_lock(&s3->lock);
	while (s3->seen == s3->ended)
		pthread_cond_wait(&s3->moved, &s3->lock);
	s3->seen = s3->ended;
	pthread_mutex_unlock(&s3->lock);
}

void s3_wait_for(struct s3 *s3, const struct s3_call *call)
{
	pthread_mutex_lock(&s3->lock);
	while (!call->is_done)
		pthread_cond_wait(&s3->moved, &s3->lock);
	pthread_mutex_unlock(&s3->lock);
}

void s3_cancel(struct s3 *s3, struct s3_call *call)
{
	pthread_mutex_lock(&s3->lock);
	if (call->transfer)
		call->transfer->is_cancelled = true;
	pthread_mutex_unlock(&s3->lock);
	s3->api.multi_wakeup(s3->multi);
	s3_wait_for(s3, call);
}
