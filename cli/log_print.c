/* See the header. */
#include "cli/log_print.h"

#include <string.h>
#include "cli/table.h"

static void log_print_marked(bool color, const char *mark, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		printf("%s[%s] %.*s%s\n", paint_begin(PAINT_DIM, color), mark, (int)len, text,
		       paint_end(PAINT_DIM, color));
		text += len + (text[len] == '\n');
	}
}

void log_print_entry(struct log_print *print, struct entry_id id, const json_t *entry)
{
	struct log_text log;
	bool color = print->cli->color;
	if (print->only_attempt && id.attempt != print->only_attempt)
		return;
	if (print->cli->common.json) {
		cli_print_json_line(entry);
		return;
	}
	if (!entry_log(entry, &log))
		return;
	if (print->attempt && id.attempt != print->attempt) {
		char text[64];
		str_format(text, sizeof text, "attempt %lld", (long long)id.attempt);
		log_print_marked(color, "stoker", text);
	}
	print->attempt = id.attempt;
	if (strcmp(log.stream, "stoker") == 0 || strcmp(log.stream, "gap") == 0)
		log_print_marked(color, log.stream, log.text);
	else
		puts(log.text);
}
