#include "worker/outcome.h"

#include <string.h>
#include "lib/buf.h"
#include "worker/retry_rules.h"

enum { OUTCOME_DEATH_MAX = 280 }; /* bytes: a rule has something to say behind it */

struct outcome_stop_row {
	enum stop_reason stop;
	const char *cause;
	const char *error; /* when nobody gave a reason */
};

static const struct outcome_stop_row outcome_stops[] = {
	{ STOP_PREEMPT, "preempted", "preempted" },
	{ STOP_STALLED, "stalled", "nothing was heard of the program for its stall_timeout" },
	{ STOP_TIMEOUT, "timeout", "it ran longer than its timeout" },
	{ STOP_CORRUPTED, "corrupted", "flagged as corrupted" },
	{ STOP_CANCEL, "cancelled", "cancelled" },
	{ STOP_PARTITION, "lost", "redis could not be reached before the lease ended (on_partition: stop)" },
};

static void outcome_say(struct outcome *outcome, const char *cause, const char *error)
{
	outcome->cause = cause;
	if (!str_copy(outcome->error, sizeof outcome->error, error))
		str_format(outcome->error, sizeof outcome->error, "%.*s", OUTCOME_ERROR_MAX - 1, error);
}

/* A program that traps SIGTERM often exits with 0: that does not say that its work was complete. */
static bool outcome_is_success(const struct outcome_input *in)
{
	bool exited_zero = in->death.how.is_known && in->death.how.signal == 0 && in->death.how.code == 0;
	return exited_zero && (in->stop == STOP_NONE || (in->said_done && in->stop <= STOP_TIMEOUT));
}

static void outcome_of_program(const struct outcome_input *in, struct outcome *out)
{
	bool is_final = in->death.how.code == EXIT_INPUT || in->death.how.code == EXIT_CONFIG;
	out->cause = is_final ? "permanent" : "error";
	death_explain(&in->death, out->error, OUTCOME_DEATH_MAX);
}

static void outcome_of_stop(const struct outcome_input *in, struct outcome *out)
{
	for (size_t i = 0; i < ARRAY_LEN(outcome_stops); i++)
		if (outcome_stops[i].stop == in->stop)
			outcome_say(out, outcome_stops[i].cause, in->why[0] ? in->why : outcome_stops[i].error);
}

/* An end that nobody asked for: the spec may say more on it than its exit code. */
static void outcome_apply_rules(const struct outcome_input *in, struct outcome *out)
{
	char why[OUTCOME_ERROR_MAX], text[OUTCOME_ERROR_MAX];
	enum retry_verdict verdict = in->spec ? retry_rules_judge(in->spec, &in->death.how, in->death.tail,
								  in->death.tail_len, why, sizeof why)
					      : RETRY_AS_USUAL;
	if (verdict == RETRY_WANTED)
		out->cause = "error";
	out->is_own_fault = !strcmp(out->cause, "error");
	if (verdict != RETRY_NEVER)
		return;
	str_copy(text, sizeof text, out->error);
	if (!str_format(out->error, sizeof out->error, "%s; not tried again: %s", text, why))
		str_copy(out->error, sizeof out->error, text);
	out->cause = "permanent";
}

void outcome_of(const struct outcome_input *in, struct outcome *out)
{
	*out = (struct outcome){ .exit_code = -1 };
	if (in->was_started && in->death.how.is_known && in->death.how.signal == 0)
		out->exit_code = in->death.how.code;
	if (in->was_started && in->death.how.is_known)
		out->signal = in->death.how.signal;
	if (in->failure[0])
		outcome_say(out, in->is_permanent ? "permanent" : "error", in->failure);
	else if (in->was_started && outcome_is_success(in))
		outcome_say(out, in->said_corrupted ? "corrupted" : "succeeded", in->said_corrupted ? in->why : "");
	else if (in->stop != STOP_NONE)
		outcome_of_stop(in, out);
	else if (in->said_corrupted)
		outcome_say(out, "corrupted", in->why);
	else {
		outcome_of_program(in, out);
		outcome_apply_rules(in, out);
	}
}
