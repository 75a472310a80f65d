#include "cli/resume.h"

#include <inttypes.h>
#include <string.h>

#include "cli/client.h"
#include "lib/buf.h"
#include "lib/fields.h"
#include "queue/spec.h"

/* "gpu-41@best" → "gpu-41" and "best"; false: it names no job. "2-1" is a checkpoint. */
static bool resume_split(const char *text, char *id, size_t size, const char **which)
{
	char queue[SPEC_QUEUE_MAX + 1];
	int64_t n;
	size_t len = strcspn(text, "@");
	*which = text[len] ? text + len + 1 : "latest";
	return text[strspn(text, "0123456789-")] && str_format(id, size, "%.*s", (int)len, text) &&
	       spec_split_id(id, queue, &n, NULL);
}

static bool resume_is(const json_t *checkpoint, const char *which)
{
	char step[24] = "";
	if (fields_int(checkpoint, "step", -1) >= 0)
		str_format(step, sizeof step, "%" PRId64, fields_int(checkpoint, "step", 0));
	return strcmp(which, "latest") == 0 || strcmp(which, "best") == 0 || strcmp(step, which) == 0 ||
	       fields_is(checkpoint, "id", which);
}

static bool resume_find(const char *id, const char *which, const json_t *answer, struct error *err)
{
	const json_t *checkpoint, *other = NULL;
	size_t i;
	json_array_foreach(json_object_get(answer, "checkpoints"), i, checkpoint)
	{
		if (!resume_is(checkpoint, which))
			continue;
		if (fields_is(checkpoint, "state", "committed"))
			return true;
		other = other ? other : checkpoint;
	}
	if (*fields_text(answer, "cursor"))
		return true; /* there are more: its own queue looks through all of them */
	CLEANUP(free_p) char *hint = mem_printf("stoker checkpoints %s", id);
	if (other)
		return error_set(err, ERR_NOT_FOUND, hint, "resume: checkpoint %s of job %s is %s",
				 fields_text(other, "id"), id, fields_text(other, "state"));
	return error_set(err, ERR_NOT_FOUND, hint, "resume: job %s has no checkpoint %s", id, which);
}

bool resume_check(struct cli *cli, const json_t *spec, struct error *err)
{
	char id[SPEC_QUEUE_MAX + 24];
	const char *which;
	json_auto_t *answer = NULL;
	if (!resume_split(fields_text(spec, "resume"), id, sizeof id, &which))
		return true;
	CLEANUP(free_p) char *path = client_job_path(id, "/checkpoints?limit=1000", err);
	if (!path)
		return false;
	return (client_get(cli, path, &answer, err) || error_wrap(err, "resume")) &&
	       resume_find(id, which, answer, err);
}
