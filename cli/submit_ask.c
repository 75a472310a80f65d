#include "cli/submit_ask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli/set.h"
#include "lib/buf.h"
#include "lib/yaml.h"
#include "queue/spec.h"

enum ask_kind { ASK_TEXT, ASK_YAML, ASK_LIST };

struct ask_question {
	const char *key;
	const char *words;
	const char *otherwise; /* what an empty answer stands for; NULL: it needs one */
	enum ask_kind kind;
};

/* The command is first: without it no spec is whole, and the others could not be checked. */
static const struct ask_question ask_questions[] = {
	{ "command", "command, as for a shell", NULL, ASK_TEXT },
	{ "name", "name", "none", ASK_TEXT },
	{ "queue", "queue", "default", ASK_TEXT },
	{ "resources.cpus", "processors", "1", ASK_YAML },
	{ "resources.gpus", "GPUs", "0", ASK_YAML },
	{ "resources.memory", "memory, like 16GiB", "not stated", ASK_YAML },
	{ "checkpoint.paths", "files that are checkpoints, like ckpt/*.pt", "none", ASK_LIST },
	{ "timeout", "stop an attempt after, like 12h", "never", ASK_YAML },
};

/* One line without its end, to be freed. NULL: there is no more. */
static char *ask_line(struct error *err)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len = getline(&line, &size, stdin);
	if (len < 0) {
		free(line);
		fputc('\n', stderr);
		error_set(err, ERR_INPUT, NULL, "the answers ended before the last question; nothing was submitted");
		return NULL;
	}
	line[strcspn(line, "\r\n")] = '\0';
	return line;
}

static json_t *ask_value(const struct ask_question *question, const char *answer, struct error *err)
{
	json_t *value =
		question->kind == ASK_YAML ? yaml_decode(answer, strlen(answer), NULL, err) : json_string(answer);
	if (!value && question->kind != ASK_YAML)
		error_set(err, ERR_INPUT, NULL, "%s: expected UTF-8 text", question->key);
	return value && question->kind == ASK_LIST ? json_pack("[o]", value) : value;
}

/* The spec with the answer in it, if it is one; NULL and what is wrong. */
static json_t *ask_try(const json_t *spec, const struct ask_question *question, const char *answer, struct error *err)
{
	json_auto_t *changed = json_deep_copy(spec);
	json_auto_t *value = ask_value(question, answer, err);
	CLEANUP(free_p) char *normal = NULL;
	if (!value || !set_value(changed, question->key, value, err))
		return NULL;
	CLEANUP(free_p) char *text = json_dumps(changed, JSON_COMPACT);
	return spec_normalize(text, strlen(text), NULL, &normal, err) ? json_incref(changed) : NULL;
}

static void ask_complain(const struct error *err)
{
	fprintf(stderr, "  %s\n", err->message);
	if (*err->hint)
		fprintf(stderr, "  hint: %s\n", err->hint);
}

/* Until there is an answer that is none at all or makes a spec. */
static bool ask_one(json_t **spec, const struct ask_question *question, struct error *err)
{
	for (;;) {
		struct error wrong = { 0 };
		if (question->otherwise)
			fprintf(stderr, "%s [%s]: ", question->words, question->otherwise);
		else
			fprintf(stderr, "%s: ", question->words);
		CLEANUP(free_p) char *answer = ask_line(err);
		if (!answer)
			return false;
		if (!*answer && question->otherwise)
			return true;
		json_t *changed = ask_try(*spec, question, answer, &wrong);
		if (changed) {
			json_decref(*spec);
			*spec = changed;
			return true;
		}
		ask_complain(&wrong);
	}
}

static bool ask_write(const char *path, const char *text, struct error *err)
{
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return error_errno(err, ERR_INPUT, errno == EEXIST ? "it is left as it is: name another one" : NULL,
				   "cannot make %s", path);
	if (dprintf(fd, "%s\n", text) < 0) {
		error_errno(err, ERR_SYSTEM, NULL, "cannot write %s", path);
		unlink(path);
		return false;
	}
	return true;
}

static bool ask_keep(const char *text, struct error *err)
{
	for (;;) {
		struct error wrong = { 0 };
		fputs("keep it as a file, name [no]: ", stderr);
		CLEANUP(free_p) char *path = ask_line(err);
		if (!path)
			return false;
		if (!*path || ask_write(path, text, &wrong))
			return true;
		ask_complain(&wrong);
	}
}

static bool ask_submit(bool *is_wanted, struct error *err)
{
	for (;;) {
		fputs("submit it, y or n [y]: ", stderr);
		CLEANUP(free_p) char *answer = ask_line(err);
		if (!answer)
			return false;
		*is_wanted = !*answer || strcmp(answer, "y") == 0;
		if (*is_wanted || strcmp(answer, "n") == 0)
			return true;
	}
}

bool submit_ask(json_t *given, bool *is_wanted, struct error *err)
{
	if (!isatty(STDIN_FILENO))
		return error_set(err, ERR_INPUT, "stoker submit FILE, or - for stdin",
				 "-i asks on a terminal, and stdin is none");
	json_auto_t *spec = json_deep_copy(given);
	for (size_t i = 0; i < ARRAY_LEN(ask_questions); i++)
		if (!ask_one(&spec, &ask_questions[i], err))
			return false;
	CLEANUP(free_p) char *text = json_dumps(spec, JSON_INDENT(2));
	fprintf(stderr, "%s\n", text);
	json_object_update(given, spec);
	return ask_keep(text, err) && ask_submit(is_wanted, err);
}
