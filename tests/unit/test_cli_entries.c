/* Entries of the streams as the stoker command reads and shows them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/entry.h"
#include "cli/job.h"
#include "cli/progress.h"
#include "cli/series.h"
#include "lib/fields.h"

static json_t *json(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);
	assert_non_null(value);
	return value;
}

static void numbers_come_as_text_or_as_numbers(void **state)
{
	(void)state;
	json_t *object = json("{\"a\":\"42\",\"b\":42,\"c\":\"x\",\"d\":\"NaN\",\"e\":\"1.5\",\"f\":{\"g\":1},\"h\":\"{"
			      "\\\"g\\\":2}\"}");
	double value;
	assert_int_equal(fields_int(object, "a", -1), 42);
	assert_int_equal(fields_int(object, "b", -1), 42);
	assert_int_equal(fields_int(object, "c", -1), -1);
	assert_int_equal(fields_int(object, "none", -1), -1);
	assert_true(fields_number(object, "d", &value) && value != value);
	assert_true(fields_number(object, "e", &value) && value > 1.4 && value < 1.6);
	assert_false(fields_number(object, "c", &value));
	json_t *nested = fields_json(object, "f");
	assert_int_equal(fields_int(nested, "g", 0), 1);
	json_decref(nested);
	nested = fields_json(object, "h");
	assert_int_equal(fields_int(nested, "g", 0), 2);
	json_decref(nested);
	json_decref(object);
}

static void entry_ids_order_by_attempt_then_number(void **state)
{
	(void)state;
	struct entry_id id;
	json_t *entry = json("{\"id\":\"2-117\",\"time_ms\":\"5\",\"stderr\":\"a\\nb\",\"lines\":\"2\"}");
	struct log_text log;
	assert_true(entry_id_read(entry, &id));
	assert_int_equal(id.attempt, 2);
	assert_int_equal(id.number, 117);
	assert_true(entry_log(entry, &log));
	assert_string_equal(log.stream, "stderr");
	assert_int_equal(log.lines, 2);
	assert_true(entry_id_after(id, (struct entry_id){ 1, 900 }));
	assert_false(entry_id_after(id, id));
	assert_true(entry_id_after(id, (struct entry_id){ 0, 0 }));
	json_object_set_new(entry, "id", json_string("2-"));
	assert_false(entry_id_read(entry, &id));
	json_decref(entry);
}

struct event_text {
	const char *event; /* with ' for " */
	const char *said;
};

static void events_read_as_sentences(void **state)
{
	(void)state;
	static const struct event_text rows[] = {
		{ "'event':'job.submitted','attempt':'0','actor':'cli:ada'", "submitted by cli:ada" },
		{ "'event':'job.queued','attempt':'0'", "queued" },
		{ "'event':'job.queued','attempt':'1'", "queued for attempt 2" },
		{ "'event':'job.claimed','attempt':'1','worker':'node-7'", "attempt 1 started on node-7" },
		{ "'event':'job.lost','attempt':'1','worker':'node-7','error':'runner killed'",
		  "attempt 1 lost on node-7: runner killed" },
		{ "'event':'job.retrying','attempt':'1','cause':'error','worker':'node-7','error':'exit 1'",
		  "attempt 1 ended on node-7, to be tried again: exit 1" },
		{ "'event':'job.retrying','attempt':'2','actor':'cli:ada','reason':'as gpu-9'",
		  "attempt 2 retried by cli:ada: as gpu-9" },
		{ "'event':'job.cancel_asked','attempt':'1','actor':'cli:ada','reason':'too slow'",
		  "attempt 1 asked to stop by cli:ada: too slow" },
		{ "'event':'job.cancelled','attempt':'1','actor':'worker:node-7','reason':'cancelled'",
		  "attempt 1 cancelled" },
		{ "'event':'checkpoint.committed','attempt':'1','checkpoint':'1-3','step':'15','worker':'node-7'",
		  "attempt 1 saved checkpoint 1-3 at step 15 on node-7" },
		{ "'event':'recovery.detected','attempt':'1','checkpoint':'1-2','step':'14','reason':'NaN'",
		  "attempt 1 corrupted at step 14: NaN" },
		{ "'event':'recovery.started','attempt':'1','checkpoint':'1-2'",
		  "attempt 1 goes back to checkpoint 1-2" },
		{ "'event':'recovery.started','attempt':'1','reason':'no good checkpoint is left'",
		  "attempt 1 goes back to the beginning: no good checkpoint is left" },
		{ "'event':'recovery.checkpoint_selected','attempt':'2','checkpoint':'none','step':'0'",
		  "attempt 2 starts from the beginning" },
		{ "'event':'recovery.resumed','attempt':'2','checkpoint':'cold','step':'0','worker':'node-7'",
		  "attempt 2 started without a checkpoint on node-7" },
		{ "'event':'recovery.resumed','attempt':'2','checkpoint':'1-2','step':10,'worker':'node-7'",
		  "attempt 2 resumed from checkpoint 1-2 at step 10 on node-7" },
		{ "'event':'recovery.completed','attempt':'2','checkpoint':'1-2','step':'11'",
		  "attempt 2 recovered at step 11" },
		{ "'event':'retention.dropped','count':'3','reason':'too many'", "finished jobs dropped, 3: too many" },
		{ "'event':'worker.up','worker':'node-7'", "worker up on node-7" },
		{ "'event':'job.teleported','attempt':'1','checkpoint':'1-2'", "attempt 1 job.teleported 1-2" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *text = mem_printf("{%s}", rows[i].event);
		for (char *c = text; *c; c++)
			if (*c == '\'')
				*c = '"';
		json_t *event = json(text);
		CLEANUP(buf) struct buf b;
		buf_init(&b, 4096);
		entry_event(event, &b);
		assert_string_equal(buf_text(&b), rows[i].said);
		json_decref(event);
		free(text);
	}
}

/* What to type next: only what shows something. */
static void commands_fit_the_job(void **state)
{
	(void)state;
	static const struct event_text rows[] = {
		{ "{\"state\":\"queued\"}", "" },
		{ "{\"state\":\"running\"}", "stoker logs gpu-1 -f" },
		{ "{\"state\":\"waiting\",\"reason\":\"retry\",\"log_next\":\"4\"}",
		  "stoker logs gpu-1 · stoker retry gpu-1" },
		{ "{\"state\":\"waiting\",\"reason\":\"delay\"}", "" },
		{ "{\"state\":\"failed\",\"log_next\":\"1\"}", "stoker retry gpu-1" },
		{ "{\"state\":\"succeeded\",\"log_next\":2,\"metric_next\":\"9\",\"checkpoint\":\"1-3\"}",
		  "stoker logs gpu-1 · stoker metrics gpu-1 · stoker checkpoints gpu-1" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *job = json(rows[i].event);
		CLEANUP(buf) struct buf b;
		buf_init(&b, 4096);
		job_commands(job, "gpu-1", &b);
		assert_string_equal(buf_text(&b), rows[i].said);
		json_decref(job);
	}
}

static void time_that_a_job_ran(void **state)
{
	(void)state;
	json_t *quick = json("{\"state\":\"failed\",\"claimed_ms\":\"1000\",\"ended_ms\":\"1024\",\"ran_ms\":\"24\"}");
	json_t *second = json("{\"state\":\"running\",\"started_ms\":\"9000\",\"ran_ms\":\"5000\"}");
	json_t *queued = json("{\"state\":\"queued\"}");
	assert_int_equal(job_attempt_ms(quick, 5000), 24);
	assert_int_equal(job_ran_ms(quick, 5000), 24);
	assert_int_equal(job_attempt_ms(second, 10000), 1000);
	assert_int_equal(job_ran_ms(second, 10000), 6000);
	assert_int_equal(job_ran_ms(queued, 10000), -1);
	json_decref(quick);
	json_decref(second);
	json_decref(queued);
}

static void outcome_and_exit_code_agree(void **state)
{
	(void)state;
	struct buf b;
	json_t *job =
		json("{\"state\":\"succeeded\",\"attempt\":\"2\",\"submitted_ms\":\"1000\",\"ended_ms\":\"172000\"}");
	buf_init(&b, 4096);
	job_outcome(job, "", &b);
	assert_string_equal(buf_text(&b), "succeeded in 2 min 51 s · 2 attempts");
	assert_int_equal(job_exit_code(job), 0);
	json_decref(job);
	job = json("{\"state\":\"failed\",\"attempt\":1,\"submitted_ms\":0,\"ended_ms\":500,\"error\":\"exit 1\"}");
	buf_clear(&b);
	job_outcome(job, "three times", &b);
	assert_string_equal(buf_text(&b), "failed after 500 ms: exit 1");
	assert_int_equal(job_exit_code(job), EXIT_JOB_FAILED);
	json_object_set_new(job, "state", json_string("cancelled"));
	json_object_set_new(job, "error", json_string("cancelled"));
	buf_clear(&b);
	job_outcome(job, "stopped on request", &b);
	assert_string_equal(buf_text(&b), "cancelled after 500 ms");
	assert_int_equal(job_exit_code(job), EXIT_JOB_CANCELLED);
	assert_true(job_is_final(job));
	json_object_set_new(job, "state", json_string("running"));
	assert_false(job_is_final(job));
	json_decref(job);
	buf_done(&b);
}

static void point(struct progress *p, struct buf *out, const char *text)
{
	struct entry_id id;
	json_t *entry = json(text);
	assert_true(entry_id_read(entry, &id));
	progress_metric(p, id, entry, out);
	json_decref(entry);
}

static void progress_says_few_lines_and_the_share_of_good_work(void **state)
{
	(void)state;
	struct progress p = { .total = 100 };
	struct buf b;
	buf_init(&b, 4096);
	point(&p, &b, "{\"id\":\"1-0\",\"time_ms\":1000,\"resumed_at\":0}");
	point(&p, &b, "{\"id\":\"1-1\",\"time_ms\":1100,\"step\":1,\"loss\":4.5}");
	assert_string_equal(buf_text(&b), "");
	point(&p, &b, "{\"id\":\"1-2\",\"time_ms\":2000,\"step\":10,\"loss\":4.0,\"lr\":0.1}");
	assert_string_equal(buf_text(&b), "step 10/100   loss 4   lr 0.1   10 steps/s\n");
	buf_clear(&b);
	point(&p, &b, "{\"id\":\"1-3\",\"time_ms\":2100,\"step\":60,\"loss\":\"NaN\"}");
	point(&p, &b, "{\"id\":\"2-0\",\"time_ms\":3000,\"resumed_at\":50}");
	buf_clear(&b);
	point(&p, &b, "{\"id\":\"2-1\",\"time_ms\":4000,\"step\":100,\"loss\":1.25}");
	assert_string_equal(buf_text(&b), "step 100/100   loss 1.25   50 steps/s\n");
	buf_clear(&b);
	progress_summary(&p, &b);
	assert_string_equal(buf_text(&b), " · 90.9 % productive · best loss 1.25 at step 100");
	buf_done(&b);
}

static void series_show_their_course(void **state)
{
	(void)state;
	static const char *const entries[] = {
		"{\"id\":\"1-0\",\"time_ms\":1,\"resumed_at\":0}",
		"{\"id\":\"1-1\",\"time_ms\":1,\"step\":1,\"loss\":\"4.5\"}",
		"{\"id\":\"1-2\",\"time_ms\":1,\"step\":2,\"loss\":\"NaN\",\"accuracy\":0.5}",
		"{\"id\":\"2-0\",\"time_ms\":1,\"resumed_at\":2}",
		"{\"id\":\"2-1\",\"time_ms\":1,\"step\":3,\"loss\":\"1.5\"}",
		"{\"id\":\"2-2\",\"time_ms\":1,\"step\":4,\"loss\":\"0.5\"}",
		"{\"id\":\"3-0\",\"time_ms\":1,\"resumed_at\":3}",
	};
	struct series_set set = { 0 };
	struct buf b;
	buf_init(&b, 4096);
	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		json_t *entry = json(entries[i]);
		series_add_entry(&set, entry);
		json_decref(entry);
	}
	series_print(&set, &b);
	assert_string_equal(
		buf_text(&b),
		"loss      4.5 █!▁ 1.5   (3 points, lowest 1.5; attempt 2 from step 2; attempt 3 from step 3)\n"
		"accuracy  0.5 ▅ 0.5   (1 point, lowest 0.5; attempt 2 from step 2; attempt 3 from step 3)\n");
	series_set_done(&set);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_come_as_text_or_as_numbers),
		cmocka_unit_test(entry_ids_order_by_attempt_then_number),
		cmocka_unit_test(events_read_as_sentences),
		cmocka_unit_test(commands_fit_the_job),
		cmocka_unit_test(time_that_a_job_ran),
		cmocka_unit_test(outcome_and_exit_code_agree),
		cmocka_unit_test(progress_says_few_lines_and_the_share_of_good_work),
		cmocka_unit_test(series_show_their_course),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
