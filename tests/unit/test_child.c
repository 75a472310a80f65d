/* lib/child, lib/proc and lib/signals against real processes. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "lib/child.h"
#include "lib/clock.h"
#include "lib/proc.h"
#include "lib/signals.h"

struct seen {
	struct event_base *base;
	struct child_exit how;
	int count;
	int signal;
};

static void note_exit(void *arg, const struct child_exit *how)
{
	struct seen *seen = arg;
	seen->how = *how;
	seen->count++;
	event_base_loopbreak(seen->base);
}

/* Runs a shell text with its output in a pipe, and answers how it ended. */
static struct child_exit run_shell(struct child_options *o, const char *script, struct buf *output)
{
	struct error err = { 0 };
	struct seen seen = { .base = event_base_new() };
	int out[2];
	pid_t pid;
	const char *const argv[] = { "sh", "-c", script, NULL };
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	o->argv = argv;
	o->in = o->err = -1;
	o->out = out[1];
	if (!child_spawn(o, &pid, &err))
		fail_msg("%s", err.message);
	close(out[1]);
	struct child_watch *watch = child_watch_new(seen.base, pid, note_exit, &seen, &err);
	assert_non_null(watch);
	char chunk[4096];
	ssize_t got;
	while ((got = read(out[0], chunk, sizeof chunk)) > 0)
		buf_add(output, chunk, (size_t)got);
	close(out[0]);
	event_base_dispatch(seen.base);
	assert_int_equal(seen.count, 1);
	child_watch_free(watch);
	event_base_free(seen.base);
	return seen.how;
}

static void test_output_and_exit_code(void **state)
{
	(void)state;
	CLEANUP(buf) struct buf out;
	buf_init(&out, 4096);
	const char *const env[] = { "PATH=/usr/bin:/bin", "COLOUR=green", NULL };
	struct child_options o = { .env = env, .cwd = "/" };
	struct child_exit how = run_shell(&o, "echo $COLOUR $PWD; exit 7", &out);
	assert_string_equal(buf_text(&out), "green /\n");
	assert_true(how.is_known);
	assert_int_equal(how.code, 7);
	assert_int_equal(how.signal, 0);
}

static void test_signal_is_named(void **state)
{
	(void)state;
	char text[64];
	CLEANUP(buf) struct buf out;
	buf_init(&out, 4096);
	struct child_options o = { 0 };
	struct child_exit how = run_shell(&o, "kill -SEGV $$", &out);
	child_exit_text(&how, text, sizeof text);
	assert_string_equal(text, "signal 11 (SIGSEGV)");
	assert_int_equal(how.code, -1);
}

static void test_exec_failures(void **state)
{
	(void)state;
	struct error err = { 0 };
	pid_t pid;
	const char *const missing[] = { "no-such-program-here", NULL };
	struct child_options o = { .argv = missing, .in = -1, .out = -1, .err = -1 };
	assert_false(child_spawn(&o, &pid, &err));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_string_equal(err.message, "cannot execute the program no-such-program-here: No such file or directory");

	const char *const folder[] = { "/tmp", NULL };
	o.argv = folder;
	assert_false(child_spawn(&o, &pid, &err));
	assert_int_equal(err.kind, ERR_SYSTEM);
	assert_non_null(strstr(err.message, "Permission denied"));

	const char *const fine[] = { "true", NULL };
	o.argv = fine;
	o.cwd = "/no/such/folder";
	assert_false(child_spawn(&o, &pid, &err));
	assert_string_equal(err.message, "cannot enter the working folder /no/such/folder: No such file or directory");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing was left to reap */
	assert_int_equal(errno, ECHILD);
}

static void test_signals_are_reset(void **state)
{
	(void)state;
	CLEANUP(buf) struct buf out;
	buf_init(&out, 4096);
	sigset_t set, before;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &before);
	signal(SIGPIPE, SIG_IGN);
	struct child_options o = { 0 };
	run_shell(&o, "sed -nE 's/^Sig(Blk|Ign):\t//p' /proc/self/status", &out);
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGPIPE, SIG_DFL);
	/* 32 and 33 are libc's own: what a stranger left of them cannot be reset, and means nothing after an exec. */
	const unsigned long long ours = ~(3ULL << 31);
	char *end = NULL;
	unsigned long long blocked = strtoull(buf_text(&out), &end, 16);
	unsigned long long ignored = strtoull(end, &end, 16);
	assert_string_equal(end, "\n");
	assert_int_equal(blocked & ours, 0);
	assert_int_equal(ignored & ours, 0);
}

static void test_fds_even_when_they_cross(void **state)
{
	(void)state;
	CLEANUP(buf) struct buf out;
	buf_init(&out, 4096);
	int a[2], b[2];
	assert_int_equal(pipe2(a, O_CLOEXEC), 0);
	assert_int_equal(pipe2(b, O_CLOEXEC), 0);
	assert_int_equal(write(a[1], "A\n", 2), 2);
	assert_int_equal(write(b[1], "B\n", 2), 2);
	int leak = open("/dev/null", O_RDONLY); /* deliberately not close-on-exec */
	const struct child_fd fds[] = { { a[0], b[0] }, { b[0], a[0] } };
	struct child_options o = { .fds = fds, .fd_count = 2 };
	CLEANUP(free_p)
	char *script = mem_printf("read x <&%d; read y <&%d; echo $x $y; set -- /proc/$$/fd/*; echo $#", a[0], b[0]);
	run_shell(&o, script, &out);
	assert_string_equal(buf_text(&out), "B A\n6\n"); /* the three, ours, and the listing itself */
	close(leak);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

static void test_group_kill(void **state)
{
	(void)state;
	struct error err = { 0 };
	int out[2];
	pid_t pid;
	char byte;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	const char *const argv[] = { "sh", "-c", "sleep 600 & sleep 600 & echo; wait", NULL };
	struct child_options o = { .argv = argv, .in = -1, .out = out[1], .err = -1, .group = CHILD_OWN_GROUP };
	assert_true(child_spawn(&o, &pid, &err));
	close(out[1]);
	assert_int_equal(read(out[0], &byte, 1), 1);
	assert_int_equal(getpgid(pid), pid);
	kill(-pid, SIGKILL);
	assert_int_equal(read(out[0], &byte, 1), 0); /* every holder of the pipe is gone */
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(out[0]);
}

static int run_forked(struct event_base *base, void *arg)
{
	const int *fds = arg;
	struct stat st;
	bool kept = fstat(fds[0], &st) == 0;
	bool closed = fstat(fds[1], &st) < 0 || !S_ISFIFO(st.st_mode); /* the base may use the number again */
	return base && kept && closed && getpgrp() == getpid() ? 42 : 1;
}

static void test_fork_keeps_only_what_is_listed(void **state)
{
	(void)state;
	struct error err = { 0 };
	int fds[2];
	int status;
	pid_t pid;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	struct child_fork_options o = {
		.keep = fds, .keep_count = 1, .group = CHILD_OWN_GROUP, .run = run_forked, .arg = fds
	};
	assert_true(child_fork(&o, &pid, &err));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 42);
	close(fds[0]);
	close(fds[1]);
}

static void test_watch_of_a_stranger(void **state)
{
	(void)state;
	struct error err = { 0 };
	struct seen seen = { .base = event_base_new() };
	int out[2];
	pid_t pid;
	int stranger = 0;
	char line[32] = "";
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	const char *const argv[] = { "sh", "-c", "sleep 600 >/dev/null & echo $!", NULL };
	struct child_options o = { .argv = argv, .in = -1, .out = out[1], .err = -1 };
	assert_true(child_spawn(&o, &pid, &err));
	close(out[1]);
	assert_true(read(out[0], line, sizeof line - 1) > 0);
	assert_int_equal(sscanf(line, "%d", &stranger), 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	struct child_watch *watch = child_watch_new(seen.base, stranger, note_exit, &seen, &err);
	assert_non_null(watch);
	child_watch_signal(watch, SIGKILL);
	event_base_dispatch(seen.base);
	assert_int_equal(seen.count, 1);
	assert_false(seen.how.is_known);
	child_watch_signal(watch, SIGKILL); /* harmless now */
	child_watch_free(watch);
	assert_null(child_watch_new(seen.base, 0x3fffffff, note_exit, &seen, &err));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	event_base_free(seen.base);
	close(out[0]);
}

/* A grandchild that left its parent, its group and its session is found by its environment; one that
 * cleared its environment is found by the session. */
static void test_sweep_finds_who_fled(void **state)
{
	(void)state;
	struct error err = { 0 };
	int out[2];
	pid_t pid;
	char mark[64], byte;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	str_format(mark, sizeof mark, "STOKER_RUN=test.%d", (int)getpid());
	const char *const env[] = { "PATH=/usr/bin:/bin", mark, NULL };
	const char *const argv[] = { "sh", "-c",
				     "setsid sleep 600 & env -i /bin/sleep 600 & (sleep 600 &) ; echo; exec sleep 600",
				     NULL };
	struct child_options o = {
		.argv = argv, .env = env, .in = -1, .out = out[1], .err = -1, .group = CHILD_OWN_SESSION
	};
	assert_true(child_spawn(&o, &pid, &err));
	close(out[1]);
	assert_int_equal(read(out[0], &byte, 1), 1);
	struct proc_run run = { .mark = mark, .session = pid, .session_start = proc_start_time(pid) };
	struct proc_run other = { .mark = "STOKER_RUN=another" };
	assert_int_equal(proc_sweep(&other), 0);
	assert_int_equal(kill(pid, 0), 0);
	int64_t end = clock_boot_ms() + 10000;
	size_t first = proc_sweep(&run);
	assert_true(first >= 3);
	while (proc_sweep(&run) && clock_boot_ms() < end)
		;
	assert_int_equal(proc_sweep(&run), 0);
	assert_int_equal(read(out[0], &byte, 1), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(out[0]);
}

static void test_proc_tells_processes_apart(void **state)
{
	(void)state;
	struct proc_stat stat;
	assert_true(proc_stat(getpid(), &stat));
	assert_int_equal(stat.parent, getppid());
	assert_int_equal(stat.group, getpgrp());
	assert_int_equal(stat.session, getsid(0));
	assert_int_equal(stat.start, proc_start_time(getpid()));
	assert_int_equal(proc_start_time(0x3fffffff), -1);
	prctl(PR_SET_NAME, "a) R 1 2 (3");
	assert_true(proc_stat(getpid(), &stat));
	assert_int_equal(stat.parent, getppid());
}

static void note_signal(void *arg, int number)
{
	struct seen *seen = arg;
	seen->signal = number;
	event_base_loopbreak(seen->base);
}

static void test_signals_arrive_in_the_loop(void **state)
{
	(void)state;
	struct error err = { 0 };
	struct seen seen = { .base = event_base_new() };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	struct signals *signals = signals_new(seen.base, &set, note_signal, &seen, &err);
	assert_non_null(signals);
	raise(SIGUSR2);
	assert_int_equal(seen.signal, 0);
	event_base_dispatch(seen.base);
	assert_int_equal(seen.signal, SIGUSR2);
	signals_free(signals);
	event_base_free(seen.base);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_and_exit_code),
		cmocka_unit_test(test_signal_is_named),
		cmocka_unit_test(test_exec_failures),
		cmocka_unit_test(test_signals_are_reset),
		cmocka_unit_test(test_fds_even_when_they_cross),
		cmocka_unit_test(test_group_kill),
		cmocka_unit_test(test_fork_keeps_only_what_is_listed),
		cmocka_unit_test(test_watch_of_a_stranger),
		cmocka_unit_test(test_sweep_finds_who_fled),
		cmocka_unit_test(test_proc_tells_processes_apart),
		cmocka_unit_test(test_signals_arrive_in_the_loop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
