/*
 * The backend `command`: any program, as it stands in the spec. {{resume}} in an argument
 * becomes the path to resume from; on a cold start an argument that is exactly
 * {{resume}} is left out, and inside a longer one it becomes nothing.
 */
#include "worker/backend.h"

#include <string.h>
#include "lib/buf.h"

#define COMMAND_RESUME "{{resume}}"

enum { COMMAND_ARG_MAX = 1024 * 1024 };

static bool command_validate(const struct backend_run *run, struct error *err)
{
	if (run->spec->command.count)
		return true;
	return error_set(err, ERR_INPUT, "command: [python3, train.py]",
			 "the spec has no command, which the backend command needs");
}

static bool command_add(struct launch *launch, const char *arg, const char *resume, struct error *err)
{
	CLEANUP(buf) struct buf b;
	buf_init(&b, COMMAND_ARG_MAX);
	if (!resume && !strcmp(arg, COMMAND_RESUME))
		return true;
	for (const char *at; (at = strstr(arg, COMMAND_RESUME)); arg = at + strlen(COMMAND_RESUME)) {
		buf_add(&b, arg, (size_t)(at - arg));
		buf_str(&b, resume ? resume : "");
	}
	buf_str(&b, arg);
	if (b.overflow)
		return error_set(err, ERR_INPUT, NULL, "command: an argument is too long with %s replaced",
				 COMMAND_RESUME);
	launch_arg(launch, buf_text(&b));
	return true;
}

static bool command_launch(const struct backend_run *run, struct launch *launch, struct error *err)
{
	for (size_t i = 0; i < run->spec->command.count; i++)
		if (!command_add(launch, run->spec->command.items[i], run->resume, err))
			return false;
	return launch->argv.count ||
	       error_set(err, ERR_INPUT, NULL, "command: nothing is left without %s", COMMAND_RESUME);
}

const struct backend backend_command = {
	.name = "command",
	.validate = command_validate,
	.launch = command_launch,
};
