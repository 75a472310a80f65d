/* Addresses of a Redis: a password is in no message and not in `where`. */
#include <string.h>

#include "lib/buf.h"
#include "queue/redis_url.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(free_p) char *text = mem_strndup(data, size);
	struct error err = { .kind = ERR_NONE };
	struct redis_url url;
	if (!redis_url_parse(text, &url, &err)) {
		FUZZ_CHECK(err.message[0]);
		return 0;
	}
	FUZZ_CHECK(url.where && (url.path || url.host) && url.db >= 0);
	FUZZ_CHECK(!strchr(url.where, '@') || url.path);
	redis_url_done(&url);
	return 0;
}
