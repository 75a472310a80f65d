#include "lib/store_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/beneath.h"
#include "lib/buf.h"

static struct {
	char *folder; /* on a disk of its own; NULL: there is none, or it was not remembered */
	dev_t below;  /* the device below that mount */
} seen;

static struct {
	char *folder;    /* NULL: nothing is expected */
	char *key;       /* of the mark; NULL: of which installation is not known yet */
	bool *is_marked; /* in memory that is shared with what this process forks */
} expected;

static void mount_cut(char *path)
{
	char *slash = strrchr(path, '/');
	slash[slash == path] = '\0';
}

/* Of the folder, or of that above it while it is not made. */
static bool mount_device(const char *folder, dev_t *device)
{
	struct stat st;
	CLEANUP(free_p) char *above = mem_strdup(folder);
	mount_cut(above);
	if (stat(folder, &st) < 0 && (errno != ENOENT || stat(above, &st) < 0))
		return false;
	*device = st.st_dev;
	return true;
}

/* The folder itself belongs to the root of the system: false, there is no mount that could go. */
static bool mount_below(const char *folder, dev_t *below)
{
	dev_t device;
	CLEANUP(free_p) char *path = mem_strdup(folder);
	if (!mount_device(folder, &device))
		return false;
	while (strcmp(path, "/") != 0) {
		mount_cut(path);
		if (!mount_device(path, below))
			return false;
		if (*below != device)
			return true;
	}
	return false;
}

static bool mount_expects(const char *folder)
{
	return expected.key && strcmp(expected.folder, folder) == 0;
}

static void mount_expect(const char *folder, char *key)
{
	if (!expected.is_marked) {
		void *page = mmap(NULL, sizeof *expected.is_marked, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				  -1, 0);
		if (page == MAP_FAILED)
			mem_exhausted();
		expected.is_marked = page;
	}
	free(expected.folder);
	free(expected.key);
	expected.folder = mem_strdup(folder);
	expected.key = key;
}

void store_mount_remember(const char *folder)
{
	dev_t below;
	mount_expect(folder, NULL);
	free(seen.folder);
	seen.folder = NULL;
	if (mount_below(folder, &below)) {
		seen.below = below;
		seen.folder = mem_strdup(folder);
	}
}

void store_mount_expect(const char *folder, const char *installation, bool is_marked)
{
	char *key = mem_printf("%s/mark", installation);
	bool is_same = expected.folder && strcmp(expected.folder, folder) == 0 &&
		       (!expected.key || strcmp(expected.key, key) == 0);
	if (!is_same)
		expected.is_marked = NULL; /* another one's page stays: of one folder a process, this is rare */
	mount_expect(folder, key);
	*expected.is_marked |= is_marked; /* what was learnt once holds */
}

bool store_mount_is_marked(const char *folder)
{
	return mount_expects(folder) && *expected.is_marked;
}

bool store_mount_check(const char *folder, struct error *err)
{
	dev_t device;
	if (!seen.folder || strcmp(seen.folder, folder) != 0 || !mount_device(folder, &device) || device != seen.below)
		return true;
	return error_set(err, ERR_UNAVAILABLE, "mount it again: what waits for it goes on by itself",
			 "store file://%s: what was mounted there when this process started is there no more (is it "
			 "mounted?)",
			 folder);
}

bool store_mount_check_mark(const char *folder, int root, struct error *err)
{
	struct stat st;
	if (!store_mount_is_marked(folder) || beneath_stat(root, expected.key, &st))
		return true;
	if (errno != ENOENT && errno != ENOTDIR)
		return error_errno(err, ERR_UNAVAILABLE, NULL, "store file://%s: cannot look at %s", folder,
				   expected.key);
	error_set(err, ERR_UNAVAILABLE, NULL,
		  "store file://%s: it has no %s, and the one that Redis knows has: is it mounted?", folder,
		  expected.key);
	if (err)
		str_format(err->hint, sizeof err->hint,
			   "mount it; a new one on purpose: mkdir -p %s/%.*s && touch %s/%s", folder,
			   (int)strcspn(expected.key, "/"), expected.key, folder, expected.key);
	return false;
}

bool store_mount_mark(const char *folder, int root)
{
	struct stat st;
	const char *name;
	if (!mount_expects(folder) || *expected.is_marked)
		return true;
	if (!beneath_stat(root, expected.key, &st)) {
		CLEANUP(close_fd) int at = beneath_parent_make(root, expected.key, &name, true);
		CLEANUP(close_fd)
		int fd = at < 0 ? -1 : openat(at, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
		if (fd < 0 || fsync(at) < 0)
			return false;
	}
	*expected.is_marked = true;
	return true;
}
