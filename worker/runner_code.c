/* The code that a run begins with: put into its working folder before the checkpoint is. */
#include <inttypes.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/helper.h"
#include "worker/code_cache.h"
#include "worker/runner_internal.h"

enum { CODE_RETRY_MS = 2000, CODE_SAY_EACH = 30, CODE_SHOWN = 12 };

/* The PATH that the program will have. */
static const char *code_path(const struct runner *r)
{
	const char *path = getenv("PATH");
	for (size_t i = 0; i < r->spec.env.count; i++)
		if (strcmp(r->spec.env.items[i].key, "PATH") == 0)
			path = r->spec.env.items[i].value;
	return path ? path : "/usr/local/bin:/usr/bin:/bin";
}

/* "fetched 42 1234567 {…}" */
static void code_say(struct runner *r, const char *text)
{
	int64_t files = 0;
	const char *facts = strchr(text, '{');
	(void)!sscanf(text, "%*s %" SCNd64, &files);
	free(r->facts);
	r->facts = facts ? mem_strdup(facts) : NULL;
	runner_say(r, "code %.*s… in place: %" PRId64 " file%s %s", CODE_SHOWN, r->spec.code, files,
		   files == 1 ? "" : "s", *text == 'f' ? "from the store" : "from the cache");
}

static void code_told(void *arg, enum verdict verdict, const char *reason, const struct error *err)
{
	struct runner *r = arg;
	(void)verdict; /* it stands until the next renewal, which heeds it */
	(void)reason;
	r->are_facts_told = !err;
}

/* At once, and whether or not a renewal is under way: the program may end before the next one. */
void runner_code_tell(struct runner *r)
{
	const struct renewal facts = { .step = -1, .lineage = r->facts };
	if (r->facts && !r->are_facts_told && r->is_connected)
		jobs_renew(r->jobs, &r->record->ref, &facts, code_told, r);
}

static void code_finished(void *arg, const char *text, const struct error *err)
{
	struct runner *r = arg;
	helper_free(STEAL(r->code));
	if (text) {
		code_say(r, text);
		runner_code_tell(r);
		runner_restore(r);
		return;
	}
	if (err->kind == ERR_DAMAGED) {
		struct error why;
		error_set(&why, err->kind, "submitted again with --upload, the same code is sent again",
			  "the code %.*s… cannot be used: %s", CODE_SHOWN, r->spec.code, err->message);
		runner_refuse(r, false, &why);
		return;
	}
	if (runner_lacks_room(r, err))
		return;
	if (r->code_tries++ % CODE_SAY_EACH == 0)
		runner_say(r, "the code %.*s… cannot be fetched yet: %s%s%s", CODE_SHOWN, r->spec.code, err->message,
			   err->hint[0] ? "; " : "", err->hint);
	r->code_at = clock_boot_ms() + CODE_RETRY_MS;
	runner_wake(r);
}

void runner_code(struct runner *r)
{
	struct error err = { 0 };
	r->code_at = 0;
	if (!r->spec.code) {
		runner_restore(r);
		return;
	}
	struct code_cache_request request = { .store = r->task->settings->store,
					      .installation = r->record->installation,
					      .hash = r->spec.code,
					      .cache_dir = r->task->settings->code_dir,
					      .work_dir = r->work_dir,
					      .most_bytes = r->task->settings->code_cache_bytes,
					      .command = r->spec.command.count ? r->spec.command.items[0] : "python3",
					      .path = code_path(r) };
	const struct helper_options options = {
		.name = "stoker-code", .run = code_cache_run, .run_arg = &request, .done = code_finished, .done_arg = r
	};
	r->code = helper_start(r->base, &options, &err);
	if (!r->code)
		code_finished(r, NULL, &err);
}

void runner_code_stop(struct runner *r)
{
	helper_free(STEAL(r->code));
	r->code_at = 0;
}

int64_t runner_code_tick(struct runner *r, int64_t now)
{
	if (r->state != RUN_RESTORING || !r->code_at)
		return INT64_MAX;
	if (now >= r->code_at)
		runner_code(r);
	return r->code_at ? r->code_at : INT64_MAX;
}
