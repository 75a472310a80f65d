/* See the header. */
#include "lib/http_response.h"

#include <string.h>
#include <strings.h>

#define RESPONSE_LINE_MAX  (16 * 1024)
#define RESPONSE_HEAD_MAX  (64 * 1024)
#define RESPONSE_CHUNK_MAX (UINT64_C(1) << 40)

void http_response_init(struct http_response *r, http_response_fn *fn, void *arg)
{
	*r = (struct http_response){ .fn = fn, .arg = arg };
	buf_init(&r->line, RESPONSE_LINE_MAX);
}

void http_response_done(struct http_response *r)
{
	buf_done(&r->line);
}

/* Digits of base 10 or 16 up to something else; false when there is none, or it is too large. */
static bool response_number(const char *text, unsigned base, uint64_t *number, const char **end)
{
	const char *p = text;
	*number = 0;
	for (;; p++) {
		unsigned digit;
		if (*p >= '0' && *p <= '9')
			digit = (unsigned)(*p - '0');
		else if (base == 16 && (*p | 0x20) >= 'a' && (*p | 0x20) <= 'f')
			digit = (unsigned)((*p | 0x20) - 'a') + 10;
		else
			break;
		*number = *number * base + digit;
		if (*number > RESPONSE_CHUNK_MAX)
			return false;
	}
	*end = p;
	return p > text;
}

/* "HTTP/1.1 200 OK" */
static bool response_status(struct http_response *r, const char *line)
{
	uint64_t status;
	const char *end;
	if (strncmp(line, "HTTP/1.", 7) != 0 || !line[7] || line[8] != ' ')
		return false;
	if (!response_number(line + 9, 10, &status, &end) || status < 100 || status > 999 || (*end && *end != ' '))
		return false;
	r->status = (int)status;
	r->part = HTTP_PART_HEADER;
	return true;
}

/* The value behind "name:", NULL when the line is another header. */
static const char *response_value(const char *line, const char *name)
{
	size_t len = strlen(name);
	if (strncasecmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	return line + len + 1 + strspn(line + len + 1, " \t");
}

static bool response_header(struct http_response *r, const char *line)
{
	const char *end;
	const char *value = response_value(line, "Content-Length");
	if (value) {
		r->has_length = true;
		return response_number(value, 10, &r->left, &end) && end[strspn(end, " \t")] == '\0';
	}
	value = response_value(line, "Transfer-Encoding");
	if (!value)
		return strchr(line, ':') != NULL;
	r->is_chunked = strcasecmp(value, "chunked") == 0;
	return r->is_chunked; /* others were not asked for */
}

/* The empty line behind the headers. */
static void response_begin_body(struct http_response *r)
{
	if (r->status < 200)
		r->part = HTTP_PART_STATUS;
	else if (r->status == 204 || r->status == 304)
		r->part = HTTP_PART_NONE;
	else if (r->is_chunked)
		r->part = HTTP_PART_CHUNK_SIZE;
	else if (r->has_length)
		r->part = r->left ? HTTP_PART_LENGTH : HTTP_PART_NONE;
	else
		r->part = HTTP_PART_REST;
}

static bool response_chunk_size(struct http_response *r, const char *line)
{
	const char *end;
	if (!response_number(line, 16, &r->left, &end) || (*end && !strchr("; \t", *end)))
		return false;
	r->part = r->left ? HTTP_PART_CHUNK : HTTP_PART_TRAILER;
	return true;
}

static bool response_line(struct http_response *r, const char *line)
{
	switch (r->part) {
	case HTTP_PART_STATUS:
		return response_status(r, line);
	case HTTP_PART_HEADER:
		if (*line)
			return response_header(r, line);
		response_begin_body(r);
		return true;
	case HTTP_PART_CHUNK_SIZE:
		return response_chunk_size(r, line);
	case HTTP_PART_CHUNK_END:
		r->part = HTTP_PART_CHUNK_SIZE;
		return *line == '\0';
	case HTTP_PART_TRAILER:
		if (!*line)
			r->part = HTTP_PART_NONE;
		return true;
	case HTTP_PART_LENGTH:
	case HTTP_PART_REST:
	case HTTP_PART_CHUNK:
	case HTTP_PART_NONE:
		break;
	}
	return false;
}

/* Takes bytes up to a newline; the line is complete when *whole. False: too long. */
static bool response_take_line(struct http_response *r, const char **data, size_t *len, bool *whole)
{
	const char *newline = memchr(*data, '\n', *len);
	size_t part = newline ? (size_t)(newline - *data) : *len;
	bool is_head = r->part == HTTP_PART_STATUS || r->part == HTTP_PART_HEADER || r->part == HTTP_PART_TRAILER;
	r->head += is_head ? part + 1 : 0;
	if (!buf_add(&r->line, *data, part) || r->head > RESPONSE_HEAD_MAX)
		return false;
	*whole = newline != NULL;
	*data += part + *whole;
	*len -= part + *whole;
	if (*whole && r->line.len && r->line.data[r->line.len - 1] == '\r')
		r->line.data[--r->line.len] = '\0';
	return true;
}

/* Hands on what belongs to the body. */
static bool response_take_body(struct http_response *r, const char **data, size_t *len)
{
	bool is_counted = r->part != HTTP_PART_REST;
	size_t part = is_counted && r->left < *len ? (size_t)r->left : *len;
	const char *from = *data;
	*data += part;
	*len -= part;
	r->left -= is_counted ? part : 0;
	if (is_counted && !r->left)
		r->part = r->part == HTTP_PART_CHUNK ? HTTP_PART_CHUNK_END : HTTP_PART_NONE;
	return r->fn(r->arg, r->status, from, part);
}

enum http_response_state http_response_feed(struct http_response *r, const char *data, size_t len)
{
	while (len && r->part != HTTP_PART_NONE) {
		if (r->part == HTTP_PART_LENGTH || r->part == HTTP_PART_REST || r->part == HTTP_PART_CHUNK) {
			if (!response_take_body(r, &data, &len))
				return HTTP_RESPONSE_STOPPED;
			continue;
		}
		bool whole = false;
		if (!response_take_line(r, &data, &len, &whole))
			return HTTP_RESPONSE_BROKEN;
		if (whole && !response_line(r, buf_text(&r->line)))
			return HTTP_RESPONSE_BROKEN;
		if (whole)
			buf_clear(&r->line);
	}
	return r->part == HTTP_PART_NONE ? HTTP_RESPONSE_DONE : HTTP_RESPONSE_MORE;
}

enum http_response_state http_response_end(const struct http_response *r)
{
	return r->part == HTTP_PART_REST || r->part == HTTP_PART_NONE ? HTTP_RESPONSE_DONE : HTTP_RESPONSE_BROKEN;
}
