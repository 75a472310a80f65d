/* An HTTP response: fed at once or byte by byte, the same body and the same end. */
#include <string.h>

#include "lib/http_response.h"
#include "tests/fuzz/fuzz.h"

struct fuzz_response {
	uint64_t hash;
	size_t len;
	int status;
};

static bool fuzz_response_body(void *arg, int status, const char *data, size_t len)
{
	struct fuzz_response *seen = arg;
	for (size_t i = 0; i < len; i++)
		seen->hash = (seen->hash ^ (unsigned char)data[i]) * 1099511628211u;
	seen->len += len;
	seen->status = status;
	return true;
}

static enum http_response_state fuzz_response_feed(const uint8_t *data, size_t size, size_t piece,
						   struct fuzz_response *seen)
{
	CLEANUP(http_response) struct http_response r;
	enum http_response_state state = HTTP_RESPONSE_MORE;
	http_response_init(&r, fuzz_response_body, seen);
	for (size_t at = 0; at < size && state == HTTP_RESPONSE_MORE; at += piece)
		state = http_response_feed(&r, (const char *)data + at, size - at < piece ? size - at : piece);
	return state == HTTP_RESPONSE_MORE ? http_response_end(&r) : state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_response whole = { .hash = 0 }, pieces = { .hash = 0 };
	enum http_response_state first = fuzz_response_feed(data, size, size, &whole);
	enum http_response_state second = fuzz_response_feed(data, size, 1, &pieces);
	FUZZ_CHECK(first == second);
	FUZZ_CHECK(first == HTTP_RESPONSE_BROKEN ||
		   (whole.len == pieces.len && whole.hash == pieces.hash && whole.status == pieces.status));
	return 0;
}
