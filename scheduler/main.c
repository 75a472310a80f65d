/* stoker-scheduler: reads its options, makes the scheduler and runs the loop. */
#include <signal.h>
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

static int main_run(const struct scheduler_settings *settings)
{
	struct error err = { 0 };
	log_setup("stoker-scheduler", main_level(settings->log_level), settings->log_json);
	ready_fd_keep(settings->ready_fd);
	signal(SIGPIPE, SIG_IGN); /* a client or a server that went away is an error, not a death */
	struct event_base *base = event_base_new();
	if (!base)
		abort();
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
	if (config_start(&scheduler_options, argc, argv, &settings, &status))
		status = main_run(&settings);
	config_done(&scheduler_options, &settings);
	return status;
}
