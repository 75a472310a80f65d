/* worker/control: what a program may say on its control fd, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "worker/control.h"

static bool parse(const char *text, struct control_line *line, struct error *err)
{
	*err = (struct error){ 0 };
	return control_parse(text, strlen(text), line, err);
}

static void test_metric(void **state)
{
	(void)state;
	struct control_line line;
	struct error err;
	assert_true(parse("{\"t\":\"metric\",\"step\":7,\"epoch\":1.5,\"loss\":0.25,\"a\":NaN,\"b\":-Infinity,\"note\":"
			  "\"NaN, \\\" x\"}",
			  &line, &err));
	assert_int_equal(line.kind, CONTROL_METRIC);
	assert_int_equal(line.point.step, 7);
	assert_true(line.point.epoch == 1.5);
	assert_int_equal(line.point.count, 3);
	assert_true(metric_point_find(&line.point, "loss")->value == 0.25);
	assert_true(isnan(metric_point_find(&line.point, "a")->value));
	assert_true(isinf(metric_point_find(&line.point, "b")->value));
	control_line_done(&line);
}

static void test_checkpoint(void **state)
{
	(void)state;
	struct control_line line;
	struct error err;
	assert_true(parse("{\"t\":\"checkpoint\",\"path\":\"out/"
			  "a.pt\",\"step\":200,\"sha256\":\"ab\",\"size\":1,\"optimizer\":true}",
			  &line, &err));
	assert_int_equal(line.kind, CONTROL_CHECKPOINT);
	assert_string_equal(line.path, "out/a.pt");
	assert_string_equal(line.sha256, "ab");
	assert_int_equal(line.step, 200);
	assert_int_equal(line.optimizer, 1);
	control_line_done(&line);
	assert_true(parse("{\"t\":\"checkpoint\",\"path\":\"a\"}", &line, &err));
	assert_int_equal(line.step, -1);
	assert_int_equal(line.optimizer, -1);
	assert_null(line.sha256);
	control_line_done(&line);
}

static void test_the_others(void **state)
{
	(void)state;
	struct control_line line;
	struct error err;
	assert_true(parse("{\"t\":\"progress\",\"step\":10,\"total\":2000}", &line, &err));
	assert_int_equal(line.step, 10);
	assert_int_equal(line.total, 2000);
	assert_true(parse("{\"t\":\"metric\",\"step\":3,\"steps\":20,\"loss\":0.5}", &line, &err));
	assert_int_equal(line.point.total, 20);
	assert_int_equal(line.point.count, 1);
	assert_true(parse("{\"t\":\"result\",\"value\":{\"b\":0.1,\"a\":[NaN,2]}}", &line, &err));
	assert_int_equal(line.kind, CONTROL_RESULT);
	assert_string_equal(line.result, "{\"a\":[\"NaN\",2],\"b\":0.1}");
	control_line_done(&line);
	assert_true(parse("{\"t\":\"result\",\"value\":null}", &line, &err));
	assert_string_equal(line.result, "null");
	control_line_done(&line);
	assert_true(parse("{\"t\":\"heartbeat\"}", &line, &err));
	assert_int_equal(line.kind, CONTROL_HEARTBEAT);
	assert_true(parse("{\"t\":\"corrupted\",\"reason\":\"bad\",\"onset\":120}", &line, &err));
	assert_string_equal(line.reason, "bad");
	assert_int_equal(line.onset, 120);
	control_line_done(&line);
	assert_true(parse("{\"t\":\"resumed\",\"step\":3,\"new\":[1]}", &line, &err)); /* newer programs may say more */
	assert_int_equal(line.kind, CONTROL_RESUMED);
	assert_true(parse("{\"t\":\"preempted\",\"step\":3}", &line, &err));
	assert_true(parse("{\"t\":\"done\"}", &line, &err));
	assert_int_equal(line.kind, CONTROL_DONE);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"x",
		"[]",
		"{}",
		"{\"t\":5}",
		"{\"t\":\"nonsense\"}",
		"{\"t\":\"metric\"}",
		"{\"t\":\"metric\",\"step\":1,\"name\":\"x\"}",
		"{\"t\":\"checkpoint\"}",
		"{\"t\":\"checkpoint\",\"path\":5}",
		"{\"t\":\"metric\",\"step\":-5,\"loss\":5}",
		"{\"t\":\"metric\",\"step\":\"soon\",\"loss\":5}",
		"{\"t\":\"corrupted\",\"onset\":-1}",
		"{\"t\":\"progress\",\"step\":1,\"total\":1e300}",
		"{\"t\":\"progress\"}",
		"{\"t\":\"result\"}",
		"{\"t\":\"result\",\"result\":1}",
		"{\"t\":\"done\"",
		"{\"t\":\"done\"} x",
		"{\"t\":\"done\",\"t\":\"done\"}",
		"\"NaN",
		"{\"t\":\"metric\",\"a\":\\",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct control_line line;
		struct error err;
		if (parse(bad[i], &line, &err))
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.kind, ERR_INPUT);
	}
}

struct heard {
	int lines, bad;
	int64_t step;
};

static void hear(void *arg, const struct control_line *line)
{
	struct heard *heard = arg;
	heard->lines++;
	heard->step = line->step;
}

static void hear_bad(void *arg, const struct error *err)
{
	struct heard *heard = arg;
	heard->bad += err->kind == ERR_INPUT;
}

static void test_the_pipe(void **state)
{
	static const char said[] = "{\"t\":\"progress\",\"step\":1}\n\nnonsense\n{\"t\":\"progress\",\"step\":2}";
	struct heard heard = { 0 };
	struct error err;
	int fd;
	(void)state;
	struct event_base *base = event_base_new();
	struct control *control = control_new(base, hear, hear_bad, &heard, &fd, &err);
	assert_non_null(control);
	assert_int_equal(write(fd, said, sizeof said - 1), sizeof said - 1);
	event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(heard.lines, 1);
	assert_int_equal(heard.bad, 1);
	control_end(control); /* the unterminated last line counts, although the pipe is still held */
	assert_int_equal(heard.lines, 2);
	assert_int_equal(heard.step, 2);
	control_free(control);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metric),  cmocka_unit_test(test_checkpoint), cmocka_unit_test(test_the_others),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_the_pipe),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
