#include "worker/prune.h"

#include "lib/buf.h"
#include "lib/child.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "worker/run_folder.h"

enum {
	PRUNE_WAIT_MS = 2000,
	PRUNE_MANY = 64, /* ended runs: then at once, so that their folders serve the next ones */
};

struct prune {
	struct event_base *base;
	const char *state_dir;
	int64_t keep;
	const struct cache *cache;
	struct event *timer;
	struct child_watch *watch; /* the process at work */
	bool is_armed;
	int ended; /* runs since it was started last */
};

static int prune_run(struct event_base *base, void *arg)
{
	const struct prune *prune = arg;
	(void)base;
	run_folders_prune(prune->state_dir, prune->keep);
	cache_tidy(prune->cache);
	return 0;
}

static void prune_arm(struct prune *prune)
{
	struct timeval wait = clock_timeval(prune->ended < PRUNE_MANY ? PRUNE_WAIT_MS : 0);
	bool is_sooner = prune->ended == PRUNE_MANY;
	if (prune->watch || (prune->is_armed && !is_sooner))
		return;
	prune->is_armed = true;
	event_add(prune->timer, &wait);
}

static void prune_ended(void *arg, const struct child_exit *how)
{
	struct prune *prune = arg;
	(void)how;
	child_watch_free(prune->watch);
	prune->watch = NULL;
	if (prune->ended)
		prune_arm(prune);
}

static void prune_start(evutil_socket_t fd, short what, void *arg)
{
	struct prune *prune = arg;
	struct error err;
	pid_t pid;
	struct child_fork_options o = { .name = "stoker-prune", .run = prune_run, .arg = prune };
	(void)fd;
	(void)what;
	prune->is_armed = false;
	if (prune->watch)
		return; /* its end sees to it */
	prune->ended = 0;
	if (child_fork(&o, &pid, &err))
		prune->watch = child_watch_new(prune->base, pid, prune_ended, prune, &err);
	if (!prune->watch)
		log_failure(LOG_WARN, "folders of ended runs are not removed", &err);
}

struct prune *prune_new(struct event_base *base, const char *state_dir, int64_t keep, const struct cache *cache)
{
	struct prune *prune = mem_alloc(sizeof *prune);
	*prune = (struct prune){ .base = base, .state_dir = state_dir, .keep = keep, .cache = cache };
	prune->timer = evtimer_new(base, prune_start, prune);
	return prune;
}

void prune_soon(struct prune *prune)
{
	prune->ended++;
	prune_arm(prune);
}

void prune_free(struct prune *prune)
{
	if (!prune)
		return;
	child_watch_free(prune->watch);
	event_free(prune->timer);
	free(prune);
}
