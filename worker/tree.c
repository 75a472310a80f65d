#include "worker/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include "lib/buf.h"
#include "lib/cleanup.h"

enum { TREE_FDS = 32, TREE_FLAGS = FTW_DEPTH | FTW_PHYS | FTW_MOUNT };

/* Lets us in, and write. */
static void tree_let(const char *folder)
{
	struct stat st;
	if (lstat(folder, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 0700) != 0700)
		(void)!fchmodat(AT_FDCWD, folder, 0700, AT_SYMLINK_NOFOLLOW);
}

static bool tree_is_on_one_system(const char *folder, const char *path)
{
	struct stat a, b;
	return lstat(folder, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev;
}

static int tree_empty_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	if (ftw->level == 0 || remove(path) == 0)
		return 0;
	CLEANUP(free_p) char *folder = mem_strndup(path, (size_t)ftw->base - 1);
	tree_let(folder);
	if (type != FTW_DNR && type != FTW_NS)
		remove(path);
	else if (tree_is_on_one_system(folder, path))
		tree_remove(path); /* what is below it was not seen */
	return 0;
}

void tree_empty(const char *path)
{
	tree_let(path);
	nftw(path, tree_empty_one, TREE_FDS, TREE_FLAGS);
}

bool tree_remove(const char *path)
{
	if (remove(path) == 0)
		return true;
	tree_empty(path);
	return remove(path) == 0 || errno == ENOENT;
}
