/* scheduler/goodput: rows of what is kept of a job, with single quotes, and what is said of its time. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "lib/fields.h"
#include "scheduler/goodput.h"

static json_t *read_quoted(const char *text)
{
	CLEANUP(free_p) char *json = mem_strdup(text);
	for (char *p = json; *p; p++)
		if (*p == '\'')
			*p = '"';
	json_t *root = json_loads(json, 0, NULL);
	assert_non_null(root);
	return root;
}

struct row {
	const char *show;
	long queued, setup, loading, restore, training, saving, lost;
	double productive;
};

static const struct row rows[] = {
	/* waits: nothing has run */
	{ "{'now_ms':5000,'job':{'state':'queued','submitted_ms':'1000'}}", 4000, 0, 0, 0, 0, 0, 0, NAN },
	/* succeeded at once, with nothing to tell */
	{ "{'now_ms':99000,'job':{'state':'succeeded','submitted_ms':'1000','ended_ms':'9000','ran_ms':'6000'}}", 2000,
	  0, 0, 0, 6000, 0, 0, 1 },
	/* several attempts, some training done twice */
	{ "{'now_ms':99000,'job':{'state':'succeeded','submitted_ms':'0','ended_ms':'100000','ran_ms':'90000','setup_"
	  "ms':"
	  "'2000','loading_ms':'3000','restore_ms':'1000','saving_ms':'4000','training_ms':'80000','trained_ms':'60000'"
	  "}}",
	  10000, 5000, 3000, 1000, 60000, 4000, 20000, 60000 / 90000. },
	/* runs: its runner has said what it spent */
	{ "{'now_ms':50000,'job':{'state':'running','submitted_ms':'0','claimed_ms':'10000','started_ms':'12000','"
	  "spent':"
	  "'1000:500:3000:0'}}",
	  10000, 4000, 3000, 500, 35500, 0, 0, 35500 / 40000. },
	/* runs, and nothing was said yet */
	{ "{'now_ms':50000,'job':{'state':'running','submitted_ms':'0','claimed_ms':'10000','started_ms':'12000'}}",
	  10000, 2000, 0, 0, 38000, 0, 0, 38000 / 40000. },
	/* has not started its program */
	{ "{'now_ms':50000,'job':{'state':'running','submitted_ms':'0','claimed_ms':'10000'}}", 10000, 40000, 0, 0, 0,
	  0, 0, 0 },
	/* runs again after a loss */
	{ "{'now_ms':50000,'job':{'state':'running','submitted_ms':'0','claimed_ms':'40000','started_ms':'40000','ran_"
	  "ms':"
	  "'30000','training_ms':'30000','trained_ms':'12000'}}",
	  10000, 0, 0, 0, 22000, 0, 18000, 22000 / 40000. },
	/* a runner whose numbers are larger than the time that it had */
	{ "{'now_ms':50000,'job':{'state':'running','submitted_ms':'0','claimed_ms':'40000','spent':'99000:5:5'}}",
	  40000, 10000, 0, 0, 0, 0, 0, 0 },
};

static void assert_row(const struct row *row, const json_t *time)
{
	double productive = NAN;
	fields_number(time, "productive", &productive);
	assert_int_equal(fields_int(time, "queued_ms", -1), row->queued);
	assert_int_equal(fields_int(time, "setup_ms", -1), row->setup);
	assert_int_equal(fields_int(time, "loading_ms", -1), row->loading);
	assert_int_equal(fields_int(time, "restore_ms", -1), row->restore);
	assert_int_equal(fields_int(time, "training_ms", -1), row->training);
	assert_int_equal(fields_int(time, "saving_ms", -1), row->saving);
	assert_int_equal(fields_int(time, "lost_ms", -1), row->lost);
	assert_true(isnan(row->productive) ? isnan(productive) : fabs(productive - row->productive) < 1e-4);
}

static void test_of_a_job(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_auto_t *show = read_quoted(rows[i].show);
		json_auto_t *time = goodput_of_job(show);
		assert_row(&rows[i], time);
	}
}

static void test_of_queues(void **state)
{
	(void)state;
	json_auto_t *one = read_quoted("{'plain':'1000','setup':'500','training':'4000','trained':'3000','ends':'2'}");
	json_auto_t *two = read_quoted("{'plain':'500','saving':'1000'}");
	json_auto_t *all = json_object();
	goodput_add(all, one);
	goodput_add(all, two);
	goodput_add(all, NULL);
	json_auto_t *time = goodput_of_sums(all);
	assert_int_equal(fields_int(time, "ran_ms", 0), 7000);
	assert_int_equal(fields_int(time, "training_ms", 0), 4500);
	assert_int_equal(fields_int(time, "lost_ms", 0), 1000);
	assert_int_equal(fields_int(time, "ends", 0), 2);
	json_auto_t *nothing = goodput_of_sums(NULL);
	assert_null(json_object_get(nothing, "productive"));
}

static void test_how_often_to_save(void **state)
{
	static const struct {
		const char *show;
		long every_ms; /* 0: nothing is said */
	} cases[] = {
		/* sqrt(2 · 2 s · 10 min) */
		{ "{'job':{'checkpoint':'1-1'},'checkpoints':{'1-1':{'save_ms':2000}},'goodput':{'training':'2400000','"
		  "ends':"
		  "'4'}}",
		  48990 },
		{ "{'job':{'checkpoint':'1-1'},'checkpoints':{'1-1':{'save_ms':2000}},'goodput':{'plain':'600000'}}",
		  48990 },
		{ "{'job':{'checkpoint':'1-1'},'checkpoints':{'1-1':{'save_ms':2000}},'goodput':{'plain':'59999'}}",
		  0 },
		{ "{'job':{'checkpoint':'1-1'},'checkpoints':{'1-1':{}},'goodput':{'plain':'600000'}}", 0 },
		{ "{'job':{},'checkpoints':{},'goodput':{'plain':'600000'}}", 0 },
		{ "{'job':{}}", 0 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_auto_t *show = read_quoted(cases[i].show);
		json_auto_t *interval = goodput_interval(show);
		assert_int_equal(fields_int(interval, "every_ms", 0), cases[i].every_ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_a_job),
		cmocka_unit_test(test_of_queues),
		cmocka_unit_test(test_how_often_to_save),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
