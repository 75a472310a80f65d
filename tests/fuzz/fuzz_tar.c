/*
 * The unpacker. A mutated header would fail on its checksum at once, so each is given the right one; and the manifest
 * is what a trusting reader finds in the same bytes, so that the checks behind the names are reached. The first byte
 * says how the manifest differs from that. Whatever the bytes are: refused as damaged, or exactly the manifest's
 * files; and never anything beside the folder.
 */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "lib/tarball.h"
#include "tests/fuzz/fuzz.h"

#define BLOCK      512
#define MEMBER_MAX (1 << 20)

struct fuzz_tar {
	char *bytes;
	size_t len, at;
};

static void fuzz_tar_right_checksums(struct fuzz_tar *tar)
{
	for (size_t at = 0; at + BLOCK <= tar->len; at += BLOCK) {
		char *header = tar->bytes + at;
		if (memcmp(header + 257, "ustar", 5) != 0)
			continue;
		unsigned sum = 0;
		memset(header + 148, ' ', 8);
		for (int i = 0; i < BLOCK; i++)
			sum += (unsigned char)header[i];
		str_format(header + 148, 8, "%06o", sum);
	}
}

static void fuzz_tar_expect(const struct fuzz_tar *tar, struct tarball *expected)
{
	struct archive *archive = archive_read_new();
	struct archive_entry *entry;
	archive_read_support_format_tar(archive);
	if (archive_read_open_memory(archive, tar->bytes, tar->len) == ARCHIVE_OK)
		while (expected->count < 64 && archive_read_next_header(archive, &entry) == ARCHIVE_OK) {
			const char *name = archive_entry_pathname(entry);
			CLEANUP(free_p) char *path = mem_strdup(name ? name : "");
			size_t len = strlen(path);
			if (len > 1 && path[len - 1] == '/')
				path[len - 1] = '\0';
			struct tarball_member *member = tarball_member_add(expected, path);
			member->is_folder = archive_entry_filetype(entry) == AE_IFDIR;
			member->mode = archive_entry_mode(entry);
			member->size = member->is_folder ? 0 : archive_entry_size(entry);
		}
	archive_read_free(archive);
}

static void fuzz_tar_differ(struct tarball *expected, uint8_t how)
{
	if (!expected->count || how < 128)
		return;
	struct tarball_member *member = &expected->members[(how >> 2) % expected->count];
	if ((how & 3) == 0)
		member->size++;
	else if ((how & 3) == 1)
		member->is_folder = !member->is_folder;
	else if ((how & 3) == 2)
		member->sha256 = digest_of("", 0);
	else
		free(expected->members[--expected->count].path);
}

static bool fuzz_tar_read(void *arg, void *data, size_t size, size_t *len, struct error *err)
{
	struct fuzz_tar *tar = arg;
	(void)err;
	*len = tar->len - tar->at < size ? tar->len - tar->at : size;
	memcpy(data, tar->bytes + tar->at, *len);
	tar->at += *len;
	return true;
}

static void fuzz_tar_check_files(const struct tarball *expected, int root)
{
	for (size_t i = 0; i < expected->count; i++) {
		const struct tarball_member *member = &expected->members[i];
		struct stat st;
		FUZZ_CHECK(beneath_stat(root, member->path, &st));
		FUZZ_CHECK(member->is_folder ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode));
		FUZZ_CHECK(member->is_folder || st.st_size == member->size);
		FUZZ_CHECK((st.st_mode & 07000) == 0);
	}
}

static int fuzz_tar_entries(int folder)
{
	DIR *dir = fdopendir(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int count = -2; /* "." and ".." */
	FUZZ_CHECK(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > MEMBER_MAX)
		return 0;
	CLEANUP(free_p) char *bytes = mem_strndup(data + 1, size - 1);
	struct fuzz_tar tar = { .bytes = bytes, .len = size - 1 };
	CLEANUP(tarball) struct tarball expected;
	tarball_init(&expected);
	fuzz_tar_right_checksums(&tar);
	fuzz_tar_expect(&tar, &expected);
	fuzz_tar_differ(&expected, data[0]);
	CLEANUP(close_fd) int top = beneath_root(fuzz_folder());
	FUZZ_CHECK(mkdirat(top, "into", 0700) == 0);
	CLEANUP(close_fd) int root = beneath_open(top, "into", O_RDONLY | O_DIRECTORY, 0);
	struct error err = { .kind = ERR_NONE };
	if (tarball_unpack(&(const struct tarball_source){ .read = fuzz_tar_read, .arg = &tar }, &expected, root, &err))
		fuzz_tar_check_files(&expected, root);
	else
		FUZZ_CHECK(err.kind == ERR_DAMAGED && err.message[0]);
	FUZZ_CHECK(fuzz_tar_entries(top) == 1);
	FUZZ_CHECK(beneath_remove(top, "into"));
	return 0;
}
