/* The index of a transcript, and what it leads to: an index that is accepted is one that can be read, and says the same
 * when it is written and read once more; what is unpacked is bounded by what was packed. */
#include <string.h>

#include "lib/buf.h"
#include "lib/gzip.h"
#include "queue/transcript.h"
#include "tests/fuzz/fuzz.h"

static bool fuzz_count(void *arg, const char *data, size_t len, struct error *err)
{
	size_t *sum = arg;
	(void)data;
	(void)err;
	FUZZ_CHECK(len > 0);
	*sum += len;
	return true;
}

static void fuzz_unpack(const uint8_t *data, size_t size)
{
	CLEANUP(gunzip) struct gunzip *gunzip = gunzip_new();
	struct error err = { .kind = ERR_NONE };
	size_t sum = 0, half = size / 2;
	bool ok = gunzip_next(gunzip, data, half, fuzz_count, &sum, &err) &&
		  gunzip_next(gunzip, data + half, size - half, fuzz_count, &sum, &err);
	FUZZ_CHECK(ok || err.kind == ERR_DAMAGED);
	FUZZ_CHECK(sum <= size * 1100);
}

static void fuzz_pack(const uint8_t *data, size_t size)
{
	CLEANUP(buf) struct buf packed;
	CLEANUP(gunzip) struct gunzip *gunzip = gunzip_new();
	struct error err;
	size_t sum = 0;
	buf_init(&packed, 4 * size + 1024);
	FUZZ_CHECK(gzip_add(&packed, data, size, &err) && gzip_add(&packed, data, size, &err));
	FUZZ_CHECK(gunzip_next(gunzip, packed.data, packed.len, fuzz_count, &sum, &err));
	FUZZ_CHECK(sum == 2 * size && gunzip_is_whole(gunzip));
}

static void fuzz_again(const struct transcript *t)
{
	CLEANUP(free_p) char *text = transcript_to_json(t);
	CLEANUP(transcript) struct transcript again = { 0 };
	struct error err;
	FUZZ_CHECK(transcript_from_json(text, strlen(text), &again, &err));
	CLEANUP(free_p) char *twice = transcript_to_json(&again);
	FUZZ_CHECK(strcmp(text, twice) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = { .kind = ERR_NONE };
	CLEANUP(transcript) struct transcript t = { 0 };
	if (transcript_from_json((const char *)data, size, &t, &err)) {
		FUZZ_CHECK(t.attempt > 0);
		for (int part = 0; part < TRANSCRIPT_PARTS; part++) {
			const struct transcript_stream *stream = &t.streams[part];
			FUZZ_CHECK(stream->next >= 1 && stream->count <= TRANSCRIPT_PIECES_MAX);
			FUZZ_CHECK(!stream->count || stream->pieces[0].offset >= 0);
		}
		fuzz_again(&t);
	} else {
		FUZZ_CHECK(err.kind == ERR_DAMAGED);
	}
	fuzz_unpack(data, size);
	fuzz_pack(data, size);
	return 0;
}
