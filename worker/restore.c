#include "worker/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/beneath.h"
#include "lib/helper.h"
#include "queue/saved.h"
#include "worker/place.h"
#include "worker/unpack.h"

/* "checkpoint/x" → the checkpoint folder and "x". */
static const char *restore_split(const char *member, bool *is_work)
{
	*is_work = strncmp(member, MANIFEST_WORK, strlen(MANIFEST_WORK)) == 0;
	const char *slash = strchr(member, '/');
	return slash ? slash + 1 : "";
}

static bool restore_is_member(const char *path)
{
	static const char *const roots[] = { MANIFEST_CHECKPOINT "/", MANIFEST_WORK "/" };
	return beneath_is_path(path) &&
	       (strncmp(path, roots[0], strlen(roots[0])) == 0 || strncmp(path, roots[1], strlen(roots[1])) == 0);
}

/* Folders go as a whole, so that nothing old stays between the files of a restored one. */
static bool restore_place(const struct restore_request *request, char *members, int unpacked, struct error *err)
{
	CLEANUP(close_fd) int checkpoints = beneath_root(request->checkpoint_dir);
	CLEANUP(close_fd) int work = beneath_root(request->work_dir);
	if (checkpoints < 0 || work < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open the folders of the run");
	const char *placed = NULL; /* the last folder */
	for (char *line = members, *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		if (end)
			*end = '\0';
		const char *member = line + 2;
		if (!end || strlen(line) < 3 || !restore_is_member(member))
			return error_set(err, ERR_INTERNAL, NULL, "the unpacker answered: %.100s", line);
		size_t len = placed ? strlen(placed) : 0;
		if (placed && strncmp(member, placed, len) == 0 && member[len] == '/')
			continue;
		bool is_work;
		const char *path = restore_split(member, &is_work);
		if (!place_move(unpacked, member, is_work ? work : checkpoints, path, err))
			return false;
		if (line[0] == 'd')
			placed = member;
	}
	return true;
}

static bool restore_unpack(void *arg, struct buf *text, struct error *err)
{
	return unpack_run(arg, text, err);
}

/* text: the unpacker's plan. */
static bool restore_fetch(const struct restore_request *request, const struct summary *summary, int scratch,
			  struct buf *text, struct error *err)
{
	CLEANUP(free_p) char *part = mem_printf("%s.part", request->id);
	CLEANUP(free_p) char *folder = mem_printf("%s/restore/%s", request->run_dir, part);
	if (!beneath_remove(scratch, part) || mkdirat(scratch, part, 0700) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make a fresh folder for unpacking");
	CLEANUP(close_fd) int root = beneath_open(scratch, part, O_RDONLY | O_DIRECTORY, 0);
	if (root < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open the folder for unpacking");
	struct unpack_request unpack = {
		.store = request->store, .summary = summary, .folder = folder, .root = root, .cache = request->cache
	};
	const struct helper_options options = { .name = "stoker-unpack",
						.max_text = MANIFEST_MAX,
						.keep_fd = root,
						.run = restore_unpack,
						.run_arg = &unpack };
	bool ok = helper_call(&options, text, err);
	/* The name says whether all of it is there. */
	if (ok && (!beneath_remove(scratch, request->id) || renameat(scratch, part, scratch, request->id) < 0))
		ok = error_errno(err, ERR_SYSTEM, NULL, "cannot rename the unpacked checkpoint");
	(void)!beneath_remove(scratch, part);
	return ok;
}

static int restore_scratch(const struct restore_request *request, struct error *err)
{
	int scratch = -1;
	if (mkdir(request->run_dir, 0700) < 0 && errno != EEXIST) {
		error_errno(err, ERR_SYSTEM, NULL, "cannot make %s", request->run_dir);
		return -1;
	}
	CLEANUP(close_fd) int run = beneath_root(request->run_dir);
	if (run < 0 || (mkdirat(run, "restore", 0700) < 0 && errno != EEXIST))
		error_errno(err, ERR_SYSTEM, NULL, "cannot make %s/restore", request->run_dir);
	else if ((scratch = beneath_open(run, "restore", O_RDONLY | O_DIRECTORY, 0)) < 0)
		error_errno(err, ERR_SYSTEM, NULL, "cannot open %s/restore", request->run_dir);
	return scratch;
}

/* "7 checkpoint/a\n…" → what the caller is told. */
static bool restore_answer(const struct restore_request *request, char *plan, struct buf *text, struct error *err)
{
	char *resume;
	long long step = strtoll(plan, &resume, 10);
	bool is_work;
	const char *path = restore_split(*resume == ' ' ? resume + 1 : resume, &is_work);
	return buf_printf(text, "%lld %s%s%s", step, is_work ? request->work_dir : request->checkpoint_dir,
			  *path ? "/" : "", path) ||
	       error_set(err, ERR_INTERNAL, NULL, "the path to resume from is too long");
}

bool restore_run(const struct restore_request *request, struct buf *text, struct error *err)
{
	CLEANUP(summary) struct summary summary = { .uri = NULL };
	int64_t attempt, seq;
	if (!saved_split_id(request->id, &attempt, &seq))
		return error_set(err, ERR_INPUT, NULL, "not a checkpoint id: %s", request->id);
	if (!summary_from_json(request->summary, &summary, err))
		return false;
	CLEANUP(close_fd) int scratch = restore_scratch(request, err);
	CLEANUP(buf) struct buf plan;
	buf_init(&plan, MANIFEST_MAX);
	if (scratch < 0 || !restore_fetch(request, &summary, scratch, &plan, err))
		return false;
	CLEANUP(close_fd) int unpacked = beneath_open(scratch, request->id, O_RDONLY | O_DIRECTORY, 0);
	char *members = strchr(plan.data, '\n');
	if (members)
		*members++ = '\0';
	bool ok = members ? restore_place(request, members, unpacked, err)
			  : error_set(err, ERR_INTERNAL, NULL, "the unpacker answered without a plan");
	(void)!beneath_remove(scratch, request->id);
	return ok && restore_answer(request, plan.data, text, err);
}
