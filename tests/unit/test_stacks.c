/* worker/stacks and lib/proc: where real processes are. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/proc.h"
#include "worker/stacks.h"

/* A child that is in a state of its choice; ready: once it wrote a byte. */
static pid_t start(void (*be)(int said))
{
	int said[2];
	char byte;
	assert_int_equal(pipe(said), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(said[0]);
		be(said[1]);
		_exit(1);
	}
	close(said[1]);
	assert_int_equal(read(said[0], &byte, 1), 1);
	close(said[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void say(int said)
{
	if (write(said, "x", 1) != 1)
		_exit(2);
}

static void be_reading(int said)
{
	int never[2];
	char byte;
	if (pipe(never) == 0) {
		say(said);
		if (read(never[0], &byte, 1) < 0)
			_exit(3);
	}
}

static void be_many(int said)
{
	static const char script[] = "import os, threading, time\n"
				     "for _ in range(3): threading.Thread(target=time.sleep, args=[600]).start()\n"
				     "os.write(1, b'x')\n"
				     "time.sleep(600)\n";
	dup2(said, 1);
	execlp("/usr/bin/python3", "many", "-c", script, NULL);
}

static void on_signal(int number)
{
	(void)number;
}

static void be_a_parent(int said)
{
	signal(SIGABRT, on_signal);
	pid_t child = start(be_reading);
	say(said);
	waitpid(child, NULL, 0);
}

static void wait_for(pid_t pid, const char *place, struct buf *text, char *brief, size_t size)
{
	for (int i = 0; i < 2000; i++) { /* it says that it is ready just before it sleeps */
		buf_clear(text);
		stacks_take(&pid, 1, text, brief, size);
		if (strstr(buf_text(text), place))
			return;
		usleep(5000);
	}
	fail_msg("not at \"%s\": %s", place, buf_text(text));
}

static void test_what_a_process_sleeps_in(void **state)
{
	(void)state;
	struct buf text;
	char brief[320];
	pid_t pid = start(be_reading);
	buf_init(&text, 65536);
	wait_for(pid, "test_stacks: asleep in read of pipe:[", &text, brief, sizeof brief);
	assert_non_null(strstr(brief, "test_stacks (pid "));
	assert_non_null(strstr(brief, ") is asleep in read of pipe:["));
	assert_null(strchr(brief, '\n'));
	end(pid);
	buf_done(&text);
}

static void test_threads_at_one_place_share_a_line(void **state)
{
	(void)state;
	struct buf text;
	char brief[320];
	pid_t pid = start(be_many);
	buf_init(&text, 65536);
	wait_for(pid, " and 3 more threads: asleep in ", &text, brief, sizeof brief);
	end(pid);
	buf_done(&text);
}

static void test_who_only_waits_is_not_the_answer(void **state)
{
	(void)state;
	struct buf text;
	char brief[320];
	pid_t pids[8], parent = start(be_a_parent);
	buf_init(&text, 65536);
	wait_for(parent, "asleep in wait4", &text, brief, sizeof brief);
	assert_string_equal(brief, "");
	size_t count = proc_tree(getpid(), pids, 8);
	assert_int_equal(count, 2);
	assert_int_equal(pids[0], parent);
	assert_int_equal(proc_tree(getpid(), pids, 1), 1);
	pids[1] = 0;
	assert_int_equal(proc_tree(parent, pids + 1, 7), 1);
	stacks_take(pids, 2, &text, brief, sizeof brief);
	char wanted[64];
	str_format(wanted, sizeof wanted, "test_stacks (pid %d) is asleep", (int)pids[1]);
	assert_non_null(strstr(brief, wanted));
	assert_true(proc_catches(parent, SIGABRT));
	assert_false(proc_catches(parent, SIGTERM));
	kill(pids[1], SIGKILL);
	end(parent);
	assert_false(proc_catches(parent, SIGABRT)); /* it is gone */
	buf_clear(&text);
	stacks_take(pids, 1, &text, brief, sizeof brief); /* no harm */
	buf_done(&text);
}

static void be_busy(int said)
{
	say(said);
	for (volatile int64_t i = 0;; i++)
		;
}

static void test_who_computes_uses_a_processor(void **state)
{
	(void)state;
	struct proc_stat before, now;
	pid_t pid = start(be_busy);
	assert_true(proc_stat(pid, &before));
	do
		assert_true(proc_stat(pid, &now));
	while (now.cpu < before.cpu + 2);
	end(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_process_sleeps_in),
		cmocka_unit_test(test_threads_at_one_place_share_a_line),
		cmocka_unit_test(test_who_only_waits_is_not_the_answer),
		cmocka_unit_test(test_who_computes_uses_a_processor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
