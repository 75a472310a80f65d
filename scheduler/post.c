#include "scheduler/post.h"

#include <string.h>
#include "lib/buf.h"
#include "lib/log.h"
#include "queue/spec.h"
#include "scheduler/sweeper.h"

enum { POST_WORDS = 4 };

struct post_letter {
	const struct loan_place *place; /* during post_carry */
	struct jobs *jobs;
	char queue[SPEC_QUEUE_MAX + 1]; /* where it was handed out */
	char *text;
	char *copy; /* cut into words */
	char *words[POST_WORDS];
	size_t count;
	struct sweep sweep;
	char *state; /* that was answered to ask; NULL: none yet */
};

static void post_free(struct post_letter *letter)
{
	free(letter->text);
	free(letter->copy);
	free(letter->state);
	sweep_done(&letter->sweep);
	free(letter);
}

/* It comes again: that it failed is said, not more. */
static void post_fail(struct post_letter *letter, const struct error *err)
{
	if (err->kind != ERR_UNAVAILABLE && err->kind != ERR_UNKNOWN)
		log_warn("a letter was refused", "queue=%s letter=\"%s\" error=\"%s\"", letter->queue, letter->text,
			 err->message);
	post_free(letter);
}

static void post_on_end(void *arg, const char *text, size_t len, const struct error *err)
{
	(void)text;
	(void)len;
	struct post_letter *letter = arg;
	if (err)
		post_fail(letter, err);
	else
		post_free(letter);
}

/* ---- tell <child> <parent> <state> ---- */

/* A queue that is not there has no child that waits. */
static void post_on_told(void *arg, const char *text, size_t len, const struct error *err)
{
	(void)text;
	(void)len;
	struct post_letter *letter = arg;
	if (err && err->kind != ERR_NOT_FOUND)
		post_fail(letter, err);
	else
		jobs_sent(letter->jobs, letter->queue, letter->text, post_on_end, letter);
}

/* An older library does not know the function: the state is told all the same. */
static void post_on_about(void *arg, const char *text, size_t len, const struct error *err)
{
	struct post_letter *letter = arg;
	CLEANUP(free_p) char *about = text ? mem_strndup(text, len) : NULL;
	char queue[SPEC_QUEUE_MAX + 1];
	int64_t n;
	if (err && err->kind != ERR_INTERNAL && err->kind != ERR_NOT_FOUND)
		post_fail(letter, err);
	else if (letter->state) /* an answer to ask: the child is of this queue */
		jobs_tell(letter->jobs, letter->queue, strtoll(letter->words[2], NULL, 10), letter->words[1],
			  letter->state, about, post_on_end, letter);
	else if (spec_split_id(letter->words[1], queue, &n, NULL))
		jobs_tell(letter->jobs, queue, n, letter->words[2], letter->words[3], about, post_on_told, letter);
}

/* Of the parent with this id. */
static bool post_about(struct post_letter *letter, const char *parent)
{
	char queue[SPEC_QUEUE_MAX + 1];
	int64_t n;
	if (!spec_split_id(parent, queue, &n, NULL))
		return false;
	jobs_about(letter->jobs, queue, n, post_on_about, letter);
	return true;
}

static bool post_tell(struct post_letter *letter)
{
	char queue[SPEC_QUEUE_MAX + 1];
	int64_t n;
	return letter->count == 4 && spec_split_id(letter->words[1], queue, &n, NULL) &&
	       post_about(letter, letter->words[2]);
}

/* ---- ask <parent> <n> ---- */

static void post_on_state(void *arg, const char *text, size_t len, const struct error *err)
{
	(void)len;
	struct post_letter *letter = arg;
	const char *state = err ? "gone" : text;
	if (err && err->kind != ERR_NOT_FOUND) {
		post_fail(letter, err);
	} else if (strcmp(state, "waiting") == 0 || strcmp(state, "queued") == 0 || strcmp(state, "running") == 0) {
		post_free(letter); /* its queue will tell */
	} else {
		letter->state = mem_strdup(state);
		post_about(letter, letter->words[1]);
	}
}

static bool post_ask(struct post_letter *letter)
{
	char queue[SPEC_QUEUE_MAX + 1], child[96];
	int64_t n;
	if (letter->count != 3 || !spec_split_id(letter->words[1], queue, &n, NULL))
		return false;
	str_format(child, sizeof child, "%s-%s", letter->queue, letter->words[2]);
	jobs_watch(letter->jobs, queue, n, child, post_on_state, letter);
	return true;
}

/* ---- sweep <token> ---- */

/* What can never be is told to who asked; what may be later comes again. */
static void post_on_swept(void *arg, json_t *ids, bool has_batch, const struct error *err)
{
	struct post_letter *letter = arg;
	(void)ids;
	(void)has_batch;
	if (err && err->kind != ERR_INPUT && err->kind != ERR_CONFLICT)
		post_fail(letter, err);
	else
		jobs_swept(letter->jobs, letter->queue, letter->words[1], err ? err->message : "", post_on_end, letter);
}

static void post_on_sweep(void *arg, const char *spec, const char *batch, const char *actor, const struct error *err)
{
	struct post_letter *letter = arg;
	struct error wrong;
	const struct sweeper_options options = { .jobs = letter->jobs,
						 .queue = letter->queue,
						 .sweep = &letter->sweep,
						 .stem = letter->words[1],
						 .actor = *actor ? actor : "fcall" };
	if (err)
		post_fail(letter, err);
	else if (!*spec)
		jobs_swept(letter->jobs, letter->queue, letter->words[1], "", post_on_end, letter);
	else if (sweep_read(spec, strlen(spec), NULL, batch, &letter->sweep, &wrong))
		sweeper_run(&options, post_on_swept, letter);
	else
		jobs_swept(letter->jobs, letter->queue, letter->words[1], wrong.message, post_on_end, letter);
}

static bool post_sweep(struct post_letter *letter)
{
	if (letter->count == 2)
		jobs_swept_read(letter->jobs, letter->queue, letter->words[1], post_on_sweep, letter);
	return letter->count == 2;
}

/* ---- borrow <lender> <n>, lent <queue> <n> <time> ---- */

static bool post_borrow(struct post_letter *letter)
{
	if (letter->count != 3)
		return false;
	loan_carry_borrow(letter->place, letter->queue, letter->words[1], strtoll(letter->words[2], NULL, 10));
	post_free(letter);
	return true;
}

static bool post_lent(struct post_letter *letter)
{
	if (letter->count != 4)
		return false;
	loan_carry_lent(letter->place, letter->queue, letter->words[1], strtoll(letter->words[2], NULL, 10),
			letter->words[3]);
	post_free(letter);
	return true;
}

/* ---- all ---- */

static struct post_letter *post_letter_new(const struct loan_place *place, const char *queue, const char *text)
{
	struct post_letter *letter = mem_alloc(sizeof *letter);
	letter->place = place;
	letter->jobs = place->jobs;
	str_copy(letter->queue, sizeof letter->queue, queue);
	letter->text = mem_strdup(text);
	letter->copy = mem_strdup(text);
	char *rest = letter->copy, *word;
	while (letter->count < POST_WORDS && (word = strsep(&rest, " ")))
		letter->words[letter->count++] = word;
	return letter;
}

void post_carry(const struct loan_place *place, const char *queue, const char *const *letters, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct post_letter *letter = post_letter_new(place, queue, letters[i]);
		bool is_known = (strcmp(letter->words[0], "ask") == 0 && post_ask(letter)) ||
				(strcmp(letter->words[0], "tell") == 0 && post_tell(letter)) ||
				(strcmp(letter->words[0], "sweep") == 0 && post_sweep(letter)) ||
				(strcmp(letter->words[0], "borrow") == 0 && post_borrow(letter)) ||
				(strcmp(letter->words[0], "lent") == 0 && post_lent(letter));
		if (!is_known)
			post_free(letter); /* of a newer version: its own scheduler carries it */
	}
}
