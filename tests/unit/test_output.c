/* worker/output: cutting what a program prints into lines, and its pipes. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "worker/output.h"
#include "worker/spool.h"

/* Each line as "<text>|", a fleeting one as "<text>~". */
static void note(void *arg, const char *text, size_t len, bool is_fleeting)
{
	struct buf *seen = arg;
	buf_add(seen, text, len);
	buf_byte(seen, is_fleeting ? '~' : '|');
}

static const struct {
	const char *input;
	const char *expected;
} rows[] = {
	{ "one\ntwo\n", "one|two|" },
	{ "one\n\ntwo", "one||two|" },
	{ "", "" },
	{ "\n", "|" },
	{ "dos\r\nunix\n", "dos|unix|" },
	{ "dos\r\r\nunix\n", "dos|unix|" },
	{ " 1%\r 2%\r 3%\ndone\n", " 1%~ 2%~ 3%|done|" },
	{ "\r 1%\r 2%", " 1%~ 2%|" },
	{ "end\r", "end|" },
	{ "\r\n\r\n", "||" },
	{ "10%\r20%\r30%\nx\n\ny\r\n1\r\r2\rz\n3\r\r\n", "10%~20%~30%|x||y|1~2~z|3|" },
};

/* The result does not depend on how the bytes arrive. */
static void test_cutting(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].input);
		for (size_t piece = 1; piece <= len + 1; piece++) {
			struct output_cutter cutter = { 0 };
			CLEANUP(buf) struct buf seen;
			buf_init(&seen, 4096);
			for (size_t at = 0; at < len; at += piece)
				output_cut(&cutter, rows[i].input + at, len - at < piece ? len - at : piece, note,
					   &seen);
			output_cut_end(&cutter, note, &seen);
			assert_string_equal(buf_text(&seen), rows[i].expected);
			output_cutter_done(&cutter);
		}
	}
}

struct lengths {
	size_t count, len[8];
	char last[8]; /* last bytes of each */
};

static void note_length(void *arg, const char *text, size_t len, bool is_fleeting)
{
	struct lengths *seen = arg;
	(void)is_fleeting;
	assert_true(seen->count < ARRAY_LEN(seen->len));
	seen->last[seen->count] = len ? text[len - 1] : '\0';
	seen->len[seen->count++] = len;
}

static void test_long_lines_are_cut(void **state)
{
	(void)state;
	struct output_cutter cutter = { 0 };
	struct lengths seen = { 0 };
	size_t len = 2 * SPOOL_RECORD_MAX + 10;
	CLEANUP(free_p) char *text = mem_alloc(len + 1);
	memset(text, 'x', len);
	text[len] = '\n';
	output_cut(&cutter, text, len + 1, note_length, &seen);
	output_cutter_done(&cutter);
	assert_int_equal(seen.len[0] + seen.len[1] + seen.len[2], len);
	for (size_t i = 0; i < seen.count; i++)
		assert_true(seen.len[i] <= SPOOL_RECORD_MAX);

	/* a line of exactly the bound is one line */
	seen = (struct lengths){ 0 };
	text[SPOOL_RECORD_MAX] = '\n';
	output_cut(&cutter, text, SPOOL_RECORD_MAX + 1, note_length, &seen);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.len[0], SPOOL_RECORD_MAX);
	output_cutter_done(&cutter);
}

static void test_a_cut_splits_no_character(void **state)
{
	(void)state;
	struct output_cutter cutter = { 0 };
	struct lengths seen = { 0 };
	CLEANUP(buf) struct buf text;
	buf_init(&text, 256 * 1024);
	buf_byte(&text, 'x');
	for (int i = 0; i < SPOOL_RECORD_MAX; i++)
		buf_str(&text, "\xc3\xa4");
	output_cut(&cutter, text.data, text.len, note_length, &seen);
	output_cut_end(&cutter, note_length, &seen);
	size_t total = 0;
	for (size_t i = 0; i < seen.count; i++) {
		total += seen.len[i];
		assert_int_equal((unsigned char)seen.last[i], 0xa4);
	}
	assert_int_equal(total, text.len);
	output_cutter_done(&cutter);

	/* bytes that are no text at all come through, too */
	seen = (struct lengths){ 0 };
	memset(text.data, 0x80, text.len);
	output_cut(&cutter, text.data, text.len, note_length, &seen);
	output_cut_end(&cutter, note_length, &seen);
	total = 0;
	for (size_t i = 0; i < seen.count; i++)
		total += seen.len[i];
	assert_int_equal(total, text.len);
	output_cutter_done(&cutter);
}

struct piped {
	struct event_base *base;
	struct buf text;
	int closed;
};

static void on_line(void *arg, const struct output_line *line)
{
	struct piped *seen = arg;
	buf_printf(&seen->text, "%c:%.*s ", line->is_stderr ? 'e' : 'o', (int)line->len, line->text);
}

static void on_turn(void *arg)
{
	(void)arg;
}

static void on_closed(void *arg)
{
	struct piped *seen = arg;
	seen->closed++;
	event_base_loopbreak(seen->base);
}

static struct output *open_output(struct piped *seen, int *out, int *err_fd)
{
	struct error err;
	seen->base = event_base_new();
	buf_init(&seen->text, 4096);
	struct output_options o = {
		.base = seen->base, .on_line = on_line, .on_turn = on_turn, .on_closed = on_closed, .arg = seen
	};
	struct output *output = output_new(&o, out, err_fd, &err);
	assert_non_null(output);
	return output;
}

static void test_pipes_end_when_nobody_holds_them(void **state)
{
	(void)state;
	struct piped seen = { 0 };
	int out, err_fd;
	struct output *output = open_output(&seen, &out, &err_fd);
	assert_int_equal(write(out, "a\nb", 3), 3);
	assert_int_equal(write(err_fd, "c\n", 2), 2);
	output_started(output); /* closes our copies of the program's ends */
	event_base_dispatch(seen.base);
	assert_int_equal(seen.closed, 1);
	assert_true(output_is_closed(output));
	assert_non_null(strstr(buf_text(&seen.text), "o:a "));
	assert_non_null(strstr(buf_text(&seen.text), "o:b ")); /* the rest without a newline */
	assert_non_null(strstr(buf_text(&seen.text), "e:c"));
	output_free(output);
	buf_done(&seen.text);
	event_base_free(seen.base);
}

static void test_giving_up_reads_what_is_there(void **state)
{
	(void)state;
	struct piped seen = { 0 };
	int out, err_fd;
	struct output *output = open_output(&seen, &out, &err_fd);
	int held = dup(out); /* a grandchild that goes on */
	assert_int_equal(write(out, "last words", 10), 10);
	output_started(output);
	output_give_up(output);
	assert_int_equal(seen.closed, 1);
	assert_string_equal(buf_text(&seen.text), "o:last words ");
	output_give_up(output); /* nothing more happens */
	assert_int_equal(seen.closed, 1);
	close(held);
	output_free(output);
	buf_done(&seen.text);
	event_base_free(seen.base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cutting),
		cmocka_unit_test(test_long_lines_are_cut),
		cmocka_unit_test(test_a_cut_splits_no_character),
		cmocka_unit_test(test_pipes_end_when_nobody_holds_them),
		cmocka_unit_test(test_giving_up_reads_what_is_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
