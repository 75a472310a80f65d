/* See the header. */
#include "cli/cli.h"

#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define FIELD(name) offsetof(struct cli_config, name)

static const struct option_row cli_option_rows[] = {
	{ .name = "url",
	  .type = OPTION_TEXT,
	  .offset = FIELD(url),
	  .help = "where the scheduler is: http://host:8700, https://… or unix:/path; default: what runs in --dir" },
	{ .name = "ca",
	  .type = OPTION_TEXT,
	  .offset = FIELD(ca),
	  .help = "PEM file of the authorities that may sign the certificate of a https url; default: the system's" },
	{ .name = "token",
	  .type = OPTION_TEXT,
	  .offset = FIELD(token),
	  .help = "the token to show it; better in STOKER_TOKEN or a file than on the command line",
	  .is_secret = true },
	{ .name = "token-file",
	  .type = OPTION_TEXT,
	  .offset = FIELD(token_file),
	  .help = "a file whose first line is the token" },
	{ .name = "dir",
	  .type = OPTION_TEXT,
	  .offset = FIELD(dir),
	  .help = "the folder of stoker up; default ~/.local/share/stoker" },
};
_Static_assert(ARRAY_LEN(cli_option_rows) == CLI_OPTIONS, "struct cli keeps an origin for each");

const struct option_table cli_options = {
	.program = "stoker",
	.summary = "runs machine-learning training jobs and does not lose a run",
	.usage = "stoker [options] <command> [arguments]",
	.rows = cli_option_rows,
	.count = ARRAY_LEN(cli_option_rows),
};

static const struct arg_row cli_common_rows[] = {
	{ .name = "json",
	  .type = ARG_FLAG,
	  .offset = offsetof(struct cli_common, json),
	  .help = "print JSON for programs instead of text for people" },
	{ .name = "help",
	  .letter = 'h',
	  .type = ARG_FLAG,
	  .offset = offsetof(struct cli_common, help),
	  .help = "explain the command" },
};

const struct arg_table cli_common_options = CLI_ROWS(cli_common_rows);

void cli_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}

void cli_print_json_line(const json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
	putchar('\n');
}

void cli_print(const struct buf *text)
{
	fwrite(buf_text(text), 1, text->len, stdout);
}

void cli_print_error(const struct error *err)
{
	fflush(stdout);
	fprintf(stderr, "stoker: %s\n", err->message);
	if (err->hint[0])
		fprintf(stderr, "  hint: %s\n", err->hint);
}

/* The home of the data, before it is made absolute. */
static char *cli_dir_wish(const struct cli *cli)
{
	const char *xdg = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");
	if (cli->config.dir)
		return mem_strdup(cli->config.dir);
	if (xdg && xdg[0] == '/')
		return mem_printf("%s/stoker", xdg);
	if (home && home[0] == '/')
		return mem_printf("%s/.local/share/stoker", home);
	const struct passwd *user = getpwuid(getuid());
	return user ? mem_printf("%s/.local/share/stoker", user->pw_dir) : NULL;
}

char *cli_dir(const struct cli *cli, struct error *err)
{
	CLEANUP(free_p) char *dir = cli_dir_wish(cli);
	if (!dir || !dir[0]) {
		error_set(err, ERR_INPUT, "name a folder with --dir or STOKER_DIR", "there is no home folder");
		return NULL;
	}
	if (dir[0] == '/')
		return STEAL(dir);
	char here[PATH_MAX];
	if (!getcwd(here, sizeof here)) {
		error_errno(err, ERR_SYSTEM, NULL, "cannot tell the current folder");
		return NULL;
	}
	return mem_printf("%s/%s", here, dir);
}
