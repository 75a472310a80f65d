/* The bytes of a file of torch before its ZIPs. */
#include "tests/fuzz/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_format(&format_row_torch_legacy, "model.pt", data, size);
	return 0;
}
