/* What a program says on its control fd. */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "worker/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = { .kind = ERR_NONE };
	struct control_line line;
	if (!control_parse((const char *)data, size, &line, &err)) {
		FUZZ_CHECK(err.message[0]);
		return 0;
	}
	FUZZ_CHECK(line.kind != CONTROL_CHECKPOINT || line.path);
	FUZZ_CHECK(line.kind != CONTROL_RESULT || line.result);
	FUZZ_CHECK(line.kind != CONTROL_METRIC || line.point.count <= METRIC_VALUES_MAX);
	FUZZ_CHECK(line.step >= -1 && line.total >= -1);
	control_line_done(&line);
	return 0;
}
