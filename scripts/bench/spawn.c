/*
 * What this machine can do with processes, and nothing in the way:
 *
 *   bench-spawn rate SECONDS IN_FLIGHT PROGRAM [ARGUMENT]…    processes a second, output captured through a pipe
 *   bench-spawn start RUNS PROGRAM [ARGUMENT]…                microseconds from posix_spawn to reaped: median
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { IN_FLIGHT_MAX = 64 };

static _Noreturn void spawn_fail(const char *what, int error)
{
	fprintf(stderr, "bench-spawn: %s: %s\n", what, strerror(error));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Starts it with its output in a pipe, whose reading end is put into *out. */
static pid_t spawn_start(char **command, int *out)
{
	int ends[2];
	pid_t pid;
	posix_spawn_file_actions_t actions;
	if (pipe2(ends, O_CLOEXEC))
		spawn_fail("pipe", errno);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
	int error = posix_spawn(&pid, command[0], &actions, NULL, command, environ);
	if (error)
		spawn_fail(command[0], error);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	*out = ends[0];
	return pid;
}

/* Reads to the end of the output, then reaps. */
static void spawn_settle(pid_t pid, int out)
{
	char text[4096];
	int status;
	ssize_t got;
	while ((got = read(out, text, sizeof text)) > 0) {
	}
	close(out);
	if (got < 0 || waitpid(pid, &status, 0) != pid)
		spawn_fail("wait", errno);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		spawn_fail("the program failed", 0);
}

static void spawn_rate(long seconds, long in_flight, char **command)
{
	struct pollfd outs[IN_FLIGHT_MAX];
	pid_t pids[IN_FLIGHT_MAX];
	long done = 0;
	int64_t start = now_ns(), end = start + seconds * 1000000000;
	for (long i = 0; i < in_flight; i++) {
		pids[i] = spawn_start(command, &outs[i].fd);
		outs[i].events = POLLIN;
	}
	while (now_ns() < end) {
		if (poll(outs, (nfds_t)in_flight, -1) < 0)
			spawn_fail("poll", errno);
		for (long i = 0; i < in_flight; i++) {
			if (!outs[i].revents)
				continue;
			spawn_settle(pids[i], outs[i].fd);
			done++;
			pids[i] = spawn_start(command, &outs[i].fd);
		}
	}
	double span = (double)(now_ns() - start) / 1e9;
	for (long i = 0; i < in_flight; i++)
		spawn_settle(pids[i], outs[i].fd);
	printf("{\"rate\": %.1f}\n", (double)done / span);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static void spawn_time(long runs, char **command)
{
	int64_t *spans = calloc((size_t)runs, sizeof *spans);
	for (long i = 0; i < runs; i++) {
		int out;
		int64_t start = now_ns();
		pid_t pid = spawn_start(command, &out);
		spawn_settle(pid, out);
		spans[i] = now_ns() - start;
	}
	qsort(spans, (size_t)runs, sizeof *spans, compare);
	printf("{\"median_us\": %.1f}\n", (double)spans[runs / 2] / 1000);
	free(spans);
}

static long number(const char *text, long most)
{
	char *end;
	long value = strtol(text, &end, 10);
	if (*end || value < 1 || value > most)
		spawn_fail(text, EINVAL);
	return value;
}

int main(int argc, char **argv)
{
	if (argc > 4 && !strcmp(argv[1], "rate"))
		spawn_rate(number(argv[2], 3600), number(argv[3], IN_FLIGHT_MAX), argv + 4);
	else if (argc > 3 && !strcmp(argv[1], "start"))
		spawn_time(number(argv[2], 1000000), argv + 3);
	else
		spawn_fail("usage: bench-spawn rate SECONDS IN_FLIGHT PROGRAM… | start RUNS PROGRAM…", EINVAL);
	return 0;
}
