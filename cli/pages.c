#include "cli/pages.h"

#include <string.h>

#include "cli/client.h"
#include "lib/fields.h"

#define PAGE 1000

bool pages_each(struct cli *cli, const char *id, const char *tail, pages_fn *fn, void *arg, struct error *err)
{
	CLEANUP(free_p) char *path = client_job_path(id, tail, err);
	CLEANUP(free_p) char *after = mem_strdup("");
	if (!path)
		return false;
	for (;;) {
		CLEANUP(free_p)
		char *page = mem_printf("%s%climit=%d%s%s", path, strchr(path, '?') ? '&' : '?', PAGE,
					*after ? "&after=" : "", after);
		json_auto_t *answer = NULL;
		if (!client_get(cli, page, &answer, err))
			return false;
		const char *next = fields_text(answer, "next");
		size_t i;
		json_t *entry;
		json_array_foreach(json_object_get(answer, "entries"), i, entry) fn(arg, entry);
		/* merged points may leave a page empty: only the id says whether there is more */
		if (!*next || strcmp(next, after) == 0)
			return true;
		free(after);
		after = mem_strdup(next);
	}
}

bool pages_checkpoints(struct cli *cli, const char *id, json_t **all, struct error *err)
{
	CLEANUP(free_p) char *path = client_job_path(id, "/checkpoints", err);
	CLEANUP(free_p) char *cursor = mem_strdup("");
	json_auto_t *list = json_array();
	if (!path)
		return false;
	do {
		CLEANUP(free_p)
		char *page = mem_printf("%s?limit=%d%s%s", path, PAGE, *cursor ? "&cursor=" : "", cursor);
		json_auto_t *answer = NULL;
		if (!client_get(cli, page, &answer, err))
			return false;
		json_array_extend(list, json_object_get(answer, "checkpoints"));
		free(cursor);
		cursor = mem_strdup(fields_text(answer, "cursor"));
	} while (*cursor);
	*all = STEAL(list);
	return true;
}
