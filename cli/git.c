#include "cli/git.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/child.h"

enum { GIT_WORDS_MAX = 16, GIT_STATUS_MAX = 4 * 1024 * 1024 };

/* Its output; false when it failed, or said more than fits. A repository's own settings must not start anything. */
static bool git_run(const char *folder, const char *const *words, struct buf *out)
{
	const char *argv[GIT_WORDS_MAX] = { "git", "-C", folder, "--no-optional-locks", "-c", "core.fsmonitor=false" };
	size_t count = 6;
	for (; *words && count < GIT_WORDS_MAX - 1; words++)
		argv[count++] = *words;
	int pipe_fds[2], status = -1;
	pid_t pid;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return false;
	const struct child_options o = { .argv = argv, .in = -1, .out = pipe_fds[1], .err = -1 };
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

static void git_changes(const char *folder, json_t *facts)
{
	static const char *const words[] = { "status", "--porcelain", "--", ".", NULL };
	CLEANUP(buf) struct buf out;
	buf_init(&out, GIT_STATUS_MAX);
	if (!git_run(folder, words, &out))
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
	if (!git_run(folder, words, &out))
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
	static const char *const words[] = { "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD", "--", ".",
					     NULL };
	return git_run(folder, words, diff) && diff->len > 0;
}
