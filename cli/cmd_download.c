/* stoker download: what there is of a job, as files in a folder. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "cli/bar.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/entry.h"
#include "cli/fetch.h"
#include "cli/pages.h"
#include "lib/fields.h"

struct download_options {
	const char *to;
	const char *checkpoints;
};

struct download {
	struct cli *cli;
	const char *id;
	char *folder;
	char *path; /* of the file that is written, under another name until all of it is there */
	FILE *file;
	char *checkpoint; /* the id of the one that was named */
	int64_t lines;
	struct bar bar;
	int64_t attempt; /* of the last line of the log */
	struct buf said;
};

static bool download_open(struct download *d, const char *name, struct error *err)
{
	free(d->path);
	d->path = mem_printf("%s/%s", d->folder, name);
	d->lines = 0;
	CLEANUP(free_p) char *part = mem_printf("%s.part", d->path);
	d->file = fopen(part, "we");
	return d->file || error_errno(err, ERR_SYSTEM, NULL, "cannot write %s", d->path);
}

/* What could not be written is known at the latest when it is closed. */
static bool download_close(struct download *d, const char *unit, struct error *err)
{
	bool ok = !ferror(d->file);
	CLEANUP(free_p) char *part = mem_printf("%s.part", d->path);
	ok = fclose(d->file) == 0 && ok && rename(part, d->path) == 0;
	d->file = NULL;
	if (!ok)
		return error_errno(err, errno == ENOSPC ? ERR_FULL : ERR_SYSTEM, NULL, "cannot write %s", d->path);
	if (unit)
		buf_printf(&d->said, "%s  %lld %s\n", d->path, (long long)d->lines, unit);
	else
		buf_printf(&d->said, "%s\n", d->path);
	return true;
}

static bool download_json(struct download *d, const char *name, const json_t *value, struct error *err)
{
	if (!download_open(d, name, err))
		return false;
	if (json_dumpf(value, d->file, JSON_INDENT(2)) < 0 || fputc('\n', d->file) == EOF)
		error_errno(err, ERR_SYSTEM, NULL, "cannot write %s", d->path); /* closing says so, too */
	return download_close(d, NULL, err);
}

static void download_log_entry(void *arg, const json_t *entry)
{
	struct download *d = arg;
	struct entry_id at;
	struct log_text log;
	if (!entry_id_read(entry, &at) || !entry_log(entry, &log))
		return;
	if (at.attempt != d->attempt)
		fprintf(d->file, "[stoker] attempt %lld\n", (long long)at.attempt);
	d->attempt = at.attempt;
	bool is_ours = strcmp(log.stream, "stoker") == 0 || strcmp(log.stream, "gap") == 0;
	for (const char *text = log.text; *text;) {
		size_t len = strcspn(text, "\n");
		fprintf(d->file, "%s%s%s%.*s\n", is_ours ? "[" : "", is_ours ? log.stream : "", is_ours ? "] " : "",
			(int)len, text);
		text += len + (text[len] == '\n');
		d->lines++;
	}
	bar_draw(&d->bar, d->lines);
}

static void download_point(void *arg, const json_t *entry)
{
	struct download *d = arg;
	CLEANUP(free_p) char *text = json_dumps(entry, JSON_COMPACT);
	if (text)
		fprintf(d->file, "%s\n", text);
	d->lines++;
	bar_draw(&d->bar, d->lines);
}

/* Of how many only the last attempt tells: next is the number of its next one. */
static void download_bar(struct download *d, const char *title, const char *unit, const json_t *job, const char *next)
{
	int64_t size = fields_int(job, "attempt", 0) == 1 ? fields_int(job, next, 1) - 1 : 0;
	d->bar = bar_begin_count(d->cli, title, unit, size);
}

static bool download_streams(struct download *d, const json_t *job, struct error *err)
{
	download_bar(d, "log", "lines", job, "log_next");
	if (!download_open(d, "log.txt", err) || !pages_each(d->cli, d->id, "/logs", download_log_entry, d, err) ||
	    !download_close(d, "lines", err))
		return false;
	bar_end(&d->bar, d->lines);
	download_bar(d, "metrics", "points", job, "metric_next");
	if (!download_open(d, "metrics.ndjson", err) || !pages_points(d->cli, d->id, download_point, d, err) ||
	    !download_close(d, "points", err))
		return false;
	bar_end(&d->bar, d->lines);
	return true;
}

static bool download_result(struct download *d, const json_t *show, struct error *err)
{
	const json_t *result = json_object_get(show, "result");
	return !result || download_json(d, "result.json", result, err);
}

static bool download_checkpoint(struct download *d, const char *id, struct error *err)
{
	CLEANUP(free_p) char *folder = mem_printf("%s/checkpoint-%s", d->folder, id);
	const struct fetch_checkpoint fetch = { .job = d->id, .which = id, .to = folder };
	return fetch_checkpoint(d->cli, &fetch, &d->said, err);
}

/* latest, best, none, all, a step or an id. */
static bool download_checkpoints(struct download *d, const char *which, struct error *err)
{
	json_auto_t *list = NULL;
	json_t *checkpoint;
	size_t i, good = 0;
	if (strcmp(which, "none") == 0)
		return true;
	if (!pages_checkpoints(d->cli, d->id, &list, err))
		return false;
	json_array_foreach(list, i, checkpoint)
	{
		if (!fields_is(checkpoint, "state", "committed"))
			continue;
		bool is_wanted = strcmp(which, "all") == 0 || (strcmp(which, "latest") == 0 && good == 0);
		good++;
		if (is_wanted && !download_checkpoint(d, fields_text(checkpoint, "id"), err))
			return false;
		if (d->cli->exit_code == EXIT_INTERRUPTED)
			return true;
	}
	if (strcmp(which, "all") == 0 || strcmp(which, "latest") == 0)
		return true;
	return download_checkpoint(d, d->checkpoint, err);
}

/* best, a step or an id: before anything is written. */
static bool download_find(struct download *d, const char *which, struct error *err)
{
	static const char *const words[] = { "none", "all", "latest" };
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(which, words[i]) == 0)
			return true;
	CLEANUP(free_p) char *one = client_job_path(d->id, "/checkpoints/", err);
	CLEANUP(buf) struct buf whole;
	json_auto_t *found = NULL;
	buf_init(&whole, 1024);
	buf_str(&whole, one);
	http_encode(&whole, which);
	if (!client_get(d->cli, buf_text(&whole), &found, err))
		return false;
	d->checkpoint = mem_strdup(fields_text(found, "id"));
	return true;
}

static bool download_all(struct download *d, const char *which, struct error *err)
{
	json_auto_t *show = NULL;
	CLEANUP(free_p) char *path = client_job_path(d->id, "", err);
	if (!path || !client_get(d->cli, path, &show, err) || !download_find(d, which, err))
		return false;
	if (mkdir(d->folder, 0777) < 0 && errno != EEXIST)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make the folder %s", d->folder);
	return download_json(d, "job.json", show, err) && download_streams(d, json_object_get(show, "job"), err) &&
	       download_result(d, show, err) && download_checkpoints(d, which, err);
}

static bool download_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct download_options *o = options;
	const char *id = words->items[0];
	struct download d = { .cli = cli, .id = id, .folder = mem_strdup(o->to ? o->to : id) };
	buf_init(&d.said, 1 << 20);
	bool ok = download_all(&d, o->checkpoints ? o->checkpoints : "latest", err);
	if (d.file) {
		bar_clear(&d.bar);
		fclose(d.file);
	}
	cli_print(&d.said);
	buf_done(&d.said);
	free(d.folder);
	free(d.path);
	free(d.checkpoint);
	return ok;
}

static const struct arg_row download_rows[] = {
	{ "to", 't', ARG_TEXT, offsetof(struct download_options, to), "FOLDER", "put it there (default ID)", 0 },
	{ "checkpoints", 'c', ARG_TEXT, offsetof(struct download_options, checkpoints), "WHICH",
	  "latest (default), best, all, none, a step, or an id", 0 },
};

const struct command cmd_download = {
	.name = "download",
	.usage = "ID [--to FOLDER] [--checkpoints WHICH]",
	.summary = "fetches what there is of a job: record, log, metrics, result and checkpoints",
	.text = "A checkpoint is verified when it is here. What was interrupted goes on where it stopped when the same "
		"command is\n"
		"given again.",
	.options = CLI_ROWS(download_rows),
	.options_size = sizeof(struct download_options),
	.words_min = 1,
	.words_max = 1,
	.run = download_run,
};
