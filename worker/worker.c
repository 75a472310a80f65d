#include "worker/worker.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/ready.h"
#include "lib/signals.h"
#include "queue/jobs.h"
#include "queue/spec.h"
#include "worker/capacity.h"
#include "worker/breaker.h"
#include "worker/claims.h"
#include "worker/identity.h"
#include "worker/info.h"
#include "worker/runs.h"

enum {
	WORKER_HEARTBEAT_MS = 5000,
	WORKER_HEARTBEAT_BRISK_MS = 500, /* while it is not yet registered, or draining */
	WORKER_HEARTBEAT_GAP_MS = 100,   /* a change is shown at once, but many of them together */
	WORKER_QUEUES_MAX = 64,
	WORKER_GOODBYE_MS = 2000, /* for the last heartbeat; without it the record just ages */
};

struct worker_queue {
	struct worker *worker;
	char name[SPEC_QUEUE_MAX + 1];
	struct claims *claims;
	int64_t resumed_ms; /* when an operator last asked it to go on, as its heartbeats are told */
	bool is_registered;
	bool has_begun;   /* to claim: later it is only stopped and resumed */
	bool is_asking;   /* a heartbeat is on its way */
	bool is_outdated; /* and something changed since it was sent */
	bool has_said_no; /* its registration failed; said once */
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
	struct signals *signals;
	struct event *heartbeat;
	int64_t beat_at_ms; /* boot clock: the last heartbeat */
	struct event *goodbye;
	bool is_draining, is_leaving, was_ready, is_cut_off;
};

/* ---- heartbeat ---- */

static const char *worker_state(const struct worker *worker)
{
	return worker->is_leaving ? "gone" : worker->is_draining || worker->breaker.is_open ? "draining" : "up";
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

static void worker_registered(void *arg, const struct worker_answer *answer, const struct error *err)
{
	struct worker_queue *queue = arg;
	struct worker *worker = queue->worker;
	queue->is_asking = false;
	if (err && !queue->has_said_no)
		log_failure(LOG_WARN, "cannot register with a queue yet", err);
	queue->has_said_no = err != NULL;
	if (worker->is_leaving) {
		bool all_gone = true;
		queue->is_gone = true;
		for (size_t i = 0; i < worker->queue_count; i++)
			all_gone = all_gone && worker->queues[i].is_gone;
		if (all_gone)
			event_base_loopbreak(worker->base);
		return;
	}
	if (err)
		return;
	worker_note_resumed(queue, answer->resumed_ms);
	if (!queue->is_registered)
		worker_first_registered(queue);
	if (worker->is_draining || answer->drain || worker->breaker.is_open)
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
	if (worker->breaker.is_open)
		breaker_why(&worker->breaker, worker->settings->breaker_time_ms, why, sizeof why);
	struct worker_info about = { .host = worker->host,
				     .state = worker_state(worker),
				     .why = why,
				     .slots = &worker->slots,
				     .labels_json = worker->labels_json,
				     .runs = worker->runs,
				     .state_dir = worker->state_dir };
	buf_init(&info, 1024 * 1024);
	worker_info_json(&about, &info);
	worker->beat_at_ms = clock_boot_ms();
	for (size_t i = 0; i < worker->queue_count; i++) {
		struct worker_queue *queue = &worker->queues[i];
		queue->is_outdated = queue->is_asking;
		if (queue->is_asking && !worker->is_leaving)
			continue;
		queue->is_asking = true;
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
	if (!worker->is_draining || worker->is_leaving || runs_count(worker->runs))
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
	worker->is_cut_off = !connected;
	if (connected)
		worker_beat_within(worker, 0);
}

/* ---- making it ---- */

static bool worker_add_queue(struct worker *worker, const char *name, size_t len, struct error *err)
{
	CLEANUP(free_p) char *text = mem_strndup(name, len);
	if (!spec_is_queue(text))
		return error_set(err, ERR_INPUT, NULL, "--queues: \"%s\" is not the name of a queue", text);
	if (worker->queue_count == WORKER_QUEUES_MAX)
		return error_set(err, ERR_INPUT, NULL, "--queues: at most %d queues", WORKER_QUEUES_MAX);
	struct worker_queue *queue = &worker->queues[worker->queue_count++];
	*queue = (struct worker_queue){ .worker = worker };
	str_copy(queue->name, sizeof queue->name, text);
	return true;
}

static bool worker_parse_queues(struct worker *worker, struct error *err)
{
	for (const char *p = worker->settings->queues; *p;) {
		size_t len = strcspn(p, ",");
		if (len && !worker_add_queue(worker, p, len, err))
			return false;
		p += len + (p[len] == ',');
	}
	return worker->queue_count || error_set(err, ERR_INPUT, NULL, "--queues: name at least one queue");
}

static void worker_set_runner(struct worker *worker)
{
	const struct worker_settings *s = worker->settings;
	worker->jobs_options = (struct jobs_options){
		.redis = { .url = s->redis_url, .ca_file = s->redis_ca, .name = "stoker-worker" }, .prefix = s->prefix
	};
	worker->runner_jobs = worker->jobs_options;
	worker->runner_jobs.redis.name = "stoker-runner";
	worker->runner_jobs.redis.fail_when_down = true;
	worker->python = s->python ? mem_strdup(s->python) : backend_find_python();
	worker->trainer = s->trainer ? mem_strdup(s->trainer) : backend_find_trainer();
	worker->cache_dir = run_path(worker->state_dir, "cache");
	/* A store of files is as near as a cache would be. */
	bool is_near = strncmp(worker->store, "file:", 5) == 0;
	worker->checkpoint_cache = is_near ? NULL : run_path(worker->state_dir, "checkpoint-cache");
	worker->code_dir = run_path(worker->state_dir, "code");
	worker->runner = (struct runner_settings){
		.jobs = &worker->runner_jobs,
		.worker = worker->id,
		.store = worker->store,
		.checkpoint_cache = { .folder = worker->checkpoint_cache, .most_bytes = s->checkpoint_cache_bytes },
		.code_dir = worker->code_dir,
		.code_cache_bytes = s->code_cache_bytes,
		.backend = { .python = worker->python, .trainer = worker->trainer, .cache_dir = worker->cache_dir },
		.log_level = worker_log_level(s),
		.log_json = s->log_json,
		.stall_least_ms = s->stall_least_ms,
		.soon_ms = s->breaker_time_ms,
	};
}

static bool worker_find_folders(struct worker *worker, struct error *err)
{
	const struct worker_settings *s = worker->settings;
	if (!identity_take(s->state_dir, &worker->lock_fd, err) || !identity_find(s->state_dir, s->id, worker->id, err))
		return false;
	worker->state_dir = realpath(s->state_dir, NULL);
	if (!worker->state_dir)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot find %s", s->state_dir);
	worker->store = s->store ? mem_strdup(s->store) : mem_printf("file://%s/store", worker->state_dir);
	if (gethostname(worker->host, sizeof worker->host - 1) < 0)
		str_copy(worker->host, sizeof worker->host, "?");
	return true;
}

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
	if (!worker->labels_json || !capacity_find(s, &worker->slots.total, err) || !worker_parse_queues(worker, err) ||
	    !worker_find_folders(worker, err) || !worker_listen(worker, err))
		return false;
	worker_set_runner(worker);
	if (!worker_connect(worker, err))
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
	if (!worker->runs || !runs_scan(worker->runs, err))
		return false;
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
	runs_free(worker->runs);
	redis_free(worker->control);
	signals_free(worker->signals);
	if (worker->heartbeat)
		event_free(worker->heartbeat);
	if (worker->goodbye)
		event_free(worker->goodbye);
	char *texts[] = { worker->python,   worker->trainer,     worker->cache_dir, worker->checkpoint_cache,
			  worker->code_dir, worker->labels_json, worker->state_dir, worker->store };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	if (worker->lock_fd >= 0)
		close(worker->lock_fd);
	free(worker);
}
