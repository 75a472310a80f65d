#include "worker/breaker.h"

#include <inttypes.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/config.h"

enum { BREAKER_NAMED = 5 }; /* jobs that the sentence names */

enum run_end breaker_judge(const char *cause, int64_t ran_ms, int64_t soon_ms)
{
	if (!strcmp(cause, "succeeded") || ran_ms >= soon_ms)
		return RUN_END_FINE;
	return strcmp(cause, "error") ? RUN_END_OTHER : RUN_END_DIED;
}

bool breaker_note(struct breaker *breaker, const char *job, enum run_end end)
{
	if (end == RUN_END_FINE)
		breaker->count = breaker->is_open ? breaker->count : 0;
	if (end != RUN_END_DIED || breaker->is_open || !breaker->limit)
		return false;
	for (size_t i = 0; i < breaker->count; i++)
		if (!strcmp(breaker->jobs[i], job))
			return false;
	str_copy(breaker->jobs[breaker->count++], sizeof breaker->jobs[0], job);
	breaker->is_open = (int64_t)breaker->count >= breaker->limit;
	return breaker->is_open;
}

void breaker_reset(struct breaker *breaker)
{
	breaker->count = 0;
	breaker->is_open = false;
}

void breaker_why(const struct breaker *breaker, int64_t soon_ms, char *into, size_t size)
{
	char soon[CONFIG_VALUE_MAX];
	CLEANUP(buf) struct buf names;
	buf_init(&names, 1024);
	config_format_duration(soon_ms, soon);
	for (size_t i = 0; i < breaker->count && i < BREAKER_NAMED; i++)
		buf_printf(&names, "%s%s", i ? ", " : "", breaker->jobs[i]);
	if (breaker->count > BREAKER_NAMED)
		buf_str(&names, " …");
	str_format(into, size, "%zu job%s in a row died within %s of %s start: %s", breaker->count,
		   breaker->count == 1 ? "" : "s", soon, breaker->count == 1 ? "its" : "their", buf_text(&names));
}
