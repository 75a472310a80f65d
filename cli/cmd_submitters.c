/* stoker submitters: apps that may only put entries into an inbox of their own. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "lib/fields.h"

struct submitters_options {
	const char *queue;
};

static void submitters_row(struct table *table, const json_t *one)
{
	table_add(table, fields_text(one, "name"));
	table_add_int(table, fields_int(one, "waiting", 0));
	table_add_int(table, fields_int(one, "replies", 0));
}

static bool submitters_list(struct cli *cli, const char *queue, struct error *err)
{
	static const char *const titles[] = { "SUBMITTER", "WAITING", "ANSWERS" };
	CLEANUP(buf) struct buf path;
	buf_init(&path, 512);
	buf_str(&path, "/api/v1/submitters");
	client_query(&path, "queue", queue);
	const struct listing listing = {
		.path = buf_text(&path),
		.member = "submitters",
		.titles = titles,
		.columns = ARRAY_LEN(titles),
		.row = submitters_row,
	};
	return listing_print(cli, &listing, NULL, err);
}

static bool submitters_add(struct cli *cli, const char *queue, const char *name, struct error *err)
{
	json_auto_t *body = json_pack("{s:s, s:s*}", "name", name, "queue", queue);
	json_auto_t *answer = NULL;
	if (!body)
		return error_set(err, ERR_INPUT, NULL, "a submitter's name is UTF-8 text");
	if (!client_post(cli, "/api/v1/submitters", body, &answer, err))
		return false;
	if (cli->common.json) {
		cli_print_json(answer);
		return true;
	}
	const char *inbox = fields_text(answer, "inbox"), *reply = fields_text(answer, "reply");
	printf("inbox  %s\nreply  %s\n", inbox, reply);
	fprintf(stderr,
		"  hint: in Redis' file of users (docker/users.acl has the other roles), with a password:\n"
		"        user %s on >PASSWORD resetkeys %%W~%s %%R~%s resetchannels -@all +xadd +xread +xrange +auth "
		"+ping\n",
		name, inbox, reply);
	return true;
}

static bool submitters_remove(struct cli *cli, const char *queue, const char *name, struct error *err)
{
	CLEANUP(buf) struct buf path;
	json_auto_t *answer = NULL;
	buf_init(&path, 1024);
	buf_str(&path, "/api/v1/submitters/");
	http_encode(&path, name);
	buf_str(&path, "/remove");
	client_query(&path, "queue", queue);
	if (!client_post(cli, buf_text(&path), NULL, &answer, err))
		return false;
	if (cli->common.json)
		cli_print_json(answer);
	return true;
}

static bool submitters_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct submitters_options *o = options;
	const char *verb = words->count ? words->items[0] : "list";
	if (words->count <= 1 && strcmp(verb, "list") == 0)
		return submitters_list(cli, o->queue, err);
	if (words->count == 2 && strcmp(verb, "add") == 0)
		return submitters_add(cli, o->queue, words->items[1], err);
	if (words->count == 2 && (strcmp(verb, "rm") == 0 || strcmp(verb, "remove") == 0))
		return submitters_remove(cli, o->queue, words->items[1], err);
	return error_set(err, ERR_INPUT, "stoker submitters add my-app",
			 "expected `submitters`, `submitters add NAME` or `submitters rm NAME`");
}

static const struct arg_row submitters_rows[] = {
	{ "queue", 'q', ARG_TEXT, offsetof(struct submitters_options, queue), "QUEUE", "default: default", 0 },
};

const struct command cmd_submitters = {
	.name = "submitters",
	.usage = "[add NAME | rm NAME]",
	.summary = "lists who may use an inbox, lets an app in or shuts it out",
	.text = "An app whose Redis user may only XADD to its inbox gets jobs in: XADD <inbox> * spec "
		"'{\"command\":…}'\n"
		"[key <idempotency key>]. The answer is in its reply stream: the entry and its job, or the error.",
	.options = CLI_ROWS(submitters_rows),
	.options_size = sizeof(struct submitters_options),
	.words_max = 2,
	.run = submitters_run,
};
