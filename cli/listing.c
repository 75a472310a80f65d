#include "cli/listing.h"

#include <stdio.h>
#include "cli/client.h"

bool listing_print(struct cli *cli, const struct listing *listing, json_t **answer, struct error *err)
{
	json_auto_t *got = NULL;
	if (answer)
		*answer = NULL;
	if (!client_get(cli, listing->path, &got, err))
		return false;
	if (cli->common.json) {
		cli_print_json(got);
		return true;
	}
	const json_t *items = json_object_get(got, listing->member);
	if (!json_array_size(items) && listing->empty) {
		fputs(listing->empty, stderr);
		return true;
	}
	CLEANUP(table) struct table table;
	CLEANUP(buf) struct buf text;
	buf_init(&text, 4U << 20);
	table_init(&table, listing->titles, listing->columns);
	size_t i;
	json_t *item;
	json_array_foreach(items, i, item) listing->row(&table, item);
	table_print(&table, cli->color, &text);
	cli_print(&text);
	if (answer)
		*answer = json_incref(got);
	return true;
}
