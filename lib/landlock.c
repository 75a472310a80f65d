#include "lib/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The C library has no functions for it, and Debian 12's headers know its first two versions only. */
enum {
	LANDLOCK_TRUNCATE = 1 << 14,
	LANDLOCK_IOCTL_DEV = 1 << 15,
	LANDLOCK_BIND_TCP = 1 << 0,
	LANDLOCK_CONNECT_TCP = 1 << 1,
	LANDLOCK_SCOPE_SOCKETS = 1 << 0,
	LANDLOCK_SCOPE_SIGNALS = 1 << 1,

	LANDLOCK_ALL_FIRST = (1 << 13) - 1, /* what version 1 knows */
	LANDLOCK_READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
	LANDLOCK_WRITE = LANDLOCK_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
			 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
			 LANDLOCK_TRUNCATE,
	LANDLOCK_OF_FILES = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_TRUNCATE,
};

struct landlock_handled { /* the kernel takes a longer one than it knows when the rest is 0 */
	uint64_t files, net, scoped;
};

int landlock_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	return version > 0 ? (int)version : 0;
}

static struct landlock_handled landlock_handled_by(int version, bool may_connect)
{
	struct landlock_handled handled = { .files = LANDLOCK_ALL_FIRST };
	if (version >= 2)
		handled.files |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		handled.files |= LANDLOCK_TRUNCATE;
	if (version >= 4)
		handled.net = LANDLOCK_BIND_TCP | (may_connect ? 0 : LANDLOCK_CONNECT_TCP);
	if (version >= 5)
		handled.files |= LANDLOCK_IOCTL_DEV;
	if (version >= 6)
		handled.scoped = LANDLOCK_SCOPE_SOCKETS | LANDLOCK_SCOPE_SIGNALS;
	return handled;
}

static bool landlock_allow(int rules, const struct landlock_path *path, uint64_t handled, struct error *err)
{
	CLEANUP(close_fd) int fd = open(path->path, O_PATH | O_CLOEXEC);
	struct stat st;
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
		return true;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "landlock: cannot look at %s", path->path);
	uint64_t allowed = path->may_write ? LANDLOCK_WRITE : LANDLOCK_READ;
	struct landlock_path_beneath_attr rule = { .parent_fd = fd, .allowed_access = allowed & handled };
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= LANDLOCK_OF_FILES;
	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0 ||
	       error_errno(err, ERR_SYSTEM, NULL, "landlock: cannot allow %s", path->path);
}

int landlock_confine(const struct landlock_options *options, struct error *err)
{
	int version = landlock_version();
	if (!version) {
		error_errno(err, ERR_SYSTEM, NULL, "this kernel has no Landlock");
		return 0;
	}
	const struct landlock_handled handled = landlock_handled_by(version, options->may_connect);
	CLEANUP(close_fd) int rules = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
	if (rules < 0) {
		error_errno(err, ERR_SYSTEM, NULL, "landlock: cannot make rules");
		return 0;
	}
	for (size_t i = 0; i < options->count; i++)
		if (!landlock_allow(rules, &options->paths[i], handled.files, err))
			return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_landlock_restrict_self, rules, 0) < 0) {
		error_errno(err, ERR_SYSTEM, NULL, "landlock: cannot apply the rules");
		return 0;
	}
	return version;
}
