/* Answers that are a line an object as they come, and end with {"sum":…} or {"error":…}. */
#include <string.h>
#include "lib/buf.h"
#include "scheduler/api.h"

void api_line(struct api_call *call, json_t *line)
{
	CLEANUP(free_p) char *text = line ? json_dumps(line, JSON_COMPACT) : mem_strdup("{}");
	json_decref(line);
	http_stream_line(call->reply, text, strlen(text));
}

void api_lines_end(struct api_call *call, const struct error *err, json_t *sum)
{
	if (err)
		api_line(call, json_pack("{s:{s:s, s:s, s:s}}", "error", "kind", error_kind_of(err->kind)->name,
					 "detail", err->message, "hint", err->hint));
	else
		api_line(call, json_pack("{s:O}", "sum", sum));
	json_decref(sum);
	http_stream_end(call->reply);
	api_forget(call);
}
