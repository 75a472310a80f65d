/*
 * Which jobs a command is about: ids, or what a filter finds (POST /api/v1/each), of
 * one queue or of all. The options of the filter are rows that several commands share.
 */
#ifndef STOKER_CLI_SELECT_H
#define STOKER_CLI_SELECT_H

#include "cli/cli.h"

struct select {
	const char *queue;
	const char *state;
	const char *name;
	const char *experiment;
	const char *tag;
	const char *older_than;
	int64_t limit; /* 0: all */
	bool dry_run;
};

/* Of a struct of options with the member `select`. */
#define SELECT_ROWS(options)                                                                                           \
	{ "queue",  'q',                                                                                               \
	  ARG_TEXT, offsetof(struct options, select.queue),                                                            \
	  "QUEUE",  "filter: jobs of this queue (default: of all)",                                                    \
	  0 },                                                                                                         \
		{ "state",  0,                                                                                         \
		  ARG_TEXT, offsetof(struct options, select.state),                                                    \
		  "STATE",  "filter: jobs in this state; several with commas",                                         \
		  0 },                                                                                                 \
		{ "name",    0,                                                                                        \
		  ARG_TEXT,  offsetof(struct options, select.name),                                                    \
		  "PATTERN", "filter: jobs of this name; * stands for anything",                                       \
		  0 },                                                                                                 \
		{ "experiment",                                                                                        \
		  0,                                                                                                   \
		  ARG_TEXT,                                                                                            \
		  offsetof(struct options, select.experiment),                                                         \
		  "PATTERN",                                                                                           \
		  "filter: jobs of this experiment",                                                                   \
		  0 },                                                                                                 \
		{ "tag",     0,                                                                                        \
		  ARG_TEXT,  offsetof(struct options, select.tag),                                                     \
		  "PATTERN", "filter: jobs that have this tag",                                                        \
		  0 },                                                                                                 \
		{ "older-than",                                                                                        \
		  0,                                                                                                   \
		  ARG_TEXT,                                                                                            \
		  offsetof(struct options, select.older_than),                                                         \
		  "TIME",                                                                                              \
		  "filter: ended, or submitted, at least so long ago: 30d",                                            \
		  0 },                                                                                                 \
		{ "limit", 0, ARG_INT, offsetof(struct options, select.limit), "N", "filter: at most so many", 1 },    \
	{                                                                                                              \
		"dry-run", 'n', ARG_FLAG, offsetof(struct options, select.dry_run), NULL,                              \
			"filter: only say which jobs it finds", 0                                                      \
	}

/* Does one action to each job; body: its keys beside the filter (reason), borrowed. */
struct select_action {
	const char *name; /* of POST /api/v1/each: "cancel" */
	const char *done; /* "cancelled": what was done, in the summary */
	const json_t *body;
};

/* True: words are given, and no filter. False with kind ERR_NONE: a filter is. Else an error. */
bool select_is_by_id(const struct select *select, const struct arg_list *words, struct error *err);

/* Runs the action on what the filter finds. The exit code is that of a conflict if a job refused. */
bool select_run(struct cli *cli, const struct select *select, const struct select_action *action, struct error *err);

/* POST /api/v1/jobs/<id>/<tail> for each word; prints the id and the state after it. */
bool select_ids(struct cli *cli, const struct arg_list *words, const char *tail, const json_t *body, struct error *err);

#endif
