/* What stoker says about a job, row by row: the documents that Redis would answer, and the sentence for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <string.h>
#include "lib/cleanup.h"
#include "scheduler/explain.h"

#define WORKER(id, cpus, gpus, used_cpus, used_gpus)                                                                   \
	"{'id':'" id "','seen_ms':100000,'state':'up','capacity':'{\"cpus\":" #cpus ",\"gpus\":" #gpus                 \
	",\"memory\":8589934592,\"labels\":{\"zone\":\"a\"}}','used':{'cpus':" #used_cpus ",'gpus':" #used_gpus        \
	",'memory':0}}"
#define QUEUED(rest) "{'id':'gpu-1','now_ms':100000,'job':{'state':'queued','class':'cpu1'}," rest "}"
#define NEEDS(cpus, gpus, memory, labels)                                                                              \
	"'requirement':{'cpus':" #cpus ",'gpus':" #gpus ",'memory':" #memory ",'labels':" labels "}"
#define NOW_AND_JOB(fields) "{'id':'gpu-1','now_ms':100000,'job':{" fields "}}"

#define NOT_ON_A(until)                                                                                                \
	"{'id':'gpu-1','now_ms':100000,'elsewhere_until_ms':" until                                                    \
	",'job':{'state':'queued','class':'cpu1','lane':'cpu1:5:!not@a'}}"

static const struct {
	const char *show;
	const char *workers; /* NULL: not known */
	const char *why;
} rows[] = {
	/* waiting */
	{ NOW_AND_JOB("'state':'waiting','reason':'delay','due_ms':'142000'"), NULL, "starts in 42 s" },
	{ NOW_AND_JOB("'state':'waiting','reason':'delay','due_ms':99000"), NULL, "starts now" },
	{ "{'now_ms':100000,'spec':{'retry':{'max_attempts':5}},'job':{'state':'waiting','reason':'retry',"
	  "'due_ms':'142000','errors':'1','exit':'1'}}",
	  NULL, "retries in 42 s (2 of 5: exit 1)" },
	{ "{'now_ms':100000,'spec':'{\"command\":\"false\"}','job':{'state':'waiting','reason':'retry',"
	  "'due_ms':'142000','errors':'2','signal':'9'}}",
	  NULL, "retries in 42 s (3 of 3: killed by SIGKILL)" },
	{ NOW_AND_JOB("'state':'waiting','reason':'retry','due_ms':'142000','errors':'1','exit':'1'"), NULL,
	  "retries in 42 s (exit 1)" },
	{ NOW_AND_JOB("'state':'waiting','reason':'retry','due_ms':'142000','corrupted':'1','error':'loss is NaN'"),
	  NULL, "retries in 42 s (loss is NaN)" },
	{ NOW_AND_JOB("'state':'waiting','reason':'retry','due_ms':'142000','corrupted':'1','cause':'corrupted',"
		      "'signal':'15','error':'bad data'"),
	  NULL, "retries in 42 s (corrupted: bad data)" },
	{ "{'now_ms':100000,'spec':{'recovery':{'max_attempts':4}},'job':{'state':'waiting','reason':'retry',"
	  "'due_ms':'142000','errors':'1','corrupted':'2','cause':'corrupted','error':'bad data'}}",
	  NULL, "retries in 42 s (recovery 2 of 4: corrupted: bad data)" },
	{ "{'now_ms':100000,'spec':{},'job':{'state':'waiting','reason':'recovery','due_ms':'100500','corrupted':'1',"
	  "'cause':'corrupted','error':'bad data'}}",
	  NULL,
	  "waits until another recovery of the queue is done (max_recovering): recovery 1 of 3: corrupted: bad data" },
	{ NOW_AND_JOB("'state':'waiting','reason':'stars'"), NULL, "waits: stars" },
	{ "{'now_ms':100000,'holders':['gpu-3','gpu-4'],'job':{'state':'waiting','reason':'limit','slot':'user-7',"
	  "'slot_max':'2'}}",
	  NULL, "waits for a slot of user-7, which has 2: taken by gpu-3, gpu-4" },
	{ NOW_AND_JOB("'state':'waiting','reason':'limit','due_ms':'142000'"), NULL,
	  "starts in 42 s, as its rate limit allows" },
	/* queued: not now */
	{ QUEUED("'ahead':0,'running':8,'max_running':8"), "[]",
	  "the queue is at its limit: 8 of 8 jobs run (max_running)" },
	{ QUEUED("'ahead':0,'running':7,'max_running':8"), "[]", "no worker serves queue gpu" },
	{ QUEUED("'ahead':0,'reserved':'node-2'"), "[" WORKER("node-2", 4, 2, 3, 0) "]",
	  "node-2 takes no more small jobs, so that it fits there" },
	{ NOW_AND_JOB("'state':'waiting','reason':'overlap','due_ms':'99000','behind':'7','schedule':'nightly'"), NULL,
	  "waits for gpu-7 to end: the one before it of schedule nightly" },
	{ "{'job':{'state':'waiting','reason':'dependency','needs':'2'},'parents':{'gpu-3':{'state':'running'},"
	  "'gpu-2':{'state':'succeeded'},'gpu-4':{'state':'queued'}}}",
	  NULL, "waits for gpu-3 (running) and gpu-4 (queued)" },
	{ "{'job':{'state':'waiting','reason':'dependency','needs':'1'},'parents':{'other-3':{'state':'-'}}}", NULL,
	  "waits for other-3" },
	{ "{'job':{'state':'waiting','reason':'dependency','needs':'6'},'parents':{'a-1':{'state':'-'},'a-2':{'state':"
	  "'-'},'a-3':{'state':'-'},'a-4':{'state':'-'},'a-5':{'state':'-'},'a-6':{'state':'-'}}}",
	  NULL, "waits for a-1, a-2, a-3, a-4 and 2 more" },
	{ NOW_AND_JOB("'state':'waiting','reason':'dependency','needs':'2'"), NULL, "waits for 2 other jobs" },
	{ NOW_AND_JOB("'state':'waiting','reason':'dependency','needs':'1'"), NULL, "waits for another job" },
	{ "{'job':{'state':'waiting','reason':'dependency','needs':'1','lender':'gpu-41','borrows':'best'}}", NULL,
	  "waits for the checkpoint of gpu-41 that it goes on from (best)" },
	{ "{'job':{'state':'waiting','reason':'dependency','needs':'2','lender':'gpu-41','borrows':'2-1'},"
	  "'parents':{'other-3':{'state':'-'}}}",
	  NULL, "waits for the checkpoint of gpu-41 that it goes on from (2-1), and for other-3" },
	{ NOW_AND_JOB("'state':'waiting','reason':'dependency','unmet':'gpu-3, which it needs, failed'"), NULL,
	  "held: gpu-3, which it needs, failed" },
	/* queued: nobody to run it */
	{ QUEUED("'ahead':0"), "[]", "no worker serves queue gpu" },
	{ QUEUED("'ahead':0"), "[{'id':'node-7','seen_ms':'40000','state':'up'}]",
	  "no worker serves queue gpu; the last one, node-7, was seen 1 min 00 s ago" },
	{ QUEUED("'ahead':0"), "[{'id':'node-7','seen_ms':99000,'state':'draining'}]",
	  "the only worker of queue gpu is draining" },
	{ QUEUED("'ahead':0"), NULL, "" },
	/* queued: nobody could */
	{ QUEUED(NEEDS(1, 8, 0, "{}")), "[" WORKER("a", 4, 2, 0, 0) "," WORKER("b", 4, 1, 0, 0) "]",
	  "needs 8 GPUs; no worker has more than 2" },
	{ QUEUED(NEEDS(1, 1, 0, "{}")), "[" WORKER("a", 4, 0, 0, 0) "]", "needs 1 GPU; no worker has any" },
	{ QUEUED(NEEDS(16, 0, 0, "{}")), "[" WORKER("a", 4, 0, 0, 0) "]", "needs 16 CPUs; no worker has more than 4" },
	{ QUEUED("'spec':{'resources':{'cpus':9}}," NEEDS(16, 0, 0, "{}")), "[" WORKER("a", 12, 0, 0, 0) "]",
	  "needs 16 CPUs (9, rounded up); no worker has more than 12" },
	{ QUEUED(NEEDS(1, 0, 17179869184, "{}")), "[" WORKER("a", 4, 0, 0, 0) "]",
	  "needs 16 GiB of memory; no worker has more than 8 GiB" },
	{ QUEUED("'spec':{'resources':{'memory':'15GiB'}}," NEEDS(1, 0, 17179869184, "{}")),
	  "[" WORKER("a", 4, 0, 0, 0) "]",
	  "needs 16 GiB (15GiB, rounded up) of memory; no worker has more than 8 GiB" },
	{ QUEUED(NEEDS(1, 0, 0, "{'gpu':'a100'}")), "[" WORKER("a", 4, 0, 0, 0) "]",
	  "needs a worker labelled gpu=a100; there is none" },
	{ QUEUED(NEEDS(4, 2, 0, "{}")), "[" WORKER("a", 8, 0, 0, 0) "," WORKER("b", 2, 2, 0, 0) "]",
	  "needs 4 CPUs, 2 GPUs; no worker has all of it" },
	{ "{'id':'gpu-1','now_ms':100000,'job':{'state':'queued','class':'cpu1-gpu4-mem1024m'}}",
	  "[" WORKER("a", 4, 2, 0, 0) "]", "needs 4 GPUs; no worker has more than 2" },
	/* queued: its turn will come */
	{ QUEUED("'ahead':12," NEEDS(1, 0, 0, "{}")), "[" WORKER("a", 2, 0, 2, 0) "," WORKER("b", 2, 0, 2, 0) "]",
	  "queued behind 12 jobs; all 2 workers are full" },
	{ QUEUED("'ahead':1," NEEDS(1, 0, 0, "{}")), "[" WORKER("a", 2, 0, 2, 0) "]",
	  "queued behind 1 job; the only worker is full" },
	{ QUEUED("'ahead':0," NEEDS(1, 1, 0, "{}")), "[" WORKER("a", 2, 1, 1, 1) "," WORKER("b", 2, 0, 0, 0) "]",
	  "next in line; the only worker that fits is full" },
	{ QUEUED("'ahead':3," NEEDS(1, 0, 0, "{}")), "[" WORKER("a", 2, 0, 1, 0) "]", "queued behind 3 jobs" },
	{ QUEUED("'ahead':0," NEEDS(1, 0, 0, "{}")), "[" WORKER("a", 2, 0, 1, 0) "]", "about to start" },
	{ QUEUED("'x':0"), "[" WORKER("a", 2, 0, 1, 0) "]", "about to start" },
	{ QUEUED("'x':0"), "[" WORKER("a", 2, 0, 2, 0) "]", "the only worker is full" },
	/* queued: not where it ended badly */
	{ NOT_ON_A("120000"), "[" WORKER("a", 2, 0, 0, 0) "]",
	  "not on a, where it ended badly, for another 20 s; no other worker fits" },
	{ NOT_ON_A("120000"), "[" WORKER("a", 2, 0, 0, 0) "," WORKER("b", 2, 0, 2, 0) "]",
	  "not on a, where it ended badly, for another 20 s; the other worker is full" },
	{ NOT_ON_A("120000"), "[" WORKER("a", 2, 0, 0, 0) "," WORKER("b", 2, 0, 1, 0) "]",
	  "not on a, where it ended badly, for another 20 s; about to start" },
	{ NOT_ON_A("0"), "[" WORKER("b", 2, 0, 2, 0) "," WORKER("c", 2, 0, 2, 0) "]",
	  "not on a, where it ended badly; all 2 others are full" },
	/* queued: they drain, and say why */
	{ QUEUED("'ahead':0"), "[{'id':'a','seen_ms':99000,'state':'draining','why':'3 died'}]",
	  "the only worker of queue gpu is draining: 3 died" },
	{ QUEUED("'ahead':0"),
	  "[{'id':'a','seen_ms':99000,'state':'up','drain':'1','drain_reason':'new disk'},"
	  "{'id':'b','seen_ms':99000,'state':'draining'}]",
	  "all workers of queue gpu are draining: new disk" },
	/* running */
	{ NOW_AND_JOB("'state':'running','phase':'running','renewed_ms':'99000','lease_ms':'10000'"), NULL, "" },
	{ NOW_AND_JOB("'state':'running','phase':'restoring','renewed_ms':'99000'"), NULL, "restoring its checkpoint" },
	{ NOW_AND_JOB("'state':'running','worker':'node-7','renewed_ms':'86000','lease_ms':'10000'"), NULL,
	  "its runner on node-7 has not been heard of for 14 s" },
	{ NOW_AND_JOB("'state':'running','stop':'cancel','stop_reason':'too slow'"), NULL,
	  "asked to stop: cancel: too slow" },
	{ NOW_AND_JOB("'state':'running','stop':'cancel','stop_reason':'cancelled'"), NULL, "asked to stop: cancel" },
	/* ended */
	{ NOW_AND_JOB("'state':'succeeded','exit':'0'"), NULL, "" },
	{ NOW_AND_JOB("'state':'failed','attempt':'3','started_ms':'1000','ended_ms':'43000','exit':'1'"), NULL,
	  "attempt 3 failed after 42 s: exit 1" },
	{ NOW_AND_JOB("'state':'failed','attempt':'1','signal':'11','error':'it crashed'"), NULL,
	  "attempt 1 failed: killed by SIGSEGV: it crashed" },
	{ NOW_AND_JOB("'state':'failed','attempt':'1','signal':'11','error':'killed by SIGSEGV, without a word'"), NULL,
	  "attempt 1 failed: killed by SIGSEGV, without a word" },
	{ NOW_AND_JOB("'state':'failed','attempt':'1','signal':'6','cause':'stalled','error':'no output'"), NULL,
	  "attempt 1 failed: no output" },
	{ NOW_AND_JOB("'state':'failed','attempt':'1','signal':'9','error':'signal 9'"), NULL,
	  "attempt 1 failed: killed by SIGKILL" },
	{ NOW_AND_JOB("'state':'failed','attempt':'1','claimed_ms':'1000','ended_ms':'1024','exit':'1'"), NULL,
	  "attempt 1 failed after 24 ms: exit 1" },
	{ NOW_AND_JOB("'state':'failed','attempt':'1','exit':'78','error':'exit 78: tinygrad cannot run'"), NULL,
	  "attempt 1 failed: exit 78: tinygrad cannot run" },
	{ NOW_AND_JOB("'state':'failed','attempt':'3','error':'lost 3 times in a row'"), NULL,
	  "attempt 3 failed: lost 3 times in a row" },
	{ NOW_AND_JOB("'state':'failed','attempt':'1'"), NULL, "attempt 1 failed: no cause was reported" },
	{ NOW_AND_JOB("'state':'failed','error':'bad'"), NULL, "never started: bad" },
	{ NOW_AND_JOB("'state':'cancelled','attempt':'0'"), NULL, "cancelled before it began" },
	{ NOW_AND_JOB("'state':'cancelled','attempt':'2','stop_reason':'wrong data'"), NULL,
	  "stopped on request: wrong data" },
	{ NOW_AND_JOB("'state':'cancelled','attempt':'2','error':'cancelled'"), NULL, "stopped on request" },
	/* somebody steers */
	{ NOW_AND_JOB(
		  "'state':'waiting','reason':'held','held_ms':'1795340700000','held_by':'ada','held_reason':'disk'"),
	  NULL, "held by ada since 2026-11-22 09:45 UTC: disk" },
	{ NOW_AND_JOB("'state':'waiting','reason':'held','held_ms':'1795340700000'"), NULL,
	  "held since 2026-11-22 09:45 UTC" },
	{ QUEUED("'paused':{'state':'paused','by':'ada','since_ms':'1795340700000','reason':'new disks'}"), "[]",
	  "queue gpu is paused by ada since 2026-11-22 09:45 UTC: new disks" },
	{ QUEUED("'paused':{'state':'paused','since_ms':'1795340700000'}"), NULL,
	  "queue gpu is paused since 2026-11-22 09:45 UTC" },
	{ QUEUED("'paused':{'state':'draining','by':'ada','since_ms':'1795340700000'}"), "[]",
	  "no worker serves queue gpu" },
	/* nothing known */
	{ "{}", NULL, "" },
};

/* The table is written with ' for ", except inside text that is itself JSON. */
static json_t *parse(const char *text)
{
	CLEANUP(buf) struct buf b;
	buf_init(&b, 8192);
	for (; *text; text++) {
		if (*text == '"')
			buf_byte(&b, '\\');
		buf_byte(&b, *text == '\'' ? '"' : *text);
	}
	json_error_t at;
	json_t *json = json_loads(buf_text(&b), 0, &at);
	if (!json)
		fail_msg("%s in %s", at.text, buf_text(&b));
	return json;
}

static void test_sentences(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_auto_t *show = parse(rows[i].show);
		json_auto_t *workers = rows[i].workers ? parse(rows[i].workers) : NULL;
		CLEANUP(buf) struct buf why;
		buf_init(&why, 1024);
		explain_job(show, workers, &why);
		if (strcmp(buf_text(&why), rows[i].why) != 0)
			fail_msg("row %zu\n  said:   %s\n  wanted: %s", i, buf_text(&why), rows[i].why);
	}
}

static const struct {
	const char *job;
	int64_t left_ms;
} lefts[] = {
	{ "{'state':'running','step':'100','total':'1100','pace':'2.5','renewed_ms':'100000'}", 2500 },
	{ "{'state':'running','step':'100','total':'1100','pace':'2.5','renewed_ms':'99999'}", 2499 },
	{ "{'state':'running','step':'100','total':'1100','pace':'2.5','renewed_ms':'90000'}", 2497 },
	{ "{'state':'running','step':'100','total':'1100','pace':'2.5','renewed_ms':'100900'}", 2500 },
	{ "{'state':'running','step':'9','total':'10','pace':'60000','renewed_ms':'70000'}", 30000 },
	{ "{'state':'running','step':'10','total':'10','pace':'60000'}", 0 },
	{ "{'state':'running','step':'12','total':'10','pace':'60000'}", 0 },
	{ "{'state':'running','step':'0','total':'10','pace':'0'}", 0 },
	{ "{'state':'running','total':'10','pace':'60000'}", -1 },
	{ "{'state':'running','step':'5','pace':'60000'}", -1 },
	{ "{'state':'running','step':'5','total':'10'}", -1 },
	{ "{'state':'running','step':'5','total':'9007199254740992','pace':'999999999'}", -1 },
	{ "{'state':'waiting','step':'5','total':'10','pace':'60000'}", -1 },
	{ "{'state':'succeeded','step':'10','total':'10','pace':'60000'}", -1 },
	{ "{}", -1 },
};

static void test_the_time_left(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lefts); i++) {
		json_auto_t *job = parse(lefts[i].job);
		if (explain_left_ms(job, 100000) != lefts[i].left_ms)
			fail_msg("row %zu: %lld", i, (long long)explain_left_ms(job, 100000));
		explain_add_left(job, 100000);
		assert_int_equal(json_object_get(job, "left_ms") != NULL, lefts[i].left_ms >= 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_sentences), cmocka_unit_test(test_the_time_left) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
