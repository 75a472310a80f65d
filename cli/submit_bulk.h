/*
 * stoker submit of a file that holds a spec a line (NDJSON): goes up in requests of
 * some thousand lines; each line is answered by itself.
 */
#ifndef STOKER_CLI_SUBMIT_BULK_H
#define STOKER_CLI_SUBMIT_BULK_H

#include "cli/cli.h"

struct submit_bulk {
	struct cli *cli;
	const char *path;  /* "-": stdin */
	const char *queue; /* NULL: default */
	const char *key;   /* of the whole file: sent again with it, nothing is made twice */
	void (*on_id)(void *arg, const char *id);
	void *arg;
};

/* "jobs.ndjson", "jobs.jsonl" */
bool submit_bulk_is_file(const char *path);

/* Ids go to stdout, what was refused to stderr. false: something failed, or some lines were refused. */
bool submit_bulk_run(const struct submit_bulk *bulk, struct error *err) MUST_CHECK;

#endif
