/* stoker-worker: reads its options, makes the worker and runs the loop. */
#include <signal.h>
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/ready.h"
#include "worker/settings.h"
#include "worker/worker.h"

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

static int main_run(const struct worker_settings *settings)
{
	struct error err = { 0 };
	log_setup("stoker-worker", main_level(settings->log_level), settings->log_json);
	ready_fd_keep(settings->ready_fd);
	mem_keep_freed();
	signal(SIGPIPE, SIG_IGN); /* writes to a program or a server that went away are errors, not deaths */
	struct event_base *base = event_base_new();
	struct worker *worker = worker_new(base, settings, &err);
	bool ok = worker != NULL;
	if (ok)
		event_base_dispatch(base);
	else
		log_failure(LOG_ERROR, "cannot start", &err);
	worker_free(worker);
	event_base_free(base);
	return ok ? 0 : error_kind_of(err.kind)->exit_code;
}

int main(int argc, char **argv)
{
	struct worker_settings settings = { 0 };
	int status = 0;
	mem_for_libraries();
	if (config_start(&worker_options, argc, argv, &settings, &status))
		status = main_run(&settings);
	config_done(&worker_options, &settings);
	return status;
}
