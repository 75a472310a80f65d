#include "worker/sample.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "lib/compress.h"
#include "worker/listing.h"
#include "worker/proof.h"

enum {
	SAMPLE_BYTES = 64 * 1024,
	SAMPLE_PLACES = 16,         /* in all */
	SAMPLE_LEAST = 1024 * 1024, /* of less nobody feels it */
	SAMPLE_PERCENT = 75,        /* what is left must be less */
	SAMPLE_DEPTH = 8,
	SAMPLE_FILE_MOST = 4096, /* of a tar beside the bytes of a file: its header, a long name, folders, padding */
};

/* First the sizes are added up, then what stands at evenly spaced places of all that is sent is compressed. */
struct sample {
	int root;
	const char *member_root;
	struct sent *sent;
	int64_t most;
	int64_t all;    /* that is sent */
	int64_t stride; /* 0: adding up */
	int64_t next;   /* place that is looked at, counted as all */
	int64_t taken, left;
};

static void sample_place(struct sample *s, int fd, int64_t at)
{
	CLEANUP(free_p) char *bytes = mem_alloc(SAMPLE_BYTES);
	ssize_t got = pread(fd, bytes, SAMPLE_BYTES, at);
	if (got <= 0)
		return;
	s->taken += got;
	s->left += (int64_t)compress_sample(bytes, (size_t)got);
}

static bool sample_is_sent(const struct sample *s, const char *path, const struct stat *st)
{
	CLEANUP(free_p) char *member = mem_printf("%s/%s", s->member_root, path);
	return !s->sent || !sent_has(s->sent, st, member);
}

static void sample_file(struct sample *s, const char *path, const struct stat *st)
{
	int64_t begin = s->all;
	s->most += st->st_size + SAMPLE_FILE_MOST;
	if (!sample_is_sent(s, path, st))
		return;
	s->all += st->st_size;
	if (!s->stride || s->next >= s->all)
		return;
	CLEANUP(close_fd) int fd = beneath_open(s->root, path, O_RDONLY | O_NONBLOCK, 0);
	for (; s->next < s->all; s->next += s->stride)
		if (fd >= 0)
			sample_place(s, fd, s->next - begin);
}

static void sample_path(struct sample *s, const char *path, int depth)
{
	struct stat st;
	CLEANUP(listing) struct listing list = { .count = 0 };
	if (!beneath_stat(s->root, path, &st))
		return;
	if (S_ISREG(st.st_mode))
		sample_file(s, path, &st);
	if (!S_ISDIR(st.st_mode) || depth == SAMPLE_DEPTH || !listing_read(&list, s->root, path))
		return;
	for (size_t i = 0; i < list.count; i++) {
		CLEANUP(free_p) char *below = listing_path(&list, list.names[i]);
		sample_path(s, below, depth + 1);
	}
}

static void sample_all(struct sample *s, const struct unit *unit)
{
	s->all = 0;
	s->most = SAMPLE_FILE_MOST;
	for (size_t i = 0; i < unit->file_count; i++)
		sample_path(s, unit->files[i], 0);
}

struct sampled sample_unit(int root, const struct unit *unit, struct sent *sent)
{
	struct sample s = { .root = root, .member_root = proof_member_root(unit), .sent = sent };
	sample_all(&s, unit);
	struct sampled found = { .most = s.most };
	if (s.all < SAMPLE_LEAST)
		return found;
	s.stride = s.all / SAMPLE_PLACES;
	s.next = s.stride / 2;
	sample_all(&s, unit);
	found.pays = s.taken > 0 && s.left * 100 < s.taken * SAMPLE_PERCENT;
	return found;
}
