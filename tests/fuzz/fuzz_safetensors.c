/* The bytes of a safetensors file. */
#include "tests/fuzz/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_format(&format_row_safetensors, "model.safetensors", data, size);
	return 0;
}
