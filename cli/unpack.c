#include "cli/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "lib/compress.h"
#include "lib/fields.h"
#include "queue/manifest.h"

enum { UNPACK_PIECE = 1 << 20 };

static bool unpack_manifest(const struct unpack *unpack, struct manifest *m, struct error *err)
{
	CLEANUP(free_p) char *text = json_dumps(json_object_get(unpack->checkpoint, "manifest"), JSON_COMPACT);
	manifest_init(m);
	if (!text)
		return error_set(err, ERR_DAMAGED, NULL, "the scheduler gave no manifest of the checkpoint");
	if (!manifest_from_json(text, strlen(text), m, err))
		return false;
	if (strcmp(blocks_hash(&m->own.blocks).text, fields_text(unpack->checkpoint, "sha256")) != 0)
		return error_set(err, ERR_DAMAGED, NULL, "the manifest is not the one that was committed");
	return true;
}

static bool unpack_read(int fd, const char *path, void *into, size_t len, int64_t at, struct error *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t got = pread(fd, (char *)into + done, len - done, at + (int64_t)done);
		if (got < 0)
			return error_errno(err, ERR_SYSTEM, NULL, "cannot read %s", path);
		if (got == 0)
			return error_set(err, ERR_DAMAGED, NULL, "%s is shorter than it should be", path);
		done += (size_t)got;
	}
	return true;
}

static bool unpack_verify_blocks(const char *path, const struct manifest_object *object, int fd, struct error *err)
{
	CLEANUP(free_p) char *block = mem_alloc(BLOCK_BYTES);
	for (size_t i = 0; i < object->blocks.count; i++) {
		int64_t at = (int64_t)i * BLOCK_BYTES, left = object->size - at;
		size_t len = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
		if (!unpack_read(fd, path, block, len, at, err))
			return false;
		if (strcmp(digest_of(block, len).text, object->blocks.hashes[i].text) != 0)
			return error_set(
				err, ERR_DAMAGED, "what was fetched is removed: the same command fetches it anew",
				"the SHA-256 of block %zu of %s is not the one that was committed", i + 1, path);
	}
	return true;
}

static bool unpack_verify_object(const char *path, const struct manifest_object *object, struct error *err)
{
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open %s", path);
	if (unpack_verify_blocks(path, object, fd, err))
		return true;
	if (err->kind == ERR_DAMAGED)
		unlink(path);
	return false;
}

char *unpack_object_path(const char *tar, int64_t seq)
{
	return mem_printf("%.*s-object-%" PRId64 ".tar", (int)(strlen(tar) - strlen(".tar")), tar, seq);
}

bool unpack_verify(const struct unpack *unpack, struct error *err)
{
	CLEANUP(manifest) struct manifest m;
	manifest_init(&m);
	if (!unpack_manifest(unpack, &m, err) || !unpack_verify_object(unpack->stored, &m.own, err))
		return false;
	for (size_t i = 0; i < m.other_count; i++) {
		CLEANUP(free_p) char *path = unpack_object_path(unpack->tar, m.others[i].seq);
		if (!unpack_verify_object(path, &m.others[i], err))
			return false;
	}
	return true;
}

/* ---- compressed ---- */

static bool unpack_write(const char *path, int fd, const char *data, size_t len, struct error *err)
{
	for (size_t at = 0; at < len;) {
		ssize_t written = write(fd, data + at, len - at);
		if (written < 0)
			return error_errno(err, errno == ENOSPC ? ERR_FULL : ERR_SYSTEM, NULL, "cannot write %s", path);
		at += (size_t)written;
	}
	return true;
}

static bool unpack_read_stored(void *arg, void *into, size_t size, size_t *len, struct error *err)
{
	ssize_t got = read(*(int *)arg, into, size);
	*len = got > 0 ? (size_t)got : 0;
	return got >= 0 || error_errno(err, ERR_SYSTEM, NULL, "cannot read what was fetched");
}

static bool unpack_decompress(const struct unpack *unpack, int64_t size, struct error *err)
{
	CLEANUP(close_fd) int from = open(unpack->stored, O_RDONLY | O_CLOEXEC);
	CLEANUP(close_fd) int to = open(unpack->tar, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (from < 0 || to < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open %s", from < 0 ? unpack->stored : unpack->tar);
	CLEANUP(decompress) struct decompress *d = decompress_new(unpack_read_stored, &from);
	CLEANUP(free_p) char *piece = mem_alloc(UNPACK_PIECE);
	int64_t all = 0;
	for (size_t len = 1; len > 0; all += (int64_t)len)
		if (!decompress_read(d, piece, UNPACK_PIECE, &len, err) ||
		    !unpack_write(unpack->tar, to, piece, len, err))
			return false;
	return all == size ||
	       error_set(err, ERR_DAMAGED, NULL, "%s has %" PRId64 " bytes, not %" PRId64, unpack->tar, all, size);
}

bool unpack_tar(const struct unpack *unpack, struct error *err)
{
	CLEANUP(manifest) struct manifest m;
	manifest_init(&m);
	if (strcmp(unpack->stored, unpack->tar) == 0)
		return true;
	return unpack_manifest(unpack, &m, err) && unpack_decompress(unpack, m.contents.size, err) &&
	       (unlink(unpack->stored) == 0 || error_errno(err, ERR_SYSTEM, NULL, "cannot remove %s", unpack->stored));
}

/* ---- the files ---- */

static bool unpack_copy(const struct unpack *unpack, int tar, int file, const struct tarball_member *member,
			struct error *err)
{
	CLEANUP(free_p) char *piece = mem_alloc(UNPACK_PIECE);
	CLEANUP(free_p) char *path = mem_printf("%s/%s", unpack->folder, member->path);
	for (int64_t done = 0; done < member->size;) {
		int64_t left = member->size - done;
		size_t len = left < UNPACK_PIECE ? (size_t)left : UNPACK_PIECE;
		if (!unpack_read(tar, unpack->tar, piece, len, member->offset + done, err))
			return false;
		if (!unpack_write(path, file, piece, len, err))
			return false;
		done += (int64_t)len;
	}
	return true;
}

/* The first part of a member's path is checkpoint or work: not of interest outside of a run. */
static bool unpack_member(const struct unpack *unpack, int root, int tar, const struct tarball_member *member,
			  struct error *err)
{
	const char *name, *path = strchr(member->path, '/') + 1;
	CLEANUP(close_fd) int parent = beneath_parent_make(root, path, &name, false);
	if (parent < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make the folder of %s/%s", unpack->folder, path);
	if (member->is_folder)
		return mkdirat(parent, name, 0777) == 0 || errno == EEXIST ||
		       error_errno(err, ERR_SYSTEM, NULL, "cannot make %s/%s", unpack->folder, path);
	CLEANUP(close_fd)
	int file = openat(parent, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
			  (member->mode & 0777) | 0600);
	if (file < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot write %s/%s", unpack->folder, path);
	/* What cannot be written is known at the latest now, while the tar is still there. */
	return unpack_copy(unpack, tar, file, member, err) &&
	       (fsync(file) == 0 || error_errno(err, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_SYSTEM, NULL,
						"cannot write %s/%s", unpack->folder, path));
}

/* Those of one object. */
static bool unpack_members(struct unpack *unpack, const struct manifest *m, int root, const char *tar, size_t elsewhere,
			   struct error *err)
{
	CLEANUP(close_fd) int fd = open(tar, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open %s", tar);
	for (size_t i = 0; i < m->contents.count; i++) {
		const struct tarball_member *member = &m->contents.members[i];
		if (member->elsewhere != elsewhere)
			continue;
		if (!unpack_member(unpack, root, fd, member, err))
			return false;
		unpack->file_count += !member->is_folder;
	}
	return true;
}

bool unpack_files(struct unpack *unpack, struct error *err)
{
	CLEANUP(manifest) struct manifest m;
	CLEANUP(close_fd) int root = beneath_root(unpack->folder);
	manifest_init(&m);
	if (root < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open %s", unpack->folder);
	unpack->file_count = 0;
	if (!unpack_manifest(unpack, &m, err) || !unpack_members(unpack, &m, root, unpack->tar, 0, err))
		return false;
	for (size_t i = 0; i < m.other_count; i++) {
		CLEANUP(free_p) char *path = unpack_object_path(unpack->tar, m.others[i].seq);
		if (!unpack_members(unpack, &m, root, path, i + 1, err))
			return false;
	}
	return true;
}
