#include "cli/git.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/child.h"

enum { GIT_FILTERS_MAX = 256, GIT_WORDS_MAX = 24, GIT_STATUS_MAX = 4 * 1024 * 1024 };

/*
 * A folder may be somebody else's work, and what stands in its repository must not start anything. Its settings count
 * less than what is said here, and its hooks, the helpers of its submodules, and fetching what is missing are off. The
 * filters of contents, which status and diff would call for a file that changed, have names of its own choice: they are
 * asked for first, and each is switched off by name.
 */
static const char *const git_settings[] = { "core.fsmonitor=false", "core.hooksPath=/dev/null",
					    "diff.autoRefreshIndex=false" };
static const char *const git_environment[] = { "GIT_ALLOW_PROTOCOL=", "GIT_NO_LAZY_FETCH=1" };

struct git_filters {
	char *off[3 * GIT_FILTERS_MAX]; /* settings */
	size_t count;
};

static void cleanup_git_filters(struct git_filters *filters)
{
	for (size_t i = 0; i < filters->count; i++)
		free(filters->off[i]);
}

/* Ours first: of two entries of a name the first one counts. The caller frees it. */
static const char **git_env(void)
{
	size_t count = 0, ours = ARRAY_LEN(git_environment);
	while (environ[count])
		count++;
	const char **env = mem_alloc((ours + count + 1) * sizeof *env);
	memcpy(env, git_environment, sizeof git_environment);
	memcpy(env + ours, environ, (count + 1) * sizeof *env);
	return env;
}

/* "git -C folder -c … words". The caller frees it. */
static const char **git_argv(const char *folder, const struct git_filters *filters, const char *const *words)
{
	const size_t settings = ARRAY_LEN(git_settings), filter_count = filters ? filters->count : 0;
	const char **argv = mem_alloc((GIT_WORDS_MAX + 2 * (settings + filter_count)) * sizeof *argv);
	const char *const begin[] = { "git", "-C", folder, "--no-optional-locks" };
	size_t count = ARRAY_LEN(begin);
	memcpy(argv, begin, sizeof begin);
	for (size_t i = 0; i < settings + filter_count; i++) {
		argv[count++] = "-c";
		argv[count++] = i < settings ? git_settings[i] : filters->off[i - settings];
	}
	for (; *words; words++)
		argv[count++] = *words;
	argv[count] = NULL;
	return argv;
}

/* Its output; false when it failed, or said more than fits. */
static bool git_run(const char *folder, const struct git_filters *filters, const char *const *words, struct buf *out)
{
	CLEANUP(free_p) const char **argv = git_argv(folder, filters, words);
	CLEANUP(free_p) const char **env = git_env();
	int pipe_fds[2], status = -1;
	pid_t pid;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return false;
	const struct child_options o = { .argv = argv, .env = env, .in = -1, .out = pipe_fds[1], .err = -1 };
	bool ok = child_spawn(&o, &pid, NULL);
	close(pipe_fds[1]);
	for (char part[16384]; ok;) {
		ssize_t got = read(pipe_fds[0], part, sizeof part);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 || !buf_add(out, part, (size_t)got))
			break;
	}
	close(pipe_fds[0]); /* what still writes ends by that */
	if (ok)
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	return ok && WIFEXITED(status) && WEXITSTATUS(status) == 0 && !out->overflow;
}

/* "filter.<name>.<variable>": off. False: too many, or by a name that cannot be said. */
static bool git_filter_off(struct git_filters *filters, const char *key)
{
	static const char prefix[] = "filter.";
	static const char *const off[] = { "clean=", "process=", "required=false" };
	const char *dot = strrchr(key, '.');
	if (strncmp(key, prefix, strlen(prefix)) != 0 || dot < key + strlen(prefix))
		return true;
	int len = (int)(dot - key);
	for (size_t i = 0; i < filters->count; i++)
		if (strncmp(filters->off[i], key, (size_t)len + 1) == 0 && !strchr(filters->off[i] + len + 1, '.'))
			return true; /* that one is */
	if (filters->count == ARRAY_LEN(filters->off) || memchr(key, '=', (size_t)len))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(off); i++)
		filters->off[filters->count++] = mem_printf("%.*s.%s", len, key, off[i]);
	return true;
}

/* False: what changed cannot be asked for without starting what the repository names. */
static bool git_filters_off(const char *folder, struct git_filters *filters)
{
	static const char *const words[] = { "config", "-z", "--name-only", "--list", NULL };
	CLEANUP(buf) struct buf out;
	buf_init(&out, GIT_STATUS_MAX);
	if (!git_run(folder, NULL, words, &out))
		return false;
	const char *text = buf_text(&out), *end = text + out.len;
	for (const char *key = text; key < end; key += strlen(key) + 1)
		if (!git_filter_off(filters, key))
			return false;
	return true;
}

static void git_changes(const char *folder, json_t *facts)
{
	static const char *const words[] = { "status", "--porcelain", "--ignore-submodules=dirty", "--", ".", NULL };
	CLEANUP(git_filters) struct git_filters filters = { .count = 0 };
	CLEANUP(buf) struct buf out;
	buf_init(&out, GIT_STATUS_MAX);
	if (!git_filters_off(folder, &filters) || !git_run(folder, &filters, words, &out))
		return;
	size_t lines = 0;
	for (const char *c = buf_text(&out); *c; c++)
		lines += *c == '\n';
	CLEANUP(free_p) char *text = mem_printf("%zu file%s", lines, lines == 1 ? "" : "s");
	if (lines)
		json_object_set_new(facts, "git_dirty", json_string(text));
}

/* A text that the spec takes. */
static void git_set(json_t *facts, const char *name, const char *text, size_t len)
{
	if (len > 0 && len <= 256)
		json_object_set_new(facts, name, json_stringn(text, len));
}

void git_describe(const char *folder, json_t *facts)
{
	static const char *const words[] = { "rev-parse", "HEAD", "--abbrev-ref", "HEAD", NULL };
	CLEANUP(buf) struct buf out;
	buf_init(&out, 4096);
	if (!git_run(folder, NULL, words, &out))
		return;
	const char *text = buf_text(&out);
	size_t len = strcspn(text, "\n");
	git_set(facts, "git_commit", text, len);
	text += len + (text[len] == '\n');
	git_set(facts, "git_branch", text, strcspn(text, "\n"));
	git_changes(folder, facts);
}

bool git_diff(const char *folder, struct buf *diff)
{
	static const char *const words[] = { "diff",
					     "--no-ext-diff",
					     "--no-textconv",
					     "--no-color",
					     "--ignore-submodules=dirty",
					     "--submodule=short",
					     "HEAD",
					     "--",
					     ".",
					     NULL };
	CLEANUP(git_filters) struct git_filters filters = { .count = 0 };
	return git_filters_off(folder, &filters) && git_run(folder, &filters, words, diff) && diff->len > 0;
}
