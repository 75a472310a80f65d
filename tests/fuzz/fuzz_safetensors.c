/* The bytes of a safetensors file: what is said of them is one of the four proofs, in words. */
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tests/fuzz/fuzz.h"
#include "worker/formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(close_fd) int fd = fuzz_file(data, size);
	struct format_verdict verdict = format_safetensors(fd, (int64_t)size);
	FUZZ_CHECK(verdict.proof >= FORMAT_TORN && verdict.proof <= FORMAT_WHOLE);
	FUZZ_CHECK(verdict.words[0] && memchr(verdict.words, 0, sizeof verdict.words));
	FUZZ_CHECK(verdict.optimizer >= -1 && verdict.optimizer <= 1);
	/* The file grew or was cut between the look at its size and the read. */
	format_safetensors(fd, (int64_t)size + 22);
	format_safetensors(fd, (int64_t)size / 2);
	return 0;
}
