/* The way back (worker/checkpoints.h), as the runner sees it: one helper process. */
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "worker/checkpoints.h"
#include "lib/helper.h"
#include "worker/restore.h"

struct checkpoint_restore {
	struct helper *helper;
	checkpoint_restored_fn *fn;
	void *arg;
};

void checkpoint_restore_cancel(struct checkpoint_restore *restore)
{
	if (!restore)
		return;
	helper_free(restore->helper);
	free(restore);
}

static bool checkpoint_restore_run(void *arg, struct buf *text, struct error *err)
{
	return restore_run(arg, text, err);
}

/* The answer is "<step> <path>". */
static void checkpoint_restore_done(void *arg, const char *text, const struct error *err)
{
	struct checkpoint_restore *restore = arg;
	checkpoint_restored_fn *fn = restore->fn;
	void *fn_arg = restore->arg;
	CLEANUP(free_p) char *resume = NULL;
	int64_t step = -1;
	if (text) {
		char *end;
		step = strtoll(text, &end, 10);
		resume = mem_strdup(*end ? end + 1 : end);
	}
	checkpoint_restore_cancel(restore);
	fn(fn_arg, resume != NULL, resume, step, err);
}

struct checkpoint_restore *checkpoint_restore_start(const struct checkpoints_options *options, const char *id,
						    const char *summary_json, checkpoint_restored_fn *fn, void *arg,
						    struct error *err)
{
	struct restore_request request = {
		.store = options->store,
		.cache = options->cache,
		.id = id,
		.summary = summary_json,
		.run_dir = options->run_dir,
		.checkpoint_dir = options->checkpoint_dir,
		.work_dir = options->work_dir,
	};
	struct checkpoint_restore *restore = mem_alloc(sizeof *restore);
	restore->fn = fn;
	restore->arg = arg;
	struct helper_options helper = {
		.name = "stoker-restore",
		.run = checkpoint_restore_run,
		.run_arg = &request,
		.done = checkpoint_restore_done,
		.done_arg = restore,
	};
	restore->helper = helper_start(options->base, &helper, err);
	if (restore->helper)
		return restore;
	free(restore);
	return NULL;
}
