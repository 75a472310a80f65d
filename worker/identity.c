#include "worker/identity.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/buf.h"

static bool identity_make_folders(const char *path, struct error *err)
{
	CLEANUP(free_p) char *part = mem_strdup(path);
	for (char *p = part + 1;; p++) {
		if (*p && *p != '/')
			continue;
		char end = *p;
		*p = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return error_errno(err, ERR_SYSTEM, "--state-dir names a folder that may be written",
					   "cannot make the state folder %s", part);
		if (!end)
			return true;
		*p = end;
	}
}

bool identity_take(const char *state_dir, int *lock_fd, struct error *err)
{
	if (!identity_make_folders(state_dir, err))
		return false;
	CLEANUP(free_p) char *path = mem_printf("%s/lock", state_dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		*lock_fd = fd;
		return true;
	}
	if (errno == EWOULDBLOCK)
		error_set(err, ERR_CONFLICT, "give each worker a --state-dir of its own",
			  "another worker uses the state folder %s", state_dir);
	else
		error_errno(err, ERR_SYSTEM, NULL, "cannot lock %s", path);
	close(fd);
	return false;
}

/* The grammar of worker ids in docs/protocol.md. */
static bool identity_is_valid(const char *id)
{
	if (!isalnum((unsigned char)id[0]) || strlen(id) > WORKER_ID_MAX)
		return false;
	for (const char *p = id; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
			return false;
	return true;
}

static void identity_invent(char *into)
{
	char host[65] = "";
	unsigned char random[2];
	if (gethostname(host, sizeof host - 1) < 0 || !host[0])
		str_copy(host, sizeof host, "worker");
	for (char *p = host; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '-')
			*p = '-';
	if (getrandom(random, sizeof random, 0) != sizeof random)
		memset(random, 0, sizeof random);
	str_format(into, WORKER_ID_MAX + 1, "%s%s-%02x%02x", isalnum((unsigned char)host[0]) ? "" : "w", host,
		   random[0], random[1]);
}

bool identity_find(const char *state_dir, const char *given, char *into, struct error *err)
{
	CLEANUP(free_p) char *path = mem_printf("%s/id", state_dir);
	CLEANUP(close_fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open %s", path);
	ssize_t got = read(fd, into, WORKER_ID_MAX);
	into[got > 0 ? got : 0] = '\0';
	into[strcspn(into, "\n")] = '\0';
	if (given && !identity_is_valid(given))
		return error_set(err, ERR_INPUT, NULL,
				 "--id: expected a letter or digit, then letters, digits, dots, hyphens or "
				 "underscores, got \"%s\"",
				 given);
	if (given)
		str_copy(into, WORKER_ID_MAX + 1, given);
	else if (identity_is_valid(into))
		return true;
	else
		identity_invent(into);
	CLEANUP(free_p) char *line = mem_printf("%s\n", into);
	if (ftruncate(fd, 0) < 0 || pwrite(fd, line, strlen(line), 0) < 0 || fsync(fd) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot write %s", path);
	return true;
}
