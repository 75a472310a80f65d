/*
 * The stoker command: finds the command in the table, reads its options, runs it, and
 * turns the outcome into an exit code. Errors are printed here and nowhere else.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli/commands.h"

/* The options of every command, picked out of the whole command line so that they may stand
 * before and after the command; what is left is the command's own. */
struct main_words {
	char **global; /* argv for config_load */
	int global_count;
	const char **own; /* NULL-terminated */
	size_t own_count;
};

static bool main_is_global(const char *word, bool *takes_next)
{
	size_t len = strcspn(word, "=");
	*takes_next = word[len] == '\0';
	if (len == 8 && memcmp(word, "--config", 8) == 0)
		return true;
	for (size_t i = 0; i < cli_options.count && strncmp(word, "--", 2) == 0; i++) {
		const char *name = cli_options.rows[i].name;
		if (strlen(name) == len - 2 && memcmp(word + 2, name, len - 2) == 0)
			return true;
	}
	return false;
}

static void main_split(int argc, char **argv, struct main_words *words)
{
	bool options = true;
	words->global = mem_alloc((size_t)(argc + 1) * sizeof *words->global);
	words->own = mem_alloc((size_t)(argc + 1) * sizeof *words->own);
	words->global[words->global_count++] = argv[0];
	for (int i = 1; i < argc; i++) {
		bool takes_next = false;
		if (options && strcmp(argv[i], "--") == 0)
			options = false;
		if (!options || !main_is_global(argv[i], &takes_next)) {
			words->own[words->own_count++] = argv[i];
			continue;
		}
		words->global[words->global_count++] = argv[i];
		if (takes_next && i + 1 < argc)
			words->global[words->global_count++] = argv[++i];
	}
}

static bool main_check_words(const struct command *command, const struct arg_list *words, struct error *err)
{
	char hint[128];
	str_format(hint, sizeof hint, "stoker help %s", command->name);
	if (words->count < command->words_min)
		return error_set(err, ERR_INPUT, hint, "something is missing: stoker %s %s", command->name,
				 command->usage);
	if (words->count > command->words_max)
		return error_set(err, ERR_INPUT, hint, "\"%s\" is one too many: stoker %s %s",
				 words->items[command->words_max], command->name, command->usage);
	return true;
}

static bool main_command(struct cli *cli, const struct command *command, const char *const *argv, struct error *err)
{
	CLEANUP(arg_list) struct arg_list words = { 0 };
	CLEANUP(free_p) void *options = mem_alloc(command->options_size);
	struct arg_table tables[] = { command->options, cli_common_options };
	void *intos[] = { options, &cli->common };
	bool ok = args_parse(tables, intos, ARRAY_LEN(tables), argv, &words, err);
	if (!ok && err->hint[0] == '\0')
		str_format(err->hint, sizeof err->hint, "stoker help %s", command->name);
	if (ok && cli->common.help)
		command_help(command, stdout);
	else if (ok)
		ok = main_check_words(command, &words, err) && command->run(cli, options, &words, err);
	args_done(&command->options, options);
	return ok;
}

static bool main_load(struct cli *cli, const struct main_words *words, struct error *err)
{
	return config_load(&cli_options, words->global_count, words->global, &cli->config, cli->origins, NULL, err) ==
	       CONFIG_OK;
}

static bool main_run(struct cli *cli, const struct main_words *words, struct error *err)
{
	const char *name = words->own[0];
	if (!name && words->global_count > 1 && !main_load(cli, words, err))
		return false;
	if (!name || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		commands_help(stdout);
		return true;
	}
	if (strcmp(name, "--version") == 0)
		name = cmd_version.name;
	if (name[0] == '-')
		return error_set(err, ERR_INPUT, "stoker help lists those of every command", "there is no option %s",
				 name);
	const struct command *command = command_find(name, err);
	if (!command || !main_load(cli, words, err))
		return false;
	return main_command(cli, command, words->own + 1, err);
}

static bool main_is_color(void)
{
	const char *term = getenv("TERM");
	const char *no_color = getenv("NO_COLOR");
	return isatty(STDOUT_FILENO) && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
}

int main(int argc, char **argv)
{
	struct error err = { 0 };
	struct cli cli = { .color = main_is_color() };
	struct main_words words = { 0 };
	mem_for_libraries();
	main_split(argc, argv, &words);
	bool ok = main_run(&cli, &words, &err);
	if (fflush(stdout) != 0 && ok)
		ok = error_errno(&err, ERR_SYSTEM, NULL, "cannot write to standard output");
	int code = cli.exit_code;
	if (!ok) {
		cli_print_error(&err);
		code = error_kind_of(err.kind)->exit_code;
	}
	http_client_free(cli.client);
	config_done(&cli_options, &cli.config);
	free(words.global);
	free(words.own);
	return code;
}
