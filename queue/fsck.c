/* The table of findings, and its printers. */
#include <stdio.h>
#include <string.h>
#include "queue/fsck.h"

static const struct fsck_row fsck_rows[] = {
	/* ---- the queue ---- */
	{ "type", "functions that touch this key are refused (WRONGTYPE)", NULL,
	  "find out who wrote it, RENAME it to a name of theirs" },
	{ "key-unknown", "nothing: no function looks at it, but it takes memory", NULL,
	  "find out who wrote it, and DEL it" },
	{ "member-odd", "nothing: no name of ours looks like this", NULL,
	  "find out who wrote it, and take it out of the key" },
	{ "active", "too high: new jobs are refused (FULL) too early; too low: max_jobs bounds nothing", "counts again",
	  NULL },
	{ "next", "the next job gets the number of one that is there, and writes over it",
	  "raises it to the highest number that is there", NULL },
	{ "paused", "the queue may be paused, and nobody sees it", NULL,
	  "stoker queues resume QUEUE, then pause it anew" },
	/* ---- ready lanes ---- */
	{ "lane-unlisted", "what is queued there is never claimed", "lists the lane, and rings", NULL },
	{ "lane-gone", "claims look for nothing", "takes it out of lanes", NULL },
	{ "lane-empty", "a few KB of memory", "deletes the stream", NULL },
	{ "lane-group", "nothing of this lane can be claimed or ended",
	  "makes the group, drops any other; jobs whose entries were not delivered are queued anew", NULL },
	{ "class-missing", "no worker is told of this work: it is never claimed", "makes the class from its name",
	  NULL },
	{ "entry-lost", "queued: it never runs; running: its end changes a lane that has nothing of it",
	  "queued: a new entry at the end of its lane; running: a new one that is pending for its worker", NULL },
	{ "entry-stray", "a job may be started that is not to run, or a worker counts work that is not there",
	  "deletes the entry", NULL },
	{ "pending-deleted", "the worker's pending list says that it has more than it has", "acknowledges it", NULL },
	{ "queued-pending", "it is queued, and no claim will ever see it", "queues it anew", NULL },
	{ "queued-passed", "it is queued, and no claim will ever see it", "queues it anew", NULL },
	{ "queued-unread", "it is queued where nobody reads", "queues it anew", NULL },
	{ "queued-elsewhere",
	  "it may wait for a worker that is not the one it is to avoid, until retry.elsewhere is over", NULL,
	  "nothing: its time ends it; stoker hold and release queue it at once" },
	{ "running-pending", "XPENDING shows another worker than the one that runs it",
	  "makes it pending for its worker", NULL },
	/* ---- indexes ---- */
	{ "index-missing",
	  "running: its lease never ends; waiting: it is never due; final: it is not listed, and never goes",
	  "puts it there", NULL },
	{ "index-wrong", "it is listed or judged as what it is not", "takes it out", NULL },
	{ "index-ghost", "lists and counts have what is not there", "takes it out", NULL },
	{ "never-due", "it waits for ever", "puts it at its due time", NULL },
	/* ---- records of jobs ---- */
	{ "job-lost", "the job is lost: its record went, for example by eviction, and what it left is still there",
	  NULL,
	  "its spec is in spec:<n>: submit it again, then DEL what is left; stoker doctor says whether Redis evicts" },
	{ "job-forgotten",
	  "the job is lost, unless its runner comes back with it: Redis had given out its number, and lost it", NULL,
	  "submit it again, then ZREM it from forgotten; docs/reliability.md says how that happens" },
	{ "leftover", "nothing: nobody can reach it, but it takes memory", "deletes it", NULL },
	{ "job-state", "no function touches this job", NULL,
	  "see its history and events; HSET its state, then fsck again" },
	{ "job-field", "functions that need it fail or misjudge the job", NULL,
	  "its spec has most of them: HSET them, or remove the job" },
	{ "job-empty-field", "it counts as given, and is nothing", "deletes the field", NULL },
	{ "job-end", "retention and durations misjudge it", "takes the time at which it is listed, or now", NULL },
	{ "job-reason", "it may wait for ever", NULL, "stoker hold, then stoker release" },
	{ "job-token", "its runner is stale, and nobody else may start it before its lease ends", NULL,
	  "nothing: the reaper takes it when its lease is over" },
	{ "job-special", "a claim and a success pass over its checkpoint, slot, links or stop", "sets the mark", NULL },
	{ "spec-lost", "it cannot be started: a claim gives it to a worker that must refuse it", NULL,
	  "stoker cancel, and submit it again" },
	{ "result-unknown", "the result is there, and nobody gives it out", "notes its length", NULL },
	{ "result-lost", "it says that it has a result, and has none, or has one that is not to be", NULL,
	  "the archive may have it; else HDEL result_bytes, or DEL the result" },
	{ "held-fields", "a later release may misjudge it", "deletes the fields", NULL },
	{ "held-state", "it is shown as held, and is not", NULL, "HDEL its reason" },
	{ "held-since", "it cannot be told how long it is held", "since now", NULL },
	{ "held-due", "a held job would be let go", "nothing makes it due any more", NULL },
	/* ---- limits ---- */
	{ "slot-missing", "more run at once than concurrency.max", "notes it", NULL },
	{ "slot-wrong", "one fewer runs at once than may", "frees the slot", NULL },
	{ "slot-ghost", "one fewer runs at once than may", "takes it out", NULL },
	{ "line-missing", "it waits for ever", "puts it into the line", NULL },
	{ "line-wrong", "those behind it wait longer", "takes it out of the line", NULL },
	{ "line-stuck", "it waits until another job with the key ends, or for ever", "lets it go", NULL },
	{ "unique-lost", "a second job with the key is taken", "takes the key again", NULL },
	/* ---- dependencies and batches ---- */
	{ "links", "what it is tied to is not told of its moves", "says what is there", NULL },
	{ "parents-count", "it is shown with the wrong number", "counts again", NULL },
	{ "needs-count", "it starts too early, or never", "counts again", NULL },
	{ "needs-left", "it is shown as waiting for others, and is not", "deletes the fields", NULL },
	{ "waits-for-nobody", "it waits for ever", "lets it go", NULL },
	{ "parent-over", "it waits for ever", "has the parent's end told to it", NULL },
	{ "parent-unknowing", "it is not told of the parent's end", "tells the parent of it", NULL },
	{ "parent-unasked", "it is not told of the parent's end", "asks at the parent's queue again", NULL },
	{ "loan-unasked", "it waits for ever for what it is to be lent; or what it lent is kept for ever", "asks again",
	  NULL },
	{ "children-untold", "its children wait for ever", "has them told", NULL },
	{ "member-missing", "the batch is listed without it", "puts it there", NULL },
	{ "member-ghost", "the batch is never dropped", "takes it out", NULL },
	{ "batch-lost", "the batch is not listed, and what follows it never starts; its size and `then` are lost",
	  "makes it from its jobs", NULL },
	{ "batch-size", "it is done too early, or never", NULL, "FCALL stoker_batch with the right size" },
	{ "batch-unlisted", "the batch is not listed", "lists it", NULL },
	{ "batch-counts", "it is done too early, or never", "counts those that are kept again", NULL },
	{ "batch-done", "what follows it starts too early, or never", "judges it again", NULL },
	/* ---- what runs left ---- */
	{ "stream-hole", "lines or points are lost that were acknowledged, and no gap says so", NULL,
	  "nothing brings them back here: the run's spool and the archive have the whole log" },
	{ "stream-next", "the runner is asked for lines that are there, or those that are missing are skipped",
	  "takes it from the last entry", NULL },
	{ "log-bytes", "the log is cut too early, or grows past its cap", "counts again", NULL },
	{ "log-sizes", "the log is cut at the wrong place", "begins the list anew", NULL },
	{ "checkpoint-id", "it is never used nor deleted", NULL, "find out who wrote it, and HDEL it" },
	{ "checkpoint-record", "it is never used nor deleted", NULL,
	  "its manifest in the store has what it should say: stoker verify, then HSET or HDEL it" },
	{ "checkpoint-newest", "the next attempt resumes from an older one, or from one that is not good",
	  "names the newest good one", NULL },
	{ "checkpoint-used", "too low: files are deleted that others need; too high: it is never deleted",
	  "counts again", NULL },
	{ "checkpoint-used-gone", "those that use it cannot be restored", NULL,
	  "stoker verify says whether its objects are still there; stoker checkpoints, and discard those that use it" },
	/* ---- schedules, webhooks, submitters ---- */
	{ "schedule-ghost", "nothing fires for this name", "takes it out", NULL },
	{ "schedule-lost", "it does not fire", NULL, "submit the schedule again" },
	{ "schedule-unlisted", "it does not fire", "lists it at its next due time", NULL },
	{ "schedule-place", "it fires too early, too late or never", "puts it at its next due time", NULL },
	{ "schedule-rule", "it fires by one of two rules, or never", NULL, "submit the schedule again" },
	{ "schedule-ahead", "its job was lost (a failover that lost writes?)", NULL,
	  "look for the runs of that time in the store; the next due time is not touched" },
	{ "schedule-again", "it fires twice for one time", NULL,
	  "submit the schedule again with another interval or time" },
	{ "deliveries-count", "webhooks are given up too early, or pile up", "counts again", NULL },
	{ "delivery-lane", "webhooks of this receiver are sent late, or never", "puts it where its first is due",
	  NULL },
	{ "delivery-place", "it is never sent, or sent after it was given up", NULL,
	  "DEL its record, or ZADD it to the lane of its target" },
	{ "delivery-ghost", "a lane or the list of the dead has what is not there", "takes it out", NULL },
	{ "webhook-ghost", "each event looks for a webhook that is not there", "takes it out", NULL },
	{ "reply-ghost", "answers that nobody may read take memory", "deletes them", NULL },
};

#define FSCK_ROWS (sizeof fsck_rows / sizeof fsck_rows[0])

const struct fsck_row *fsck_row_of(const char *code)
{
	for (size_t i = 0; i < FSCK_ROWS; i++)
		if (strcmp(fsck_rows[i].code, code) == 0)
			return &fsck_rows[i];
	return NULL;
}

void fsck_print_lua(void)
{
	puts("-- Printed from queue/fsck.c: what fsck may find, and whether there is one right answer.");
	puts("local fsck = {mends = {"); /* one local: a chunk may have 200 */
	for (size_t i = 0; i < FSCK_ROWS; i++)
		printf("    ['%s'] = %s,\n", fsck_rows[i].code, fsck_rows[i].repair ? "true" : "false");
	puts("}}");
}

void fsck_print_markdown(void)
{
	puts("# What fsck finds\n\n"
	     "Printed from the table in `queue/fsck.c` by `make docs`; do not edit.\n\n"
	     "`stoker fsck` looks whether all that docs/protocol.md promises holds of the queues, on a live Redis and "
	     "in small "
	     "steps. What it\n"
	     "finds was so at one moment, whatever was running: no job makes a false finding. `stoker fsck --repair` "
	     "mends what "
	     "has one right\n"
	     "answer, each in one call that looks again before it writes, with an event `queue.repaired`; the rest it "
	     "reports "
	     "with what to do.\n\n"
	     "| code | what it risks | `--repair` | by hand |\n|---|---|---|---|");
	for (size_t i = 0; i < FSCK_ROWS; i++) {
		const struct fsck_row *row = &fsck_rows[i];
		printf("| `%s` | %s | %s | %s |\n", row->code, row->risk, row->repair ? row->repair : "–",
		       row->advice ? row->advice : "–");
	}
}
