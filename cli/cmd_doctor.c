/* stoker doctor: what is wrong, and what this installation risks. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "lib/fields.h"

static void doctor_print(struct cli *cli, bool ok, const char *name, const char *detail, const char *hint)
{
	enum paint paint = ok ? PAINT_GREEN : PAINT_RED;
	printf("%s%s%s %-24s %s\n", paint_begin(paint, cli->color), ok ? "✓" : "✗", paint_end(paint, cli->color), name,
	       detail);
	if (*hint)
		printf("  hint: %s\n", hint);
}

/* Programs of two versions work side by side; that is worth knowing. */
static bool doctor_scheduler(struct cli *cli, struct error *err)
{
	json_auto_t *version = NULL;
	char detail[512];
	if (!client_get(cli, "/api/v1/version", &version, err))
		return false;
	str_format(detail, sizeof detail, "%s answers at %s; this command is %s", fields_text(version, "version"),
		   http_client_where(cli->client), STOKER_VERSION);
	doctor_print(cli, true, "scheduler", detail, "");
	return true;
}

static bool doctor_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	(void)options, (void)words;
	json_auto_t *answer = NULL;
	if (!cli->common.json && !doctor_scheduler(cli, err))
		return false;
	if (!client_get(cli, "/api/v1/doctor", &answer, err))
		return false;
	cli->exit_code = fields_is_true(answer, "ok") ? 0 : EXIT_CHECK_FAILED;
	if (cli->common.json) {
		cli_print_json(answer);
		return true;
	}
	size_t i;
	json_t *check;
	json_array_foreach(json_object_get(answer, "checks"), i, check)
		doctor_print(cli, fields_is_true(check, "ok"), fields_text(check, "name"), fields_text(check, "detail"),
			     fields_text(check, "hint"));
	return true;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.usage = "",
	.summary = "checks the scheduler, its Redis, its store and the workers, and says what they risk",
	.text = "Persistence, eviction, memory and known holes of Redis; clocks; whether objects can be written to the "
		"store, read,\n"
		"listed and removed; open files, disk and isolation of the workers. Exit code 12 when a check fails. "
		"What must\n"
		"hold of the queues is looked at by stoker fsck.",
	.run = doctor_run,
};
