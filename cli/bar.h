/*
 * A bar on a terminal for what takes long: how much of how much, and how fast; without
 * marks where nobody knows of how much. On stderr, and only when that is a terminal.
 */
#ifndef STOKER_CLI_BAR_H
#define STOKER_CLI_BAR_H

#include "cli/cli.h"

struct bar {
	const char *title;
	const char *unit; /* "lines"; NULL: bytes */
	int64_t size;     /* in all; 0: not known */
	int64_t begun_at; /* that were there before */
	int64_t begun_ms, drawn_ms;
	bool is_shown;
};

struct bar bar_begin(const struct cli *cli, const char *title, int64_t size, int64_t at);
struct bar bar_begin_count(const struct cli *cli, const char *title, const char *unit, int64_t size);
void bar_draw(struct bar *bar, int64_t at);
void bar_end(struct bar *bar, int64_t at);
/* Makes room for a line of output; the next bar_draw shows it again. */
void bar_clear(struct bar *bar);

#endif
