#include "cli/listing.h"

#include <stdio.h>
#include "cli/client.h"
#include "cli/watch.h"

struct listing_run {
	const struct listing *listing;
	json_t *answer;
};

static void listing_mark(const struct listing *listing, const struct table *table, struct buf *mark)
{
	for (size_t i = 0; i < table->count; i++)
		if (!(listing->ages & LISTING_AGE(i % table->columns)))
			buf_printf(mark, "%s\t", table->cells[i].text);
}

static bool listing_frame(struct cli *cli, void *arg, struct watch_frame *frame, struct error *err)
{
	struct listing_run *run = arg;
	const struct listing *listing = run->listing;
	json_auto_t *answer = NULL;
	if (!client_get(cli, listing->path, &answer, err))
		return false;
	const json_t *items = json_object_get(answer, listing->member);
	if (!listing->watch && !json_array_size(items) && listing->empty) {
		fputs(listing->empty, stderr);
		return true;
	}
	CLEANUP(table) struct table table;
	table_init(&table, listing->titles, listing->columns);
	size_t i;
	json_t *item;
	json_array_foreach(items, i, item) listing->row(&table, item);
	table_print(&table, cli->color, &frame->text);
	listing_mark(listing, &table, &frame->mark);
	json_decref(run->answer);
	run->answer = json_incref(answer);
	return true;
}

bool listing_print(struct cli *cli, const struct listing *listing, json_t **answer, struct error *err)
{
	struct listing_run run = { .listing = listing };
	json_auto_t *got = NULL;
	if (answer)
		*answer = NULL;
	if (cli->common.json) {
		if (!client_get(cli, listing->path, &got, err))
			return false;
		cli_print_json(got);
		return true;
	}
	bool ok = listing->watch ? watch_run(cli, listing_frame, &run, err) : watch_once(cli, listing_frame, &run, err);
	if (ok && answer)
		*answer = json_incref(run.answer);
	json_decref(run.answer);
	return ok;
}

bool listing_refuse_watch(struct error *err)
{
	return error_set(err, ERR_INPUT, "leave it out", "--watch is for the list");
}
