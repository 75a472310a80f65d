#include "worker/stacks.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "lib/cleanup.h"
#include "lib/proc.h"

enum {
	STACKS_PLACES = 16, /* different ones of a process */
	STACKS_THREADS = 512,
	STACKS_FRAMES = 4,
	STACKS_COMMAND_MAX = 160,
	STACKS_PLACE_MAX = 256,
	STACKS_BRIEF_REST = 64, /* bytes of it besides the place */
};

struct stacks_call {
	long number;
	const char *name;
	bool has_fd; /* its first argument */
};

/* Those that programs sleep in; the others by their numbers. */
static const struct stacks_call stacks_calls[] = {
	{ SYS_futex, "futex", false },
	{ SYS_read, "read", true },
	{ SYS_readv, "readv", true },
	{ SYS_pread64, "pread", true },
	{ SYS_write, "write", true },
	{ SYS_writev, "writev", true },
	{ SYS_pwrite64, "pwrite", true },
	{ SYS_recvfrom, "recv", true },
	{ SYS_recvmsg, "recvmsg", true },
	{ SYS_sendto, "send", true },
	{ SYS_sendmsg, "sendmsg", true },
	{ SYS_accept4, "accept", true },
	{ SYS_connect, "connect", true },
	{ SYS_ppoll, "poll", false },
	{ SYS_pselect6, "select", false },
	{ SYS_epoll_pwait, "epoll_wait", true },
	{ SYS_wait4, "wait4", false },
	{ SYS_waitid, "waitid", false },
	{ SYS_nanosleep, "nanosleep", false },
	{ SYS_clock_nanosleep, "nanosleep", false },
	{ SYS_fsync, "fsync", true },
	{ SYS_fdatasync, "fdatasync", true },
	{ SYS_flock, "flock", true },
	{ SYS_fcntl, "fcntl", true },
	{ SYS_ioctl, "ioctl", true },
	{ SYS_openat, "open", false },
	{ SYS_rt_sigsuspend, "sigsuspend", false },
	{ SYS_rt_sigtimedwait, "sigwait", false },
	{ SYS_munmap, "munmap", false },
#ifdef SYS_poll
	{ SYS_poll, "poll", false },
#endif
#ifdef SYS_select
	{ SYS_select, "select", false },
#endif
#ifdef SYS_epoll_wait
	{ SYS_epoll_wait, "epoll_wait", true },
#endif
#ifdef SYS_open
	{ SYS_open, "open", false },
#endif
#ifdef SYS_accept
	{ SYS_accept, "accept", true },
#endif
#ifdef SYS_pause
	{ SYS_pause, "pause", false },
#endif
};

/* A small file of a process in one line: what ends it, and zeros between arguments, become spaces. */
static void stacks_line(pid_t pid, const char *name, char *into, size_t size)
{
	CLEANUP(buf) struct buf text;
	buf_init(&text, 64 * 1024);
	*into = '\0';
	if (!proc_read(pid, name, &text))
		return;
	size_t len = text.len < size ? text.len : size - 1;
	memcpy(into, buf_text(&text), len);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)into[i] < ' ')
			into[i] = ' ';
	while (len && into[len - 1] == ' ')
		len--;
	into[len] = '\0';
}

static void stacks_thread_line(pid_t pid, pid_t thread, const char *name, char *into, size_t size)
{
	char path[64];
	str_format(path, sizeof path, "task/%d/%s", (int)thread, name);
	stacks_line(pid, path, into, size);
}

static void stacks_file(pid_t pid, long fd, struct buf *into)
{
	char path[64], target[PATH_MAX];
	str_format(path, sizeof path, "/proc/%d/fd/%ld", (int)pid, fd);
	ssize_t len = readlink(path, target, sizeof target - 1);
	if (len > 0)
		buf_printf(into, " of %.*s", (int)(len < 120 ? len : 120), target);
}

/* "running", "-1 <sp> <pc>", or "<number> <argument>…" */
static void stacks_syscall(pid_t pid, pid_t thread, struct buf *into)
{
	char line[256], *end;
	stacks_thread_line(pid, thread, "syscall", line, sizeof line);
	long number = strtol(line, &end, 10);
	if (end == line || number < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(stacks_calls); i++) {
		if (stacks_calls[i].number != number)
			continue;
		buf_printf(into, " in %s", stacks_calls[i].name);
		if (stacks_calls[i].has_fd)
			stacks_file(pid, strtol(end, NULL, 16), into);
		return;
	}
	buf_printf(into, " in system call %ld", number);
}

/* Of lines like "[<0>] futex_wait_queue+0x63/0x90" the names, the innermost ones. */
static void stacks_kernel(pid_t pid, pid_t thread, struct buf *into)
{
	char line[1024];
	int frames = 0;
	stacks_thread_line(pid, thread, "stack", line, sizeof line);
	for (const char *at = line; (at = strstr(at, "] ")) && frames < STACKS_FRAMES; frames++) {
		at += 2;
		buf_printf(into, "%s%.*s", frames ? " < " : " (", (int)strcspn(at, "+ "), at);
	}
	if (frames)
		buf_byte(into, ')');
}

/* What it does: "asleep in read of pipe:[123] (pipe_read < vfs_read)". */
static void stacks_place(pid_t pid, pid_t thread, struct buf *into)
{
	char stat[512];
	stacks_thread_line(pid, thread, "stat", stat, sizeof stat);
	const char *at = strrchr(stat, ')');
	char state = at && at[1] ? at[2] : '?';
	buf_str(into, state == 'R'   ? "running"
		      : state == 'S' ? "asleep"
		      : state == 'D' ? "asleep, beyond signals,"
		      : state == 'T' ? "stopped by a signal"
		      : state == 'Z' ? "ended"
				     : "in an unknown state");
	stacks_syscall(pid, thread, into);
	stacks_kernel(pid, thread, into);
}

struct stacks_seen {
	char place[STACKS_PLACE_MAX];
	char name[32]; /* of the first thread that is there */
	size_t threads;
};

static void stacks_note(pid_t pid, pid_t thread, struct stacks_seen *seen, size_t *count)
{
	CLEANUP(buf) struct buf place;
	size_t i = 0;
	buf_init(&place, 4096);
	stacks_place(pid, thread, &place);
	if (place.len >= STACKS_PLACE_MAX)
		place.data[STACKS_PLACE_MAX - 1] = '\0';
	while (i < *count && strcmp(seen[i].place, buf_text(&place)) != 0)
		i++;
	if (i == STACKS_PLACES)
		return;
	if (i == *count) {
		seen[i].threads = 0;
		str_copy(seen[i].place, sizeof seen[i].place, buf_text(&place));
		stacks_thread_line(pid, thread, "comm", seen[i].name, sizeof seen[i].name);
		(*count)++;
	}
	seen[i].threads++;
}

static size_t stacks_threads(pid_t pid, struct stacks_seen *seen)
{
	char path[64];
	size_t count = 0, threads = 0;
	str_format(path, sizeof path, "/proc/%d/task", (int)pid);
	stacks_note(pid, pid, seen, &count); /* the main thread first */
	DIR *dir = opendir(path);
	for (struct dirent *entry; dir && threads < STACKS_THREADS && (entry = readdir(dir)); threads++) {
		pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
		if (thread > 0 && thread != pid)
			stacks_note(pid, thread, seen, &count);
	}
	if (dir)
		closedir(dir);
	return count;
}

static bool stacks_only_waits(const char *place)
{
	return strstr(place, " in wait4") || strstr(place, " in waitid") || !strncmp(place, "ended", 5);
}

void stacks_take(const pid_t *pids, size_t count, struct buf *text, char *brief, size_t size)
{
	*brief = '\0';
	for (size_t i = 0; i < count; i++) {
		char command[STACKS_COMMAND_MAX];
		struct stacks_seen seen[STACKS_PLACES];
		stacks_line(pids[i], "cmdline", command, sizeof command);
		size_t places = stacks_threads(pids[i], seen);
		buf_printf(text, "process %d: %s\n", (int)pids[i], command[0] ? command : seen[0].name);
		for (size_t j = 0; j < places; j++) {
			buf_printf(text, "  %s", seen[j].name);
			if (seen[j].threads > 1)
				buf_printf(text, " and %zu more threads", seen[j].threads - 1);
			buf_printf(text, ": %s\n", seen[j].place);
		}
		if (*brief || stacks_only_waits(seen[0].place))
			continue;
		size_t len = strcspn(seen[0].place, "("); /* without its stack in the kernel */
		while (len && seen[0].place[len - 1] == ' ')
			len--;
		size_t most = size > STACKS_BRIEF_REST ? size - STACKS_BRIEF_REST : 0;
		str_format(brief, size, "%s (pid %d) is %.*s", seen[0].name, (int)pids[i],
			   (int)(len < most ? len : most), seen[0].place);
	}
}
