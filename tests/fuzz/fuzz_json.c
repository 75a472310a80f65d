/* Our own reader of objects of texts says what jansson says; one spelling is read back as the same one. */
#include <string.h>

#include "lib/json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	json_error_t at;
	json_t *quick = json_read_texts(text, size), *slow = json_loadb(text, size, 0, &at);
	FUZZ_CHECK(!quick || (slow && json_equal(quick, slow)));
	json_decref(quick);
	json_decref(slow);
	json_t *value = json_read(text, size, 0, &at);
	if (!value)
		return 0;
	CLEANUP(buf) struct buf once, twice;
	buf_init(&once, 16 * size + 1024);
	buf_init(&twice, 16 * size + 1024);
	FUZZ_CHECK(json_canonical(value, &once));
	json_decref(value);
	value = json_read(once.data, once.len, 0, &at);
	FUZZ_CHECK(value && json_canonical(value, &twice));
	FUZZ_CHECK(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	json_decref(value);
	return 0;
}
