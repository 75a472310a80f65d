/* submit --dry-run: what a file would become, without asking anybody. */
#ifndef STOKER_CLI_SUBMIT_DRY_H
#define STOKER_CLI_SUBMIT_DRY_H

#include "cli/cli.h"

/* text: what spec_file_load made. A table of the jobs; with --json a spec a line, which submit --ndjson takes
 * (but for a graph, whose jobs name each other). */
bool submit_dry_run(struct cli *cli, const char *text, struct error *err) MUST_CHECK;

#endif
