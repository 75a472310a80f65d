#include "worker/death.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/size.h"
#include "lib/utf8.h"
#include "worker/spool.h"

enum {
	DEATH_SHELL = 128,     /* a shell ends with it and the number of the signal that killed its last command */
	DEATH_LINES = 40,      /* of the output that may say why */
	DEATH_WORDS_MAX = 200, /* of a line that are told */
};

enum death_kind { DEATH_PLAIN, DEATH_MEMORY, DEATH_GPU_MEMORY, DEATH_DISK };

static const char *const death_names[] = {
	[DEATH_PLAIN] = "",
	[DEATH_MEMORY] = "out of memory",
	[DEATH_GPU_MEMORY] = "out of GPU memory",
	[DEATH_DISK] = "disk full",
};

struct death_word {
	const char *text; /* stands in the line that says it */
	enum death_kind kind;
};

static const struct death_word death_words[] = {
	{ "CUDA out of memory", DEATH_GPU_MEMORY },
	{ "HIP out of memory", DEATH_GPU_MEMORY },
	{ "CUDA error: out of memory", DEATH_GPU_MEMORY },
	{ "CUDA_ERROR_OUT_OF_MEMORY", DEATH_GPU_MEMORY },
	{ "CUBLAS_STATUS_ALLOC_FAILED", DEATH_GPU_MEMORY },
	{ "RESOURCE_EXHAUSTED: Out of memory", DEATH_GPU_MEMORY },
	{ "MemoryError", DEATH_MEMORY },
	{ "std::bad_alloc", DEATH_MEMORY },
	{ "Cannot allocate memory", DEATH_MEMORY },
	{ "can't allocate memory", DEATH_MEMORY },
	{ "No space left on device", DEATH_DISK },
	{ "Disk quota exceeded", DEATH_DISK },
};

static const struct {
	int code;
	const char *means;
} death_codes[] = {
	{ EXIT_INPUT, "the program says that its input is wrong" },
	{ EXIT_CONFIG, "the program says that it cannot run like this" },
	{ EXIT_PREEMPTED, "it says that it is preempted, but nobody had asked it to stop" },
};

static enum death_kind death_kind_of(const struct buf *line)
{
	for (size_t i = 0; i < ARRAY_LEN(death_words); i++)
		if (strcasestr(buf_text(line), death_words[i].text))
			return death_words[i].kind;
	return DEATH_PLAIN;
}

/* Before the innermost frame, in what Python tells of itself when a signal ends it. */
static bool death_is_dump(const struct buf *line)
{
	return !strncmp(buf_text(line), "Current thread 0x", 17) && strstr(buf_text(line), "most recent call first");
}

/* The newest line that names a want; where Python was when it was killed; else the last words: of stderr, if there are
 * any. */
static enum death_kind death_listen(const struct death *death, struct buf *words)
{
	CLEANUP(buf) struct buf line, next; /* the one behind it */
	struct spool_record record;
	size_t left = death->tail_len;
	bool has_stderr = false;
	buf_init(&line, SPOOL_RECORD_MAX);
	buf_init(&next, SPOOL_RECORD_MAX);
	for (int lines = 0; lines < DEATH_LINES && spool_take_last(death->tail, &left, &record);) {
		if (!strchr("oe", record.stream))
			continue;
		lines++;
		buf_clear(&next);
		buf_str(&next, buf_text(&line));
		buf_clear(&line);
		utf8_plain(record.text, record.len, DEATH_WORDS_MAX, &line);
		if (death_is_dump(&line) && next.len) {
			buf_clear(words);
			buf_str(words, buf_text(&next));
			return DEATH_PLAIN;
		}
		enum death_kind kind = death_kind_of(&line);
		bool is_better = !words->len || (record.stream == 'e' && !has_stderr);
		if (!line.len || (kind == DEATH_PLAIN && !is_better))
			continue;
		has_stderr = has_stderr || record.stream == 'e';
		buf_clear(words);
		buf_str(words, buf_text(&line));
		if (kind != DEATH_PLAIN)
			return kind;
	}
	return DEATH_PLAIN;
}

static void death_how(const struct child_exit *how, char *into, size_t size)
{
	const char *name = child_signal_name(how->signal), *shell = child_signal_name(how->code - DEATH_SHELL);
	if (how->is_known && how->signal && !strcmp(name, "SIG?"))
		str_format(into, size, "killed by signal %d", how->signal);
	else if (how->is_known && how->signal)
		str_format(into, size, "killed by %s", name);
	else if (how->is_known && how->code > DEATH_SHELL && strcmp(shell, "SIG?") != 0)
		str_format(into, size, "exit %d, as of %s", how->code, shell);
	else
		child_exit_text(how, into, size);
}

/* "out of memory: 12.3 GiB of 12 GiB, what it may use by its spec" */
static void death_of_memory(const struct death *death, const char *how, char *into, size_t size)
{
	char used[32], limit[32];
	bool is_over = death->granted_bytes && death->how.peak_bytes > death->granted_bytes;
	size_human(death->how.peak_bytes, used, sizeof used);
	size_human(is_over ? death->granted_bytes : death->limit_bytes, limit, sizeof limit);
	if (is_over)
		str_format(into, size, "out of memory: %s of %s, what it may use by its spec (%s)", used, limit, how);
	else if (death->limit_bytes && death->how.peak_bytes)
		str_format(into, size, "out of memory: %s of %s, all that %s has (%s)", used, limit, death->limit_of,
			   how);
	else
		str_format(into, size, "out of memory (%s)", how);
}

/* The absolute path that stands in quotes, as Python says it; else the folder that is known to be full. */
static void death_of_disk(const struct death *death, const char *words, const char *how, char *into, size_t size)
{
	const char *at = strstr(words, "'/"), *end = at ? strchr(at + 1, '\'') : NULL;
	int len = end ? (int)(end - at - 1) : 0;
	if (len)
		str_format(into, size, "disk full: %.*s (%s): %s", len, at + 1, how, words);
	else if (death->full_disk)
		str_format(into, size, "disk full: %.100s (%s): %s", death->full_disk, how, words);
	else
		str_format(into, size, "disk full (%s): %s", how, words);
}

static void death_plain(const struct death *death, const char *words, const char *how, char *into, size_t size)
{
	const char *means = NULL;
	for (size_t i = 0; i < ARRAY_LEN(death_codes) && !death->how.signal; i++)
		if (death->how.code == death_codes[i].code)
			means = death_codes[i].means;
	if (means)
		str_format(into, size, "%s: %s%s%s%s", how, means, *words ? " (" : "", words, *words ? ")" : "");
	else if (death->how.signal == SIGKILL)
		str_format(into, size, "%s, %s", how,
			   death->oom_kills < 0 ? "by somebody, or by the kernel for want of memory"
						: "but not by the kernel for want of memory: somebody did it");
	else
		str_format(into, size, "%s%s%s", how, *words ? ": " : ", without a word", words);
}

void death_explain(const struct death *death, char *into, size_t size)
{
	char how[64], text[600];
	CLEANUP(buf) struct buf words;
	buf_init(&words, DEATH_WORDS_MAX + 16);
	death_how(&death->how, how, sizeof how);
	enum death_kind kind = death_listen(death, &words);
	bool is_killed = death->how.signal == SIGKILL || death->how.code == DEATH_SHELL + SIGKILL;
	if (is_killed && death->oom_kills > 0)
		death_of_memory(death, how, text, sizeof text);
	else if (death->how.signal == SIGKILL)
		death_plain(death, "", how, text, sizeof text);
	else if (kind == DEATH_DISK)
		death_of_disk(death, buf_text(&words), how, text, sizeof text);
	else if (kind != DEATH_PLAIN)
		str_format(text, sizeof text, "%s (%s): %s", death_names[kind], how, buf_text(&words));
	else if (death->full_disk)
		str_format(text, sizeof text, "disk full: %.100s (%s)%s%s", death->full_disk, how,
			   words.len ? ": " : "", buf_text(&words));
	else
		death_plain(death, buf_text(&words), how, text, sizeof text);
	if (death->oom_kills > 0 && !is_killed && strlen(text) < 450)
		str_format(text + strlen(text), sizeof text - strlen(text),
			   "; while it ran, the kernel killed %lld process%s in %s for want of memory",
			   (long long)death->oom_kills, death->oom_kills > 1 ? "es" : "", death->limit_of);
	size_t len = utf8_cut(text, strlen(text), size - 1);
	memcpy(into, text, len);
	into[len] = '\0';
}
