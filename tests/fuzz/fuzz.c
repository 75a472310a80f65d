#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"

int fuzz_file(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	FUZZ_CHECK(fd >= 0);
	FUZZ_CHECK(pwrite(fd, data, size, 0) == (ssize_t)size);
	return fd;
}

static char fuzz_folder_path[64];

static void fuzz_folder_remove(void)
{
	rmdir(fuzz_folder_path);
}

const char *fuzz_folder(void)
{
	if (fuzz_folder_path[0])
		return fuzz_folder_path;
	str_copy(fuzz_folder_path, sizeof fuzz_folder_path, "/dev/shm/stoker-fuzz-XXXXXX");
	FUZZ_CHECK(mkdtemp(fuzz_folder_path));
	atexit(fuzz_folder_remove);
	return fuzz_folder_path;
}
