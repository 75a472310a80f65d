/* Answers that are files, whole or in part. */
#include "lib/http_private.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <event2/buffer.h>
#include "lib/buf.h"
#include "lib/log.h"

struct http_range {
	int64_t from, len;
	bool is_given;
};

/* One range of "bytes=N-" or "bytes=N-M"; anything else counts as not given, as the standard has it. False: it begins
 * behind the end. */
static bool http_range_of(const char *text, int64_t size, struct http_range *range)
{
	*range = (struct http_range){ .len = size };
	if (!text || strncmp(text, "bytes=", 6) != 0 || text[6] < '0' || text[6] > '9')
		return true;
	char *end;
	int64_t from = strtoll(text + 6, &end, 10), to = size - 1;
	if (*end != '-')
		return true;
	if (end[1])
		to = strtoll(end + 1, &end, 10);
	else
		end++;
	if (*end || (end[-1] != '-' && to < from))
		return true;
	if (from >= size)
		return false;
	to = to < size ? to : size - 1;
	*range = (struct http_range){ .from = from, .len = to - from + 1, .is_given = true };
	return true;
}

static void http_file_headers(struct http_reply *reply, const struct http_file *file, const struct http_range *range)
{
	CLEANUP(free_p) char *attachment = mem_printf("attachment; filename=\"%s\"", file->name);
	CLEANUP(free_p) char *length = mem_printf("%" PRId64, range->len);
	CLEANUP(free_p)
	char *part = mem_printf("bytes %" PRId64 "-%" PRId64 "/%" PRId64, range->from, range->from + range->len - 1,
				file->size);
	http_reply_header(reply, "Content-Type", file->type);
	http_reply_header(reply, "Content-Disposition", attachment);
	http_reply_header(reply, "Accept-Ranges", "bytes");
	http_reply_header(reply, "Content-Length", length);
	if (range->is_given)
		http_reply_header(reply, "Content-Range", part);
}

void http_reply_file(struct http_reply *reply, const struct http_request *request, const struct http_file *file)
{
	struct http_range range;
	struct error err;
	if (!http_range_of(http_request_header(request, "Range"), file->size, &range)) {
		close(file->fd);
		error_set(&err, ERR_INPUT, NULL, "the range begins behind the end: it has %" PRId64 " bytes",
			  file->size);
		http_reply_error(reply, 416, &err);
		return;
	}
	if (!reply->request) {
		close(file->fd);
		free(reply);
		return;
	}
	struct evbuffer *body = evbuffer_new();
	bool is_sent = evhttp_request_get_command(reply->request) != EVHTTP_REQ_HEAD && range.len > 0;
	if (!is_sent) {
		close(file->fd);
	} else if (evbuffer_add_file(body, file->fd, range.from, range.len) < 0) {
		close(file->fd);
		evbuffer_free(body);
		error_set(&err, ERR_SYSTEM, NULL, "%s cannot be sent", file->name);
		http_reply_error(reply, 0, &err);
		return;
	}
	http_reply_status(reply, range.is_given ? 206 : 200);
	http_file_headers(reply, file, &range);
	bufferevent_set_max_single_write(reply->connection->bev, HTTP_STREAM_HIGH); /* not 16 KiB a turn of the loop */
	evhttp_send_reply(http_reply_part(reply), range.is_given ? 206 : 200, NULL, body);
	evbuffer_free(body);
	free(reply);
}

void http_reply_redirect(struct http_reply *reply, const char *url)
{
	CLEANUP(free_p) char *text = mem_printf("{\"url\":\"%s\"}", url); /* encoded: nothing in it needs an escape */
	http_reply_header(reply, "Location", url);
	http_reply_header(reply, "Referrer-Policy", "no-referrer");
	http_reply_json(reply, 303, text, strlen(text));
}
