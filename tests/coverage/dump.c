/* Linked into everything that `make coverage` builds, as _exit: the counters are written where a process ends without
 * running what atexit(3) was told, as helpers and runners do. */
#include <gcov.h>

void __wrap__exit(int status) __attribute__((noreturn));
void __real__exit(int status) __attribute__((noreturn));

void __wrap__exit(int status)
{
	__gcov_dump();
	__gcov_reset(); /* a child of vfork(2) has its parent's counters, which goes on */
	__real__exit(status);
}
