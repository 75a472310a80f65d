#include "worker/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/beneath.h"
#include "queue/saved.h"
#include "worker/place.h"

static bool restore_unpack(struct store *store, const struct manifest *m, int scratch, const char *name,
			   struct error *err)
{
	if (!beneath_remove(scratch, name) || mkdirat(scratch, name, 0700) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make a fresh folder for unpacking");
	CLEANUP(close_fd) int root = beneath_open(scratch, name, O_RDONLY | O_DIRECTORY, 0);
	CLEANUP(saved_data) struct saved_data data = { .get = NULL };
	if (root < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open the folder for unpacking");
	if (!saved_open(store, m, &data, err))
		return false;
	/* What stands behind the end of the tar is verified as well. */
	return (tarball_unpack(saved_read, &data, &m->contents, root, err) && saved_read_rest(&data, err)) ||
	       error_wrap(err, "%s", m->key);
}

/* "checkpoint/x" → the checkpoint folder and "x". */
static const char *restore_split(const char *member, bool *is_work)
{
	*is_work = strncmp(member, MANIFEST_WORK, strlen(MANIFEST_WORK)) == 0;
	const char *slash = strchr(member, '/');
	return slash ? slash + 1 : "";
}

/* Folders go as a whole, so that nothing old stays between the files of a restored one. */
static bool restore_place(const struct restore_request *request, const struct manifest *m, int unpacked,
			  struct error *err)
{
	CLEANUP(close_fd) int checkpoints = beneath_root(request->checkpoint_dir);
	CLEANUP(close_fd) int work = beneath_root(request->work_dir);
	if (checkpoints < 0 || work < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open the folders of the run");
	const char *placed = NULL; /* the last folder */
	for (size_t i = 0; i < m->contents.count; i++) {
		const struct tarball_member *member = &m->contents.members[i];
		size_t len = placed ? strlen(placed) : 0;
		if (placed && strncmp(member->path, placed, len) == 0 && member->path[len] == '/')
			continue;
		bool is_work;
		const char *path = restore_split(member->path, &is_work);
		if (!place_move(unpacked, member->path, is_work ? work : checkpoints, path, err))
			return false;
		if (member->is_folder)
			placed = member->path;
	}
	return true;
}

static bool restore_all(const struct restore_request *request, struct store *store, const struct manifest *m,
			struct error *err)
{
	if (mkdir(request->run_dir, 0700) < 0 && errno != EEXIST)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make %s", request->run_dir);
	CLEANUP(close_fd) int run = beneath_root(request->run_dir);
	if (run < 0 || (mkdirat(run, "restore", 0700) < 0 && errno != EEXIST))
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make %s/restore", request->run_dir);
	CLEANUP(close_fd) int scratch = beneath_open(run, "restore", O_RDONLY | O_DIRECTORY, 0);
	CLEANUP(free_p) char *part = mem_printf("%s.part", request->id);
	if (scratch < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open %s/restore", request->run_dir);
	bool ok = restore_unpack(store, m, scratch, part, err);
	/* The name says whether all of it is there. */
	if (ok && (!beneath_remove(scratch, request->id) || renameat(scratch, part, scratch, request->id) < 0))
		ok = error_errno(err, ERR_SYSTEM, NULL, "cannot rename the unpacked checkpoint");
	CLEANUP(close_fd) int unpacked = ok ? beneath_open(scratch, request->id, O_RDONLY | O_DIRECTORY, 0) : -1;
	if (ok)
		ok = restore_place(request, m, unpacked, err);
	(void)!beneath_remove(scratch, part);
	(void)!beneath_remove(scratch, request->id);
	return ok;
}

bool restore_run(const struct restore_request *request, struct buf *text, struct error *err)
{
	CLEANUP(store) struct store *store = NULL;
	CLEANUP(manifest) struct manifest m;
	CLEANUP(summary) struct summary summary = { .uri = NULL };
	manifest_init(&m);
	int64_t attempt, seq;
	if (!saved_split_id(request->id, &attempt, &seq))
		return error_set(err, ERR_INPUT, NULL, "not a checkpoint id: %s", request->id);
	if (!summary_from_json(request->summary, &summary, err) || !store_open(request->store, &store, err))
		return false;
	if (!saved_manifest(store, &summary, &m, err) || !restore_all(request, store, &m, err))
		return false;
	bool is_work;
	const char *path = restore_split(m.resume, &is_work);
	return buf_printf(text, "%" PRId64 " %s%s%s", m.step, is_work ? request->work_dir : request->checkpoint_dir,
			  *path ? "/" : "", path) ||
	       error_set(err, ERR_INTERNAL, NULL, "the path to resume from is too long");
}
