/*
 * What a program prints: its stdout and stderr, read from two pipes, cut into lines
 * and given on. Bytes are passed as they come; a line longer than SPOOL_RECORD_MAX
 * is cut into several; an unterminated last line counts.
 *
 * Text that a carriage return is about to overwrite (progress bars) is a line of
 * its own, marked is_fleeting: as on a terminal, most of it need not be kept.
 */
#ifndef STOKER_WORKER_OUTPUT_H
#define STOKER_WORKER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <event2/event.h>
#include "lib/error.h"

struct output;

struct output_line {
	bool is_stderr;
	bool is_fleeting;
	const char *text; /* no newline, no carriage return at its end; not NUL-terminated */
	size_t len;
};

struct output_options {
	struct event_base *base;
	void (*on_line)(void *arg, const struct output_line *line);
	void (*on_turn)(void *arg);   /* after the lines of one reading: a good time to write them out */
	void (*on_closed)(void *arg); /* nobody holds the pipes any more; once */
	void *arg;
};

/* Makes the pipes. child_out and child_err are the program's ends: pass them to child_spawn, then call
 * output_started, which closes them here. */
struct output *output_new(const struct output_options *options, int *child_out, int *child_err, struct error *err);
void output_started(struct output *output);
/* Reads what is in the pipes now, then closes them and calls on_closed, although somebody still holds them. */
void output_give_up(struct output *output);
bool output_is_closed(const struct output *output);
void output_free(struct output *output);

/* The cutting itself, pure: feeds bytes in, calls on_line for each line. Used for each pipe. */
struct output_cutter {
	char *data; /* the line so far */
	size_t len, capacity;
	bool after_return; /* the last byte was \r: a \n belongs to it */
};
typedef void output_cut_fn(void *arg, const char *text, size_t len, bool is_fleeting);
void output_cut(struct output_cutter *cutter, const char *data, size_t len, output_cut_fn *fn, void *arg);
void output_cut_end(struct output_cutter *cutter, output_cut_fn *fn, void *arg); /* the unterminated rest */
void output_cutter_done(struct output_cutter *cutter);

#endif
