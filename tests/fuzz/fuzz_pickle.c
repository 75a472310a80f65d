/* A pickle that anybody may have written: what it says is within its bounds, and it ends where it ends. */
#include <unistd.h>

#include "lib/cleanup.h"
#include "tests/fuzz/fuzz.h"
#include "worker/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(close_fd) int fd = fuzz_file(data, size);
	struct pickle_facts facts = pickle_scan(fd, 0, (int64_t)size);
	FUZZ_CHECK(facts.state >= PICKLE_READ && facts.state <= PICKLE_STRANGE);
	if (facts.state == PICKLE_READ) {
		FUZZ_CHECK(facts.end > 0 && facts.end <= (int64_t)size);
		FUZZ_CHECK(facts.step >= -1 && facts.epoch >= -1);
		FUZZ_CHECK(facts.optimizer >= -1 && facts.optimizer <= 1);
		/* Cut before its end it is torn, never something else that was read. */
		FUZZ_CHECK(pickle_scan(fd, 0, facts.end - 1).state != PICKLE_READ);
	}
	pickle_scan(fd, 0, (int64_t)size + 22);
	return 0;
}
