#include "lib/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>
#include "lib/buf.h"

enum {
	PROC_ENVIRON_MAX = 4 * 1024 * 1024, /* the kernel's own bound on arguments and environment is near this */
	PROC_FIELD_CPU = 14,                /* user, system; the same of children that were waited for */
	PROC_FIELD_START = 22,
	PROC_TREE_MAX = 64 * 1024,
};

bool proc_read(pid_t pid, const char *name, struct buf *into)
{
	char path[64];
	str_format(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	char chunk[16 * 1024];
	ssize_t got;
	while ((got = read(fd, chunk, sizeof chunk)) > 0)
		if (!buf_add(into, chunk, (size_t)got))
			break;
	return got >= 0;
}

bool proc_stat(pid_t pid, struct proc_stat *stat)
{
	CLEANUP(buf) struct buf text;
	buf_init(&text, 4096);
	if (!proc_read(pid, "stat", &text))
		return false;
	/* The name stands in parentheses and may hold any character: the fields start after the last one. They are
	 * numbered as in proc(5), where the state is the third. */
	const char *at = strrchr(buf_text(&text), ')');
	if (!at || at[1] != ' ' || !at[2])
		return false;
	*stat = (struct proc_stat){ .state = at[2] };
	at += 3;
	for (int field = 4; field <= PROC_FIELD_START; field++) {
		char *end;
		long long value = strtoll(at, &end, 10);
		if (end == at)
			return false;
		at = end;
		if (field == 4)
			stat->parent = (pid_t)value;
		else if (field == 5)
			stat->group = (pid_t)value;
		else if (field == 6)
			stat->session = (pid_t)value;
		else if (field >= PROC_FIELD_CPU && field < PROC_FIELD_CPU + 4)
			stat->cpu += value;
		else if (field == PROC_FIELD_START)
			stat->start = value;
	}
	return true;
}

int64_t proc_start_time(pid_t pid)
{
	struct proc_stat stat;
	return proc_stat(pid, &stat) ? stat.start : -1;
}

static bool proc_has_mark(pid_t pid, const char *mark)
{
	CLEANUP(buf) struct buf environment;
	buf_init(&environment, PROC_ENVIRON_MAX);
	if (!proc_read(pid, "environ", &environment))
		return false;
	size_t len = strlen(mark);
	const char *end = buf_text(&environment) + environment.len;
	for (const char *p = buf_text(&environment); p < end; p += strlen(p) + 1)
		if (!strncmp(p, mark, len) && !p[len])
			return true;
	return false;
}

/* A pid of the listing, or -1. */
static pid_t proc_pid_of(const struct dirent *entry)
{
	pid_t pid = 0;
	for (const char *p = entry->d_name; *p; p++) {
		if (!isdigit((unsigned char)*p))
			return -1;
		pid = pid * 10 + (*p - '0');
	}
	return pid;
}

/* A later process with the leader's pid may have made a session of the same number. */
static bool proc_session_is_gone(const struct proc_run *run)
{
	int64_t start = proc_start_time(run->session);
	return start >= 0 && start != run->session_start;
}

static bool proc_belongs(pid_t pid, const struct proc_run *run, bool by_session)
{
	struct proc_stat stat;
	if (!proc_stat(pid, &stat) || stat.state == 'Z' || stat.state == 'X')
		return false;
	if (by_session && stat.session == run->session && stat.start >= run->session_start)
		return true;
	return run->mark && proc_has_mark(pid, run->mark);
}

size_t proc_sweep(const struct proc_run *run)
{
	size_t found = 0;
	bool by_session = run->session > 0 && !proc_session_is_gone(run);
	DIR *dir = opendir("/proc");
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		pid_t pid = proc_pid_of(entry);
		if (pid <= 1 || pid == getpid())
			continue;
		CLEANUP(close_fd) int fd = pidfd_open(pid, 0);
		if (fd < 0 || !proc_belongs(pid, run, by_session))
			continue;
		pidfd_send_signal(fd, SIGKILL, NULL, 0);
		found++;
	}
	if (dir)
		closedir(dir);
	return found;
}

size_t proc_children(pid_t parent, pid_t *into, size_t max)
{
	size_t found = 0;
	DIR *dir = opendir("/proc");
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		struct proc_stat stat;
		pid_t pid = proc_pid_of(entry);
		if (pid <= 0 || !proc_stat(pid, &stat) || stat.parent != parent)
			continue;
		if (found < max)
			into[found] = pid;
		found++;
	}
	if (dir)
		closedir(dir);
	return found;
}

bool proc_catches(pid_t pid, int signal_number)
{
	CLEANUP(buf) struct buf status;
	buf_init(&status, 16 * 1024);
	if (!proc_read(pid, "status", &status))
		return false;
	const char *at = strstr(buf_text(&status), "\nSigCgt:");
	return at && (strtoull(at + strlen("\nSigCgt:"), NULL, 16) >> (signal_number - 1)) & 1;
}

struct proc_pair {
	pid_t pid, parent;
};

static size_t proc_pairs(struct proc_pair *into)
{
	size_t found = 0;
	DIR *dir = opendir("/proc");
	for (struct dirent *entry; dir && found < PROC_TREE_MAX && (entry = readdir(dir));) {
		struct proc_stat stat;
		pid_t pid = proc_pid_of(entry);
		if (pid > 0 && proc_stat(pid, &stat))
			into[found++] = (struct proc_pair){ pid, stat.parent };
	}
	if (dir)
		closedir(dir);
	return found;
}

size_t proc_tree(pid_t root, pid_t *into, size_t max)
{
	CLEANUP(free_p) void *memory = mem_alloc(PROC_TREE_MAX * sizeof(struct proc_pair));
	struct proc_pair *pairs = memory;
	size_t count = proc_pairs(pairs), found = 0;
	for (size_t next = 0; next <= found && found < max; next++) {
		pid_t parent = next ? into[next - 1] : root;
		for (size_t i = 0; i < count && found < max; i++)
			if (pairs[i].parent == parent)
				into[found++] = pairs[i].pid;
	}
	return found;
}

void proc_boot_id(char *into, size_t size)
{
	char text[64] = "";
	CLEANUP(close_fd) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	text[got > 0 ? got : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	str_copy(into, size, text);
}
