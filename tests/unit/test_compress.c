/* Streams through zstd: there and back, whatever the pieces; and what is no such stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/compress.h"
#include "tests/unit/folder.h"

struct pipe {
	struct buf bytes;
	size_t at;
	size_t piece; /* handed out at once; 0: as much as is wanted */
};

static bool take(void *arg, const void *data, size_t len, struct error *err)
{
	struct pipe *pipe = arg;
	return buf_add(&pipe->bytes, data, len) || error_set(err, ERR_FULL, NULL, "no room");
}

static bool give(void *arg, void *data, size_t size, size_t *len, struct error *err)
{
	struct pipe *pipe = arg;
	(void)err;
	*len = pipe->bytes.len - pipe->at < size ? pipe->bytes.len - pipe->at : size;
	if (pipe->piece && *len > pipe->piece)
		*len = pipe->piece;
	if (*len)
		memcpy(data, pipe->bytes.data + pipe->at, *len);
	pipe->at += *len;
	return true;
}

static void squeeze(struct pipe *pipe, const char *bytes, size_t len, size_t piece)
{
	struct error err;
	CLEANUP(compress) struct compress *c = compress_new(take, pipe);
	for (size_t at = 0; at < len; at += piece)
		assert_true(compress_write(c, bytes + at, len - at < piece ? len - at : piece, &err));
	assert_true(compress_finish(c, &err));
}

/* All of it, or why not. */
static bool stretch(struct pipe *pipe, size_t piece, struct buf *into, struct error *err)
{
	CLEANUP(decompress) struct decompress *d = decompress_new(give, pipe);
	CLEANUP(free_p) char *chunk = mem_alloc(piece);
	pipe->at = 0;
	for (size_t len = 1; len > 0; buf_add(into, chunk, len))
		if (!decompress_read(d, chunk, piece, &len, err))
			return false;
	return true;
}

enum { LEN = 3000000 };

static char *text_make(void)
{
	uint64_t seed = 3;
	char *text = mem_alloc(LEN);
	for (size_t i = 0; i < LEN; i++)
		text[i] = (char)('a' + draw(&seed) % 9);
	return text;
}

static void test_there_and_back(void **state)
{
	static const size_t pieces[] = { 1 << 20, 100000, 4096, 997 };
	CLEANUP(free_p) char *text = text_make();
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct error err = { .message = "" };
		struct pipe pipe = { .piece = pieces[ARRAY_LEN(pieces) - 1 - i] };
		CLEANUP(buf) struct buf back;
		buf_init(&pipe.bytes, LEN);
		buf_init(&back, LEN + 1);
		squeeze(&pipe, text, LEN, pieces[i]);
		assert_true(pipe.bytes.len < LEN / 2);
		if (!stretch(&pipe, pieces[i], &back, &err))
			fail_msg("%s", err.message);
		assert_int_equal(back.len, LEN);
		assert_memory_equal(back.data, text, LEN);
		buf_done(&pipe.bytes);
	}
}

static void test_nothing(void **state)
{
	struct error err;
	struct pipe pipe = { .at = 0 };
	CLEANUP(buf) struct buf back;
	(void)state;
	buf_init(&pipe.bytes, 1000);
	buf_init(&back, 1000);
	squeeze(&pipe, "", 0, 1);
	assert_true(pipe.bytes.len > 0 && stretch(&pipe, 100, &back, &err));
	assert_int_equal(back.len, 0);
	buf_done(&pipe.bytes);
}

static void refuse(struct pipe *pipe, const char *why)
{
	struct error err = { .message = "" };
	CLEANUP(buf) struct buf back;
	buf_init(&back, 2 * LEN);
	if (stretch(pipe, 65536, &back, &err))
		fail_msg("accepted; expected: %s", why);
	if (err.kind != ERR_DAMAGED || !strstr(err.message, why))
		fail_msg("expected \"%s\", got \"%s\"", why, err.message);
}

static void test_what_is_no_such_stream(void **state)
{
	CLEANUP(free_p) char *text = text_make();
	struct pipe pipe = { .at = 0 };
	(void)state;
	buf_init(&pipe.bytes, 4 * LEN);
	refuse(&pipe, "end too soon");
	assert_true(buf_str(&pipe.bytes, "not compressed at all"));
	refuse(&pipe, "cannot be read");
	buf_clear(&pipe.bytes);
	squeeze(&pipe, text, LEN, 65536);
	size_t whole = pipe.bytes.len;
	for (size_t cut = 1; cut < 20; cut++) {
		pipe.bytes.len = whole * cut / 20;
		refuse(&pipe, "end too soon");
	}
	pipe.bytes.len = whole - 1;
	refuse(&pipe, "end too soon");
	pipe.bytes.len = whole;
	assert_true(buf_byte(&pipe.bytes, 0));
	refuse(&pipe, "behind the compressed data");
	pipe.bytes.len = whole;
	squeeze(&pipe, "two", 3, 3); /* a second frame */
	refuse(&pipe, "behind the compressed data");
	buf_done(&pipe.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_what_is_no_such_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
