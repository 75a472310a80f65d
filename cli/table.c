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

void table_add_int(struct table *table, int64_t number)
{
	char text[24];
	str_format(text, sizeof text, "%lld", (long long)number);
	table_add(table, text);
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

struct table_line {
	struct buf *into;
	bool color;
	size_t owed; /* blanks before the next text: nothing stands after the last one of a line */
};

static void table_cell(struct table_line *line, const char *text, enum paint paint, size_t width)
{
	size_t used = text_width(text);
	if (used) {
		for (; line->owed; line->owed--)
			buf_byte(line->into, ' ');
		buf_printf(line->into, "%s%s%s", paint_begin(paint, line->color), text, paint_end(paint, line->color));
	}
	line->owed += width + 2 - used;
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
	struct table_line line = { .into = into, .color = color };
	for (size_t i = 0; i < table->columns; i++)
		table_cell(&line, table->titles[i], PAINT_BOLD, widths[i]);
	for (size_t i = 0; i < table->count; i++) {
		size_t column = i % table->columns;
		const struct table_cell *cell = &table->cells[i];
		if (column == 0) {
			buf_byte(into, '\n');
			line.owed = 0;
		}
		table_cell(&line, cell->text, cell->paint, widths[column]);
	}
	buf_byte(into, '\n');
	free(widths);
}
