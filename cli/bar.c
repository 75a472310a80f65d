#include "cli/bar.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/text.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/size.h"

enum { BAR_DRAW_MS = 100, BAR_WIDTH = 24 };

struct bar bar_begin(const struct cli *cli, const char *title, int64_t size, int64_t at)
{
	return (struct bar){ .title = title,
			     .size = size,
			     .begun_at = at,
			     .begun_ms = clock_boot_ms(),
			     .is_shown = isatty(STDERR_FILENO) && !cli->common.json };
}

struct bar bar_begin_count(const struct cli *cli, const char *title, const char *unit, int64_t size)
{
	struct bar bar = bar_begin(cli, title, size, 0);
	bar.unit = unit;
	return bar;
}

static void bar_amount(const struct bar *bar, int64_t amount, char *into, size_t size)
{
	if (bar->unit)
		str_format(into, size, "%" PRId64, amount);
	else
		size_human(amount, into, size);
}

static void bar_print(struct bar *bar, int64_t at, const char *end)
{
	char done[32], all[32], pace[32], marks[BAR_WIDTH + 1];
	int64_t passed_ms = clock_boot_ms() - bar->begun_ms;
	const char *blank = bar->unit ? " " : "", *unit = bar->unit ? bar->unit : "";
	bar_amount(bar, at, done, sizeof done);
	bar_amount(bar, bar->size, all, sizeof all);
	bar_amount(bar, (at - bar->begun_at) * 1000 / (passed_ms > 0 ? passed_ms : 1), pace, sizeof pace);
	fprintf(stderr, "\r\033[K%s  ", bar->title);
	if (bar->size > 0) {
		for (int i = 0; i < BAR_WIDTH; i++)
			marks[i] = i < at * BAR_WIDTH / bar->size ? '#' : '.';
		marks[BAR_WIDTH] = '\0';
		fprintf(stderr, "[%s] %s of %s%s%s", marks, done, all, blank, unit);
	} else {
		fprintf(stderr, "%s%s%s", done, blank, unit);
	}
	fprintf(stderr, "  %s%s%s/s%s", pace, blank, unit, end);
}

void bar_draw(struct bar *bar, int64_t at)
{
	int64_t now_ms = clock_boot_ms();
	if (!bar->is_shown || now_ms - bar->drawn_ms < BAR_DRAW_MS)
		return;
	bar->drawn_ms = now_ms;
	bar_print(bar, at, "");
}

void bar_end(struct bar *bar, int64_t at)
{
	if (bar->is_shown)
		bar_print(bar, at, "\n");
}

void bar_clear(struct bar *bar)
{
	if (bar->is_shown)
		fputs("\r\033[K", stderr);
	bar->drawn_ms = 0;
}
