/*
 * A table for people: a title row and aligned columns, two spaces apart. Cells are
 * UTF-8 and cleaned of control characters; an empty one is shown as "–". The last
 * column is never padded, and may be left empty as it is.
 */
#ifndef STOKER_CLI_TABLE_H
#define STOKER_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/buf.h"

enum paint { PAINT_NONE, PAINT_BOLD, PAINT_DIM, PAINT_RED, PAINT_GREEN, PAINT_YELLOW, PAINT_CYAN, PAINTS };

struct table_cell {
	char *text;
	enum paint paint;
};

struct table {
	const char *const *titles;
	size_t columns;
	struct table_cell *cells; /* row by row */
	size_t count;             /* cells */
};

void table_init(struct table *table, const char *const *titles, size_t columns);
void table_done(struct table *table);
/* The next cell, row by row; NULL counts as empty. */
void table_add(struct table *table, const char *text);
void table_add_int(struct table *table, int64_t number);
void table_paint(struct table *table, const char *text, enum paint paint);
void table_print(const struct table *table, bool color, struct buf *into);

static inline void cleanup_table(struct table *table)
{
	table_done(table);
}

/* The escape sequences around painted text; "" without colour. */
const char *paint_begin(enum paint paint, bool color);
const char *paint_end(enum paint paint, bool color);

#endif
