/* STOKER_TEST=test_name: a program of unit tests runs this one alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

__attribute__((constructor)) static void only(void)
{
	const char *name = getenv("STOKER_TEST");
	if (name)
		cmocka_set_test_filter(name);
}
