/* See the header. */
#include "cli/select.h"

#include <string.h>
#include "cli/client.h"
#include "lib/fields.h"

bool select_is_by_id(const struct select *select, const struct arg_list *words, struct error *err)
{
	bool is_filter = select->queue || select->state || select->name || select->experiment || select->tag ||
			 select->older_than || select->limit || select->dry_run;
	err->kind = ERR_NONE;
	if (words->count > 0 && is_filter)
		return error_set(err, ERR_INPUT, NULL, "ids and a filter were given: it is one or the other");
	if (words->count == 0 && !select->state && !select->name && !select->experiment && !select->tag &&
	    !select->older_than)
		return error_set(err, ERR_INPUT,
				 "name jobs, or find them by --state, --name, --experiment, --tag, --older-than",
				 "it is not said which jobs");
	return words->count > 0;
}

/* ---- a filter ---- */

static void select_row(const struct cli *cli, const json_t *row)
{
	const char *error = fields_text(row, "error");
	const char *again = fields_text(row, "as");
	if (cli->common.json)
		cli_print_json_line(row);
	else if (*error)
		fprintf(stderr, "%s  %s\n", fields_text(row, "id"), error);
	else if (*again)
		printf("%s  as %s\n", fields_text(row, "id"), again);
	else
		printf("%s  %s\n", fields_text(row, "id"), fields_text(row, "state"));
}

struct select_count {
	int64_t done;
	int64_t refused;
};

static json_t *select_body(const struct select *select, const struct select_action *action, const char *queue,
			   const char *cursor)
{
	json_t *body = action->body ? json_copy((json_t *)action->body) : json_object();
	const struct {
		const char *key, *value;
	} texts[] = {
		{ "action", action->name },           { "queue", queue },
		{ "state", select->state },           { "name", select->name },
		{ "experiment", select->experiment }, { "tag", select->tag },
		{ "older_than", select->older_than }, { "cursor", cursor },
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].value)
			json_object_set_new(body, texts[i].key, json_string(texts[i].value));
	if (select->dry_run)
		json_object_set_new(body, "dry_run", json_true());
	return body;
}

/* Every request does a bounded piece and says where the next begins. */
static bool select_queue(struct cli *cli, const struct select *select, const struct select_action *action,
			 const char *queue, struct select_count *count, struct error *err)
{
	CLEANUP(free_p) char *cursor = mem_strdup("");
	do {
		size_t i;
		json_t *row;
		json_auto_t *answer = NULL;
		json_auto_t *body = select_body(select, action, queue, cursor);
		if (select->limit)
			json_object_set_new(body, "limit", json_integer(select->limit - count->done - count->refused));
		if (!client_post(cli, "/api/v1/each", body, &answer, err))
			return false;
		json_array_foreach(json_object_get(answer, "jobs"), i, row) select_row(cli, row);
		fflush(stdout);
		count->done += fields_int(answer, "done", 0);
		count->refused += fields_int(answer, "refused", 0);
		free(cursor);
		cursor = mem_strdup(fields_text(answer, "cursor"));
	} while (*cursor && (!select->limit || count->done + count->refused < select->limit));
	return true;
}

bool select_run(struct cli *cli, const struct select *select, const struct select_action *action, struct error *err)
{
	struct select_count count = { 0 };
	json_auto_t *answer = NULL;
	json_auto_t *queues = NULL;
	size_t i;
	json_t *queue;
	if (!select->queue && !client_get(cli, "/api/v1/queues", &answer, err))
		return false;
	queues = select->queue ? json_pack("[{s:s}]", "queue", select->queue)
			       : json_incref(json_object_get(answer, "queues"));
	json_array_foreach(queues, i, queue)
	{
		if (select->limit && count.done + count.refused >= select->limit)
			break;
		if (!select_queue(cli, select, action, fields_text(queue, "queue"), &count, err))
			return false;
	}
	fprintf(stderr, "%s%lld job%s %s", select->dry_run ? "dry run: " : "", (long long)count.done,
		count.done == 1 ? "" : "s", select->dry_run ? "found" : action->done);
	if (count.refused)
		fprintf(stderr, ", %lld refused", (long long)count.refused);
	fprintf(stderr, "\n");
	if (count.refused)
		cli->exit_code = error_kind_of(ERR_CONFLICT)->exit_code;
	return true;
}

/* ---- ids ---- */

bool select_ids(struct cli *cli, const struct arg_list *words, const char *tail, const json_t *body, struct error *err)
{
	for (size_t i = 0; i < words->count; i++) {
		CLEANUP(free_p) char *path = client_job_path(words->items[i], tail, err);
		json_auto_t *answer = NULL;
		if (!path || !client_post(cli, path, body, &answer, err))
			return false;
		if (cli->common.json)
			cli_print_json_line(answer);
		else
			printf("%s  %s\n", words->items[i], fields_text(answer, "state"));
	}
	return true;
}
