/* A program that goes on no more: noticed by its silence (worker/stall.h), asked and looked at where it is, stopped. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/proc.h"
#include "lib/utf8.h"
#include "worker/descendants.h"
#include "worker/runner_internal.h"
#include "worker/stacks.h"

enum {
	STALL_LOOK_MS = 10000,   /* at least so often it is looked at: a longer gap is a pause of this machine */
	STALL_PAUSE_MS = 5000,   /* the gap that is no mere delay */
	STALL_SAMPLE_SHARE = 2,  /* the processor is looked at in this last part of a silence: the half */
	STALL_BUSY_PERCENT = 10, /* of one processor: more is computing */
	STALL_PROCESSES = 256,   /* of a program that are looked at */
	STALL_TOLD = 32,         /* whose stacks are told */
	STALL_TEXT_MAX = 32 * 1024,
	STALL_WHERE_MAX = 200,
	STALL_TRACE_STACKS = 2000, /* bytes of the stacks that are told with the end */
	STALL_TRACE_LINES = 20,    /* of what the program said last */
	STALL_TRACE_LINE = 100,    /* bytes of each */
};

static int64_t stall_cpu_ticks(void)
{
	pid_t pids[STALL_PROCESSES];
	int64_t ticks = 0;
	size_t count = descendants_list(pids, STALL_PROCESSES);
	for (size_t i = 0; i < count; i++) {
		struct proc_stat stat;
		if (proc_stat(pids[i], &stat))
			ticks += stat.cpu;
	}
	return ticks;
}

/* Whether it computes, once that is known: looked at twice, near the end of a silence. *again: when to look next. */
static bool stall_is_judged(struct runner *r, int64_t now, int64_t limit_ms, int64_t *again)
{
	int64_t sample_ms = limit_ms / STALL_SAMPLE_SHARE;
	if (r->stall_heard != r->stall.heard_ms) {
		*again = r->stall.heard_ms + limit_ms - sample_ms;
		if (now < *again)
			return false;
		r->stall_heard = r->stall.heard_ms;
		r->stall_computes = false;
		r->stall_cpu = stall_cpu_ticks();
		r->stall_judge_at = now + sample_ms;
		r->stall_sampled_at = now;
	}
	*again = r->stall_judge_at;
	if (now < *again)
		return false;
	if (r->stall_sampled_at) {
		int64_t used_ms = (stall_cpu_ticks() - r->stall_cpu) * 1000 / sysconf(_SC_CLK_TCK);
		r->stall_computes = used_ms * 100 > (now - r->stall_sampled_at) * STALL_BUSY_PERCENT;
		r->stall_sampled_at = 0;
	}
	return true;
}

/* "no step, output, metric or checkpoint for 92 s (at most 90 s: its steps took up to 340 ms) after step 1200; python3
 * (pid 41) is asleep in futex" */
static void stall_explain(const struct runner *r, int64_t silent_ms, int64_t limit_ms, const char *where, char *why,
			  size_t size)
{
	char silent[32], limit[32], slowest[32], steps[64] = "", after[48] = "";
	clock_human(silent_ms, silent, sizeof silent);
	clock_human(limit_ms, limit, sizeof limit);
	clock_human(stall_slowest(&r->stall), slowest, sizeof slowest);
	if (stall_slowest(&r->stall) && limit_ms < r->spec.stall_timeout_ms)
		str_format(steps, sizeof steps, ": its steps took up to %s", slowest);
	if (r->step >= 0)
		str_format(after, sizeof after, " after step %lld", (long long)r->step);
	str_format(why, size, "no output, step, metric or checkpoint for %s%s (the limit was %s%s)%s%s", silent, after,
		   limit, steps, *where ? "; " : "", where);
}

static void stall_found(struct runner *r, int64_t silent_ms, int64_t limit_ms)
{
	pid_t pids[STALL_TOLD];
	char why[OUTCOME_ERROR_MAX], where[STALL_WHERE_MAX];
	CLEANUP(buf) struct buf text, plain;
	int64_t wall_ms = clock_wall_ms();
	buf_init(&text, STALL_TEXT_MAX);
	buf_init(&plain, STALL_WHERE_MAX);
	stacks_take(pids, descendants_list(pids, STALL_TOLD), &text, where, sizeof where);
	utf8_plain(where, strlen(where), STALL_WHERE_MAX - 8, &plain);
	stall_explain(r, silent_ms, limit_ms, buf_text(&plain), why, sizeof why);
	for (const char *line = buf_text(&text); *line;) {
		size_t len = strcspn(line, "\n");
		spool_add(&r->log, 's', wall_ms, line, len);
		line += len + (line[len] != '\0');
	}
	r->stacks = buf_take(&text);
	runner_ask_stop(r, STOP_STALLED, why);
}

/* The lines of the stacks, and those that the program said last: what Python told of itself is among them. */
void runner_stall_trace(const struct runner *r, struct buf *into)
{
	CLEANUP(buf) struct buf tail;
	struct spool_record record;
	size_t starts[STALL_TRACE_LINES], count = 0;
	buf_init(&tail, STALL_TEXT_MAX);
	if (r->stop != STOP_STALLED || !r->stacks)
		return;
	for (const char *line = r->stacks; *line && into->len < STALL_TRACE_STACKS;) {
		size_t len = strcspn(line, "\n");
		utf8_plain(line, len, STALL_TRACE_LINE, into);
		buf_byte(into, '\n');
		line += len + (line[len] != '\0');
	}
	spool_tail(&r->log, STALL_TEXT_MAX, &tail);
	for (size_t left = tail.len; count < STALL_TRACE_LINES && spool_take_last(buf_text(&tail), &left, &record);)
		if (strchr("oe", record.stream))
			starts[count++] = left;
	while (count-- > 0) {
		const char *line = buf_text(&tail) + starts[count];
		if (!spool_parse(line, strcspn(line, "\n"), &record))
			continue;
		utf8_plain(record.text, record.len, STALL_TRACE_LINE, into);
		buf_byte(into, '\n');
	}
}

int64_t runner_stall_tick(struct runner *r, int64_t now)
{
	struct stall_bounds bounds = { r->task->settings->stall_least_ms, r->spec.stall_timeout_ms };
	if (r->state != RUN_RUNNING || r->is_reaped || !r->was_started || !bounds.most_ms)
		return INT64_MAX;
	if (r->stall_looked_at && now - r->stall_looked_at > STALL_LOOK_MS + STALL_PAUSE_MS)
		stall_heard(&r->stall, now); /* the machine slept, or this process was stopped: the program, too */
	r->stall_looked_at = now;
	int64_t limit_ms = stall_limit(&r->stall, &bounds, false), loose_ms = stall_limit(&r->stall, &bounds, true);
	int64_t due = r->stall.heard_ms + limit_ms;
	if (limit_ms < loose_ms && stall_is_judged(r, now, limit_ms, &due) && r->stall_computes) {
		limit_ms = loose_ms;
		due = r->stall.heard_ms + limit_ms;
	}
	if (now >= due)
		stall_found(r, now - r->stall.heard_ms, limit_ms);
	return due - now < STALL_LOOK_MS ? due : now + STALL_LOOK_MS;
}

/* It is not worth a core file. */
static void stall_abort(pid_t pid)
{
	struct rlimit none = { 0 };
	char path[64];
	str_format(path, sizeof path, "/proc/%d/coredump_filter", (int)pid);
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "0", 1) < 0)
		log_debug("a program that is aborted may leave a core", "pid=%d", (int)pid);
	prlimit(pid, RLIMIT_CORE, &none, NULL);
	kill(pid, SIGABRT);
}

size_t runner_dump(struct runner *r, bool all)
{
	pid_t pids[STALL_PROCESSES];
	size_t asked = 0;
	if (r->has_dumped)
		return 0;
	r->has_dumped = all;
	size_t count = descendants_list(pids, STALL_PROCESSES);
	for (size_t i = 0; i < count; i++) {
		if (!proc_catches(pids[i], SIGABRT) || (!all && proc_catches(pids[i], SIGTERM)))
			continue;
		stall_abort(pids[i]);
		asked++;
	}
	return asked;
}
