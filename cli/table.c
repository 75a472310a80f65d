/* See the header. */
#include "cli/table.h"

#include <assert.h>
#include <string.h>
#include "cli/text.h"

#define TABLE_CELL_MAX 4096

static const char *const paint_codes[PAINTS] = {
	[PAINT_NONE] = "",          [PAINT_BOLD] = "\033[1m",    [PAINT_DIM] = "\033[2m",   [PAINT_RED] = "\033[31m",
	[PAINT_GREEN] = "\033[32m", [PAINT_YELLOW] = "\033[33m", [PAINT_CYAN] = "\033[36m",
};

const char *paint_begin(enum paint paint, bool color)
{
	return color ? paint_codes[paint] : "";
}

const char *paint_end(enum paint paint, bool color)
{
	return color && paint != PAINT_NONE ? "\033[0m" : "";
}

void table_init(struct table *table, const char *const *titles, size_t columns)
{
	*table = (struct table){ .titles = titles, .columns = columns };
}

void table_done(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	free(table->cells);
	*table = (struct table){ 0 };
}

void table_add(struct table *table, const char *text)
{
	table_paint(table, text, PAINT_NONE);
}

void table_paint(struct table *table, const char *text, enum paint paint)
{
	bool last = table->count % table->columns == table->columns - 1;
	struct buf clean;
	buf_init(&clean, TABLE_CELL_MAX);
	text_clean(&clean, text && *text ? text : last ? "" : TEXT_NONE);
	table->cells = mem_realloc(table->cells, (table->count + 1) * sizeof *table->cells);
	table->cells[table->count++] = (struct table_cell){ .text = buf_take(&clean), .paint = paint };
}

static void table_cell(struct buf *into, const char *text, size_t width, bool last)
{
	buf_str(into, text);
	if (last)
		return;
	for (size_t at = text_width(text); at < width + 2; at++)
		buf_byte(into, ' ');
}

void table_print(const struct table *table, bool color, struct buf *into)
{
	assert(table->columns > 0);
	size_t *widths = mem_alloc(table->columns * sizeof *widths);
	for (size_t i = 0; i < table->columns; i++)
		widths[i] = text_width(table->titles[i]);
	for (size_t i = 0; i < table->count; i++) {
		size_t width = text_width(table->cells[i].text);
		if (width > widths[i % table->columns])
			widths[i % table->columns] = width;
	}
	buf_str(into, paint_begin(PAINT_BOLD, color));
	for (size_t i = 0; i < table->columns; i++)
		table_cell(into, table->titles[i], widths[i], i + 1 == table->columns);
	buf_str(into, paint_end(PAINT_BOLD, color));
	for (size_t i = 0; i < table->count; i++) {
		size_t column = i % table->columns;
		const struct table_cell *cell = &table->cells[i];
		if (column == 0)
			buf_byte(into, '\n');
		buf_str(into, paint_begin(cell->paint, color));
		table_cell(into, cell->text, widths[column], column + 1 == table->columns);
		buf_str(into, paint_end(cell->paint, color));
	}
	buf_byte(into, '\n');
	free(widths);
}
