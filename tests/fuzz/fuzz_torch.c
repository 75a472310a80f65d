/* The bytes of a ZIP, as torch and numpy write it. */
#include "tests/fuzz/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_format(&format_row_zip, "model.pt", data, size);
	return 0;
}
