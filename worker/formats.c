#include "worker/formats.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "worker/formats_internal.h"

#define FOLDER_DEPTH 16

/* The first that says "it is mine" has it. */
static const struct format_file_row *const format_files[] = {
	&format_row_safetensors,
	&format_row_numpy,
	&format_row_zip,
	&format_row_torch_legacy,
};

static const struct format_folder_row *const format_folders[] = {
	&format_row_orbax,     &format_row_huggingface,
	&format_row_deepspeed, &format_row_megatron, /* its folders may hold DCP's */
	&format_row_dcp,
};

/* Files whose name alone says that everything before them is there. */
static const char *const format_markers[] = { "_SUCCESS", "commit_success.txt", ".complete" };

struct format_verdict format_verdict_of(enum format_proof proof, const char *framework, const char *words)
{
	struct format_verdict verdict = { .proof = proof, .optimizer = -1, .step = -1, .epoch = -1, .loss = NAN };
	str_copy(verdict.framework, sizeof verdict.framework, framework);
	if (!str_copy(verdict.words, sizeof verdict.words, words))
		str_format(verdict.words, sizeof verdict.words, "%.*s…", (int)sizeof verdict.words - 8, words);
	return verdict;
}

struct format_verdict format_torn(const char *framework, const char *why, const char *name)
{
	CLEANUP(free_p) char *words = mem_printf("%s %s", name, why);
	return format_verdict_of(FORMAT_TORN, framework, words);
}

bool format_has_suffix(const char *path, const char *suffix)
{
	size_t len = strlen(path), size = strlen(suffix);
	return len >= size && strcmp(path + len - size, suffix) == 0;
}

bool format_read(int fd, void *into, size_t len, int64_t at)
{
	for (char *to = into; len > 0;) {
		ssize_t got = pread(fd, to, len, at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		to += got;
		at += got;
		len -= (size_t)got;
	}
	return true;
}

bool format_has_hole(const struct format_file *file, int64_t from)
{
	off_t hole = file->size > from ? lseek(file->fd, from, SEEK_HOLE) : file->size;
	return hole >= 0 && hole < file->size;
}

bool format_is_last(const struct format_folder *folder, const char *name)
{
	int64_t written = listing_written(&folder->list, name);
	return written >= 0 && written >= listing_newest(&folder->list, name);
}

static struct format_verdict format_check_file(int fd, const char *path, int64_t size, struct checksums *sums)
{
	struct format_file file = { .fd = fd, .path = path, .size = size, .sums = sums };
	if (pread(fd, file.start, sizeof file.start, 0) < 0)
		return format_verdict_of(FORMAT_TORN, "files", "it cannot be read");
	const struct format_file_row *row = NULL;
	for (size_t i = 0; i < ARRAY_LEN(format_files) && !row; i++)
		if (format_files[i]->is(&file))
			row = format_files[i];
	struct format_verdict verdict =
		row ? row->check(&file)
		    : format_verdict_of(FORMAT_OPAQUE, "files", size == 0 ? "hash only (empty)" : "hash only");
	return verdict;
}

static struct format_verdict format_check_at(int root, const char *path, struct checksums *sums, int depth);

static struct format_verdict format_check_folder(int root, const char *path, struct checksums *sums, int depth)
{
	CLEANUP(listing) struct listing list;
	if (!listing_read(&list, root, path))
		return format_verdict_of(FORMAT_TORN, "files", "it cannot be opened");
	if (depth > FOLDER_DEPTH)
		return format_verdict_of(FORMAT_OPAQUE, "files", "hash only: too deep to look into");
	/* A copy, which frees nothing: the list is this function's. */
	const struct format_folder folder = { .list = list, .sums = sums, .depth = depth };
	const struct format_folder_row *row = NULL;
	for (size_t i = 0; i < ARRAY_LEN(format_folders) && !row; i++)
		if (format_folders[i]->is(&folder))
			row = format_folders[i];
	struct format_verdict verdict = row ? row->check(&folder) : format_sum(&folder);
	bool has_marker = false;
	for (size_t i = 0; i < ARRAY_LEN(format_markers); i++)
		has_marker |= format_is_last(&folder, format_markers[i]);
	if (has_marker && verdict.proof != FORMAT_TORN && verdict.proof != FORMAT_WHOLE) {
		verdict.proof = FORMAT_WHOLE;
		str_copy(verdict.words, sizeof verdict.words, "marker file of its writer; file hashes");
	}
	return verdict;
}

static struct format_verdict format_check_at(int root, const char *path, struct checksums *sums, int depth)
{
	CLEANUP(close_fd) int fd = beneath_open(root, path, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;
	if (fd < 0 && errno == ELOOP) /* what it is the packer will say */
		return format_verdict_of(FORMAT_OPAQUE, "files", "hash only: a symbolic link");
	if (fd < 0 || fstat(fd, &st) < 0)
		return format_verdict_of(FORMAT_TORN, "files", "it cannot be opened");
	if (S_ISDIR(st.st_mode))
		return format_check_folder(root, path, sums, depth);
	if (!S_ISREG(st.st_mode))
		return format_verdict_of(FORMAT_OPAQUE, "files", "hash only: neither a file nor a folder");
	return format_check_file(fd, path, st.st_size, sums);
}

struct format_verdict format_check(int root, const char *path, struct checksums *sums)
{
	return format_check_at(root, path, sums, 0);
}

void format_join(struct format_verdict *all, const struct format_verdict *one)
{
	if (one->proof < all->proof || !all->words[0]) {
		all->proof = one->proof < all->proof ? one->proof : all->proof;
		memcpy(all->words, one->words, sizeof all->words);
	}
	if (strcmp(all->framework, "files") == 0)
		memcpy(all->framework, one->framework, sizeof all->framework);
	if (one->optimizer > all->optimizer)
		all->optimizer = one->optimizer;
	if (one->step > all->step)
		all->step = one->step;
	if (one->epoch > all->epoch)
		all->epoch = one->epoch;
	if (isnan(all->loss))
		all->loss = one->loss;
	if (!all->beside[0])
		memcpy(all->beside, one->beside, sizeof all->beside);
}

struct format_verdict format_sum(const struct format_folder *folder)
{
	const struct listing *list = &folder->list;
	struct format_verdict sum = format_verdict_of(list->count ? FORMAT_WHOLE : FORMAT_OPAQUE, "files",
						      list->count ? "" : "hash only (empty)");
	for (size_t i = 0; i < list->count; i++) {
		CLEANUP(free_p) char *path = listing_path(list, list->names[i]);
		struct format_verdict one = format_check_at(list->root, path, folder->sums, folder->depth + 1);
		if (one.proof == FORMAT_WHOLE)
			one.proof = FORMAT_SOUND; /* another file may still come */
		if (one.proof == FORMAT_TORN)
			one = format_torn(one.framework, one.words, list->names[i]);
		format_join(&sum, &one);
	}
	return sum;
}

bool format_parts_are_right(const struct format_folder *folder, const char *except, struct format_verdict *torn)
{
	const struct listing *list = &folder->list;
	for (size_t i = 0; i < list->count; i++) {
		if (except && fnmatch(except, list->names[i], 0) == 0)
			continue;
		CLEANUP(free_p) char *path = listing_path(list, list->names[i]);
		struct format_verdict one = format_check_at(list->root, path, folder->sums, folder->depth + 1);
		if (one.proof != FORMAT_TORN)
			continue;
		*torn = format_torn(one.framework, one.words, list->names[i]);
		return false;
	}
	return true;
}
