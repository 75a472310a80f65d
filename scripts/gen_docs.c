/*
 * Prints the pages of docs/ that are made from tables: gen-docs api, config, errors, fsck or spec.
 * (states.md comes from gen-lua and cli.md from the stoker command.)
 */
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"
#include "lib/config.h"
#include "lib/error.h"
#include "queue/fsck.h"
#include "queue/spec.h"
#include "scheduler/routes.h"
#include "scheduler/settings.h"
#include "worker/settings.h"

static void print_config(void)
{
	puts("# Configuration\n\n"
	     "Printed from the option tables of the programs by `make docs`; do not edit.\n\n"
	     "Each program takes its options from flags (`--redis-url X` or `--redis-url=X`), from the environment, "
	     "and from\n"
	     "the YAML file that `--config` or `STOKER_CONFIG` names (`redis-url: X` or `redis_url: X`). A flag wins "
	     "over the\n"
	     "environment, that over the file, and that over the default. What is unknown or out of range is an error "
	     "that\n"
	     "says where it stands and what is allowed. `stoker config show --origin` prints what is in force and "
	     "why.\n\n"
	     "Durations are `500ms`, `30s`, `5m`, `2h`, `1d` or a number of seconds; sizes are `512MiB`, `2GiB` or a "
	     "number\n"
	     "of bytes.\n");
	config_print_markdown(&scheduler_options, stdout);
	config_print_markdown(&worker_options, stdout);
	config_print_markdown(&cli_options, stdout);
}

static void print_errors(void)
{
	puts("# Errors\n\n"
	     "Printed from the table in `lib/error.c` by `make docs`; do not edit.\n\n"
	     "Every error has one kind. It decides the HTTP status, the exit code of `stoker`, and whether the same "
	     "call may\n"
	     "succeed later.\n\n"
	     "| kind | HTTP status | exit code | try again | meaning |\n|---|---|---|---|---|");
	for (int kind = ERR_NONE + 1; kind < ERR_KINDS; kind++) {
		const struct error_kind_row *row = error_kind_of((enum error_kind)kind);
		printf("| `%s` | %d | %d | %s | %s |\n", row->name, row->http_status, row->exit_code,
		       row->can_retry ? "yes" : "no", row->help);
	}
}

int main(int argc, char **argv)
{
	const char *page = argc == 2 ? argv[1] : "";
	if (strcmp(page, "api") == 0)
		openapi_print_markdown(&routes_api, stdout);
	else if (strcmp(page, "config") == 0)
		print_config();
	else if (strcmp(page, "errors") == 0)
		print_errors();
	else if (strcmp(page, "fsck") == 0)
		fsck_print_markdown();
	else if (strcmp(page, "spec") == 0)
		spec_print_markdown();
	else
		return 2;
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
