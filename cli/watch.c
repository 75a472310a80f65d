/* See the header. */
#include "cli/watch.h"

#include <string.h>
#include "cli/interrupt.h"

#define WATCH_EVERY_MS 1000
#define WATCH_TEXT_MAX (4U << 20)

static void watch_frame_init(struct watch_frame *frame)
{
	*frame = (struct watch_frame){ 0 };
	buf_init(&frame->text, WATCH_TEXT_MAX);
	buf_init(&frame->mark, WATCH_TEXT_MAX);
}

static void watch_frame_done(struct watch_frame *frame)
{
	buf_done(&frame->text);
	buf_done(&frame->mark);
}

/* Overwrites line by line and clears what is left over: no flicker. */
static void watch_draw(const struct buf *text)
{
	fputs("\033[H", stdout);
	for (const char *p = buf_text(text); *p;) {
		size_t len = strcspn(p, "\n");
		fwrite(p, 1, len, stdout);
		fputs("\033[K", stdout);
		p += len;
		if (*p == '\n')
			putchar(*p++);
	}
	fputs("\033[J", stdout);
}

static void watch_show(bool terminal, const struct watch_frame *frame, char **mark)
{
	if (terminal) {
		watch_draw(&frame->text);
	} else if (!*mark || strcmp(*mark, buf_text(&frame->mark)) != 0) {
		cli_print(&frame->text);
		free(*mark);
		*mark = mem_strdup(buf_text(&frame->mark));
	}
	fflush(stdout);
}

bool watch_once(struct cli *cli, watch_fn *fn, void *arg, struct error *err)
{
	struct watch_frame frame;
	watch_frame_init(&frame);
	bool ok = fn(cli, arg, &frame, err);
	if (ok)
		cli_print(&frame.text);
	watch_frame_done(&frame);
	return ok;
}

bool watch_run(struct cli *cli, watch_fn *fn, void *arg, struct error *err)
{
	bool terminal = isatty(STDOUT_FILENO);
	CLEANUP(free_p) char *mark = NULL;
	CLEANUP(close_fd) int interrupt = interrupt_open(err);
	if (interrupt < 0)
		return false;
	for (bool first = true, last = false; !last; first = false) {
		struct watch_frame frame;
		watch_frame_init(&frame);
		bool ok = fn(cli, arg, &frame, err);
		if (ok && first && terminal)
			fputs("\033[2J", stdout);
		if (ok)
			watch_show(terminal, &frame, &mark);
		last = frame.is_last;
		watch_frame_done(&frame);
		if (!ok && (first || !error_kind_of(err->kind)->can_retry))
			return false;
		if (!last && interrupt_wait(interrupt, WATCH_EVERY_MS)) {
			cli->exit_code = EXIT_INTERRUPTED;
			return true;
		}
	}
	return true;
}
