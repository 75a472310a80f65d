/* queue/sweep: which jobs a sweep makes, always the same. What is wrong with bad ones is in
 * tests/specs/bad_sweeps.yaml. */
#include "queue/sweep.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "lib/fields.h"

static struct sweep read_sweep(const char *text)
{
	struct sweep sweep;
	struct error err = { 0 };
	if (!sweep_read(text, strlen(text), "s.yaml", "mine", &sweep, &err))
		fail_msg("%s", err.message);
	return sweep;
}

static void test_grid(void **state)
{
	(void)state;
	CLEANUP(sweep)
	struct sweep s = read_sweep("command: [train, '--lr={{lr}}', '{{resume}}', '{{ x }}']\n"
				    "queue: gpu\nenv: {A: '{{name}}-1', lr: none}\n"
				    "sweep: {grid: {name: [a, true], lr: [0.1, 1e-2, 3]}, then: {command: report}}\n");
	static const char *const labels[] = { "lr=0.1 name=a",     "lr=0.1 name=true", "lr=0.01 name=a",
					      "lr=0.01 name=true", "lr=3 name=a",      "lr=3 name=true" };
	assert_int_equal(s.count, 6);
	for (size_t i = 0; i < s.count; i++)
		assert_string_equal(s.labels[i], labels[i]);
	assert_string_equal(
		s.specs[3],
		"{\"batch\":\"mine\",\"command\":[\"train\",\"--lr=0.01\",\"{{resume}}\",\"{{ x }}\"],"
		"\"env\":{\"A\":\"true-1\",\"lr\":\"0.01\",\"name\":\"true\"},\"name\":\"lr=0.01 name=true\","
		"\"queue\":\"gpu\"}");
	assert_string_equal(s.queue, "gpu");
	assert_string_equal(s.batch, "mine");
	assert_string_equal(s.following.then_json, "{\"command\":\"report\"}");
}

static void test_typed_places(void **state)
{
	(void)state;
	CLEANUP(sweep)
	struct sweep s = read_sweep("backend: tinygrad\nbatch: own\nname: 'run {{lr}}'\n"
				    "train: {task: classifier, data: 'd{{n}}.csv', lr: '{{lr}}', batch: '{{n}}'}\n"
				    "resources: {cpus: '{{n}}'}\n"
				    "sweep: {list: [{n: 2, lr: 0.003}]}\n");
	assert_string_equal(
		s.specs[0],
		"{\"backend\":\"tinygrad\",\"batch\":\"own\",\"env\":{\"lr\":\"0.003\",\"n\":\"2\"},"
		"\"name\":\"run 0.003\",\"resources\":{\"cpus\":2},\"train\":{\"batch\":2,\"data\":\"d2.csv\","
		"\"lr\":0.003,\"task\":\"classifier\"}}");
	assert_string_equal(s.batch, "own");
}

static void test_names(void **state)
{
	(void)state;
	CLEANUP(sweep)
	struct sweep s =
		read_sweep("{\"command\": \"x\", \"name\": \"mnist\", \"sweep\": {\"list\": [{\"a\": \"two\\nlines\"}, "
			   "{\"a\": \"ääääääääääääääääääääääääääääääääääääääääääääääää\"}]}}");
	json_auto_t *first = json_loads(s.specs[0], 0, NULL), *second = json_loads(s.specs[1], 0, NULL);
	assert_string_equal(fields_text(first, "name"), "mnist a=two lines");
	assert_int_equal(strlen(fields_text(second, "name")), 64);
}

static void test_random_is_always_the_same(void **state)
{
	(void)state;
	static const char text[] = "command: x\nsweep:\n  count: 1000\n  seed: %d\n  random:\n"
				   "    r: {min: 1, max: 2}\n    l: {min: 0.0001, max: 1, log: true}\n"
				   "    i: {min: 1, max: 3, int: true}\n    c: [x, y]\n";
	CLEANUP(free_p) char *one = mem_printf(text, 1), *other = mem_printf(text, 2);
	CLEANUP(sweep) struct sweep a = read_sweep(one), b = read_sweep(one), c = read_sweep(other);
	size_t counts[4] = { 0 }, low = 0, xs = 0, same = 0;
	double sum = 0;
	for (size_t i = 0; i < a.count; i++) {
		assert_string_equal(a.specs[i], b.specs[i]);
		same += strcmp(a.specs[i], c.specs[i]) == 0;
		json_auto_t *spec = json_loads(a.specs[i], 0, NULL);
		const json_t *env = json_object_get(spec, "env");
		double r = 0, l = 0;
		assert_true(fields_number(env, "r", &r) && r >= 1 && r < 2);
		assert_true(fields_number(env, "l", &l) && l >= 0.0001 && l < 1);
		assert_in_range(fields_int(env, "i", 0), 1, 3);
		counts[fields_int(env, "i", 0)]++;
		low += l < 0.01;
		xs += fields_is(env, "c", "x");
		sum += r;
	}
	assert_int_equal(same, 0);
	assert_in_range(sum, 1450, 1550);
	assert_in_range(low, 420, 580); /* half of the decades */
	assert_in_range(xs, 420, 580);
	for (size_t i = 1; i <= 3; i++)
		assert_in_range(counts[i], 260, 410);
	assert_string_equal(a.labels[0], "c=y i=3 l=0.765616 r=1.44436");
}

static void test_ten_thousand(void **state)
{
	(void)state;
	CLEANUP(sweep)
	struct sweep s = read_sweep("command: x\nsweep: {random: {a: {min: 0, max: 1}}, count: 10000}");
	assert_int_equal(s.count, SWEEP_MAX_JOBS);
}

static void test_what_is_a_sweep(void **state)
{
	(void)state;
	assert_true(sweep_is_one("sweep: 3", 8));
	assert_false(sweep_is_one("command: sweep", 14));
	assert_false(sweep_is_one("sweep: [", 8));
}

static void test_where_it_is_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "command: x\nsweep:\n  grid:\n    a: [1]\n    b: 3\n",
		  "s.yaml:5: sweep.grid.b: expected a list of 1 to 10000 values, got 3" },
		{ "command: x\npriority: '{{a}}'\nsweep:\n  list: [{a: 12}]\n",
		  "s.yaml:2: job 1 of the sweep (a=12): priority: expected an integer from 0 to 9, got 12" },
		{ "name: x\ncommand:\n- y\n- '{{b}}'\nsweep: {list: [{a: 12}]}\n",
		  "s.yaml:4: job 1 of the sweep (a=12): command[1]: {{b}} is no parameter of the sweep; it has a" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sweep sweep;
		struct error err = { 0 };
		assert_false(sweep_read(cases[i].text, strlen(cases[i].text), "s.yaml", "b", &sweep, &err));
		assert_string_equal(err.message, cases[i].says);
		assert_int_equal(sweep.count, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grid),
		cmocka_unit_test(test_typed_places),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_random_is_always_the_same),
		cmocka_unit_test(test_ten_thousand),
		cmocka_unit_test(test_what_is_a_sweep),
		cmocka_unit_test(test_where_it_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
