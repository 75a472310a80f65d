#include "lib/tarball.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/beneath.h"
#include "lib/buf.h"

#define CHUNK_BYTES (256 * 1024)

struct tarball_reader {
	struct archive *archive;
	const struct tarball_source *source;
	int root;
	struct error *err;
	char *chunk;
	int64_t got;  /* bytes of the tar */
	int64_t used; /* of them, up to the last one that is not 0 */
};

static bool tarball_next(struct tarball_reader *r, size_t *len)
{
	if (!r->source->read(r->source->arg, r->chunk, CHUNK_BYTES, len, r->err))
		return false;
	size_t used = *len;
	if (used > 0 && !r->chunk[0] && memcmp(r->chunk, r->chunk + 1, used - 1) == 0)
		used = 0; /* all of it, quickly */
	while (used > 0 && !r->chunk[used - 1])
		used--;
	if (used > 0)
		r->used = r->got + (int64_t)used;
	r->got += (int64_t)*len;
	return true;
}

static la_ssize_t tarball_read_more(struct archive *archive, void *arg, const void **data)
{
	struct tarball_reader *r = arg;
	size_t len = 0;
	*data = r->chunk;
	if (tarball_next(r, &len))
		return (la_ssize_t)len;
	archive_set_error(archive, EIO, "not read");
	return -1;
}

static bool tarball_damaged(struct tarball_reader *r, const char *path, const char *why)
{
	return error_set(r->err, ERR_DAMAGED, NULL, "the tar holds %.100s%s, which %s", path,
			 strlen(path) > 100 ? "…" : "", why);
}

static bool tarball_parse_error(struct tarball_reader *r)
{
	if (r->err->kind != ERR_NONE)
		return false; /* the source said it better */
	const char *why = archive_error_string(r->archive);
	return error_set(r->err, ERR_DAMAGED, NULL, "the tar cannot be read: %s", why ? why : "not a tar");
}

/* Everything that is not the plain name and content of a file or a folder. */
static const char *tarball_extra(struct archive_entry *entry)
{
	if (archive_entry_hardlink(entry))
		return "is a hard link";
	if (archive_entry_symlink(entry) || archive_entry_filetype(entry) == AE_IFLNK)
		return "is a symbolic link";
	if (archive_entry_filetype(entry) != AE_IFREG && archive_entry_filetype(entry) != AE_IFDIR)
		return "is neither a file nor a folder";
	if (archive_entry_sparse_count(entry) > 0)
		return "has holes";
	size_t mac_size = 0;
	unsigned long set = 0, clear = 0;
	archive_entry_fflags(entry, &set, &clear);
	if (archive_entry_xattr_count(entry) > 0 || archive_entry_acl_types(entry) != 0 || set || clear ||
	    archive_entry_mac_metadata(entry, &mac_size))
		return "has extended attributes";
	return NULL;
}

/* The path without the slash that tar puts behind a folder's name; NULL if it is not one we accept. */
static char *tarball_clean_path(const char *path, bool is_folder)
{
	size_t len = strlen(path);
	if (is_folder && len > 1 && path[len - 1] == '/')
		len--;
	CLEANUP(free_p) char *clean = mem_strndup(path, len);
	return beneath_is_path(clean) ? STEAL(clean) : NULL;
}

/* Whatever is expected: only what can do no harm. The entry's clean path, which the caller frees; NULL: refused. */
static char *tarball_check(struct tarball_reader *r, struct archive_entry *entry)
{
	const char *raw = archive_entry_pathname(entry);
	if (!raw) {
		tarball_damaged(r, "an entry", "has no name");
		return NULL;
	}
	const char *extra = tarball_extra(entry);
	char *path = extra ? NULL : tarball_clean_path(raw, archive_entry_filetype(entry) == AE_IFDIR);
	if (!path)
		tarball_damaged(r, raw, extra ? extra : "is not a clean relative path");
	return path;
}

static bool tarball_match(struct tarball_reader *r, struct archive_entry *entry, const char *path,
			  const struct tarball_member *expected)
{
	bool is_folder = archive_entry_filetype(entry) == AE_IFDIR;
	if (strcmp(path, expected->path) != 0 || is_folder != expected->is_folder)
		return tarball_damaged(r, path, "is not in the manifest");
	if (!is_folder && (!archive_entry_size_is_set(entry) || archive_entry_size(entry) != expected->size))
		return tarball_damaged(r, path, "has another size than in the manifest");
	return true;
}

static bool tarball_local_error(struct tarball_reader *r, const char *path)
{
	return error_disk(r->err, "cannot unpack %s", path);
}

static bool tarball_write_all(struct tarball_reader *r, int fd, const char *data, size_t len, const char *path)
{
	while (len > 0) {
		ssize_t wrote = write(fd, data, len);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return tarball_local_error(r, path);
		data += wrote;
		len -= (size_t)wrote;
	}
	return true;
}

/* The next piece of a file; *len 0 at its end. */
static bool tarball_piece(struct tarball_reader *r, const struct tarball_member *member, const void **data, size_t *len,
			  int64_t *at)
{
	if (member->elsewhere) {
		*data = r->chunk; /* nothing of the tar is in it: libarchive has asked for none since the last header */
		return r->source->elsewhere(r->source->arg, member, r->chunk, CHUNK_BYTES, len, r->err);
	}
	int result = archive_read_data_block(r->archive, data, len, at);
	if (result == ARCHIVE_EOF)
		*len = 0;
	return result == ARCHIVE_EOF || result == ARCHIVE_OK || tarball_parse_error(r);
}

static bool tarball_content(struct tarball_reader *r, int fd, const struct tarball_member *member)
{
	CLEANUP(digest) struct digest *digest = member->sha256.text[0] ? digest_new() : NULL;
	int64_t position = 0;
	for (;;) {
		const void *data;
		size_t len;
		int64_t at = position;
		if (!tarball_piece(r, member, &data, &len, &at))
			return false;
		if (len == 0)
			break;
		if (at != position || (int64_t)len > member->size - position)
			return tarball_damaged(r, member->path, "has another size than in the manifest");
		if (digest)
			digest_add(digest, data, len);
		if (!tarball_write_all(r, fd, data, len, member->path))
			return false;
		position += (int64_t)len;
	}
	if (position != member->size || (digest && strcmp(digest_take(digest).text, member->sha256.text) != 0))
		return tarball_damaged(r, member->path, "has another content than in the manifest");
	return true;
}

static bool tarball_unpack_file(struct tarball_reader *r, int folder, const char *name,
				const struct tarball_member *member)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	CLEANUP(close_fd) int fd = openat(folder, name, flags, 0600);
	if (fd < 0)
		return errno == EEXIST ? tarball_damaged(r, member->path, "is there twice")
				       : tarball_local_error(r, member->path);
	if (!tarball_content(r, fd, member))
		return false;
	return (fchmod(fd, member->mode & 0777) == 0 && fsync(fd) == 0) || tarball_local_error(r, member->path);
}

static bool tarball_unpack_member(struct tarball_reader *r, const struct tarball_member *member)
{
	const char *name;
	CLEANUP(close_fd) int folder = beneath_parent_make(r->root, member->path, &name, false);
	if (folder < 0)
		return errno == ENOTDIR ? tarball_damaged(r, member->path, "is below a file")
					: tarball_local_error(r, member->path);
	if (!member->is_folder)
		return tarball_unpack_file(r, folder, name, member);
	if (mkdirat(folder, name, 0700) == 0)
		return true;
	return errno == EEXIST ? tarball_damaged(r, member->path, "is there twice")
			       : tarball_local_error(r, member->path);
}

/* Last and inside out: a folder may be one that its own mode forbids to write in. */
static bool tarball_close_folders(struct tarball_reader *r, const struct tarball *expected)
{
	for (size_t i = expected->count; i-- > 0;) {
		const struct tarball_member *member = &expected->members[i];
		if (!member->is_folder)
			continue;
		CLEANUP(close_fd) int fd = beneath_open(r->root, member->path, O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0 || fchmod(fd, member->mode & 0777) < 0 || fsync(fd) < 0)
			return tarball_local_error(r, member->path);
	}
	return fsync(r->root) == 0 || tarball_local_error(r, ".");
}

/* Zeros fill the last record of a tar; whatever else is there, somebody hoped for another reader. */
static bool tarball_check_end(struct tarball_reader *r)
{
	int64_t end = archive_filter_bytes(r->archive, 0);
	for (size_t len = 1; len > 0;)
		if (!tarball_next(r, &len))
			return false;
	return r->used <= end || error_set(r->err, ERR_DAMAGED, NULL, "the tar has something behind its end");
}

/* What is next and not in the tar. */
static bool tarball_unpack_elsewhere(struct tarball_reader *r, const struct tarball *expected, size_t *count)
{
	for (; *count < expected->count && expected->members[*count].elsewhere; (*count)++) {
		const struct tarball_member *member = &expected->members[*count];
		if (!r->source->elsewhere || member->is_folder)
			return tarball_damaged(r, member->path, "cannot be elsewhere");
		if (!tarball_unpack_member(r, member))
			return false;
	}
	return true;
}

static bool tarball_unpack_all(struct tarball_reader *r, const struct tarball *expected)
{
	size_t count = 0;
	for (;;) {
		struct archive_entry *entry;
		int result = archive_read_next_header(r->archive, &entry);
		if (result == ARCHIVE_EOF)
			break;
		if (result != ARCHIVE_OK)
			return tarball_parse_error(r);
		CLEANUP(free_p) char *path = tarball_check(r, entry);
		if (!path || !tarball_unpack_elsewhere(r, expected, &count))
			return false;
		if (count == expected->count)
			return tarball_damaged(r, path, "is not in the manifest");
		const struct tarball_member *member = &expected->members[count++];
		if (!tarball_match(r, entry, path, member) || !tarball_unpack_member(r, member))
			return false;
	}
	if (r->err->kind != ERR_NONE || !tarball_unpack_elsewhere(r, expected, &count))
		return false;
	if (count != expected->count)
		return error_set(r->err, ERR_DAMAGED, NULL, "the tar ends after %zu of %zu members", count,
				 expected->count);
	return tarball_check_end(r) && tarball_close_folders(r, expected);
}

bool tarball_unpack(const struct tarball_source *source, const struct tarball *expected, int root, struct error *err)
{
	struct error mine = { .kind = ERR_NONE };
	struct tarball_reader r = { .source = source, .root = root, .err = err ? err : &mine };
	*r.err = mine;
	if (expected->count > TARBALL_MEMBERS_MAX)
		return error_set(err, ERR_DAMAGED, NULL, "the manifest names more than %d files", TARBALL_MEMBERS_MAX);
	CLEANUP(free_p) char *chunk = r.chunk = mem_alloc(CHUNK_BYTES);
	r.archive = archive_read_new();
	/* Tar alone, and no filter: the fewer parsers meet foreign bytes, the better. */
	if (!r.archive || archive_read_support_format_tar(r.archive) != ARCHIVE_OK)
		mem_exhausted();
	bool ok = archive_read_open(r.archive, &r, NULL, tarball_read_more, NULL) == ARCHIVE_OK
			  ? tarball_unpack_all(&r, expected)
			  : tarball_parse_error(&r);
	archive_read_free(r.archive);
	return ok;
}
