/* stoker up: everything on one machine, in one go. */
#include "cli/commands.h"
#include "cli/up.h"

#define UP_PORT 8700

struct up_words {
	struct up_options options;
	const char *port;
};

static bool up_command(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	(void)words;
	const struct up_words *w = options;
	struct up_options o = w->options;
	o.port = UP_PORT;
	if (w->port && (!config_parse_int(w->port, &o.port) || o.port < 0 || o.port > 65535))
		return error_set(err, ERR_INPUT, "0 takes any free port",
				 "--port: expected an integer from 0 to 65535, got \"%s\"", w->port);
	return up_run(cli, &o, err);
}

#define WORD(field) offsetof(struct up_words, options.field)

static const struct arg_row up_rows[] = {
	{ "port", 'p', ARG_TEXT, offsetof(struct up_words, port), "PORT",
	  "of the HTTP API on 127.0.0.1 (8700); 0: any free one", 0 },
	{ "cpus", 0, ARG_TEXT, WORD(cpus), "N", "processors that jobs may use (default: all)", 0 },
	{ "memory", 0, ARG_TEXT, WORD(memory), "SIZE", "memory that jobs may use (default: what the machine has)", 0 },
	{ "gpus", 0, ARG_TEXT, WORD(gpus), "N", "GPUs that jobs may use (default: those found)", 0 },
	{ "queues", 'q', ARG_TEXT, WORD(queues), "A,B", "queues that the worker serves (default: default)", 0 },
	{ "worker-arg", 0, ARG_LIST, WORD(worker_args), "ARG",
	  "handed to stoker-worker as it is; may be given several times", 0 },
};

const struct command cmd_up = {
	.name = "up",
	.usage = "[--dir DIR] [--port PORT]",
	.summary = "starts a private Redis, a scheduler and a worker here",
	.text = "Redis listens on a Unix socket in the folder and syncs every write. The scheduler listens on a Unix "
		"socket there\n"
		"(for who may open it) and on 127.0.0.1 (with the token in the file token). What dies is started "
		"again.\n"
		"Ctrl-C drains: runs stop and save, then everything ends; a second Ctrl-C stops at once and lets runs "
		"go on.\n"
		"The next stoker up on the same folder finds them.",
	.options = CLI_ROWS(up_rows),
	.options_size = sizeof(struct up_words),
	.run = up_command,
};
