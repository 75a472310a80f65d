/* stoker reindex: what is listed of the archive, made anew from the store. */
#include <string.h>
#include "cli/bar.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "lib/fields.h"

struct reindex {
	int64_t added;
	json_t *damaged; /* keys of objects */
};

static bool reindex_all(struct cli *cli, const char *path, struct reindex *sum, struct error *err)
{
	CLEANUP(free_p) char *cursor = mem_strdup("");
	do {
		json_auto_t *body = json_pack("{s:s}", "cursor", cursor), *answer = NULL;
		if (!client_post(cli, path, body, &answer, err))
			return false;
		sum->added += fields_int(answer, "added", 0);
		json_array_extend(sum->damaged, json_object_get(answer, "damaged"));
		free(cursor);
		cursor = mem_strdup(fields_text(answer, "cursor"));
	} while (*cursor);
	return true;
}

static bool reindex_queue(struct cli *cli, const char *queue, struct error *err)
{
	json_auto_t *damaged = json_array();
	struct reindex sum = { .damaged = damaged };
	CLEANUP(buf) struct buf path;
	size_t i;
	json_t *key;
	buf_init(&path, 1024);
	buf_str(&path, "/api/v1/queues/");
	http_encode(&path, queue);
	buf_str(&path, "/reindex");
	if (!reindex_all(cli, buf_text(&path), &sum, err))
		return false;
	if (json_array_size(damaged))
		cli->exit_code = EXIT_CHECK_FAILED;
	if (cli->common.json) {
		json_auto_t *line = json_pack("{s:s, s:I, s:O}", "queue", queue, "added", (json_int_t)sum.added,
					      "damaged", damaged);
		cli_print_json_line(line);
		return true;
	}
	json_array_foreach(damaged, i, key) printf("%s  damaged: %s\n", queue, json_string_value(key));
	printf("%s  %lld archived jobs are listed\n", queue, (long long)sum.added);
	return true;
}

static bool reindex_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	bool ok = words->count > 0 || reindex_queue(cli, "default", err);
	(void)options;
	for (size_t i = 0; ok && i < words->count; i++)
		ok = reindex_queue(cli, words->items[i], err);
	return ok;
}

const struct command cmd_reindex = {
	.name = "reindex",
	.usage = "[QUEUE …]",
	.summary = "makes the list of archived jobs anew, from the store",
	.text = "For a Redis that lost it, or a store from which something was deleted; without a name for the queue "
		"default. What "
		"is archived\n"
		"meanwhile is listed, too. A job number that the archive has is not given out again. The exit code is "
		"12 when "
		"an object is\n"
		"damaged: its jobs are not listed.",
	.words_max = 64,
	.run = reindex_run,
};
