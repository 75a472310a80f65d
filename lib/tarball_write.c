#include "lib/tarball.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "lib/utf8.h"

#define CHUNK_BYTES (256 * 1024)

struct tarball_origin { /* what a member was made from, as it was before it was read */
	int root;
	char *path;
	struct stat st;
};

struct tarball_writer {
	struct archive *archive;
	tarball_write_fn *fn;
	void *arg;
	struct error *err; /* of the call that is running: the sink's answer goes there */
	bool is_discarded; /* nothing more is to reach the sink */
	bool hashes_files;
	tarball_tap_fn *tap; /* or NULL */
	void *tap_arg;
	tarball_known_fn *known; /* or NULL */
	void *known_arg;
	int64_t written;
	struct tarball contents;
	struct tarball_origin *origins; /* one a member */
	char *chunk;
};

static la_ssize_t tarball_sink(struct archive *archive, void *arg, const void *data, size_t len)
{
	struct tarball_writer *w = arg;
	if (w->is_discarded)
		return (la_ssize_t)len;
	if (!w->fn(w->arg, data, len, w->err)) {
		archive_set_error(archive, EIO, "%s", w->err ? w->err->message : "not written");
		return -1;
	}
	w->written += (int64_t)len;
	return (la_ssize_t)len;
}

struct tarball_writer *tarball_writer_new(tarball_write_fn *fn, void *arg)
{
	struct tarball_writer *w = mem_alloc(sizeof *w);
	w->fn = fn;
	w->arg = arg;
	w->chunk = mem_alloc(CHUNK_BYTES);
	w->archive = archive_write_new();
	/* Restricted: pax headers only where ustar cannot say it. BINARY: names are bytes, whatever the locale.
	 * Blocks of 0: nothing is held back, so that offsets can be counted. */
	if (!w->archive || archive_write_set_format_pax_restricted(w->archive) != ARCHIVE_OK ||
	    archive_write_set_options(w->archive, "hdrcharset=BINARY") != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(w->archive, 0) != ARCHIVE_OK ||
	    archive_write_open2(w->archive, w, NULL, tarball_sink, NULL, NULL) != ARCHIVE_OK)
		mem_exhausted();
	return w;
}

void tarball_writer_free(struct tarball_writer *w)
{
	if (!w)
		return;
	/* Freeing an open archive writes its end: what is not finished must not look finished. */
	w->is_discarded = true;
	archive_write_free(w->archive);
	for (size_t i = 0; i < w->contents.count; i++)
		free(w->origins[i].path);
	free(w->origins);
	tarball_done(&w->contents);
	free(w->chunk);
	free(w);
}

void tarball_writer_hash_files(struct tarball_writer *w)
{
	w->hashes_files = true;
}

void tarball_writer_tap(struct tarball_writer *w, tarball_tap_fn *fn, void *arg)
{
	w->tap = fn;
	w->tap_arg = arg;
}

void tarball_writer_known(struct tarball_writer *w, tarball_known_fn *fn, void *arg)
{
	w->known = fn;
	w->known_arg = arg;
}

bool tarball_is_open_for_writing(int fd)
{
	/* A read lease is granted only while nobody has the file open for writing. Given back at once: an
	 * opener that meets it waits for us. */
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return errno == EAGAIN;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return false;
}

static bool tarball_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_mode == b->st_mode &&
	       a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool tarball_changed(struct error *err, const char *path)
{
	return error_set(err, ERR_CONFLICT, "it is taken again when it is quiet", "%s changed while it was read", path);
}

static bool tarball_archive_error(struct tarball_writer *w, const char *name)
{
	if (w->err && w->err->kind != ERR_NONE)
		return false; /* the sink said it better */
	return error_set(w->err, ERR_SYSTEM, NULL, "cannot pack %s: %s", name, archive_error_string(w->archive));
}

static bool tarball_header(struct tarball_writer *w, const char *name, const struct stat *st)
{
	bool is_folder = S_ISDIR(st->st_mode);
	struct archive_entry *entry = archive_entry_new();
	if (!entry)
		mem_exhausted();
	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, is_folder ? AE_IFDIR : AE_IFREG);
	archive_entry_set_perm(entry, st->st_mode & 0777);
	archive_entry_set_size(entry, is_folder ? 0 : st->st_size);
	archive_entry_set_mtime(entry, st->st_mtim.tv_sec, 0);
	int result = archive_write_header(w->archive, entry);
	archive_entry_free(entry);
	return result == ARCHIVE_OK || tarball_archive_error(w, name);
}

static bool tarball_data(struct tarball_writer *w, int fd, const char *path, struct tarball_member *member)
{
	CLEANUP(digest) struct digest *digest = w->hashes_files ? digest_new() : NULL;
	for (int64_t left = member->size; left > 0;) {
		ssize_t got = read(fd, w->chunk, left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_errno(w->err, ERR_SYSTEM, NULL, "cannot read %s", path);
		if (got == 0)
			return tarball_changed(w->err, path);
		if (digest)
			digest_add(digest, w->chunk, (size_t)got);
		if (w->tap)
			w->tap(w->tap_arg, path, member->size - left, w->chunk, (size_t)got);
		if (archive_write_data(w->archive, w->chunk, (size_t)got) != got)
			return tarball_archive_error(w, path);
		left -= got;
	}
	if (digest)
		member->sha256 = digest_take(digest);
	return archive_write_finish_entry(w->archive) == ARCHIVE_OK || tarball_archive_error(w, path);
}

static struct tarball_member *tarball_note(struct tarball_writer *w, int root, const char *path, const char *name,
					   const struct stat *st)
{
	struct tarball_member *member = tarball_member_add(&w->contents, name);
	member->is_folder = S_ISDIR(st->st_mode);
	member->mode = st->st_mode & 0777;
	member->size = member->is_folder ? 0 : st->st_size;
	w->origins = mem_realloc(w->origins, w->contents.count * sizeof *w->origins);
	w->origins[w->contents.count - 1] =
		(struct tarball_origin){ .root = root, .path = mem_strdup(path), .st = *st };
	return member;
}

static bool tarball_add_open(struct tarball_writer *w, int fd, int root, const char *path, const char *name)
{
	struct stat st, after;
	if (fstat(fd, &st) < 0)
		return error_errno(w->err, ERR_SYSTEM, NULL, "cannot look at %s", path);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return error_set(w->err, ERR_INPUT, "a checkpoint holds files and folders only",
				 "%s is neither a file nor a folder", path);
	if (w->contents.count >= TARBALL_MEMBERS_MAX)
		return error_set(w->err, ERR_INPUT, NULL, "%s: more than %d files", path, TARBALL_MEMBERS_MAX);
	if (!beneath_is_path(name) || !utf8_is_valid(name, strlen(name)))
		return error_set(w->err, ERR_INPUT, "at most 512 bytes and 32 parts, in UTF-8",
				 "%s: a path that cannot be packed", path);
	if (S_ISREG(st.st_mode) && tarball_is_open_for_writing(fd))
		return error_set(w->err, ERR_CONFLICT, "it is taken when its writer has closed it",
				 "%s is open for writing", path);
	struct tarball_member *member = tarball_note(w, root, path, name, &st);
	if (w->known && !member->is_folder && w->known(w->known_arg, &st, member))
		return true;
	if (!tarball_header(w, name, &st))
		return false;
	if (member->is_folder)
		return true;
	member->offset = w->written;
	if (!tarball_data(w, fd, path, member))
		return false;
	if (fstat(fd, &after) < 0 || !tarball_same(&st, &after) || tarball_is_open_for_writing(fd))
		return tarball_changed(w->err, path);
	return true;
}

bool tarball_add(struct tarball_writer *w, int root, const char *path, const char *name, struct error *err)
{
	struct error mine = { .kind = ERR_NONE };
	w->err = err ? err : &mine;
	*w->err = mine;
	CLEANUP(close_fd) int fd = beneath_open(root, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd >= 0)
		return tarball_add_open(w, fd, root, path, name);
	if (errno == ELOOP)
		return error_set(w->err, ERR_INPUT, "links are not followed: they could lead anywhere",
				 "%s is a symbolic link", path);
	return error_errno(w->err, errno == ENOENT ? ERR_CONFLICT : ERR_SYSTEM, NULL, "cannot read %s", path);
}

static int tarball_not_dots(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int tarball_by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool tarball_add_entries(struct tarball_writer *w, int root, const char *path, const char *name,
				struct dirent **entries, int count, struct error *err)
{
	for (int i = 0; i < count; i++) {
		CLEANUP(free_p) char *below = mem_printf("%s/%s", path, entries[i]->d_name);
		CLEANUP(free_p) char *member = mem_printf("%s/%s", name, entries[i]->d_name);
		if (!tarball_add_tree(w, root, below, member, err))
			return false;
	}
	return true;
}

bool tarball_add_tree(struct tarball_writer *w, int root, const char *path, const char *name, struct error *err)
{
	if (!tarball_add(w, root, path, name, err))
		return false;
	if (!w->contents.members[w->contents.count - 1].is_folder)
		return true;
	CLEANUP(close_fd) int fd = beneath_open(root, path, O_RDONLY | O_DIRECTORY, 0);
	struct dirent **entries = NULL;
	int count = fd >= 0 ? scandirat(fd, ".", &entries, tarball_not_dots, tarball_by_bytes) : -1;
	if (count < 0)
		return error_errno(err, errno == ENOENT ? ERR_CONFLICT : ERR_SYSTEM, NULL, "cannot read %s", path);
	bool ok = tarball_add_entries(w, root, path, name, entries, count, err);
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
	return ok;
}

bool tarball_finish(struct tarball_writer *w, struct tarball *tarball, struct error *err)
{
	struct error mine = { .kind = ERR_NONE };
	w->err = err ? err : &mine;
	*w->err = mine;
	for (size_t i = 0; i < w->contents.count; i++) {
		const struct tarball_origin *origin = &w->origins[i];
		struct stat now;
		if (!beneath_stat(origin->root, origin->path, &now) || !tarball_same(&origin->st, &now))
			return tarball_changed(w->err, origin->path);
	}
	if (archive_write_close(w->archive) != ARCHIVE_OK)
		return tarball_archive_error(w, "the end of the tar");
	for (size_t i = 0; i < w->contents.count; i++)
		free(w->origins[i].path);
	free(w->origins);
	w->origins = NULL;
	*tarball = w->contents;
	tarball->size = w->written;
	tarball_init(&w->contents);
	return true;
}
