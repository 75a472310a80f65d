#include "lib/clock.h"

#include <time.h>
#include "lib/buf.h"

static int64_t clock_read_ms(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_boot_ms(void)
{
	return clock_read_ms(CLOCK_BOOTTIME);
}

int64_t clock_wall_ms(void)
{
	return clock_read_ms(CLOCK_REALTIME);
}

struct timeval clock_timeval(int64_t ms)
{
	if (ms < 0)
		ms = 0;
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };
}

void clock_rfc3339(int64_t wall_ms, char *text, size_t size)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	char date[24];
	gmtime_r(&seconds, &tm);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
	str_format(text, size, "%s.%03dZ", date, (int)(wall_ms % 1000));
}

void clock_human(int64_t ms, char *text, size_t size)
{
	long long s = ms / 1000;
	if (ms < 1000)
		str_format(text, size, "%lld ms", (long long)ms);
	else if (ms < 10000)
		str_format(text, size, "%lld.%lld s", s, (long long)(ms % 1000) / 100);
	else if (s < 60)
		str_format(text, size, "%lld s", s);
	else if (s < 3600)
		str_format(text, size, "%lld min %02lld s", s / 60, s % 60);
	else if (s < 86400)
		str_format(text, size, "%lld h %02lld min", s / 3600, s / 60 % 60);
	else
		str_format(text, size, "%lld d %lld h", s / 86400, s / 3600 % 24);
}
