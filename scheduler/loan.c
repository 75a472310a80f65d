#include "scheduler/loan.h"

#include <inttypes.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/fields.h"
#include "lib/log.h"
#include "queue/spec.h"

enum { LOAN_ID_SIZE = SPEC_QUEUE_MAX + 24 };

/* ---- looking for it ---- */

struct loan_search {
	struct loan_place place;
	char queue[SPEC_QUEUE_MAX + 1];
	int64_t n;
	char *which, *metric, *mode;
	char borrower[SPEC_QUEUE_MAX + 1];
	int64_t count;
	struct error missing; /* what Redis said of it */
	jobs_text_fn *fn;
	void *arg;
};

static void loan_found(struct loan_search *search, const char *text, size_t len, const struct error *err)
{
	search->fn(search->arg, text, len, err);
	free(search->which);
	free(search->metric);
	free(search->mode);
	free(search);
}

static void loan_ask(struct loan_search *search, const char *archived, jobs_text_fn *fn)
{
	const struct loan_wish wish = { .which = search->which,
					.borrower = search->borrower,
					.count = search->count,
					.metric = search->metric,
					.mode = search->mode,
					.archived = archived };
	jobs_lend(search->place.jobs, search->queue, search->n, &wish, fn, search);
}

static void loan_on_end(void *arg, const char *text, size_t len, const struct error *err)
{
	loan_found(arg, text, len, err);
}

static void loan_on_archived(void *arg, const char *text, size_t len, const struct error *err)
{
	struct loan_search *search = arg;
	if (!err && len)
		loan_ask(search, text, loan_on_end);
	else
		loan_found(search, NULL, 0, err && err->kind != ERR_NOT_FOUND ? err : &search->missing);
}

static void loan_on_lent(void *arg, const char *text, size_t len, const struct error *err)
{
	struct loan_search *search = arg;
	if (!err || err->kind != ERR_NOT_FOUND || !search->place.archive) {
		loan_found(search, text, len, err);
		return;
	}
	search->missing = *err;
	archive_read(search->place.archive, search->queue, search->n, ARCHIVE_RECORD, loan_on_archived, search);
}

void loan_find(const struct loan_place *place, const char *lender, const struct loan_wish *wish, jobs_text_fn *fn,
	       void *arg)
{
	struct loan_search *search = mem_alloc(sizeof *search);
	struct error err;
	search->place = *place;
	search->which = mem_strdup(wish->which);
	search->metric = mem_strdup(wish->metric);
	search->mode = mem_strdup(wish->mode);
	str_copy(search->borrower, sizeof search->borrower, wish->borrower);
	search->count = wish->count;
	search->fn = fn;
	search->arg = arg;
	if (spec_split_id(lender, search->queue, &search->n, &err))
		loan_ask(search, NULL, loan_on_lent);
	else
		loan_found(search, NULL, 0, &err);
}

/* ---- borrow <lender> <n> ---- */

struct loan {
	struct loan_place place;
	char queue[SPEC_QUEUE_MAX + 1]; /* of the letter */
	int64_t n;
	char other[LOAN_ID_SIZE]; /* whom it is about: the lender, or the queue that borrowed */
	char *resume;             /* "<lender>@<which>"; of the other letter its time */
};

static struct loan *loan_new(const struct loan_place *place, const char *queue, int64_t n, const char *other)
{
	struct loan *loan = mem_alloc(sizeof *loan);
	loan->place = *place;
	loan->n = n;
	str_copy(loan->queue, sizeof loan->queue, queue);
	str_copy(loan->other, sizeof loan->other, other);
	return loan;
}

static void loan_free(struct loan *loan)
{
	free(loan->resume);
	free(loan);
}

/* The letter comes again: that it failed is said, not more. */
static void loan_done(struct loan *loan, const struct error *err)
{
	if (err && err->kind != ERR_UNAVAILABLE && err->kind != ERR_UNKNOWN)
		log_warn("a loan of checkpoints was not carried", "job=%s-%" PRId64 " other=%s error=\"%s\"",
			 loan->queue, loan->n, loan->other, err->message);
	loan_free(loan);
}

static void loan_on_done(void *arg, const char *text, size_t len, const struct error *err)
{
	(void)text;
	(void)len;
	loan_done(arg, err);
}

/* What will never come is told to the job; what may come later is asked for again. */
static void loan_on_found(void *arg, const char *text, size_t len, const struct error *err)
{
	struct loan *loan = arg;
	bool is_final = err && (err->kind == ERR_INPUT || err->kind == ERR_NOT_FOUND);
	if (err && !is_final) {
		loan_done(loan, err);
		return;
	}
	CLEANUP(free_p) char *answer = mem_strndup(err ? "" : text, err ? 0 : len);
	CLEANUP(free_p)
	char *wrong = !err                                        ? mem_strdup("")
		      : strncmp(err->message, "resume: ", 8) == 0 ? mem_strdup(err->message)
								  : mem_printf("resume: %s", err->message);
	jobs_borrow(loan->place.jobs, loan->queue, loan->n, loan->resume, answer, wrong, loan_on_done, loan);
}

static void loan_on_wanted(void *arg, const char *text, size_t len, const struct error *err)
{
	struct loan *loan = arg;
	json_auto_t *wanted = err || !len ? NULL : fields_parse(text, len);
	if (!wanted) { /* or it waits no more, and its letter is gone */
		loan_done(loan, err);
		return;
	}
	const char *lender = fields_text(wanted, "lender"), *which = fields_text(wanted, "which");
	const struct loan_wish wish = { .which = which,
					.borrower = loan->queue,
					.count = fields_int(wanted, "count", 1),
					.metric = fields_text(wanted, "metric"),
					.mode = fields_text(wanted, "mode") };
	loan->resume = mem_printf("%s@%s", lender, which);
	loan_find(&loan->place, lender, &wish, loan_on_found, loan);
}

void loan_carry_borrow(const struct loan_place *place, const char *queue, const char *lender, int64_t n)
{
	struct loan *loan = loan_new(place, queue, n, lender);
	jobs_borrow_read(place->jobs, queue, n, loan_on_wanted, loan);
}

/* ---- lent <borrower> <n> <time> ---- */

/* A queue that is not there may be one that Redis has lost for now: what it borrowed stays. */
static void loan_on_borrowing(void *arg, const char *text, size_t len, const struct error *err)
{
	struct loan *loan = arg;
	if (err) {
		loan_done(loan, err->kind == ERR_NOT_FOUND ? NULL : err);
		return;
	}
	CLEANUP(free_p) char *answer = mem_strndup(text, len);
	jobs_returned(loan->place.jobs, loan->queue, loan->n, loan->other, loan->resume, answer, loan_on_done, loan);
}

void loan_carry_lent(const struct loan_place *place, const char *queue, const char *borrower, int64_t n,
		     const char *time)
{
	char lender[LOAN_ID_SIZE];
	struct loan *loan = loan_new(place, queue, n, borrower);
	loan->resume = mem_strdup(time);
	str_format(lender, sizeof lender, "%s-%" PRId64, queue, n);
	jobs_borrowing(place->jobs, borrower, lender, loan_on_borrowing, loan);
}
