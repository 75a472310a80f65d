/* stoker logs: the lines of a job, all of them or the last ones, and live with -f. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/job.h"
#include "cli/log_print.h"
#include "lib/fields.h"

#define LOGS_PAGE 1000

struct logs_options {
	bool follow;
	int64_t attempt;
	int64_t tail;
};

/* One page after *after, which is moved on; false in *more when it was the last. */
static bool logs_page(struct cli *cli, const char *id, struct entry_id *after, json_t **entries, bool *more,
		      struct error *err)
{
	CLEANUP(free_p)
	char *tail = mem_printf("/logs?after=%lld-%lld&limit=%d", (long long)after->attempt, (long long)after->number,
				LOGS_PAGE);
	CLEANUP(free_p) char *path = client_job_path(id, tail, err);
	json_auto_t *answer = NULL;
	if (!path || !client_get(cli, path, &answer, err))
		return false;
	*entries = json_incref(json_object_get(answer, "entries"));
	size_t count = json_array_size(*entries);
	*more = count > 0;
	return !count || entry_id_parse(fields_text(answer, "next"), after) ||
	       error_set(err, ERR_INTERNAL, NULL, "a page of the log does not say where it goes on");
}

/* Prints everything after *after. */
static bool logs_print(struct cli *cli, const char *id, struct log_print *print, struct entry_id *after,
		       struct error *err)
{
	bool more = true;
	while (more) {
		json_auto_t *entries = NULL;
		if (!logs_page(cli, id, after, &entries, &more, err))
			return false;
		size_t i;
		json_t *entry;
		json_array_foreach(entries, i, entry)
		{
			struct entry_id at;
			if (entry_id_read(entry, &at))
				log_print_entry(print, at, entry);
		}
		if (print->only_attempt && after->attempt > print->only_attempt)
			more = false;
	}
	return true;
}

/* The last lines of an attempt, newest last: entries hold several lines each, so it looks further back
 * until there are enough. */
struct logs_tail {
	json_t *entries; /* of the attempt, after .from */
	int64_t lines;
};

static bool logs_collect(struct cli *cli, const char *id, struct entry_id from, struct logs_tail *tail,
			 struct error *err)
{
	bool more = true;
	struct entry_id after = from;
	json_decref(tail->entries);
	*tail = (struct logs_tail){ .entries = json_array() };
	while (more && after.attempt == from.attempt) {
		json_auto_t *entries = NULL;
		if (!logs_page(cli, id, &after, &entries, &more, err))
			return false;
		size_t i;
		json_t *entry;
		json_array_foreach(entries, i, entry)
		{
			struct entry_id at;
			struct log_text log;
			if (!entry_id_read(entry, &at) || at.attempt != from.attempt || !entry_log(entry, &log))
				continue;
			json_array_append(tail->entries, entry);
			tail->lines += log.lines;
		}
	}
	return true;
}

/* Cuts the first lines of the first entry, so that exactly the wanted ones are left. */
static void logs_cut(json_t *entry, int64_t lines)
{
	struct log_text log;
	if (!entry_log(entry, &log))
		return;
	const char *text = log.text;
	for (; lines > 0 && text; lines--) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	if (text)
		json_object_set_new(entry, log.stream, json_string(text));
}

static void logs_print_tail(struct log_print *print, const struct logs_tail *tail, int64_t wanted)
{
	int64_t skip = tail->lines - wanted;
	size_t i;
	json_t *entry;
	json_array_foreach(tail->entries, i, entry)
	{
		struct entry_id at;
		struct log_text log;
		if (!entry_id_read(entry, &at) || !entry_log(entry, &log))
			continue;
		if (skip > 0 && skip >= log.lines) {
			skip -= log.lines;
			continue;
		}
		if (skip > 0 && log.lines > 1)
			logs_cut(entry, skip);
		skip = 0;
		log_print_entry(print, at, entry);
	}
}

/* Shows the last lines, and leaves in *after where to go on. */
static bool logs_tail(struct cli *cli, const char *id, const struct logs_options *o, struct log_print *print,
		      struct entry_id *after, struct error *err)
{
	CLEANUP(free_p) char *path = client_job_path(id, "", err);
	json_auto_t *shown = NULL;
	if (!path || !client_get(cli, path, &shown, err))
		return false;
	const json_t *job = json_object_get(shown, "job");
	int64_t attempt = o->attempt ? o->attempt : fields_int(job, "attempt", 0);
	int64_t next = attempt == fields_int(job, "attempt", 0) ? fields_int(job, "log_next", 1) : 1;
	struct logs_tail tail = { 0 };
	bool ok = true;
	for (int64_t back = o->tail * 2 + 200; ok; back *= 4) {
		int64_t from = next - back > 0 ? next - back : 0;
		ok = logs_collect(cli, id, (struct entry_id){ attempt, from }, &tail, err);
		if (tail.lines >= o->tail || from == 0)
			break;
	}
	if (ok)
		logs_print_tail(print, &tail, o->tail);
	size_t count = json_array_size(tail.entries);
	if (!count || !entry_id_read(json_array_get(tail.entries, count - 1), after))
		*after = (struct entry_id){ attempt, 0 };
	json_decref(tail.entries);
	return ok;
}

static void logs_on_log(void *arg, struct entry_id id, const json_t *entry)
{
	log_print_entry(arg, id, entry);
	fflush(stdout); /* live also into a pipe */
}

/* Of a job that has ended there is nothing to follow, but all to read: also what Redis does not have any more. */
static bool logs_ended(struct cli *cli, struct follow *follow, const json_t *shown, struct error *err)
{
	struct entry_id after = follow->log_seen;
	if (!logs_print(cli, follow->id, follow->arg, &after, err))
		return false;
	follow->job = json_incref(json_object_get(shown, "job"));
	follow->why = mem_strdup(fields_text(shown, "why"));
	cli->exit_code = job_exit_code(follow->job);
	return true;
}

static bool logs_follow(struct cli *cli, const char *id, struct log_print *print, struct entry_id after,
			struct error *err)
{
	struct follow follow = { .cli = cli, .id = id, .on_log = logs_on_log, .arg = print, .log_seen = after };
	CLEANUP(free_p) char *path = client_job_path(id, "", err);
	json_auto_t *shown = NULL;
	struct error unseen; /* following says it, or waits */
	bool is_over = path && client_get(cli, path, &shown, &unseen) && job_is_final(json_object_get(shown, "job"));
	bool ok = path && !is_over && follow_run(&follow, err);
	if (!ok && path && !is_over && err->kind == ERR_NOT_FOUND) /* it was archived meanwhile */
		is_over = client_get(cli, path, &shown, err);
	ok = ok || (is_over && logs_ended(cli, &follow, shown, err));
	fflush(stdout);
	if (ok)
		follow_print_outcome(&follow, "");
	follow_done(&follow);
	return ok;
}

static bool logs_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct logs_options *o = options;
	const char *id = words->items[0];
	struct log_print print = { .cli = cli, .only_attempt = o->attempt };
	struct entry_id after = { o->attempt, 0 };
	if (o->tail && !logs_tail(cli, id, o, &print, &after, err))
		return false;
	if (o->follow)
		return logs_follow(cli, id, &print, after, err);
	if (!o->tail && !logs_print(cli, id, &print, &after, err))
		return false;
	if (!print.attempt && !cli->common.json)
		fprintf(stderr, "%s has written nothing%s\n", id, o->attempt ? " in that attempt" : "");
	return true;
}

static const struct arg_row logs_rows[] = {
	{ "follow", 'f', ARG_FLAG, offsetof(struct logs_options, follow), NULL,
	  "go on live until the job ends, and end with its outcome", 0 },
	{ "attempt", 'a', ARG_INT, offsetof(struct logs_options, attempt), "N", "of one attempt only", 1 },
	{ "tail", 'n', ARG_INT, offsetof(struct logs_options, tail), "N",
	  "only the last N lines of the last attempt, or of --attempt", 1 },
};

const struct command cmd_logs = {
	.name = "logs",
	.usage = "ID [-f] [--attempt N] [--tail N]",
	.summary = "prints what a job wrote",
	.text = "Lines of stdout and stderr come in the order in which they were written, all on stdout. Lines that "
		"begin with\n"
		"[stoker] are what the runner says; [gap] says how many lines are missing and why. With -f the exit "
		"code is\n"
		"the job's: 0, 10 failed, 11 cancelled. A scheduler that restarts meanwhile is waited for; nothing is "
		"shown twice.",
	.options = CLI_ROWS(logs_rows),
	.options_size = sizeof(struct logs_options),
	.words_min = 1,
	.words_max = 1,
	.run = logs_run,
};
