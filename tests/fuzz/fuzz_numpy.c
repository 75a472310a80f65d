/* The bytes of an array of numpy. */
#include "tests/fuzz/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_format(&format_row_numpy, "array.npy", data, size);
	return 0;
}
