/* A file of one format: what is said of it is one of the four proofs, in words; also when it grew or was cut between
 * the look at its size and the read. */
#ifndef STOKER_TESTS_FUZZ_FORMAT_H
#define STOKER_TESTS_FUZZ_FORMAT_H

#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tests/fuzz/fuzz.h"
#include "worker/formats_internal.h"

static inline void fuzz_format(const struct format_file_row *row, const char *name, const uint8_t *data, size_t size)
{
	CLEANUP(close_fd) int fd = fuzz_file(data, size);
	CLEANUP(checksums) struct checksums *sums = checksums_new();
	const int64_t sizes[] = { (int64_t)size, (int64_t)size + 22, (int64_t)size / 2 };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct format_file file = { .fd = fd, .path = name, .size = sizes[i], .sums = sums };
		memcpy(file.start, data, size < sizeof file.start ? size : sizeof file.start);
		checksums_file(sums, name);
		row->is(&file);
		struct format_verdict verdict = row->check(&file); /* also of what is not of this format */
		FUZZ_CHECK(verdict.proof >= FORMAT_TORN && verdict.proof <= FORMAT_WHOLE);
		FUZZ_CHECK(verdict.words[0] && memchr(verdict.words, 0, sizeof verdict.words));
		FUZZ_CHECK(verdict.optimizer >= -1 && verdict.optimizer <= 1);
		FUZZ_CHECK(verdict.step >= -1 && verdict.epoch >= -1);
	}
}

#endif
