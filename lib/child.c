#include "lib/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/buf.h"

extern char **environ;

/* What the child tells its parent when it cannot exec. */
enum child_step { STEP_NONE, STEP_SIGNALS, STEP_GROUP, STEP_PARENT, STEP_FDS, STEP_CWD, STEP_EXEC };
struct child_failure {
	enum child_step step;
	int error_number;
};

static const char *const child_step_names[] = {
	[STEP_NONE] = "start",
	[STEP_SIGNALS] = "reset the signals",
	[STEP_GROUP] = "make the process group",
	[STEP_PARENT] = "follow the parent process",
	[STEP_FDS] = "pass the descriptors",
	[STEP_CWD] = "enter the working folder",
	[STEP_EXEC] = "execute the program",
};

/* Everything the child needs, prepared before the vfork: after it the child lives in the parent's memory, and only
 * calls that are safe in a signal handler are allowed (no malloc, no PATH search). What it writes there is here. */
struct child_plan {
	const struct child_options *options;
	char **paths; /* what to try to execute, in order; NULL ends it */
	char *const *argv;
	char *const *env;
	int *moved; /* scratch: the given descriptors at numbers that nothing else uses */
	int null_fd;
	int report_fd;
	pid_t parent;
};

static const char *child_path_of(const char *const *env)
{
	for (; env && *env; env++)
		if (!strncmp(*env, "PATH=", 5))
			return *env + 5;
	const char *path = env ? NULL : getenv("PATH");
	return path ? path : "/usr/local/bin:/usr/bin:/bin";
}

static void child_paths_free(char **paths)
{
	for (char **p = paths; p && *p; p++)
		free(*p);
	free(paths);
}

static char **child_paths(const char *program, const char *const *env)
{
	if (strchr(program, '/')) {
		char **one = mem_alloc(2 * sizeof *one);
		one[0] = mem_strdup(program);
		return one;
	}
	const char *path = child_path_of(env);
	size_t count = 1;
	for (const char *p = path; *p; p++)
		count += *p == ':';
	char **paths = mem_alloc((count + 1) * sizeof *paths);
	for (size_t i = 0; i < count; i++) {
		size_t len = strcspn(path, ":");
		paths[i] = len ? mem_printf("%.*s/%s", (int)len, path, program) : mem_printf("./%s", program);
		path += len + 1;
	}
	return paths;
}

static void child_reset_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL); /* refused for KILL, STOP and libc's own: fine */
}

/* false, errno set: the parent died before we could ask to follow it. */
static bool child_follow(int death_signal, pid_t parent)
{
	if (!death_signal)
		return true;
	if (prctl(PR_SET_PDEATHSIG, (unsigned long)death_signal) < 0)
		return false;
	if (getppid() == parent)
		return true;
	errno = ESRCH;
	return false;
}

static bool child_set_group(enum child_group group)
{
	if (group == CHILD_OWN_SESSION)
		return setsid() >= 0;
	if (group == CHILD_OWN_GROUP)
		return setpgid(0, 0) == 0;
	return true;
}

static noreturn void child_fail(const struct child_plan *plan, enum child_step step)
{
	struct child_failure failure = { step, errno };
	ssize_t written = write(plan->report_fd, &failure, sizeof failure);
	_exit(written == sizeof failure ? 127 : 126);
}

/* Descriptors may be given at numbers that others are wanted at: all of them are first
 * moved out of the way, then put in place, and the rest will not survive the exec. */
static bool child_place_fds(struct child_plan *plan)
{
	const struct child_options *o = plan->options;
	const int standard[3] = { o->in, o->out, o->err };
	int floor = 3;
	for (size_t i = 0; i < o->fd_count; i++)
		if (o->fds[i].to >= floor)
			floor = o->fds[i].to + 1;
	plan->report_fd = fcntl(plan->report_fd, F_DUPFD_CLOEXEC, floor);
	if (plan->report_fd < 0)
		return false;
	for (size_t i = 0; i < 3 + o->fd_count; i++) {
		int from = i >= 3 ? o->fds[i - 3].from : standard[i] >= 0 ? standard[i] : plan->null_fd;
		plan->moved[i] = fcntl(from, F_DUPFD_CLOEXEC, floor);
		if (plan->moved[i] < 0)
			return false;
	}
	/* A kernel before 5.11 refuses: then the project's rule that everything is opened close-on-exec must do. */
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	for (size_t i = 0; i < 3 + o->fd_count; i++)
		if (dup2(plan->moved[i], i < 3 ? (int)i : o->fds[i - 3].to) < 0)
			return false;
	return true;
}

static noreturn void child_exec(struct child_plan *plan)
{
	const struct child_options *o = plan->options;
	child_reset_signals();
	if (!child_set_group(o->group))
		child_fail(plan, STEP_GROUP);
	if (!child_follow(o->death_signal, plan->parent))
		child_fail(plan, STEP_PARENT);
	if (!child_place_fds(plan))
		child_fail(plan, STEP_FDS);
	if (o->cwd && chdir(o->cwd) < 0)
		child_fail(plan, STEP_CWD);
	sigset_t none;
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		child_fail(plan, STEP_SIGNALS);
	int refused = 0; /* a file that may not be executed says more than one that is not there */
	for (char **path = plan->paths; *path; path++) {
		execve(*path, plan->argv, plan->env);
		if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
			child_fail(plan, STEP_EXEC);
		if (errno == EACCES)
			refused = EACCES;
	}
	errno = refused ? refused : ENOENT;
	child_fail(plan, STEP_EXEC);
}

static bool child_failed(const struct child_options *o, const struct child_failure *failure, struct error *err)
{
	bool missing = failure->error_number == ENOENT || failure->error_number == ENOTDIR;
	enum error_kind kind = missing ? ERR_NOT_FOUND : ERR_SYSTEM;
	const char *what = failure->step == STEP_CWD ? o->cwd : o->argv[0];
	const char *hint = failure->error_number == ENOEXEC  ? "a script needs a first line such as #!/bin/sh"
			   : failure->error_number == EACCES ? "is it a file that may be executed?"
							     : NULL;
	errno = failure->error_number;
	return error_errno(err, kind, hint, "cannot %s %s", child_step_names[failure->step], what);
}

/* Ends when the exec closes the pipe, or with the reason why there is none. */
static bool child_await_exec(int fd, const struct child_options *o, pid_t pid, struct error *err)
{
	struct child_failure failure;
	ssize_t got;
	do
		got = read(fd, &failure, sizeof failure);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return true;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (got != sizeof failure)
		return error_set(err, ERR_SYSTEM, NULL, "cannot start %s: it vanished", o->argv[0]);
	return child_failed(o, &failure, err);
}

/* Every signal blocked, so that no handler of the caller runs in the child. */
static void child_block_signals(sigset_t *before)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, before);
}

/* Half as long as a fork: no page table is copied, and no page of ours is written twice afterwards. The caller sleeps
 * until the exec, which it would wait for anyway. */
static pid_t child_vfork(struct child_plan *plan)
{
	sigset_t before;
	child_block_signals(&before);
	pid_t pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): see struct child_plan */
	if (pid == 0)
		child_exec(plan); /* NOLINT(clang-analyzer-unix.Vfork): it does not return */
	int error_number = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = error_number;
	return pid;
}

bool child_spawn(const struct child_options *o, pid_t *pid, struct error *err)
{
	int report[2];
	CLEANUP(close_fd) int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0 || pipe2(report, O_CLOEXEC) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot start %s", o->argv[0]);
	CLEANUP(free_p) int *moved = mem_alloc((3 + o->fd_count) * sizeof *moved);
	struct child_plan plan = {
		.options = o,
		.paths = child_paths(o->argv[0], o->env),
		.argv = (char *const *)o->argv,
		.env = o->env ? (char *const *)o->env : environ,
		.moved = moved,
		.null_fd = null_fd,
		.report_fd = report[1],
		.parent = getpid(),
	};
	*pid = child_vfork(&plan);
	int error_number = errno;
	child_paths_free(plan.paths);
	close(report[1]);
	CLEANUP(close_fd) int answer = report[0];
	errno = error_number;
	if (*pid < 0)
		return error_errno(err, ERR_SYSTEM, "too many processes?", "cannot fork for %s", o->argv[0]);
	return child_await_exec(answer, o, *pid, err);
}

static void child_close_others(const struct child_fork_options *o)
{
	unsigned int from = 3;
	for (;;) { /* the next descriptor to keep; few, so the quadratic search is the short one */
		int next = -1;
		for (size_t i = 0; i < o->keep_count; i++)
			if (o->keep[i] >= (int)from && (next < 0 || o->keep[i] < next))
				next = o->keep[i];
		if (next < 0)
			break;
		if ((unsigned int)next > from)
			close_range(from, (unsigned int)next - 1, 0);
		from = (unsigned int)next + 1;
	}
	close_range(from, ~0U, 0);
}

static noreturn void child_run(const struct child_fork_options *o, pid_t parent)
{
	child_reset_signals();
	if (!child_set_group(o->group) || !child_follow(o->death_signal, parent))
		_exit(126);
	child_close_others(o);
	if (o->name)
		prctl(PR_SET_NAME, o->name);
	sigset_t mask;
	sigemptyset(&mask);
	sigprocmask(SIG_SETMASK, o->blocked ? o->blocked : &mask, NULL);
	struct event_base *base = event_base_new();
	if (!base)
		_exit(126);
	_exit(o->run(base, o->arg)); /* not exit: the parent's buffers and handlers are not ours */
}

bool child_fork(const struct child_fork_options *o, pid_t *pid, struct error *err)
{
	sigset_t before;
	pid_t parent = getpid();
	child_block_signals(&before);
	*pid = fork();
	if (*pid == 0)
		child_run(o, parent);
	int error_number = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = error_number;
	if (*pid < 0)
		return error_errno(err, ERR_SYSTEM, "too many processes?", "cannot fork %s",
				   o->name ? o->name : "a helper");
	return true;
}
