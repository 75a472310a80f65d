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

enum {
	SAMPLE_BYTES = 64 * 1024,
	SAMPLE_PLACES = 16,         /* in all */
	SAMPLE_LEAST = 1024 * 1024, /* of less nobody feels it */
	SAMPLE_PERCENT = 75,        /* what is left must be less */
	SAMPLE_DEPTH = 8,
	SAMPLE_FILE_MOST = 4096, /* of a tar beside the bytes of a file: its header, a long name, folders, padding */
};

/* First the sizes are added up, then what stands at evenly spaced places of them all is compressed. */
struct sample {
	int root;
	int64_t all, files;
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

static void sample_file(struct sample *s, const char *path, int64_t size)
{
	int64_t begin = s->all;
	s->all += size;
	s->files++;
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
		sample_file(s, path, st.st_size);
	if (!S_ISDIR(st.st_mode) || depth == SAMPLE_DEPTH || !listing_read(&list, s->root, path))
		return;
	for (size_t i = 0; i < list.count; i++) {
		CLEANUP(free_p) char *below = listing_path(&list, list.names[i]);
		sample_path(s, below, depth + 1);
	}
}

static void sample_all(struct sample *s, const struct unit *unit)
{
	s->all = s->files = 0;
	for (size_t i = 0; i < unit->file_count; i++)
		sample_path(s, unit->files[i], 0);
}

struct sampled sample_unit(int root, const struct unit *unit)
{
	struct sample s = { .root = root };
	sample_all(&s, unit);
	struct sampled found = { .most = s.all + (s.files + 1) * SAMPLE_FILE_MOST };
	if (s.all < SAMPLE_LEAST)
		return found;
	s.stride = s.all / SAMPLE_PLACES;
	s.next = s.stride / 2;
	sample_all(&s, unit);
	found.pays = s.taken > 0 && s.left * 100 < s.taken * SAMPLE_PERCENT;
	return found;
}
