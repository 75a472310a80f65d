/* See the header. */
#include "cli/text.h"

#include <math.h>
#include <string.h>
#include <time.h>

void text_age(int64_t ms, char *into, size_t size)
{
	long long s = ms > 0 ? ms / 1000 : 0;
	if (s < 60)
		str_format(into, size, "%llds", s);
	else if (s < 3600)
		str_format(into, size, "%lldm", s / 60);
	else if (s < 86400)
		str_format(into, size, "%lldh", s / 3600);
	else
		str_format(into, size, "%lldd", s / 86400);
}

void text_span(int64_t ms, char *into, size_t size)
{
	if (ms < 0)
		ms = 0;
	long long s = ms / 1000;
	if (ms < 100)
		str_format(into, size, "%lldms", (long long)ms);
	else if (ms < 10000)
		str_format(into, size, "%lld.%llds", s, (long long)(ms % 1000) / 100);
	else if (s < 60)
		str_format(into, size, "%llds", s);
	else if (s < 3600)
		str_format(into, size, "%lldm%02lld", s / 60, s % 60);
	else if (s < 86400)
		str_format(into, size, "%lldh%02lld", s / 3600, s / 60 % 60);
	else
		str_format(into, size, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

void text_number(double value, char *into, size_t size)
{
	if (isnan(value))
		str_format(into, size, "NaN");
	else if (isinf(value))
		str_format(into, size, value > 0 ? "Infinity" : "-Infinity");
	else if (fabs(value) >= 1e4 && fabs(value) < 1e15 && fabs(value - round(value)) < 1e-9)
		str_format(into, size, "%.0f", value);
	else
		str_format(into, size, "%.4g", value);
}

void text_utc(int64_t wall_ms, char *into, size_t size)
{
	time_t then = (time_t)(wall_ms / 1000);
	struct tm parts;
	gmtime_r(&then, &parts);
	if (!strftime(into, size, "%Y-%m-%d %H:%M:%S UTC", &parts) && size)
		into[0] = '\0';
}

void text_clock(int64_t wall_ms, int64_t now_ms, char *into, size_t size)
{
	time_t then = (time_t)(wall_ms / 1000);
	time_t now = (time_t)(now_ms / 1000);
	struct tm a;
	struct tm b;
	localtime_r(&then, &a);
	localtime_r(&now, &b);
	bool today = a.tm_year == b.tm_year && a.tm_yday == b.tm_yday;
	if (!strftime(into, size, today ? "%H:%M:%S" : "%b %d %H:%M", &a) && size)
		into[0] = '\0';
}

/* One code point of UTF-8; a byte that begins none counts as one. */
static size_t text_decode(const unsigned char *p, uint32_t *code)
{
	size_t len = *p < 0x80 ? 1 : *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : *p >= 0xc0 ? 2 : 1;
	*code = len == 1 ? *p : *p & (0xffU >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			*code = 0xfffd;
			return 1;
		}
		*code = *code << 6 | (p[i] & 0x3f);
	}
	return len;
}

struct text_range {
	uint32_t first, last;
};

static bool text_in(const struct text_range *ranges, size_t count, uint32_t code)
{
	for (size_t i = 0; i < count; i++)
		if (code >= ranges[i].first && code <= ranges[i].last)
			return true;
	return false;
}

/* wcwidth() would want setlocale(), which reads files: a coarse table does for names. */
static const struct text_range text_wide[] = {
	{ 0x1100, 0x115f }, { 0x2e80, 0xa4cf }, { 0xac00, 0xd7a3 },   { 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },
	{ 0xff00, 0xff60 }, { 0xffe0, 0xffe6 }, { 0x1f300, 0x1f64f }, { 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
};
static const struct text_range text_zero[] = {
	{ 0x0300, 0x036f }, { 0x200b, 0x200f }, { 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f },
};

size_t text_width(const char *text)
{
	size_t width = 0;
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		uint32_t code;
		p += text_decode(p, &code);
		if (text_in(text_zero, ARRAY_LEN(text_zero), code))
			continue;
		width += text_in(text_wide, ARRAY_LEN(text_wide), code) ? 2 : 1;
	}
	return width;
}

void text_clean(struct buf *into, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		uint32_t code;
		size_t len = text_decode(p, &code);
		if (code == '\n' || code == '\t' || code == '\r')
			buf_byte(into, ' ');
		else if (code < 0x20 || (code >= 0x7f && code < 0xa0))
			buf_byte(into, '?');
		else if (code == 0xfffd && len == 1)
			buf_str(into, "\xef\xbf\xbd");
		else
			buf_add(into, p, len);
		p += len;
	}
}
