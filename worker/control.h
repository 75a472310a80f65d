/*
 * The control fd: a pipe on which a program says more than its output tells, as JSON
 * lines of at most 64 KiB (docs/programs.md). Reading the pipe and decoding a line,
 * which is pure.
 */
#ifndef STOKER_WORKER_CONTROL_H
#define STOKER_WORKER_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <event2/event.h>
#include "lib/error.h"
#include "worker/metric_lines.h"

enum control_kind {
	CONTROL_METRIC,
	CONTROL_CHECKPOINT,
	CONTROL_PROGRESS,
	CONTROL_RESULT,
	CONTROL_HEARTBEAT,
	CONTROL_RESUMED,
	CONTROL_CORRUPTED,
	CONTROL_PREEMPTED,
	CONTROL_DONE,
};

struct control_line { /* texts are owned: control_line_done */
	enum control_kind kind;
	struct metric_point point; /* metric */
	char *path;                /* checkpoint */
	char *sha256;              /* checkpoint; NULL: not given */
	char *reason;              /* corrupted; NULL: not given */
	char *result;              /* result: JSON text */
	int64_t step;              /* -1: not given */
	int64_t total;             /* progress; -1 likewise */
	int64_t onset;             /* corrupted; -1 likewise */
	int optimizer;             /* checkpoint; -1: not given */
};

/* false: not a line that is known; err says why. */
bool control_parse(const char *text, size_t len, struct control_line *line, struct error *err);
void control_line_done(struct control_line *line);

struct control;
typedef void control_fn(void *arg, const struct control_line *line);
typedef void control_bad_fn(void *arg, const struct error *err);

/* child_fd is the program's end; control_started closes it here, after the spawn. */
struct control *control_new(struct event_base *base, control_fn *fn, control_bad_fn *bad, void *arg, int *child_fd,
			    struct error *err);
void control_started(struct control *control);
void control_end(struct control *control); /* reads what is there and closes it */
void control_free(struct control *control);

#endif
