/* worker/death: why a program ended, by what is known of it; and what the kernel says of memory. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "lib/utf8.h"
#include "worker/death.h"
#include "worker/memory.h"
#include "worker/outcome.h"

#define GIB (INT64_C(1) << 30)
#define EXITED(c)                                                                                                      \
	{                                                                                                              \
		.is_known = true, .code = (c)                                                                          \
	}
#define SIGNALED(s)                                                                                                    \
	{                                                                                                              \
		.is_known = true, .code = -1, .signal = (s)                                                            \
	}
#define KILLED_AT(b)                                                                                                   \
	{                                                                                                              \
		.is_known = true, .code = -1, .signal = SIGKILL, .peak_bytes = (b)                                     \
	}
#define OUT(text)  "1795329305800 o " text "\n"
#define ERR(text)  "1795329305800 e " text "\n"
#define SAID(text) "1795329305800 s " text "\n"

static const struct {
	struct death death;
	const char *says;
} deaths[] = {
	{ { .how = EXITED(1) }, "exit 1, without a word" },
	{ { .how = EXITED(1), .tail = OUT("step=3") }, "exit 1: step=3" },
	{ { .how = EXITED(1), .tail = ERR("Traceback:") ERR("ValueError: no such column") OUT("step=3") SAID("gone") },
	  "exit 1: ValueError: no such column" },
	{ { .how = EXITED(1), .tail = ERR(" \t \x1b[1;31mred\x07\xff\tone\x1b[0m  ") ERR("") }, "exit 1: red one" },
	{ { .how = EXITED(65), .tail = ERR("row 7") }, "exit 65: the program says that its input is wrong (row 7)" },
	{ { .how = EXITED(78) }, "exit 78: the program says that it cannot run like this" },
	{ { .how = EXITED(75) }, "exit 75: it says that it is preempted, but nobody had asked it to stop" },
	{ { .how = { .code = -1 } }, "ended in an unknown way, without a word" },
	/* signals */
	{ { .how = SIGNALED(SIGSEGV) }, "killed by SIGSEGV, without a word" },
	{ { .how = SIGNALED(SIGABRT), .tail = ERR("what():  bad") }, "killed by SIGABRT: what():  bad" },
	{ { .how = SIGNALED(SIGSEGV),
	    .tail = ERR("Fatal Python error: Segmentation fault") ERR("Current thread 0x7f (most recent call first):")
		    ERR("  File \"a.py\", line 3 in crash") ERR("  File \"a.py\", line 9 in <module>")
			    ERR("Extension modules: numpy (total: 1)") },
	  "killed by SIGSEGV: File \"a.py\", line 3 in crash" },
	{ { .how = SIGNALED(40) }, "killed by signal 40, without a word" },
	{ { .how = SIGNALED(SIGKILL), .tail = ERR("step") },
	  "killed by SIGKILL, but not by the kernel for want of memory: somebody did it" },
	{ { .how = SIGNALED(SIGKILL), .oom_kills = -1 },
	  "killed by SIGKILL, by somebody, or by the kernel for want of memory" },
	{ { .how = EXITED(139), .tail = ERR("Segmentation fault") }, "exit 139, as of SIGSEGV: Segmentation fault" },
	{ { .how = EXITED(255) }, "exit 255, without a word" },
	/* memory */
	{ { .how = { .is_known = true, .code = 137, .peak_bytes = 2 * GIB },
	    .oom_kills = 1,
	    .limit_bytes = 4 * GIB,
	    .limit_of = "its cgroup",
	    .tail = ERR("Killed") },
	  "out of memory: 2 GiB of 4 GiB, all that its cgroup has (exit 137, as of SIGKILL)" },
	{ { .how = KILLED_AT(13207024435),
	    .oom_kills = 1,
	    .granted_bytes = 12 * GIB,
	    .limit_bytes = 64 * GIB,
	    .limit_of = "this machine" },
	  "out of memory: 12.3 GiB of 12 GiB, what it may use by its spec (killed by SIGKILL)" },
	{ { .how = KILLED_AT(60 * GIB), .oom_kills = 1, .limit_bytes = 64 * GIB, .limit_of = "its cgroup" },
	  "out of memory: 60 GiB of 64 GiB, all that its cgroup has (killed by SIGKILL)" },
	{ { .how = SIGNALED(SIGKILL), .oom_kills = 1 }, "out of memory (killed by SIGKILL)" },
	{ { .how = EXITED(1), .oom_kills = 2, .limit_of = "its cgroup", .tail = ERR("worker died") },
	  "exit 1: worker died; while it ran, the kernel killed 2 processes in its cgroup for want of memory" },
	{ { .how = EXITED(1), .tail = ERR("MemoryError: 8 GiB") OUT("bye") },
	  "out of memory (exit 1): MemoryError: 8 GiB" },
	{ { .how = SIGNALED(SIGABRT), .tail = ERR("  what():  std::bad_alloc") },
	  "out of memory (killed by SIGABRT): what():  std::bad_alloc" },
	{ { .how = EXITED(1), .tail = ERR("torch.OutOfMemoryError: CUDA out of memory. Tried") ERR("a") ERR("b") },
	  "out of GPU memory (exit 1): torch.OutOfMemoryError: CUDA out of memory. Tried" },
	/* disks */
	{ { .how = EXITED(1),
	    .tail = ERR("OSError: [Errno 28] No space left on device: '/data/x'"),
	    .full_disk = "/a" },
	  "disk full: /data/x (exit 1): OSError: [Errno 28] No space left on device: '/data/x'" },
	{ { .how = EXITED(1), .tail = ERR("cp: x: No space left on device"), .full_disk = "/state/run" },
	  "disk full: /state/run (exit 1): cp: x: No space left on device" },
	{ { .how = EXITED(1), .tail = ERR("cp: x: Disk quota exceeded") },
	  "disk full (exit 1): cp: x: Disk quota exceeded" },
	{ { .how = SIGNALED(SIGBUS), .full_disk = "/dev/shm" }, "disk full: /dev/shm (killed by SIGBUS)" },
	{ { .how = EXITED(1), .full_disk = "/tmp", .tail = ERR("bad zip file") },
	  "disk full: /tmp (exit 1): bad zip file" },
};

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(deaths); i++) {
		struct death death = deaths[i].death;
		char text[OUTCOME_ERROR_MAX];
		death.tail = death.tail ? death.tail : "";
		death.tail_len = strlen(death.tail);
		death_explain(&death, text, sizeof text);
		assert_string_equal(text, deaths[i].says);
	}
}

/* What is said may be as long and as broken as it likes. */
static void test_any_words(void **state)
{
	(void)state;
	for (int first = 0; first < 256; first += 5) {
		CLEANUP(buf) struct buf tail;
		char text[64], whole[OUTCOME_ERROR_MAX];
		buf_init(&tail, 1 << 20);
		buf_str(&tail, "12 e ");
		for (int i = 0; i < 60000; i++)
			buf_byte(&tail, (char)(((first + i * 7) & 255) == '\n' ? 'x' : (first + i * 7) & 255));
		buf_byte(&tail, '\n');
		struct death death = { .how = EXITED(1), .tail = buf_text(&tail), .tail_len = tail.len };
		death_explain(&death, text, sizeof text);
		assert_true(utf8_is_valid(text, strlen(text)));
		death_explain(&death, whole, sizeof whole);
		assert_true(utf8_is_valid(whole, strlen(whole)));
		assert_true(strlen(whole) < 250);
		assert_memory_equal(whole, "exit 1: ", 8);
	}
}

static void test_lines_far_back_do_not_count(void **state)
{
	(void)state;
	CLEANUP(buf) struct buf tail;
	char text[OUTCOME_ERROR_MAX];
	buf_init(&tail, 1 << 20);
	buf_str(&tail, ERR("MemoryError"));
	for (int i = 0; i < 40; i++)
		buf_str(&tail, ERR("and on it went"));
	struct death death = { .how = EXITED(1), .tail = buf_text(&tail), .tail_len = tail.len };
	death_explain(&death, text, sizeof text);
	assert_string_equal(text, "exit 1: and on it went");
}

static void test_what_the_kernel_says(void **state)
{
	(void)state;
	struct memory_state now;
	memory_read(&now);
	assert_true(now.oom_kills >= 0);
	assert_int_equal(now.oom_kills, memory_oom_kills());
	assert_true(now.limit_bytes > 0);
	assert_true(!strcmp(now.limit_of, "this machine") || !strcmp(now.limit_of, "its cgroup"));
	assert_int_equal(memory_number("/proc/no/such", ""), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_any_words),
		cmocka_unit_test(test_lines_far_back_do_not_count),
		cmocka_unit_test(test_what_the_kernel_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
