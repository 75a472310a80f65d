/* Responses as servers send them, whole and cut at every byte, and what is no response. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "lib/http_response.h"

struct receiver {
	struct buf body;
	int status;
	size_t stop_after; /* bytes; 0: never */
};

static bool receive(void *arg, int status, const char *data, size_t len)
{
	struct receiver *r = arg;
	r->status = status;
	buf_add(&r->body, data, len);
	return !r->stop_after || r->body.len < r->stop_after;
}

struct row {
	const char *text;
	enum http_response_state state; /* after the connection ended */
	int status;
	const char *body;
};

static const struct row rows[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", HTTP_RESPONSE_DONE, 200, "hello" },
	{ "HTTP/1.1 200 OK\r\ncontent-length:5 \r\n\r\nhellomore", HTTP_RESPONSE_DONE, 200, "hello" },
	{ "HTTP/1.0 404 Not Found\n\nto the end", HTTP_RESPONSE_DONE, 404, "to the end" },
	{ "HTTP/1.1 204\r\n\r\n", HTTP_RESPONSE_DONE, 204, "" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", HTTP_RESPONSE_DONE, 200, "" },
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", HTTP_RESPONSE_DONE, 201,
	  "ok" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: "
	  "x\r\n\r\n",
	  HTTP_RESPONSE_DONE, 200, "abc0123456789" },
	/* cut off: the answer is not whole */
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", HTTP_RESPONSE_BROKEN, 200, "hell" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", HTTP_RESPONSE_BROKEN, 200, "abc" },
	{ "HTTP/1.1 200 OK\r\nX: y\r\n", HTTP_RESPONSE_BROKEN, 0, "" },
	{ "", HTTP_RESPONSE_BROKEN, 0, "" },
	/* not HTTP */
	{ "SSH-2.0-OpenSSH_9.2\r\n", HTTP_RESPONSE_BROKEN, 0, "" },
	{ "HTTP/1.1 2x0 OK\r\n\r\n", HTTP_RESPONSE_BROKEN, 0, "" },
	{ "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", HTTP_RESPONSE_BROKEN, 0, "" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", HTTP_RESPONSE_BROKEN, 0, "" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", HTTP_RESPONSE_BROKEN, 0, "" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", HTTP_RESPONSE_BROKEN, 0, "" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", HTTP_RESPONSE_BROKEN, 0, "" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", HTTP_RESPONSE_BROKEN, 200, "abc" },
};

/* Feeds the text in pieces of step bytes. */
static void check(const struct row *row, size_t step)
{
	struct receiver receiver = { 0 };
	struct http_response response;
	enum http_response_state state = HTTP_RESPONSE_MORE;
	size_t len = strlen(row->text);
	buf_init(&receiver.body, 4096);
	http_response_init(&response, receive, &receiver);
	for (size_t at = 0; at < len && state == HTTP_RESPONSE_MORE; at += step)
		state = http_response_feed(&response, row->text + at, len - at < step ? len - at : step);
	if (state == HTTP_RESPONSE_MORE)
		state = http_response_end(&response);
	if (state != row->state || strcmp(buf_text(&receiver.body), row->body) != 0)
		fail_msg("in steps of %zu: state %d, body \"%s\": %s", step, (int)state, buf_text(&receiver.body),
			 row->text);
	if (row->state == HTTP_RESPONSE_DONE)
		assert_int_equal(response.status, row->status);
	http_response_done(&response);
	buf_done(&receiver.body);
}

static void responses_are_read_however_they_are_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t step = 1; step <= strlen(rows[i].text) + 1; step++)
			check(&rows[i], step);
}

static void endless_headers_are_refused(void **state)
{
	(void)state;
	struct receiver receiver = { 0 };
	struct http_response response;
	static const char line[] = "X-Filler: 0123456789012345678901234567890123456789\r\n";
	http_response_init(&response, receive, &receiver);
	enum http_response_state now = http_response_feed(&response, "HTTP/1.1 200 OK\r\n", 17);
	size_t fed = 0;
	for (; now == HTTP_RESPONSE_MORE && fed < 1000000; fed += strlen(line))
		now = http_response_feed(&response, line, strlen(line));
	assert_int_equal(now, HTTP_RESPONSE_BROKEN);
	assert_true(fed < 100000);
	http_response_done(&response);
}

static void the_receiver_may_have_enough(void **state)
{
	(void)state;
	struct receiver receiver = { .stop_after = 3 };
	struct http_response response;
	static const char text[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n";
	buf_init(&receiver.body, 4096);
	http_response_init(&response, receive, &receiver);
	assert_int_equal(http_response_feed(&response, text, strlen(text)), HTTP_RESPONSE_STOPPED);
	assert_string_equal(buf_text(&receiver.body), "abc");
	http_response_done(&response);
	buf_done(&receiver.body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(responses_are_read_however_they_are_cut),
		cmocka_unit_test(endless_headers_are_refused),
		cmocka_unit_test(the_receiver_may_have_enough),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
