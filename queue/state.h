/*
 * The states of a job and every legal move between them: one table of named rows.
 *
 * The moves are made by the function library (lua/): the same rows are printed for it
 * as Lua (state_print_lua) and for people as docs/states.md (state_print_markdown), so
 * that the code, the checks and the picture cannot differ. A move that has no row here
 * does not exist.
 */
#ifndef STOKER_QUEUE_STATE_H
#define STOKER_QUEUE_STATE_H

#include <stdbool.h>
#include <stddef.h>

struct state_row {
	const char *name; /* as it stands in the job's field `state` */
	bool is_final;    /* nothing leaves it */
	const char *help;
};

struct state_move {
	const char *from;
	const char *event; /* what happened: with `from` it decides `to` */
	const char *to;
	const char *help;
};

const struct state_row *state_rows(size_t *count);
const struct state_move *state_moves(size_t *count);

/* False for a name that is no state. */
bool state_is_final(const char *state);

/* The state after event, NULL: no such move. */
const char *state_next(const char *from, const char *event);

/* Print docs/states.md / the Lua tables to stdout. */
void state_print_markdown(void);
void state_print_lua(void);

#endif
