/* stoker completion: scripts for the shells, printed from the declarations that dispatch uses. */
#include <string.h>
#include "cli/commands.h"

/* Commands whose words are ids of jobs: they are asked of the scheduler when there is one. */
static bool completion_takes_ids(const struct command *command)
{
	return strncmp(command->usage, "ID", 2) == 0 || strncmp(command->usage, "[ID", 3) == 0;
}

static void completion_options(const struct arg_table *table, const char *before, FILE *out)
{
	for (size_t i = 0; i < table->count; i++)
		fprintf(out, "%s--%s", before, table->rows[i].name);
}

/* In single quotes, for every shell. */
static void completion_quoted(const char *text, FILE *out)
{
	fputc('\'', out);
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", out);
		else
			fputc(*text, out);
	}
	fputc('\'', out);
}

static const char completion_ids[] = "$(stoker ls --ids 2>/dev/null)";

static void completion_bash(FILE *out)
{
	fputs("# stoker completion bash: source it, or put it into /etc/bash_completion.d\n"
	      "_stoker() {\n"
	      "\tlocal word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} options ids=\n"
	      "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
	      "\t\tmapfile -t COMPREPLY < <(compgen -W \"",
	      out);
	for (size_t i = 0; commands[i]; i++)
		fprintf(out, "%s%s", i ? " " : "", commands[i]->name);
	fputs("\" -- \"$word\")\n\t\treturn\n\tfi\n\tcase $command in\n", out);
	for (size_t i = 0; commands[i]; i++) {
		fprintf(out, "\t%s) options='", commands[i]->name);
		completion_options(&commands[i]->options, " ", out);
		completion_options(&cli_common_options, " ", out);
		fprintf(out, "'%s ;;\n", completion_takes_ids(commands[i]) ? " ids=1" : "");
	}
	fprintf(out,
		"\t*) return ;;\n\tesac\n"
		"\tcase $word in\n"
		"\t-*) mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\") ;;\n"
		"\t*) [ -z \"$ids\" ] || mapfile -t COMPREPLY < <(compgen -W \"%s\" -- \"$word\") ;;\n"
		"\tesac\n}\ncomplete -o default -F _stoker stoker\n",
		completion_ids);
}

static void completion_zsh_rows(const struct arg_table *table, FILE *out)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct arg_row *row = &table->rows[i];
		fprintf(out, " \\\n\t\t\t");
		fprintf(out, "'%s--%s[", row->type == ARG_LIST ? "*" : "", row->name);
		for (const char *p = row->help; *p; p++) {
			if (strchr("[]:\\", *p))
				fputc('\\', out);
			if (*p == '\'')
				fputs("'\\'", out);
			fputc(*p, out);
		}
		fprintf(out, "]%s%s'", row->value ? ":" : "", row->value ? "value:_files" : "");
	}
}

static void completion_zsh(FILE *out)
{
	fputs("#compdef stoker\n# stoker completion zsh > \"${fpath[1]}/_stoker\"\n"
	      "_stoker() {\n\tlocal -a stoker_commands\n\tstoker_commands=(\n",
	      out);
	for (size_t i = 0; commands[i]; i++) {
		char row[256];
		str_format(row, sizeof row, "%s:%s", commands[i]->name, commands[i]->summary);
		fputs("\t\t", out);
		completion_quoted(row, out);
		fputc('\n', out);
	}
	fputs("\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command stoker_commands\n\t\treturn\n\tfi\n"
	      "\tlocal command=$words[2]\n\tshift words\n\t(( CURRENT-- ))\n\tcase $command in\n",
	      out);
	for (size_t i = 0; commands[i]; i++) {
		fprintf(out, "\t%s)\n\t\t_arguments", commands[i]->name);
		completion_zsh_rows(&commands[i]->options, out);
		completion_zsh_rows(&cli_common_options, out);
		if (completion_takes_ids(commands[i]))
			fprintf(out, " \\\n\t\t\t\"*:job:(%s)\"", completion_ids);
		else
			fputs(" \\\n\t\t\t'*:file:_files'", out);
		fputs("\n\t\t;;\n", out);
	}
	fputs("\tesac\n}\n_stoker \"$@\"\n", out);
}

static void completion_fish_rows(const char *command, const struct arg_table *table, FILE *out)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct arg_row *row = &table->rows[i];
		fprintf(out, "complete -c stoker -n '__fish_seen_subcommand_from %s' -l %s", command, row->name);
		if (row->letter)
			fprintf(out, " -s %c", row->letter);
		fputs(row->value ? " -r -d " : " -d ", out);
		completion_quoted(row->help, out);
		fputc('\n', out);
	}
}

static void completion_fish(FILE *out)
{
	fputs("# stoker completion fish > ~/.config/fish/completions/stoker.fish\n", out);
	for (size_t i = 0; commands[i]; i++) {
		const struct command *command = commands[i];
		fprintf(out, "complete -c stoker -n __fish_use_subcommand -f -a %s -d ", command->name);
		completion_quoted(command->summary, out);
		fputc('\n', out);
		completion_fish_rows(command->name, &command->options, out);
		completion_fish_rows(command->name, &cli_common_options, out);
		if (completion_takes_ids(command))
			fprintf(out,
				"complete -c stoker -n '__fish_seen_subcommand_from %s' -f "
				"-a '(stoker ls --ids 2>/dev/null)'\n",
				command->name);
	}
}

static bool completion_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	static const struct {
		const char *shell;
		void (*print)(FILE *out);
	} shells[] = { { "bash", completion_bash }, { "zsh", completion_zsh }, { "fish", completion_fish } };
	(void)cli;
	(void)options;
	for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
		if (strcmp(words->items[0], shells[i].shell) != 0)
			continue;
		shells[i].print(stdout);
		return true;
	}
	return error_set(err, ERR_INPUT, "for example: stoker completion bash > /etc/bash_completion.d/stoker",
			 "expected bash, zsh or fish, got \"%s\"", words->items[0]);
}

const struct command cmd_completion = {
	.name = "completion",
	.usage = "bash | zsh | fish",
	.summary = "prints what makes the shell complete commands, options and ids of jobs",
	.words_min = 1,
	.words_max = 1,
	.run = completion_run,
};
