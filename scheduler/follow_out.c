#include "scheduler/follow_out.h"

#include <string.h>

void follow_out_start(struct follow_out *out, const struct http_stream_events *events)
{
	static const char retry[] = "retry: 2000\n";
	struct http_stream_events typed = *events;
	typed.type = out->is_sse ? "text/event-stream" : NULL;
	http_stream_start(out->reply, &typed);
	if (out->is_sse && !http_stream_is_void(out->reply))
		http_stream_line(out->reply, retry, sizeof retry - 1);
}

void follow_out_say(struct follow_out *out, const char *kind, const char *source, const char *text, size_t len)
{
	if (!out->is_sse) {
		http_stream_line(out->reply, text, len);
		return;
	}
	CLEANUP(buf) struct buf event;
	buf_init(&event, len + FOLLOW_ID_MAX + 512);
	buf_str(&event, "id: ");
	out->id(out->arg, &event);
	buf_printf(&event, "\nevent: %s\ndata: {\"source\":\"%s\",", kind, source);
	buf_add(&event, text + 1, len - 1);
	buf_byte(&event, '\n');
	http_stream_line(out->reply, buf_text(&event), event.len);
}

void follow_out_ping(struct follow_out *out)
{
	static const char comment[] = ": ping\n", line[] = "{\"kind\":\"ping\"}";
	if (out->is_sse)
		http_stream_line(out->reply, comment, sizeof comment - 1);
	else
		http_stream_line(out->reply, line, sizeof line - 1);
}

void follow_out_bye(struct follow_out *out)
{
	static const char bye[] = "retry: 1000\nevent: bye\ndata: {\"kind\":\"bye\"}\n";
	if (out->is_sse)
		http_stream_line(out->reply, bye, sizeof bye - 1);
}
