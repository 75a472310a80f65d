/* What the settings of a worker come to. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/store.h"
#include "worker/worker_internal.h"

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
	store_remember(worker->store);
	if (gethostname(worker->host, sizeof worker->host - 1) < 0)
		str_copy(worker->host, sizeof worker->host, "?");
	return true;
}

bool worker_setup(struct worker *worker, struct error *err)
{
	if (!worker_parse_queues(worker, err) || !worker_find_folders(worker, err))
		return false;
	worker_set_runner(worker);
	return true;
}

void worker_setup_done(struct worker *worker)
{
	char *texts[] = { worker->python,   worker->trainer,     worker->cache_dir, worker->checkpoint_cache,
			  worker->code_dir, worker->labels_json, worker->state_dir, worker->store };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
}
