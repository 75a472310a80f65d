#include "worker/formats.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/beneath.h"
#include "lib/buf.h"

struct format_verdict format_verdict_of(enum format_proof proof, const char *framework, const char *words)
{
	struct format_verdict verdict = { .proof = proof, .optimizer = -1, .step = -1, .epoch = -1 };
	str_copy(verdict.framework, sizeof verdict.framework, framework);
	if (!str_copy(verdict.words, sizeof verdict.words, words))
		str_format(verdict.words, sizeof verdict.words, "%.*s…", (int)sizeof verdict.words - 8, words);
	return verdict;
}

static bool format_has_suffix(const char *path, const char *suffix)
{
	size_t len = strlen(path), size = strlen(suffix);
	return len >= size && strcmp(path + len - size, suffix) == 0;
}

static struct format_verdict format_file(int fd, const char *path, int64_t size)
{
	unsigned char start[4] = { 0 };
	ssize_t got = pread(fd, start, sizeof start, 0);
	if (format_has_suffix(path, ".safetensors"))
		return format_safetensors(fd, size);
	if (got == 4 && memcmp(start, "PK\3\4", 4) == 0)
		return format_torch(fd, size);
	if (size == 0)
		return format_verdict_of(FORMAT_OPAQUE, "files", "hash only (empty)");
	return format_verdict_of(FORMAT_OPAQUE, "files", "hash only");
}

struct format_verdict format_check(int root, const char *path)
{
	CLEANUP(close_fd) int fd = beneath_open(root, path, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;
	if (fd < 0 && errno == ELOOP) /* what it is the packer will say */
		return format_verdict_of(FORMAT_OPAQUE, "files", "hash only: a symbolic link");
	if (fd < 0 || fstat(fd, &st) < 0)
		return format_verdict_of(FORMAT_TORN, "files", "it cannot be opened");
	if (S_ISDIR(st.st_mode))
		return format_folder(root, path);
	if (!S_ISREG(st.st_mode))
		return format_verdict_of(FORMAT_OPAQUE, "files", "hash only: neither a file nor a folder");
	return format_file(fd, path, st.st_size);
}

void format_join(struct format_verdict *all, const struct format_verdict *one)
{
	if (one->proof < all->proof) {
		all->proof = one->proof;
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
}
