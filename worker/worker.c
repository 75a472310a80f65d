#include "worker/worker_internal.h"

#include <jansson.h>
#include <string.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/ready.h"
#include "lib/store.h"
#include "worker/capacity.h"
#include "worker/info.h"

enum {
	WORKER_HEARTBEAT_MS = 5000,
	WORKER_HEARTBEAT_BRISK_MS = 500, /* while it is not yet registered, or draining */
	WORKER_HEARTBEAT_GAP_MS = 100,   /* a change is shown at once, but many of them together */
	WORKER_GOODBYE_MS = 2000,        /* for the last heartbeat; without it the record just ages */
};

/* ---- heartbeat ---- */

/* It claims nothing, whatever an operator says. */
static bool worker_holds_back(const struct worker *worker)
{
	return worker->is_draining || worker->breaker.is_open || *worker->noticed || *worker->full;
}

static const char *worker_state(const struct worker *worker)
{
	return worker->is_leaving ? "gone" : worker_holds_back(worker) ? "draining" : "up";
}

/* Nothing puts off what is due sooner: a worker that is never still must be heard of, too. */
static void worker_beat_within(struct worker *worker, int64_t ms)
{
	struct timeval now, due, tv = clock_timeval(ms);
	event_base_gettimeofday_cached(worker->base, &now);
	timeradd(&now, &tv, &now);
	bool is_due = event_pending(worker->heartbeat, EV_TIMEOUT, &due);
	if (!is_due || now.tv_sec < due.tv_sec || (now.tv_sec == due.tv_sec && now.tv_usec < due.tv_usec))
		event_add(worker->heartbeat, &tv);
}

/* Something became free: says it at once, and what changes within the gap after that in one go. */
static void worker_beat_soon(struct worker *worker)
{
	int64_t wait_ms = worker->beat_at_ms + WORKER_HEARTBEAT_GAP_MS - clock_boot_ms();
	worker_beat_within(worker, wait_ms > 0 ? wait_ms : 0);
}

static void worker_first_registered(struct worker_queue *queue)
{
	struct worker *worker = queue->worker;
	queue->is_registered = true;
	log_info("serving a queue", "queue=%s worker=%s", queue->name, worker->id);
	if (worker->was_ready)
		return;
	worker->was_ready = true;
	worker_info_ready(worker->id, &worker->slots, worker->settings->ready_fd);
}

/* An operator asked it to go on since the last heartbeat: whatever the breaker says. */
static void worker_note_resumed(struct worker_queue *queue, int64_t resumed_ms)
{
	struct worker *worker = queue->worker;
	bool is_new = queue->is_registered && resumed_ms > queue->resumed_ms;
	queue->resumed_ms = resumed_ms;
	if (!is_new || !worker->breaker.is_open)
		return;
	log_info("going on: asked to", "queue=%s", queue->name);
	breaker_reset(&worker->breaker);
	worker_beat_soon(worker); /* each queue's answer lets it claim again */
}

static void worker_say_failed(const struct worker_queue *queue, const struct error *err)
{
	if (queue->worker->is_leaving)
		log_failure(LOG_INFO, "a queue was not told that this worker is gone: it sees that no heartbeat comes",
			    err);
	else
		log_failure(LOG_WARN,
			    queue->is_registered ? "a queue does not hear of this worker"
						 : "cannot register with a queue yet",
			    err);
}

static void worker_registered(void *arg, const struct worker_answer *answer, const struct error *err)
{
	struct worker_queue *queue = arg;
	struct worker *worker = queue->worker;
	queue->asking--;
	if (err && !queue->has_said_no)
		worker_say_failed(queue, err);
	queue->has_said_no = err != NULL;
	if (worker->is_leaving) {
		bool all_gone = true;
		queue->is_gone = queue->asking == 0;
		for (size_t i = 0; i < worker->queue_count; i++)
			all_gone = all_gone && worker->queues[i].is_gone;
		if (all_gone)
			event_base_loopbreak(worker->base);
		return;
	}
	if (err)
		return;
	worker_note_resumed(queue, answer->resumed_ms);
	if (answer->marked && worker->settings->store) { /* that in its own state folder comes and goes with it */
		worker->runner.is_marked = true;
		store_expect(worker->store, answer->marked, true); /* for helpers of its own */
	}
	if (!queue->is_registered)
		worker_first_registered(queue);
	if (worker_holds_back(worker) || answer->drain)
		claims_stop(queue->claims); /* also when an operator asked: what runs may end by itself */
	else if (queue->has_begun)
		claims_resume(queue->claims);
	else
		claims_begin(queue->claims, answer->last_request);
	queue->has_begun = queue->has_begun || !claims_is_stopped(queue->claims);
	if (queue->is_outdated)
		worker_beat_soon(worker);
}

static void worker_beat(struct worker *worker)
{
	CLEANUP(buf) struct buf info;
	char why[512] = "";
	if (*worker->noticed)
		str_format(why, sizeof why, "this machine will be taken away: %s", worker->noticed);
	else if (*worker->full)
		str_copy(why, sizeof why, worker->full);
	else if (worker->breaker.is_open)
		breaker_why(&worker->breaker, worker->settings->breaker_time_ms, why, sizeof why);
	struct worker_info about = { .host = worker->host,
				     .state = worker_state(worker),
				     .why = why,
				     .slots = &worker->slots,
				     .labels_json = worker->labels_json,
				     .runs = worker->runs,
				     .state_dir = worker->state_dir,
				     .store = worker->settings->store };
	buf_init(&info, 1024 * 1024);
	worker_info_json(&about, &info);
	worker->beat_at_ms = clock_boot_ms();
	for (size_t i = 0; i < worker->queue_count; i++) {
		struct worker_queue *queue = &worker->queues[i];
		queue->is_outdated = queue->asking > 0;
		if (queue->asking > 0 && !worker->is_leaving)
			continue;
		queue->asking++;
		jobs_worker(worker->jobs, queue->name, worker->id, buf_text(&info), worker_registered, queue);
	}
}

/* ---- the end ---- */

static void worker_goodbye_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(((struct worker *)arg)->base);
}

/* Drained when nothing runs, and no claim is on its way that could still bring something. */
static void worker_check_drained(struct worker *worker)
{
	struct timeval wait = clock_timeval(WORKER_GOODBYE_MS);
	if (!worker->is_draining || worker->is_leaving || !runs_are_over(worker->runs))
		return;
	for (size_t i = 0; i < worker->queue_count; i++)
		if (!claims_is_idle(worker->queues[i].claims))
			return;
	worker->is_leaving = true;
	event_del(worker->heartbeat);
	event_add(worker->goodbye, &wait);
	worker_beat(worker);
}

static void worker_heartbeat(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;
	bool all = true;
	(void)fd;
	(void)what;
	worker_check_drained(worker); /* the last claim may have been answered since */
	if (worker->is_leaving)
		return;
	worker_beat(worker);
	for (size_t i = 0; i < worker->queue_count; i++)
		all = all && worker->queues[i].is_registered;
	worker_beat_within(worker, all && !worker->is_draining ? WORKER_HEARTBEAT_MS : WORKER_HEARTBEAT_BRISK_MS);
}

static void worker_drain(struct worker *worker)
{
	if (worker->is_draining)
		return;
	log_info("draining", "runs=%zu", runs_count(worker->runs));
	ready_say_stopping();
	worker->is_draining = true;
	for (size_t i = 0; i < worker->queue_count; i++)
		claims_stop(worker->queues[i].claims);
	runs_drain(worker->runs);
	worker_beat_within(worker, 0);
}

static void worker_stop_claiming(struct worker *worker)
{
	for (size_t i = 0; i < worker->queue_count; i++)
		claims_stop(worker->queues[i].claims);
	worker_beat_within(worker, 0);
}

/* What runs goes on. */
static void worker_disk_changed(void *arg, const char *why)
{
	struct worker *worker = arg;
	str_copy(worker->full, sizeof worker->full, why ? why : "");
	if (why) {
		log_warn("claiming nothing", "why=\"%s\"", why);
		worker_stop_claiming(worker);
		return;
	}
	log_info("there is room on the disk again", NULL);
	worker_beat_within(worker, 0); /* each queue's answer lets it claim again */
}

/* Not the end of this process: whoever keeps it running would start it again on a machine that goes away. */
static void worker_noticed(void *arg, const char *why)
{
	struct worker *worker = arg;
	struct error err;
	str_copy(worker->noticed, sizeof worker->noticed, why ? why : "");
	if (!why) {
		log_info("this machine stays", NULL);
		run_notice_write(worker->state_dir, "", &err);
		if (!worker->is_draining)
			runs_drain_no_more(worker->runs);
		worker_beat_within(worker, 0); /* each queue's answer lets it claim again */
		return;
	}
	log_warn("this machine will be taken away: its runs are given back", "why=\"%s\" runs=%zu", why,
		 runs_count(worker->runs));
	if (!run_notice_write(worker->state_dir, why, &err))
		log_failure(LOG_WARN, "runs are not told why", &err);
	worker_stop_claiming(worker);
	runs_drain(worker->runs);
}

static void worker_signal(void *arg, int number)
{
	struct worker *worker = arg;
	if (number != SIGUSR2) {
		worker_drain(worker);
		return;
	}
	log_info("handing over: runs go on without this process", "runs=%zu", runs_count(worker->runs));
	event_base_loopbreak(worker->base);
}

/* ---- runs ---- */

static void worker_freed(void *arg)
{
	struct worker *worker = arg;
	worker->first_queue++;
	for (size_t i = 0; i < worker->queue_count; i++)
		claims_look(worker->queues[(worker->first_queue + i) % worker->queue_count].claims);
	worker_beat_soon(worker);
	worker_check_drained(worker);
}

static void worker_run_ended(void *arg, const char *job, enum run_end end)
{
	struct worker *worker = arg;
	char why[512];
	if (!breaker_note(&worker->breaker, job, end))
		return;
	breaker_why(&worker->breaker, worker->settings->breaker_time_ms, why, sizeof why);
	log_warn("draining itself; stoker workers resume, or a restart, lets it go on", "why=\"%s\"", why);
	for (size_t i = 0; i < worker->queue_count; i++)
		claims_stop(worker->queues[i].claims);
	worker_beat_soon(worker);
}

static void worker_gave_back(void *arg, const char *text, size_t len, const struct error *err)
{
	(void)arg;
	(void)text;
	(void)len;
	if (err)
		log_failure(LOG_WARN, "a claim could not be given back: its lease will end", err);
}

static bool worker_claimed(void *arg, const struct claim *claim, int64_t sent_boot_ms)
{
	struct worker *worker = arg;
	struct error err = { 0 };
	worker_beat_within(worker, WORKER_HEARTBEAT_GAP_MS); /* first things first: the run */
	if (runs_start(worker->runs, claim, sent_boot_ms, &err))
		return true;
	log_failure(LOG_ERROR, "a claimed job cannot be started here", &err);
	json_auto_t *detail = json_pack("{s:s}", "error", err.message);
	CLEANUP(free_p) char *text = json_dumps(detail, JSON_COMPACT);
	jobs_finish(worker->jobs, &claim->ref, "preempted", text ? text : "{}", worker_gave_back, NULL);
	return false;
}

static void worker_stopped_claiming(void *arg)
{
	worker_check_drained(arg);
}

/* A hint on :control: a class is new, the queue was resumed, or an operator said something to a worker. */
static void worker_hint(void *arg, const char *channel, const char *text, size_t len)
{
	struct worker *worker = arg;
	json_auto_t *hint = json_loadb(text, len, 0, NULL);
	if (!hint || json_object_get(hint, "stop"))
		return; /* for a runner */
	if (json_object_get(hint, "worker")) {
		worker_beat_soon(worker); /* its answer says what */
		return;
	}
	for (size_t i = 0; i < worker->queue_count; i++)
		claims_hear(worker->queues[i].claims, channel, text, len);
}

static void worker_connected(void *arg, bool connected, const struct error *err)
{
	struct worker *worker = arg;
	if (!connected && err)
		log_failure(worker->is_cut_off ? LOG_DEBUG : LOG_WARN, "redis is away; it is tried again all the time",
			    err);
	if (connected && worker->is_cut_off)
		log_info("redis is back", "runs=%zu", runs_count(worker->runs));
	for (size_t i = 0; connected && worker->is_cut_off && i < worker->queue_count; i++)
		claims_redis_is_back(worker->queues[i].claims);
	worker->is_cut_off = !connected;
	if (connected)
		worker_beat_within(worker, 0);
}

/* ---- making it ---- */

static bool worker_connect(struct worker *worker, struct error *err)
{
	worker->jobs = jobs_new(worker->base, &worker->jobs_options, err);
	worker->control = worker->jobs ? jobs_subscriber(worker->base, &worker->jobs_options, err) : NULL;
	if (!worker->control)
		return false;
	jobs_on_state(worker->jobs, worker_connected, worker);
	redis_on_message(worker->control, worker_hint, worker);
	for (size_t i = 0; i < worker->queue_count; i++) {
		struct worker_queue *queue = &worker->queues[i];
		struct claims_options o = { .base = worker->base,
					    .jobs = worker->jobs,
					    .own = &worker->jobs_options,
					    .control = worker->control,
					    .may_be_given = worker->queue_count == 1,
					    .queue = queue->name,
					    .worker = worker->id,
					    .labels_json = worker->labels_json,
					    .slots = &worker->slots,
					    .turn = &worker->turn,
					    .on_claim = worker_claimed,
					    .on_stopped = worker_stopped_claiming,
					    .arg = worker };
		queue->claims = claims_new(&o, err);
		if (!queue->claims)
			return false;
	}
	return true;
}

static bool worker_listen(struct worker *worker, struct error *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR2);
	worker->heartbeat = evtimer_new(worker->base, worker_heartbeat, worker);
	worker->goodbye = evtimer_new(worker->base, worker_goodbye_late, worker);
	worker->signals = signals_new(worker->base, &set, worker_signal, worker, err);
	return worker->signals != NULL;
}

static bool worker_start(struct worker *worker, struct error *err)
{
	const struct worker_settings *s = worker->settings;
	worker->labels_json = capacity_labels(s->labels, err);
	if (!worker->labels_json || !capacity_find(s, &worker->slots.total, err) || !worker_setup(worker, err) ||
	    !worker_listen(worker, err) || !worker_connect(worker, err))
		return false;
	struct runs_options o = { .base = worker->base,
				  .jobs = worker->jobs,
				  .slots = &worker->slots,
				  .state_dir = worker->state_dir,
				  .settings = &worker->runner,
				  .keep_runs = s->keep_runs,
				  .on_freed = worker_freed,
				  .on_ended = worker_run_ended,
				  .arg = worker };
	worker->runs = runs_new(&o, err);
	/* The notice is what an earlier worker was told. */
	if (!worker->runs || !run_notice_write(worker->state_dir, "", err) || !runs_scan(worker->runs, err))
		return false;
	struct room_options room = { .base = worker->base,
				     .state_dir = worker->state_dir,
				     .checkpoints = worker->runner.checkpoint_cache,
				     .code_dir = worker->code_dir,
				     .least_bytes = s->disk_least_bytes,
				     .changed = worker_disk_changed,
				     .arg = worker };
	worker->room = room_new(&room);
	struct notice_options notice = { .base = worker->base,
					 .file = s->preempt_file,
					 .command = s->preempt_command,
					 .url = s->preempt_url,
					 .interval_ms = s->preempt_interval_ms,
					 .changed = worker_noticed,
					 .arg = worker };
	worker->notice = notice_new(&notice);
	worker_beat_within(worker, 0);
	return true;
}

struct worker *worker_new(struct event_base *base, const struct worker_settings *settings, struct error *err)
{
	struct worker *worker = mem_alloc(sizeof *worker);
	worker->base = base;
	worker->settings = settings;
	worker->lock_fd = -1;
	worker->breaker.limit = settings->breaker;
	if (worker_start(worker, err))
		return worker;
	worker_free(worker);
	return NULL;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	jobs_free(worker->jobs); /* first: it ends the calls that the others have under way */
	for (size_t i = 0; i < worker->queue_count; i++)
		claims_free(worker->queues[i].claims);
	room_free(worker->room);
	notice_free(worker->notice);
	runs_free(worker->runs);
	redis_free(worker->control);
	signals_free(worker->signals);
	if (worker->heartbeat)
		event_free(worker->heartbeat);
	if (worker->goodbye)
		event_free(worker->goodbye);
	worker_setup_done(worker);
	if (worker->lock_fd >= 0)
		close(worker->lock_fd);
	free(worker);
}
