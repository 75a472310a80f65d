#include "cli/code_pack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/tar_header.h"

enum { PACK_PIECE = 256 * 1024 };

struct packing {
	struct code_pack *pack;
	struct digest *block, *file;
	int64_t at; /* bytes of the tar so far */
	char *piece;
};

void code_pack_done(struct code_pack *pack)
{
	code_done(&pack->code);
	if (pack->fd >= 0)
		close(pack->fd);
	pack->fd = -1;
}

static bool pack_open(struct code_pack *pack, struct error *err)
{
	const char *folder = getenv("TMPDIR");
	folder = folder && *folder ? folder : "/tmp";
	pack->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (pack->fd < 0) { /* not every file system has such files */
		CLEANUP(free_p) char *name = mem_printf("%s/stoker-code.XXXXXX", folder);
		pack->fd = mkostemp(name, O_CLOEXEC);
		if (pack->fd >= 0)
			unlink(name);
	}
	return pack->fd >= 0 || error_errno(err, ERR_SYSTEM, "TMPDIR names another folder",
					    "cannot make a temporary file in %s", folder);
}

static void pack_end_block(struct packing *p)
{
	struct digest_hex hash = digest_take(p->block);
	blocks_add(&p->pack->code.blocks, &hash);
}

static bool pack_write(struct packing *p, const char *data, size_t len, struct error *err)
{
	while (len > 0) {
		size_t room = BLOCK_BYTES - (size_t)(p->at % BLOCK_BYTES);
		ssize_t wrote = write(p->pack->fd, data, len < room ? len : room);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return error_errno(err, errno == ENOSPC ? ERR_FULL : ERR_SYSTEM, "TMPDIR names another folder",
					   "cannot write a temporary file");
		digest_add(p->block, data, (size_t)wrote);
		p->at += wrote;
		data += wrote;
		len -= (size_t)wrote;
		if (p->at % BLOCK_BYTES == 0)
			pack_end_block(p);
	}
	return true;
}

static bool pack_changed(const struct code_file *file, struct error *err)
{
	return error_set(err, ERR_CONFLICT, "pack it when nobody writes to it", "%s changed while it was packed",
			 file->source);
}

/* Not another file than before it was read, and not written to meanwhile. */
static bool pack_is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool pack_contents(struct packing *p, const struct code_file *file, int fd, struct error *err)
{
	int64_t left = file->size;
	ssize_t got;
	while ((got = read(fd, p->piece, PACK_PIECE)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_errno(err, ERR_INPUT, NULL, "cannot read %s", file->source);
		left -= got;
		if (left < 0)
			break;
		digest_add(p->file, p->piece, (size_t)got);
		if (!pack_write(p, p->piece, (size_t)got, err))
			return false;
	}
	return left == 0 || pack_changed(file, err);
}

/* header, contents, padding; the contents are written by who calls in between. */
static bool pack_begin_file(struct packing *p, struct tarball_member *member, struct error *err)
{
	CLEANUP(buf) struct buf header;
	buf_init(&header, 8 * TAR_BLOCK);
	if (!tar_header(&header, member->path, member->mode, member->size))
		return error_set(err, ERR_INTERNAL, NULL, "the header of %s is too long", member->path);
	bool ok = pack_write(p, header.data, header.len, err);
	member->offset = p->at;
	return ok;
}

static bool pack_end_file(struct packing *p, struct tarball_member *member, struct error *err)
{
	CLEANUP(buf) struct buf padding;
	buf_init(&padding, TAR_BLOCK);
	member->sha256 = digest_take(p->file);
	return tar_padding(&padding, member->size) && (!padding.len || pack_write(p, padding.data, padding.len, err));
}

static bool pack_file(struct packing *p, const struct code_file *file, struct error *err)
{
	CLEANUP(close_fd) int fd = open(file->source, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat before, after;
	if (fd < 0 || fstat(fd, &before) < 0)
		return error_errno(err, ERR_INPUT, ".stokerignore names what is left out", "cannot read %s",
				   file->source);
	struct tarball_member *member = tarball_member_add(&p->pack->code.contents, file->path);
	member->mode = file->is_executable ? 0755 : 0644;
	member->size = file->size;
	return pack_begin_file(p, member, err) && pack_contents(p, file, fd, err) &&
	       ((fstat(fd, &after) == 0 && pack_is_same(&before, &after)) || pack_changed(file, err)) &&
	       pack_end_file(p, member, err);
}

static bool pack_text(struct packing *p, const char *path, const char *text, size_t len, struct error *err)
{
	struct tarball_member *member = tarball_member_add(&p->pack->code.contents, path);
	member->mode = 0644;
	member->size = (int64_t)len;
	if (!pack_begin_file(p, member, err) || !pack_write(p, text, len, err))
		return false;
	digest_add(p->file, text, len);
	return pack_end_file(p, member, err);
}

static bool pack_end(struct packing *p, struct error *err)
{
	CLEANUP(buf) struct buf end;
	buf_init(&end, 2 * TAR_BLOCK);
	if (!tar_end(&end) || !pack_write(p, end.data, end.len, err))
		return false;
	if (p->at % BLOCK_BYTES)
		pack_end_block(p);
	p->pack->code.contents.size = p->at;
	p->pack->hash = blocks_hash(&p->pack->code.blocks);
	return true;
}

static bool pack_begin(struct packing *p, struct code_pack *pack, struct error *err)
{
	*pack = (struct code_pack){ .fd = -1 };
	*p = (struct packing){
		.pack = pack, .block = digest_new(), .file = digest_new(), .piece = mem_alloc(PACK_PIECE)
	};
	return pack_open(pack, err);
}

static void cleanup_packing(struct packing *p)
{
	digest_free(p->block);
	digest_free(p->file);
	free(p->piece);
}

bool code_pack(const struct code_files *files, struct code_pack *pack, struct error *err)
{
	CLEANUP(packing) struct packing p;
	if (!pack_begin(&p, pack, err))
		return false;
	pack->files_size = files->size;
	for (size_t i = 0; i < files->count; i++)
		if (!pack_file(&p, &files->items[i], err))
			return false;
	return pack_end(&p, err);
}

bool code_pack_text(const char *path, const char *text, size_t len, struct code_pack *pack, struct error *err)
{
	CLEANUP(packing) struct packing p;
	if (!pack_begin(&p, pack, err))
		return false;
	pack->files_size = (int64_t)len;
	return pack_text(&p, path, text, len, err) && pack_end(&p, err);
}

bool code_pack_block(const struct code_pack *pack, size_t i, void *into, size_t *len, struct error *err)
{
	*len = (size_t)code_block_size(&pack->code, i);
	for (size_t done = 0; done < *len;) {
		ssize_t got = pread(pack->fd, (char *)into + done, *len - done, (off_t)i * BLOCK_BYTES + (off_t)done);
		if (got <= 0 && !(got < 0 && errno == EINTR))
			return error_errno(err, ERR_SYSTEM, NULL, "cannot read a temporary file");
		done += got > 0 ? (size_t)got : 0;
	}
	return true;
}
