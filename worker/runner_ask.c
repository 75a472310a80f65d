/* checkpoint.every of a program that is not our trainer: it is asked for a checkpoint, by a line on a pipe of its own
 * or by a signal. Whether it saves is its business; what it saves is found as ever. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/proc.h"
#include "worker/runner_internal.h"

static const char ask_line[] = "{\"t\":\"checkpoint\"}\n";

static bool ask_is_wanted(const struct runner *r)
{
	const struct spec_every *every = &r->spec.checkpoint.every;
	return r->spec.backend == BACKEND_COMMAND && (every->steps || every->ms);
}

bool runner_asks_by_line(const struct runner *r)
{
	return ask_is_wanted(r) && r->spec.checkpoint.ask == ASK_LINE;
}

bool runner_open_asking(struct runner *r, int *program_fd, struct error *err)
{
	int fds[2];
	*program_fd = -1;
	r->ask_fd = -1;
	if (!runner_asks_by_line(r))
		return true;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make the pipe for asking");
	*program_fd = fds[0];
	r->ask_fd = fds[1];
	fcntl(r->ask_fd, F_SETFL, O_NONBLOCK);
	return true;
}

void runner_close_asking(struct runner *r)
{
	if (r->ask_fd >= 0)
		close(r->ask_fd);
	r->ask_fd = -1;
}

void runner_begin_asking(struct runner *r)
{
	const struct spec_every *every = &r->spec.checkpoint.every;
	if (!ask_is_wanted(r))
		return;
	if (every->ms)
		r->ask_at = clock_boot_ms() + every->ms;
	if (every->steps)
		r->asked_steps = r->step > 0 ? r->step / every->steps : 0;
}

/* Who has no handler would die of it: it has none yet, or none any more (Python takes them away before it exits, and
 * the last step is often one at which it is asked). Not its group: what it started has no answer to it. */
static void ask_by_signal(struct runner *r, int number)
{
	bool is_heard = proc_catches(r->program, number);
	if (is_heard)
		kill(r->program, number);
	else if (!r->ask_was_told)
		runner_say(r, "it is not asked for a checkpoint: it has no handler for SIG%s now",
			   sigabbrev_np(number));
	r->ask_was_told = true;
}

/* A program that does not read has a full pipe one day: it was asked often enough. */
static void ask_now(struct runner *r)
{
	static const int signals[] = { [ASK_SIGUSR1] = SIGUSR1, [ASK_SIGUSR2] = SIGUSR2, [ASK_SIGHUP] = SIGHUP };
	enum spec_ask how = r->spec.checkpoint.ask;
	if (r->is_reaped || r->stop)
		return;
	if (how != ASK_LINE)
		ask_by_signal(r, signals[how]);
	else if (r->ask_fd >= 0 && write(r->ask_fd, ask_line, strlen(ask_line)) < 0 && errno == EPIPE)
		runner_close_asking(r);
	log_debug("asked for a checkpoint", "job=%s step=%lld", r->record->id, (long long)r->step);
}

void runner_ask_at_step(struct runner *r)
{
	int64_t steps = r->spec.checkpoint.every.steps;
	if (!r->was_started || !ask_is_wanted(r) || !steps || r->step / steps <= r->asked_steps)
		return;
	r->asked_steps = r->step / steps;
	ask_now(r);
}

int64_t runner_ask_tick(struct runner *r, int64_t now)
{
	if (!r->ask_at || r->state != RUN_RUNNING)
		return INT64_MAX;
	if (now >= r->ask_at) {
		r->ask_at = now + r->spec.checkpoint.every.ms;
		ask_now(r);
	}
	return r->ask_at;
}
