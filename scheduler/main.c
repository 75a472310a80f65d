/* stoker-scheduler: reads its options, makes the scheduler and runs the loop. */
#include <signal.h>
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/ready.h"
#include "scheduler/scheduler.h"

static enum log_level main_level(const char *name)
{
	switch (name[0]) {
	case 'e':
		return LOG_ERROR;
	case 'w':
		return LOG_WARN;
	case 'd':
		return LOG_DEBUG;
	default:
		return LOG_INFO;
	}
}

/* ---- --deploy: the library is loaded before the first call, so being connected is all that is asked for ---- */

struct main_deploy {
	struct event_base *base;
	bool is_done;
	struct error error;
};

static void main_on_redis(void *arg, bool connected, const struct error *err)
{
	struct main_deploy *deploy = arg;
	deploy->is_done = connected;
	if (!connected)
		deploy->error = *err;
	/* A Redis that is away may come; what it refuses now, it refuses again. */
	if (connected || !error_kind_of(err->kind)->can_retry)
		event_base_loopexit(deploy->base, NULL);
}

static int main_deploy(struct event_base *base, const struct scheduler_settings *settings)
{
	struct main_deploy deploy = { .base = base };
	const struct jobs_options options = {
		.redis = { .url = settings->redis_url, .ca_file = settings->redis_ca, .name = "stoker-deploy" },
		.prefix = settings->prefix,
		.load_library = true
	};
	const struct timeval patience = { .tv_sec = 60 };
	struct jobs *jobs = jobs_new(base, &options, &deploy.error);
	if (jobs) {
		jobs_on_state(jobs, main_on_redis, &deploy);
		event_base_loopexit(base, &patience);
		event_base_dispatch(base);
	}
	if (deploy.is_done)
		log_info("the function library is in place", "where=%s", jobs_where(jobs));
	else
		log_failure(LOG_ERROR, "the function library was not loaded", &deploy.error);
	jobs_on_state(jobs, NULL, NULL);
	jobs_free(jobs);
	return deploy.is_done ? 0 : error_kind_of(deploy.error.kind)->exit_code;
}

static int main_run(const struct scheduler_settings *settings)
{
	struct error err = { 0 };
	log_setup("stoker-scheduler", main_level(settings->log_level), settings->log_json);
	ready_fd_keep(settings->ready_fd);
	mem_keep_freed();
	signal(SIGPIPE, SIG_IGN); /* a client or a server that went away is an error, not a death */
	struct event_base *base = event_base_new();
	if (settings->deploy) {
		int status = main_deploy(base, settings);
		event_base_free(base);
		return status;
	}
	struct scheduler *s = scheduler_new(base, settings, &err);
	if (s) {
		event_base_dispatch(base);
		log_info("stopped", NULL);
	} else {
		log_failure(LOG_ERROR, "cannot start", &err);
	}
	scheduler_free(s);
	event_base_free(base);
	return error_kind_of(err.kind)->exit_code;
}

int main(int argc, char **argv)
{
	struct scheduler_settings settings = { 0 };
	int status = 0;
	mem_for_libraries();
	if (config_start(&scheduler_options, argc, argv, &settings, &status))
		status = main_run(&settings);
	config_done(&scheduler_options, &settings);
	return status;
}
