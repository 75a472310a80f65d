/*
 * The table of states and moves, and its printers. It protects the rule that final
 * states absorb: no row leaves one, and tests try every pair on a real Redis.
 */
#include <stdio.h>
#include <string.h>
#include "queue/state.h"

/* "new" is no state of a job but where its first move starts. */
static const struct state_row states[] = {
	{ "waiting", false, "not yet due, or held: its field `reason` says for what it waits, `due_ms` until when" },
	{ "queued", false, "ready: one entry in the ready lane of its class, claimed by the next worker that fits" },
	{ "running", false, "one attempt of it holds a lease and the current token" },
	{ "succeeded", true, "the program ended with exit 0" },
	{ "failed", true, "a permanent error, or a budget is used up" },
	{ "cancelled", true, "somebody asked for it" },
};

static const struct state_move moves[] = {
	{ "new", "submit", "queued", "a spec was accepted" },
	{ "new", "submit-later", "waiting", "a spec with a delay was accepted" },
	{ "new", "adopt", "running", "Redis had forgotten the job, and its runner offered it back" },
	{ "waiting", "promote", "queued", "it is due" },
	{ "waiting", "hurry", "queued", "somebody asked for a retry now" },
	{ "waiting", "hold", "waiting", "somebody holds it: out of the way of time until it is released" },
	{ "waiting", "wait", "waiting", "released before it is due, or given another due time" },
	{ "waiting", "release", "queued", "released, and nothing else to wait for" },
	{ "waiting", "meet", "queued", "the jobs that it waited for have ended as it needs" },
	{ "waiting", "adopt", "running", "Redis had forgotten the claim of an attempt that lives" },
	{ "waiting", "cancel", "cancelled", "cancelled before it ran again" },
	{ "waiting", "flag", "waiting", "its last attempt was flagged corrupted: it resumes from before the onset" },
	{ "waiting", "fail", "failed", "its last attempt was flagged corrupted and cannot be recovered" },
	{ "queued", "claim", "running", "a worker took it: the next attempt begins" },
	{ "queued", "adopt", "running",
	  "reaped as lost, or its claim forgotten by Redis, but the attempt lives and nobody claimed it since" },
	{ "queued", "hold", "waiting", "somebody holds it: its ready entry goes" },
	{ "queued", "wait", "waiting", "an update gave it a delay" },
	{ "queued", "requeue", "queued", "an update moved it to another lane" },
	{ "queued", "cancel", "cancelled", "cancelled before it ran" },
	{ "queued", "flag", "queued", "its last attempt was flagged corrupted: it resumes from before the onset" },
	{ "queued", "fail", "failed", "its last attempt was flagged corrupted and cannot be recovered" },
	{ "running", "adopt", "running", "Redis had forgotten the claim of a later attempt, which lives" },
	{ "running", "succeed", "succeeded", "the attempt reported success" },
	{ "running", "retry", "waiting", "an error with attempts left: again after a backoff" },
	{ "running", "recover", "waiting",
	  "corrupted, with recoveries left: again from a good checkpoint after a backoff" },
	{ "running", "lose", "queued", "the lease ran out or the runner died: again at once, in front" },
	{ "running", "preempt", "queued", "given back without blame (drain, spot notice): again at once, in front" },
	{ "running", "cancel", "cancelled", "the runner stopped because it was asked to" },
	{ "running", "fail", "failed", "a permanent error, or its budget is used up" },
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const struct state_row *state_rows(size_t *count)
{
	*count = COUNT(states);
	return states;
}

const struct state_move *state_moves(size_t *count)
{
	*count = COUNT(moves);
	return moves;
}

bool state_is_final(const char *state)
{
	for (size_t i = 0; i < COUNT(states); i++)
		if (strcmp(states[i].name, state) == 0)
			return states[i].is_final;
	return false;
}

const char *state_next(const char *from, const char *event)
{
	for (size_t i = 0; i < COUNT(moves); i++)
		if (strcmp(moves[i].from, from) == 0 && strcmp(moves[i].event, event) == 0)
			return moves[i].to;
	return NULL;
}

static void state_print_diagram(void)
{
	printf("```mermaid\nstateDiagram-v2\n");
	for (size_t i = 0; i < COUNT(moves); i++)
		printf("    %s --> %s: %s\n", strcmp(moves[i].from, "new") == 0 ? "[*]" : moves[i].from, moves[i].to,
		       moves[i].event);
	for (size_t i = 0; i < COUNT(states); i++)
		if (states[i].is_final)
			printf("    %s --> [*]\n", states[i].name);
	printf("```\n");
}

void state_print_markdown(void)
{
	printf("# States of a job\n\n");
	printf("Printed from the table in `queue/state.c` by `make docs`; do not edit. The function library makes "
	       "every move\n");
	printf("and knows no other than these. Final states absorb: nothing leaves them, `retry` makes a new job.\n\n");
	state_print_diagram();
	printf("\n| state | final | means |\n|---|---|---|\n");
	for (size_t i = 0; i < COUNT(states); i++)
		printf("| `%s` | %s | %s |\n", states[i].name, states[i].is_final ? "yes" : "", states[i].help);
	printf("\n| from | event | to | when |\n|---|---|---|---|\n");
	for (size_t i = 0; i < COUNT(moves); i++)
		printf("| %s | %s | %s | %s |\n", strcmp(moves[i].from, "new") == 0 ? "" : moves[i].from,
		       moves[i].event, moves[i].to, moves[i].help);
}

void state_print_lua(void)
{
	printf("-- Printed from queue/state.c.\nlocal STATE_FINAL = {");
	for (size_t i = 0; i < COUNT(states); i++)
		printf("%s%s = %s", i ? ", " : "", states[i].name, states[i].is_final ? "true" : "false");
	printf("}\nlocal STATE_MOVES = {\n");
	for (size_t i = 0; i < COUNT(moves); i++)
		printf("    ['%s %s'] = '%s',\n", moves[i].from, moves[i].event, moves[i].to);
	printf("}\n");
}
