/* Cron expressions: one that is accepted is due some time, and later than now. */
#include "lib/buf.h"
#include "lib/cron.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(free_p) char *text = mem_strndup(data, size);
	struct error err = { .kind = ERR_NONE };
	struct cron cron;
	if (!cron_parse(text, &cron, &err)) {
		FUZZ_CHECK(err.kind == ERR_INPUT && err.message[0]);
		return 0;
	}
	const struct zone zone = { .name = "UTC" };
	int64_t now = 1790000000000, next = 0, after = 0;
	FUZZ_CHECK(cron_next(&cron, &zone, now, &next, &err) && next > now);
	FUZZ_CHECK(cron_next(&cron, &zone, next, &after, &err) && after > next);
	FUZZ_CHECK(cron_next(&cron, &zone, next - 1, &after, &err) && after == next);
	return 0;
}
