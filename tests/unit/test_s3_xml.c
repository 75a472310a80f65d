/* lib/s3_xml: what is read of a document, and what is no document of S3's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "lib/s3_xml.h"

static void note(void *arg, const char *path, const char *text)
{
	buf_printf(arg, "%s=%s;", path, text);
}

static bool parse(const char *xml, struct buf *found)
{
	buf_init(found, 1024 * 1024);
	return s3_xml_read(xml, strlen(xml), note, found);
}

static void test_paths_and_texts(void **state)
{
	(void)state;
	CLEANUP(buf) struct buf found;
	assert_true(
		parse(" \r\n<?xml version=\"1.0\"?><A xmlns=\"http://x/\"><B>1 &amp; 2</B><C><D/></C><B>&#233;</B></A>",
		      &found));
	assert_string_equal(buf_text(&found), "A/B=1 & 2;A/C/D=;A/C=;A/B=\303\251;A=;");
}

static void test_what_is_no_such_document(void **state)
{
	(void)state;
	static const char *const bad[] = { "",
					   " ",
					   "x",
					   "<A>",
					   "<A></B>",
					   "<A/><B/>",
					   "{\"a\":1}",
					   "<html><br></html>",
					   "<!DOCTYPE A [<!ENTITY e \"x\">]><A>&e;</A>",
					   "<!DOCTYPE A SYSTEM \"file:///etc/passwd\"><A/>",
					   "<A>\x01</A>" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(buf) struct buf found;
		if (parse(bad[i], &found))
			fail_msg("accepted: %s", bad[i]);
	}
}

/* A path that is too long, of elements with content and without, at each depth; a text that is too long. */
static void test_bounds(void **state)
{
	(void)state;
	for (size_t len = 1; len < 600; len += 7)
		for (int depth = 0; depth < 3; depth++)
			for (int is_empty = 0; is_empty < 2; is_empty++) {
				CLEANUP(buf) struct buf found;
				CLEANUP(free_p) char *name = mem_alloc(len + 1);
				memset(name, 'A', len);
				CLEANUP(free_p)
				char *inner =
					is_empty ? mem_printf("<%s/>", name) : mem_printf("<%s>x</%s>", name, name);
				CLEANUP(free_p)
				char *xml = mem_printf("%s%s%s",
						       depth > 1 ? "<B><C>"
						       : depth   ? "<B>"
								 : "",
						       inner,
						       depth > 1 ? "</C></B>"
						       : depth   ? "</B>"
								 : "");
				bool fits = len + (size_t)depth * 2 < 256;
				if (parse(xml, &found) != fits)
					fail_msg("%zu letters at depth %d", len, depth);
			}
	CLEANUP(buf) struct buf found;
	CLEANUP(free_p) char *text = mem_alloc(20001);
	memset(text, 'x', 20000);
	CLEANUP(free_p) char *xml = mem_printf("<A>%s</A>", text);
	assert_false(parse(xml, &found));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths_and_texts),
		cmocka_unit_test(test_what_is_no_such_document),
		cmocka_unit_test(test_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
