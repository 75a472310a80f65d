/*
 * Relative working folders in a spec: each is packed once, uploaded unless the scheduler
 * has it, and becomes `code` in the spec, with what is known of where it comes from.
 */
#ifndef STOKER_CLI_CODE_H
#define STOKER_CLI_CODE_H

#include "cli/cli.h"

struct code_folders {
	struct cli *cli;
	const char *workdir; /* --workdir: packed for every spec that names none; NULL: not given */
	int64_t size_max;
	bool is_dry;         /* nothing is uploaded */
	bool is_sent_anyway; /* even if it is there */
	json_t *packed;      /* folder → {code, lineage}: packed already; or NULL */
};

void code_folders_done(struct code_folders *folders);

/* Takes the relative workdir of each spec of the document out of it, and leaves the absolute path in *taken: a list
 * with a path or null for each. folder: what they are relative to. To be put in when the rest was found to be right. */
bool code_take(const struct code_folders *folders, json_t *document, const char *folder, json_t **taken,
	       struct error *err) MUST_CHECK;
bool code_put(struct code_folders *folders, json_t *document, const json_t *taken, struct error *err) MUST_CHECK;

/* Is the folder of this spec to be packed? folders may be NULL: then none is. */
bool code_is_wanted(const struct code_folders *folders, const json_t *spec);
/* Of any spec of the document? */
bool code_is_in(const struct code_folders *folders, const json_t *document);

static inline void cleanup_code_folders(struct code_folders *folders)
{
	code_folders_done(folders);
}

#endif
