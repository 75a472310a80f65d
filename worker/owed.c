#include "worker/owed.h"

#include <dirent.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/helper.h"
#include "lib/log.h"
#include "worker/run_folder.h"
#include "worker/transcript.h"

enum {
	OWED_MAX = 1000,     /* folders */
	OWED_REST_MS = 2000, /* after a failure: doubled up to the next */
	OWED_REST_MAX_MS = 60000,
};

struct owed {
	struct owed_options o;
	struct helper *helper; /* NULL: none is at work */
	struct event *timer;
	bool is_behind;  /* something was added since it was started */
	int64_t rest_ms; /* after the last failure; 0: none */
	char complaint[512];
};

/* ---- in the helper ---- */

static bool owed_pay(const struct owed *owed, const char *folder, bool is_given_up, struct error *err)
{
	struct error why;
	bool ok = !is_given_up && transcript_write(owed->o.store, folder, &why);
	if (is_given_up)
		error_set(&why, ERR_FULL, "see to the store", "more than %d runs wait for the store", OWED_MAX);
	if (!ok && !is_given_up && why.kind != ERR_DAMAGED) {
		*err = why;
		return false;
	}
	if (!ok) {
		error_wrap(&why, "%s", strrchr(folder, '/') + 1);
		log_failure(LOG_ERROR, "a run has no transcript in the store: only what Redis keeps of its log", &why);
	}
	return run_folder_retire(folder, RUN_FINISHED, NULL, err);
}

/* All of them: the first that cannot be written ends it. */
static bool owed_run(void *arg, struct buf *text, struct error *err)
{
	const struct owed *owed = arg;
	size_t count;
	CLEANUP(free_p) char **folders = run_folders_at(owed->o.state_dir, RUN_OWED, &count);
	bool ok = true;
	for (size_t i = 0; i < count; i++) {
		ok = ok && owed_pay(owed, folders[i], count - i > OWED_MAX, err);
		free(folders[i]);
	}
	buf_printf(text, "%zu", count);
	return ok;
}

/* ---- in the worker ---- */

static void owed_arm(struct owed *owed, int64_t ms)
{
	struct timeval wait = clock_timeval(ms);
	event_add(owed->timer, &wait);
}

static void owed_failed(struct owed *owed, const struct error *err)
{
	owed->rest_ms = owed->rest_ms ? owed->rest_ms * 2 : OWED_REST_MS;
	owed->rest_ms = owed->rest_ms < OWED_REST_MAX_MS ? owed->rest_ms : OWED_REST_MAX_MS;
	if (strcmp(owed->complaint, err->message) != 0)
		log_failure(LOG_WARN, "transcripts of ended runs wait for the store", err);
	str_copy(owed->complaint, sizeof owed->complaint, err->message);
	owed_arm(owed, owed->rest_ms);
}

static void owed_done(void *arg, const char *text, const struct error *err)
{
	struct owed *owed = arg;
	helper_free(STEAL(owed->helper));
	if (err) {
		owed_failed(owed, err);
	} else {
		owed->rest_ms = 0;
		owed->complaint[0] = '\0';
		if (strcmp(text, "0") != 0)
			owed->o.on_paid(owed->o.arg);
		if (owed->is_behind)
			owed_arm(owed, 0);
	}
	owed->o.on_idle(owed->o.arg);
}

static void owed_start(evutil_socket_t fd, short what, void *arg)
{
	struct owed *owed = arg;
	struct error err;
	const struct helper_options options = { .name = "stoker-scribe",
						.is_low = true,
						.run = owed_run,
						.run_arg = owed,
						.done = owed_done,
						.done_arg = owed };
	(void)fd;
	(void)what;
	owed->is_behind = false;
	owed->helper = helper_start(owed->o.base, &options, &err);
	if (!owed->helper)
		owed_failed(owed, &err);
}

static bool owed_has_any(const struct owed *owed)
{
	CLEANUP(free_p) char *path = run_path(owed->o.state_dir, "owed");
	bool found = false;
	DIR *dir = opendir(path);
	for (struct dirent *entry; dir && !found && (entry = readdir(dir));)
		found = entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return found;
}

void owed_look(struct owed *owed)
{
	owed->is_behind = owed->helper != NULL;
	if (!owed->helper && !event_pending(owed->timer, EV_TIMEOUT, NULL) && owed_has_any(owed))
		owed_arm(owed, 0);
}

bool owed_is_busy(const struct owed *owed)
{
	return owed->helper || (!owed->rest_ms && event_pending(owed->timer, EV_TIMEOUT, NULL));
}

struct owed *owed_new(const struct owed_options *options)
{
	struct owed *owed = mem_alloc(sizeof *owed);
	owed->o = *options;
	owed->timer = evtimer_new(options->base, owed_start, owed);
	return owed;
}

void owed_free(struct owed *owed)
{
	if (!owed)
		return;
	helper_free(owed->helper);
	event_free(owed->timer);
	free(owed);
}
