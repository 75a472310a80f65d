#include "worker/removals.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"

void removals_done(struct removals *r)
{
	while (r->count)
		removals_pop(r);
	free(r->items);
	r->items = NULL;
}

void removals_push(struct removals *r, const char *id, const char *summary, bool is_told)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->items[i].id, id) == 0)
			return;
	r->items = mem_realloc(r->items, (r->count + 1) * sizeof *r->items);
	r->items[r->count++] =
		(struct removal){ .id = mem_strdup(id), .summary = mem_strdup(summary), .is_told = is_told };
}

struct removal *removals_next(struct removals *r, int64_t now_ms, int64_t *due_ms)
{
	*due_ms = -1;
	for (size_t i = 0; i < r->count; i++) {
		if (r->items[i].retry_ms <= now_ms) {
			struct removal due = r->items[i];
			r->items[i] = r->items[0];
			r->items[0] = due;
			return &r->items[0];
		}
		if (*due_ms < 0 || r->items[i].retry_ms < *due_ms)
			*due_ms = r->items[i].retry_ms;
	}
	return NULL;
}

void removals_pop(struct removals *r)
{
	free(r->items[0].id);
	free(r->items[0].summary);
	memmove(&r->items[0], &r->items[1], --r->count * sizeof *r->items);
}
