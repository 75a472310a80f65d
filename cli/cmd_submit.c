/*
 * stoker submit: checks a spec, sends it, and shows or awaits what becomes of it. An
 * idempotency key goes with every submit, so that one which is sent again after a
 * lost answer cannot make a second job.
 */
#include <string.h>
#include <sys/random.h>
#include "cli/client.h"
#include "cli/code.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/interrupt.h"
#include "cli/resume.h"
#include "cli/schedule.h"
#include "cli/set.h"
#include "cli/spec_file.h"
#include "cli/submit_ask.h"
#include "cli/submit_bulk.h"
#include "cli/submit_dry.h"
#include "cli/submit_view.h"
#include "lib/config.h"
#include "lib/fields.h"
#include "queue/code.h"
#include "queue/spec.h"

#define SUBMIT_TRIES 5

struct submit_options {
	struct arg_list sets;
	const char *queue;
	const char *key;
	const char *resume_from;
	const char *workdir;
	const char *code_max;
	bool is_uploaded;
	struct code_folders *folders;
	bool follow;
	bool wait;
	bool is_ndjson;
	bool dry_run;
	bool is_asked;
};

struct submit_ids {
	char **items;
	size_t count;
};

static bool submit_key(char *key, size_t size, struct error *err)
{
	unsigned char random[16];
	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make an idempotency key");
	for (size_t i = 0; i < sizeof random && 2 * i + 3 <= size; i++)
		str_format(key + 2 * i, 3, "%02x", random[i]);
	return true;
}

/* A part of a sweep is in: the key that goes on must be known. False. */
static bool submit_name_key(const char *key, struct error *err)
{
	static const char mark[] = "with the same key it goes on";
	char *place = strstr(err->hint, mark);
	if (place)
		str_format(place, sizeof err->hint - (size_t)(place - err->hint), "--key %s goes on", key);
	return false;
}

/* Sends the same key again when the answer was lost: the same job comes back. */
static bool submit_send(struct cli *cli, const struct submit_options *o, const char *spec, json_t **answer,
			struct error *err)
{
	char key[33];
	if (!submit_key(key, sizeof key, err))
		return false;
	CLEANUP(buf) struct buf path;
	buf_init(&path, 4096);
	buf_str(&path, "/api/v1/jobs");
	client_query(&path, "queue", o->queue);
	CLEANUP(free_p) char *header = mem_printf("Idempotency-Key: %s", o->key ? o->key : key);
	struct client_text body = { .content_type = "application/json", .text = spec, .header = header };
	CLEANUP(close_fd) int interrupt = -1;
	for (int tries = 1;; tries++) {
		if (client_post_text(cli, buf_text(&path), &body, answer, err))
			return true;
		if ((err->kind != ERR_UNKNOWN && err->kind != ERR_TIMEOUT) || tries == SUBMIT_TRIES)
			return submit_name_key(o->key ? o->key : key, err);
		if (interrupt < 0)
			interrupt = interrupt_open(err);
		if (interrupt < 0 || interrupt_wait(interrupt, 200 * tries))
			return false;
	}
}

/* A spec with that section is a recurring job: there is none yet to follow or to wait for. */
static bool submit_schedule(struct cli *cli, const struct submit_options *o, const char *text, struct error *err)
{
	if (o->follow || o->wait || o->key)
		return error_set(err, ERR_INPUT, "stoker schedules shows what becomes of it",
				 "--%s is for one job; this spec has a schedule",
				 o->follow ? "follow"
				 : o->wait ? "wait"
					   : "key");
	return schedule_send(cli, o->queue, text, err);
}

static void submit_add_id(void *arg, const char *id)
{
	struct submit_ids *ids = arg;
	ids->items = mem_realloc(ids->items, (ids->count + 1) * sizeof *ids->items);
	ids->items[ids->count++] = mem_strdup(id);
}

/* Appends the ids of what the document became: one job, or a graph of them. */
static bool submit_text(struct cli *cli, const struct submit_options *o, const char *text, struct submit_ids *ids,
			struct error *err)
{
	json_auto_t *answer = NULL;
	size_t first = ids->count, i;
	json_t *id;
	json_auto_t *spec = json_loads(text, 0, NULL);
	if (o->dry_run)
		return submit_dry_run(cli, text, err);
	if (json_is_object(json_object_get(spec, "schedule")))
		return submit_schedule(cli, o, text, err);
	if (o->follow && (json_object_get(spec, "jobs") || json_object_get(spec, "sweep")))
		return error_set(err, ERR_INPUT, "--wait waits for all of them", "--follow takes one job");
	/* With a key of the user's own it may be there already. */
	if ((!o->key && !resume_check(cli, spec, err)) || !submit_send(cli, o, text, &answer, err))
		return false;
	json_array_foreach(json_object_get(answer, "ids"), i, id) submit_add_id(ids, json_string_value(id));
	if (ids->count == first)
		submit_add_id(ids, fields_text(answer, "id"));
	if (cli->common.json)
		cli_print_json_line(answer);
	for (i = first; i < ids->count && !cli->common.json && !o->follow; i++)
		puts(ids->items[i]);
	fflush(stdout);
	return !o->follow || submit_view_follow(cli, ids->items[first], spec, err);
}

static bool submit_one(struct cli *cli, const struct submit_options *o, const char *path, struct submit_ids *ids,
		       struct error *err)
{
	CLEANUP(free_p) char *text = NULL;
	return spec_file_load(path, &o->sets, o->folders, &text, err) && submit_text(cli, o, text, ids, err);
}

static bool submit_asked(struct cli *cli, const struct submit_options *o, struct submit_ids *ids, struct error *err)
{
	json_auto_t *spec = json_object();
	bool is_wanted = false;
	for (size_t i = 0; i < o->sets.count; i++)
		if (!set_apply(spec, o->sets.items[i], err))
			return false;
	if (!submit_ask(spec, &is_wanted, err))
		return false;
	CLEANUP(free_p) char *text = NULL;
	CLEANUP(free_p) char *document = json_dumps(spec, JSON_COMPACT);
	if (is_wanted)
		return spec_normalize(document, strlen(document), NULL, &text, err) &&
		       submit_text(cli, o, text, ids, err);
	fputs("nothing was submitted\n", stderr);
	return true;
}

static bool submit_wait(struct cli *cli, const char *id, struct error *err)
{
	struct follow follow = { .cli = cli, .id = id };
	bool ok = follow_run(&follow, err);
	if (ok)
		follow_print_outcome(&follow, "");
	if (ok)
		submit_view_failure(cli, id);
	follow_done(&follow);
	return ok;
}

/* All are submitted first, then awaited; the exit code is the first that is not 0. */
static bool submit_wait_all(struct cli *cli, char *const *ids, size_t count, struct error *err)
{
	int code = 0;
	for (size_t i = 0; i < count && cli->exit_code != EXIT_INTERRUPTED; i++) {
		if (!submit_wait(cli, ids[i], err))
			return false;
		code = code ? code : cli->exit_code;
	}
	cli->exit_code = cli->exit_code == EXIT_INTERRUPTED ? EXIT_INTERRUPTED : code;
	return true;
}

static bool submit_many(struct cli *cli, const struct submit_options *o, const char *path, struct submit_ids *ids,
			struct error *err)
{
	char key[33];
	if (o->follow || o->sets.count)
		return error_set(err, ERR_INPUT, o->follow ? "--wait waits for all of them" : NULL,
				 "--%s takes a file of one spec", o->follow ? "follow" : "set");
	if (!submit_key(key, sizeof key, err))
		return false;
	struct submit_bulk bulk = { .cli = cli,
				    .path = path,
				    .queue = o->queue,
				    .key = o->key ? o->key : key,
				    .on_id = submit_add_id,
				    .arg = ids };
	return submit_bulk_run(&bulk, err);
}

static bool submit_file(struct cli *cli, const struct submit_options *o, const char *path, struct submit_ids *ids,
			struct error *err)
{
	if (o->is_ndjson || submit_bulk_is_file(path))
		return submit_many(cli, o, path, ids, err);
	return submit_one(cli, o, path, ids, err);
}

/* --resume-from is a short way to write --set resume=…; to be freed when the list is done with. */
static char *submit_sets(const struct submit_options *o, struct arg_list *sets)
{
	for (size_t i = 0; i < o->sets.count; i++)
		arg_list_add(sets, o->sets.items[i]);
	char *resume = o->resume_from ? mem_printf("resume='%s'", o->resume_from) : NULL;
	if (resume)
		arg_list_add(sets, resume);
	return resume;
}

static bool submit_code_max(const struct submit_options *o, int64_t *size, struct error *err)
{
	const char *text = o->code_max ? o->code_max : "256MiB";
	if (!config_parse_size(text, size) || *size < 1 || *size > CODE_BYTES_MAX)
		return error_set(err, ERR_INPUT, NULL, "--code-max: expected a size from 1B to 4GiB, got \"%s\"", text);
	return true;
}

static bool submit_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct submit_options *given = options;
	struct submit_options with = *given, *o = &with;
	CLEANUP(arg_list) struct arg_list sets = { 0 };
	CLEANUP(free_p) char *resume = submit_sets(given, &sets);
	CLEANUP(code_folders)
	struct code_folders folders = {
		.cli = cli, .workdir = given->workdir, .is_dry = given->dry_run, .is_sent_anyway = given->is_uploaded
	};
	with.sets = sets;
	with.folders = &folders;
	if (!submit_code_max(given, &folders.size_max, err))
		return false;
	if (words->count > 1 && (o->follow || o->key))
		return error_set(err, ERR_INPUT, "--wait waits for several", "--%s takes one file",
				 o->follow ? "follow" : "key");
	if (o->is_asked == (words->count > 0) || (o->is_asked && o->is_ndjson))
		return error_set(err, ERR_INPUT, "stoker submit FILE; stoker submit -i",
				 o->is_asked ? "-i asks for the spec: it takes no file" : "expected a FILE, or -i");
	struct submit_ids ids = { 0 };
	bool ok = !o->is_asked || submit_asked(cli, o, &ids, err);
	for (size_t i = 0; i < words->count && ok; i++)
		ok = submit_file(cli, o, words->items[i], &ids, err);
	if (ok && o->wait && !o->follow)
		ok = submit_wait_all(cli, ids.items, ids.count, err);
	for (size_t i = 0; i < ids.count; i++)
		free(ids.items[i]);
	free(ids.items);
	return ok;
}

static const struct arg_row submit_rows[] = {
	{ "follow", 'f', ARG_FLAG, offsetof(struct submit_options, follow), NULL,
	  "show how it goes until it ends, and end with its outcome", 0 },
	{ "wait", 'w', ARG_FLAG, offsetof(struct submit_options, wait), NULL, "wait until it ends, and say how", 0 },
	{ "set", 's', ARG_LIST, offsetof(struct submit_options, sets), "KEY=VALUE",
	  "change one key of the spec: train.steps=500; may be given several times", 0 },
	{ "resume-from", 'r', ARG_TEXT, offsetof(struct submit_options, resume_from), "JOB",
	  "begin with the checkpoint of another job: gpu-41, gpu-41@best, gpu-41@800 or gpu-41@2-1", 0 },
	{ "workdir", 0, ARG_TEXT, offsetof(struct submit_options, workdir), "DIR",
	  "pack this folder for each job whose spec names none: its attempts begin with a copy of it", 0 },
	{ "code-max", 0, ARG_TEXT, offsetof(struct submit_options, code_max), "SIZE",
	  "refuse to pack a folder of more (default 256MiB)", 0 },
	{ "upload", 0, ARG_FLAG, offsetof(struct submit_options, is_uploaded), NULL,
	  "send packed code even if the store has it: one that was damaged there is replaced", 0 },
	{ "queue", 'q', ARG_TEXT, offsetof(struct submit_options, queue), "QUEUE",
	  "into this queue, which is made if it is not there", 0 },
	{ "key", 'k', ARG_TEXT, offsetof(struct submit_options, key), "KEY",
	  "idempotency key: the same key with the same spec gives the same job (default: a random one)", 0 },
	{ "interactive", 'i', ARG_FLAG, offsetof(struct submit_options, is_asked), NULL,
	  "ask for the spec, on a terminal, instead of reading a FILE", 0 },
	{ "dry-run", 0, ARG_FLAG, offsetof(struct submit_options, dry_run), NULL,
	  "submit nothing: show what it would be, every job of a graph or a sweep", 0 },
	{ "ndjson", 'n', ARG_FLAG, offsetof(struct submit_options, is_ndjson), NULL,
	  "FILE holds a spec a line, as JSON: thousands of jobs; so do files that end in .ndjson or .jsonl", 0 },
};

const struct command cmd_submit = {
	.name = "submit",
	.usage = "FILE… | -i [--follow | --wait] [--set KEY=VALUE] [--queue QUEUE] [--ndjson] [--dry-run]",
	.summary = "submits jobs; - reads stdin",
	.text = "FILE is YAML or JSON (spec.md): one job, or `jobs: [...]`, a graph of jobs that name each other in "
		"`after`. "
		"The ids\n"
		"go to stdout. The value of --set is YAML, so numbers and "
		"lists are\n"
		"what they look like. Relative paths in train.text and train.data that exist beside the file are made "
		"absolute.\n"
		"A relative workdir, counted from the file, is a folder that is packed and goes with the job "
		"(code.md).\n"
		"A spec with the section schedule makes a recurring job instead (stoker schedules).\n"
		"--follow shows the steps of a training job (backend tinygrad), and of any other job what it prints.\n"
		"With --follow and --wait the exit code is the job's: 0, 10 failed, 11 cancelled.",
	.options = CLI_ROWS(submit_rows),
	.options_size = sizeof(struct submit_options),
	.words_max = CLI_ANY_WORDS,
	.run = submit_run,
};
