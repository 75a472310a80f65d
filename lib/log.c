#include "lib/log.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>
#include "lib/buf.h"
#include "lib/clock.h"

static struct {
	const char *program;
	enum log_level level;
	bool json;
} log_settings = { "stoker", LOG_INFO, false };

static const char *const log_names[] = { "error", "warn", "info", "debug" };

/* What libevent says (a name server did not answer, say) comes as an error to who asked, too. */
static void log_libevent(int severity, const char *text)
{
	log_event(severity >= EVENT_LOG_WARN ? LOG_WARN : LOG_DEBUG, "libevent", "said=\"%s\"", text);
}

void log_setup(const char *program, enum log_level level, bool json)
{
	log_settings.program = program;
	log_settings.level = level;
	log_settings.json = json;
	event_set_log_callback(log_libevent);
}

static void log_json_text(struct buf *b, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_printf(b, "\\%c", *p);
		else if (*p < 0x20)
			buf_printf(b, "\\u%04x", *p);
		else
			buf_byte(b, (char)*p);
	}
}

/* One write(2) a line, so that lines of several processes do not mix. */
static void log_line(enum log_level level, const char *message, const char *fields)
{
	char time[32];
	CLEANUP(buf) struct buf b;
	buf_init(&b, 8192);
	clock_rfc3339(clock_wall_ms(), time, sizeof time);
	if (log_settings.json) {
		buf_printf(&b, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\",\"pid\":%d,\"message\":\"", time,
			   log_names[level], log_settings.program, (int)getpid());
		log_json_text(&b, message);
		buf_str(&b, "\",\"fields\":\"");
		log_json_text(&b, fields);
		buf_str(&b, "\"}\n");
	} else {
		buf_printf(&b, "%s %s[%d] %s: %s%s%s\n", time, log_settings.program, (int)getpid(), log_names[level],
			   message, *fields ? " " : "", fields);
	}
	ssize_t written = write(STDERR_FILENO, buf_text(&b), b.len);
	(void)written; /* there is nowhere left to say that saying it failed */
}

void log_event(enum log_level level, const char *message, const char *fields, ...)
{
	if (level > log_settings.level)
		return;
	CLEANUP(buf) struct buf b;
	buf_init(&b, 4096);
	if (fields) {
		va_list args;
		va_start(args, fields);
		buf_vprintf(&b, fields, args);
		va_end(args);
	}
	log_line(level, message, buf_text(&b));
}

/* A text of our own may quote what somebody wrote. */
static void log_quoted(struct buf *b, const char *name, const char *text)
{
	buf_printf(b, " %s=\"", name);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			buf_byte(b, '\\');
		buf_byte(b, *text);
	}
	buf_byte(b, '"');
}

void log_failure(enum log_level level, const char *what, const struct error *err)
{
	CLEANUP(buf) struct buf fields;
	buf_init(&fields, 4096);
	buf_printf(&fields, "kind=%s", error_kind_of(err->kind)->name);
	log_quoted(&fields, "error", err->message);
	if (err->hint[0])
		log_quoted(&fields, "hint", err->hint);
	log_event(level, what, "%s", buf_text(&fields));
}
