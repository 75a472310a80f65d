/* Linked into everything that `make coverage` builds, in place of two functions: _exit, for the counters are written
 * where a process ends without running what atexit(3) was told, as helpers and runners do; and landlock_confine, for a
 * helper that may write nowhere else must still write them. Who gets SIGRTMAX writes them and is gone, as by a kill -9,
 * which is what tests end with. */
#include <gcov.h>
#include <signal.h>
#include "lib/buf.h"
#include "lib/landlock.h"

void __wrap__exit(int status) __attribute__((noreturn));
void __real__exit(int status) __attribute__((noreturn));
int __wrap_landlock_confine(const struct landlock_options *options, struct error *err);
int __real_landlock_confine(const struct landlock_options *options, struct error *err);

void __wrap__exit(int status)
{
	__gcov_dump();
	__gcov_reset(); /* a child of vfork(2) has its parent's counters, which goes on */
	__real__exit(status);
}

int __wrap_landlock_confine(const struct landlock_options *options, struct error *err)
{
	struct landlock_options more = *options;
	CLEANUP(free_p) struct landlock_path *paths = mem_alloc((options->count + 1) * sizeof *paths);
	for (size_t i = 0; i < options->count; i++)
		paths[i] = options->paths[i];
	paths[more.count++] = (struct landlock_path){ .path = COVERAGE_FOLDER, .may_write = true };
	more.paths = paths;
	return __real_landlock_confine(&more, err);
}

static void dump_and_die(int number)
{
	(void)number;
	__wrap__exit(1);
}

__attribute__((constructor)) static void dump_listen(void)
{
	signal(SIGRTMAX, dump_and_die);
}
