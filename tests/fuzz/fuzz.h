/*
 * What the fuzzed readers share. One file a target, fuzz_<name>.c, with one function: LLVMFuzzerTestOneInput. It
 * calls the reader with the bytes, and aborts (FUZZ_CHECK) when the answer breaks what its header promises; the
 * sanitizers find the rest. A new target is that file, its name in files.mk, and seeds in corpus/<name>/.
 */
#ifndef STOKER_TESTS_FUZZ_FUZZ_H
#define STOKER_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(claim)                                                                                              \
	do {                                                                                                           \
		if (!(claim)) {                                                                                        \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #claim);                     \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

/* A file that holds the bytes, in memory. The caller closes it. */
int fuzz_file(const uint8_t *data, size_t size);

/* A folder of this process in memory, made once; the same one each time. */
const char *fuzz_folder(void);

#endif
