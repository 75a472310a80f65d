/*
 * What stoker_fsck may find wrong in a queue: one table of named rows. The function
 * library (lua/fsck*.lua) looks and mends; the rows say what a finding risks and what
 * becomes of it. They are printed for the library as Lua, so that it can find nothing
 * that has no row, and for people as docs/fsck.md.
 */
#ifndef STOKER_QUEUE_FSCK_H
#define STOKER_QUEUE_FSCK_H

struct fsck_row {
	const char *code; /* as a finding has it */
	const char *risk;
	const char *repair; /* what --repair does; NULL: there is no one right answer */
	const char *advice; /* what to do by hand where --repair does nothing; NULL: nothing */
};

/* NULL: a newer library found it. */
const struct fsck_row *fsck_row_of(const char *code);

void fsck_print_lua(void);
void fsck_print_markdown(void);

#endif
