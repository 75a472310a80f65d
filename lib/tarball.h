/*
 * Sets of files as one pax tar, written and read as a stream in constant memory.
 *
 * Writing reads each byte once; who takes the bytes hashes them (lib/blocks.h).
 * A file that is open for writing, or that is another one after it was read than before
 * (inode, size, times), is refused with ERR_CONFLICT: what is packed was never in motion.
 *
 * Reading trusts nothing. Only what the caller expects (the manifest) is accepted, in its order,
 * with its sizes, and hashes where it has them; only regular files and folders, without links, devices, holes, ACLs
 * or attributes; only clean relative paths within the limits of lib/beneath.h; nothing but zeros behind
 * the end. Everything else is ERR_DAMAGED. What is read must have been verified before: nothing else is to be parsed.
 */
#ifndef STOKER_LIB_TARBALL_H
#define STOKER_LIB_TARBALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include "lib/digest.h"
#include "lib/error.h"

#define TARBALL_MEMBERS_MAX 100000

struct tarball_member {
	char *path; /* in the tar */
	bool is_folder;
	mode_t mode;      /* permission bits only */
	int64_t size;     /* of a file */
	size_t elsewhere; /* 0: a file's data are in this tar; else which of the caller's other objects has them */
	int64_t offset;   /* of a file's data in the tar, or in that object */
	struct digest_hex sha256; /* of a file, where it was asked for; else "" */
};

struct tarball {
	struct tarball_member *members;
	size_t count;
	int64_t size; /* of the whole tar */
};

void tarball_init(struct tarball *tarball);
void tarball_done(struct tarball *tarball);
/* Takes over nothing: path is copied. The member stays valid until the next one is added. */
struct tarball_member *tarball_member_add(struct tarball *tarball, const char *path);
int64_t tarball_content_size(const struct tarball *tarball); /* of all files */
size_t tarball_file_count(const struct tarball *tarball);

static inline void cleanup_tarball(struct tarball *tarball)
{
	tarball_done(tarball);
}

/* ---- writing ---- */
struct tarball_writer;
typedef bool tarball_write_fn(void *arg, const void *data, size_t len, struct error *err);

struct tarball_writer *tarball_writer_new(tarball_write_fn *fn, void *arg);
void tarball_writer_free(struct tarball_writer *w);
/* Each file is hashed, too: somebody said what its hash must be. */
void tarball_writer_hash_files(struct tarball_writer *w);
/* Whoever wants to see the bytes of each file as they pass: in order, `at` is their place in the file. */
typedef void tarball_tap_fn(void *arg, const char *path, int64_t at, const void *data, size_t len);
void tarball_writer_tap(struct tarball_writer *w, tarball_tap_fn *fn, void *arg);

/* Whoever knows that the data of a file, as it is now, are stored already: true, with elsewhere and offset set. Then
 * they are neither read nor written. Asked of each file before it is read. */
typedef bool tarball_known_fn(void *arg, const struct stat *st, struct tarball_member *member);
void tarball_writer_known(struct tarball_writer *w, tarball_known_fn *fn, void *arg);

/* The file or folder `path` below the folder root becomes the member `name`. A folder is only itself:
 * tarball_add_tree adds everything in it, too, sorted by name. root must stay open until the end. */
bool tarball_add(struct tarball_writer *w, int root, const char *path, const char *name, struct error *err) MUST_CHECK;
bool tarball_add_tree(struct tarball_writer *w, int root, const char *path, const char *name,
		      struct error *err) MUST_CHECK;
/* Looks at every source once more, ends the tar, and says what is in it. */
bool tarball_finish(struct tarball_writer *w, struct tarball *tarball, struct error *err) MUST_CHECK;

static inline void cleanup_tarball_writer(struct tarball_writer **w)
{
	tarball_writer_free(*w);
}

/* True if some process has this file open for writing (mapped counts); false also where that cannot be told. */
bool tarball_is_open_for_writing(int fd);

/* ---- reading ---- */
typedef bool tarball_read_fn(void *arg, void *data, size_t size, size_t *len, struct error *err);

/* The data of a member that is elsewhere, in pieces: asked until *len is 0, then of the next member. */
typedef bool tarball_elsewhere_fn(void *arg, const struct tarball_member *member, void *data, size_t size, size_t *len,
				  struct error *err);

struct tarball_source {
	tarball_read_fn *read;           /* the tar */
	tarball_elsewhere_fn *elsewhere; /* NULL: no member is */
	void *arg;
};

/* Unpacks into the fresh folder root and syncs every file and folder. */
bool tarball_unpack(const struct tarball_source *source, const struct tarball *expected, int root,
		    struct error *err) MUST_CHECK;

#endif
