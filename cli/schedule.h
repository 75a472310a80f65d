/*
 * Recurring jobs as the commands send and show them.
 */
#ifndef STOKER_CLI_SCHEDULE_H
#define STOKER_CLI_SCHEDULE_H

#include <jansson.h>
#include "cli/cli.h"
#include "cli/table.h"

/* Sends a spec with the section schedule (canonical JSON) and prints what became of it; queue NULL: that of the
 * spec, or default. */
bool schedule_send(struct cli *cli, const char *queue, const char *spec, struct error *err) MUST_CHECK;

/* "/api/v1/schedules/<name><tail>?queue=…", to be freed. */
char *schedule_path(const char *name, const char *tail, const char *queue);

/* "30 2 * * * Europe/Berlin", "every 10s" */
void schedule_when(const json_t *schedule, struct buf *into);
/* A row of `stoker schedules`, whose titles are these. */
extern const char *const schedule_titles[8];
void schedule_row(struct table *table, const json_t *schedule);
/* One of them in sentences: the answer of GET /schedules/{name}. */
void schedule_explain(const json_t *show, struct buf *into);
/* A due time a line, as a clock of its zone shows it. */
void schedule_next(const json_t *show, struct buf *into);

#endif
