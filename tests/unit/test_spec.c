/*
 * queue/spec: the decoder against its table. The sentences for bad specs stand in
 * tests/specs/bad.yaml, which tests/integration/test_bad_specs.py reads, too.
 */
#include "queue/spec.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "lib/json.h"
#include "lib/yaml.h"
#include "queue/spec_table.h"

#define BAD_SPECS SOURCE_DIR "/tests/specs/bad.yaml"

static struct spec decode(const char *yaml)
{
	struct error err = { 0 };
	struct spec spec;
	CLEANUP(free_p) char *json = NULL;
	if (!spec_normalize(yaml, strlen(yaml), "t", &json, &err) || !spec_from_json(json, strlen(json), &spec, &err))
		fail_msg("%s", err.message);
	return spec;
}

static void test_defaults(void **state)
{
	(void)state;
	CLEANUP(spec) struct spec s = decode("command: [python3, train.py]");
	assert_null(s.name);
	assert_null(s.queue);
	assert_int_equal(s.backend, BACKEND_COMMAND);
	assert_int_equal(s.command.count, 2);
	assert_string_equal(s.command.items[1], "train.py");
	assert_int_equal(s.resources.cpus, 1);
	assert_int_equal(s.resources.gpus, 0);
	assert_int_equal(s.resources.memory_bytes, 0);
	assert_int_equal(s.priority, 5);
	assert_int_equal(s.timeout_ms, 0);
	assert_int_equal(s.grace_ms, 30000);
	assert_int_equal(s.lease_ms, 10000);
	assert_int_equal(s.on_partition, PARTITION_CONTINUE);
	assert_int_equal(s.retry.max_attempts, 3);
	assert_int_equal(s.retry.max_backoff_ms, 60000);
	assert_true(s.retry.jitter == 0.25);
	assert_int_equal(s.retry.growth, GROWTH_EXPONENTIAL);
	assert_int_equal(s.retry.on_exit.count + s.retry.elsewhere_ms, 0);
	assert_true(s.recovery.enabled && s.recovery.restore_optimizer);
	assert_string_equal(s.recovery.checkpoint, "latest");
	assert_int_equal(s.recovery.no_checkpoint, NO_CHECKPOINT_RESTART);
	assert_int_equal(s.checkpoint.keep_last, 3);
	assert_int_equal(s.checkpoint.every.steps + s.checkpoint.every.ms, 0);
	assert_true(s.metrics.parse);
	assert_string_equal(s.metrics.watch, "loss");
	assert_null(s.train_json);
}

static void test_every_key(void **state)
{
	(void)state;
	CLEANUP(spec)
	struct spec s = decode(
		"name: n\nqueue: gpu\nbackend: command\ncommand: echo $A\nenv: {A: b, _c: ''}\nworkdir: /w\npriority: "
		"9\n"
		"tags: [x, y]\nexperiment: e\ndelay: 1m\ntimeout: 2 h\nstall_timeout: 90\ngrace: 1.5\nlease: 20s\n"
		"on_partition: stop\nresources: {cpus: 2, gpus: 3, memory: 1.5GiB, labels: {gpu: a100}}\n"
		"retry: {max_attempts: 4, max_lost: 5, backoff: 100ms, max_backoff: 2s, jitter: 1,\n"
		"  growth: linear, on_exit: [1, SIGKILL, 255], never_on_exit: [2], on_output: [a b], never_on_output: "
		"[c, d],\n  elsewhere: 5m}\n"
		"recovery: {enabled: false, max_attempts: 0, backoff: 0, max_backoff: 0, jitter: 0, nonfinite: 0,\n"
		"  checkpoint: 2-1, restore_optimizer: false, no_checkpoint: fail}\n"
		"checkpoint: {paths: ['out/*.pt'], every: 10m, keep_last: 1}\nmetrics: {parse: false, watch: "
		"val/loss}\n");
	assert_string_equal(s.name, "n");
	assert_string_equal(s.queue, "gpu");
	assert_int_equal(s.command.count, 3);
	assert_string_equal(s.command.items[0], "/bin/sh");
	assert_string_equal(s.command.items[2], "echo $A");
	assert_int_equal(s.env.count, 2);
	assert_string_equal(s.workdir, "/w");
	assert_int_equal(s.priority, 9);
	assert_int_equal(s.tags.count, 2);
	assert_string_equal(s.experiment, "e");
	assert_int_equal(s.delay_ms, 60000);
	assert_int_equal(s.timeout_ms, 7200000);
	assert_int_equal(s.stall_timeout_ms, 90000);
	assert_int_equal(s.grace_ms, 1500);
	assert_int_equal(s.lease_ms, 20000);
	assert_int_equal(s.on_partition, PARTITION_STOP);
	assert_int_equal(s.resources.cpus * 10 + s.resources.gpus, 23);
	assert_int_equal(s.resources.memory_bytes, 1610612736);
	assert_string_equal(s.resources.labels.items[0].value, "a100");
	assert_int_equal(s.retry.max_attempts * 10 + s.retry.max_lost, 45);
	assert_int_equal(s.retry.backoff_ms, 100);
	assert_int_equal(s.retry.max_backoff_ms, 2000);
	assert_true(s.retry.jitter == 1);
	assert_int_equal(s.retry.growth, GROWTH_LINEAR);
	assert_int_equal(s.recovery.growth, GROWTH_EXPONENTIAL);
	assert_int_equal(s.retry.on_exit.count, 3);
	assert_string_equal(s.retry.on_exit.items[0], "1");
	assert_string_equal(s.retry.on_exit.items[1], "SIGKILL");
	assert_int_equal(s.retry.never_on_exit.count * 10 + s.retry.never_on_output.count, 12);
	assert_string_equal(s.retry.on_output.items[0], "a b");
	assert_int_equal(s.retry.elsewhere_ms, 300000);
	assert_false(s.recovery.enabled || s.recovery.restore_optimizer);
	assert_int_equal(s.recovery.max_attempts + s.recovery.max_backoff_ms + s.recovery.nonfinite, 0);
	assert_string_equal(s.recovery.checkpoint, "2-1");
	assert_int_equal(s.recovery.no_checkpoint, NO_CHECKPOINT_FAIL);
	assert_string_equal(s.checkpoint.paths.items[0], "out/*.pt");
	assert_int_equal(s.checkpoint.every.ms, 600000);
	assert_int_equal(s.checkpoint.keep_last, 1);
	assert_false(s.metrics.parse);
	assert_string_equal(s.metrics.watch, "val/loss");
}

static void test_train_gets_its_defaults(void **state)
{
	(void)state;
	CLEANUP(spec)
	struct spec s = decode("backend: tinygrad\ntrain: {task: classifier, data: d.csv, lr: 1e-3}\n"
			       "checkpoint: {every: 200 steps}");
	assert_int_equal(s.backend, BACKEND_TINYGRAD);
	assert_int_equal(s.command.count, 0);
	assert_int_equal(s.checkpoint.every.steps, 200);
	assert_string_equal(s.train_json,
			    "{\"batch\":32,\"data\":\"d.csv\",\"layers\":2,\"lr\":0.001,\"optimize\":false,\"seed\":1,"
			    "\"steps\":1000,\"task\":\"classifier\",\"width\":64}");
}

static void test_leniencies(void **state)
{
	(void)state;
	/* null is not given; an empty list and an empty object are the same; 2.0 is an integer */
	CLEANUP(spec)
	struct spec s = decode("{command: a, name: null, env: [], tags: {}, retry: , resources: {gpus: 2.0}}");
	assert_null(s.name);
	assert_int_equal(s.env.count + s.tags.count, 0);
	assert_int_equal(s.resources.gpus, 2);
	/* a lower bound that was given raises the default above it */
	CLEANUP(spec) struct spec r = decode("command: a\nretry: {backoff: 5m}");
	assert_int_equal(r.retry.max_backoff_ms, 300000);
}

static void test_what_only_a_reader_of_json_sees(void **state)
{
	(void)state;
	static const char *const cases[] = { "{\"command\":\"a\",\"command\":\"b\"}",
					     "{\"command\":\"a\",}",
					     "{\"command\":\"a\",\"priority\":0x5}",
					     "{\"command\":\"a\"} {}",
					     "command: a",
					     "" };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = { 0 };
		struct spec spec;
		assert_false(spec_from_json(cases[i], strlen(cases[i]), &spec, &err));
		assert_memory_equal(err.message, "spec: not valid JSON: ", 22);
	}
	struct spec spec;
	assert_false(spec_from_json("{\"command\":\"a\",\"priority\":5\0}", 29, &spec, NULL));
}

static void test_one_spelling(void **state)
{
	(void)state;
	struct error err = { 0 };
	CLEANUP(free_p) char *a = NULL, *b = NULL;
	const char *yaml = "retry:\n  jitter: 0.50\n  backoff: 5\ncommand: ['é']\n";
	const char *json = " {\"command\": [\"\\u00e9\"], \"retry\": {\"backoff\": 5.0, \"jitter\": 5e-1}}";
	assert_true(spec_normalize(yaml, strlen(yaml), NULL, &a, &err));
	assert_true(spec_normalize(json, strlen(json), NULL, &b, &err));
	assert_string_equal(a, b);
	assert_string_equal(a, "{\"command\":[\"é\"],\"retry\":{\"backoff\":5,\"jitter\":0.5}}");
}

/* ---- tests/specs/bad.yaml ---- */

static json_t *load_bad_specs(void)
{
	static char text[YAML_MAX_BYTES];
	struct error err = { 0 };
	CLEANUP(fclose_p) FILE *f = fopen(BAD_SPECS, "r");
	assert_non_null(f);
	size_t len = fread(text, 1, sizeof text, f);
	json_t *cases = yaml_decode(text, len, BAD_SPECS, &err);
	if (!cases)
		fail_msg("%s", err.message);
	return cases;
}

/* The text that a case sends, with its padding. */
static void text_of_case(const json_t *c, struct buf *out)
{
	const char *text = json_string_value(json_object_get(c, "json"));
	const char *latin1 = json_string_value(json_object_get(c, "latin1"));
	if (!text)
		text = json_string_value(json_object_get(c, "yaml"));
	if (text)
		buf_str(out, text);
	for (const char *p = latin1; p && *p; p++) { /* U+0080 to U+00FF stand for one byte */
		if ((unsigned char)*p >= 0xc2)
			buf_byte(out, (char)(((unsigned char)p[0] << 6) | (p[1] & 0x3f)));
		else if ((unsigned char)*p < 0x80)
			buf_byte(out, *p);
	}
	if (!out->len)
		json_canonical(json_object_get(c, "spec"), out);
	for (json_int_t pad = json_integer_value(json_object_get(c, "pad")); pad > 0; pad--)
		buf_byte(out, ' ');
}

static void test_bad_specs(void **state)
{
	(void)state;
	json_auto_t *cases = load_bad_specs();
	json_auto_t *seen = json_object();
	size_t i, wrong = 0;
	const json_t *c;
	json_array_foreach(cases, i, c)
	{
		const char *says = json_string_value(json_object_get(c, "says"));
		bool has_place = strncmp(says, "bad.yaml:", 9) == 0;
		struct error err = { 0 };
		CLEANUP(buf) struct buf text;
		CLEANUP(free_p) char *json = NULL;
		buf_init(&text, YAML_MAX_BYTES);
		text_of_case(c, &text);
		bool ok = spec_normalize(buf_text(&text), text.len, has_place ? "bad.yaml" : NULL, &json, &err);
		if (ok || strcmp(err.message, says) != 0) {
			print_error("%s\n  expected %s\n  got      %s\n", json ? json : "", says, err.message);
			wrong++;
		}
		assert_false(json_object_get(seen, says)); /* each case has its own sentence */
		json_object_set_new(seen, says, json_true());
	}
	assert_int_equal(wrong, 0);
	assert_true(json_array_size(cases) >= 60);
}

static void test_hints(void **state)
{
	(void)state;
	static const char *const cases[][2] = { { "comand: a", "did you mean command?" },
						{ "{command: a, resources: {gpu: 1}}", "did you mean gpus?" },
						{ "{command: a, rety: {}}", "did you mean retry?" },
						{ "{command: a, zebra: {}}", "" } };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = { 0 };
		char *json = NULL;
		assert_false(spec_normalize(cases[i][0], strlen(cases[i][0]), NULL, &json, &err));
		assert_string_equal(err.hint, cases[i][1]);
	}
}

static void test_names(void **state)
{
	(void)state;
	char queue[SPEC_QUEUE_MAX + 1];
	int64_t n = 0;
	struct error err = { 0 };
	assert_true(spec_split_id("gpu-42", queue, &n, &err));
	assert_string_equal(queue, "gpu");
	assert_int_equal(n, 42);
	assert_true(spec_split_id("big-gpu-1-7", queue, &n, &err));
	assert_string_equal(queue, "big-gpu-1");
	static const char *const bad[] = { "",
					   "gpu",
					   "gpu-",
					   "-1",
					   "gpu-0",
					   "gpu-01",
					   "GPU-1",
					   "gpu--",
					   "gpu-1a",
					   "g u-1",
					   "gpu-99999999999999999999",
					   "gpu- 1",
					   "gpu-+1" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(spec_split_id(bad[i], queue, &n, &err));
	assert_string_equal(err.message, "\"gpu-+1\" is not a job id");
	assert_true(spec_is_queue("a") && spec_is_queue("0-a-"));
	assert_false(spec_is_queue("") || spec_is_queue("-a") || spec_is_queue("a_b") || spec_is_queue(NULL));
	char longest[SPEC_QUEUE_MAX + 2];
	memset(longest, 'q', sizeof longest);
	longest[SPEC_QUEUE_MAX + 1] = '\0';
	assert_false(spec_is_queue(longest));
	longest[SPEC_QUEUE_MAX] = '\0';
	assert_true(spec_is_queue(longest));
}

/* ---- anything at all ---- */

/* xorshift: the same bytes on every machine. */
static uint32_t chance(uint32_t *seed, uint32_t below)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed % below;
}

static void test_damaged_specs_are_refused_or_read(void **state)
{
	(void)state;
	static const char *const seeds[] = {
		"name: x\nbackend: tinygrad\ntrain: {task: language-model, text: docs/, lr: 3e-3}\n"
		"checkpoint: {every: 200 steps, paths: [\"a/*\", 'b']}\nresources: {cpus: 1, labels: {a: b}}\n",
		"{\"command\": [\"a\", \"\\u00e9\\ud83d\\ude00\"], \"env\": {\"A\": \"1\"}, \"retry\": {\"jitter\": "
		"0.5, "
		"\"backoff\": \"5s\", \"max_backoff\": 60}, \"tags\": [\"x\"], \"priority\": 9}",
		"command: |\n  a\n  b\n? [x]\n: &a !t y\n--- # c\n*a : >-\n  \"\\x41\"\n",
	};
	static const char marks[] = "{}[]:,\"'\\-&*!|>%#?~\n\t \0\x80\xc3\xff"
				    "0e.";
	uint32_t seed = 20261122;
	size_t taken = 0;
	for (int round = 0; round < 30000; round++) {
		char text[512];
		const char *from = seeds[chance(&seed, ARRAY_LEN(seeds))];
		size_t len = strlen(from);
		memcpy(text, from, len);
		for (uint32_t edits = chance(&seed, 5); edits > 0; edits--) {
			size_t at = chance(&seed, (uint32_t)len);
			if (chance(&seed, 3) == 0 && len > 1) {
				memmove(text + at, text + at + 1, len - at - 1);
				len--;
			} else {
				text[at] = chance(&seed, 4) ? marks[chance(&seed, sizeof marks)]
							    : (char)chance(&seed, 256);
			}
		}
		struct error err = { 0 };
		CLEANUP(free_p) char *json = NULL;
		CLEANUP(spec) struct spec spec = { 0 };
		if (!spec_normalize(text, len, "t", &json, &err)) {
			assert_int_equal(err.kind, ERR_INPUT);
			assert_true(err.message[0]);
			continue;
		}
		/* what is normalized is a fixed point, and what Redis would hold can be decoded */
		CLEANUP(free_p) char *again = NULL;
		assert_true(spec_normalize(json, strlen(json), NULL, &again, &err));
		assert_string_equal(json, again);
		assert_true(spec_from_json(json, strlen(json), &spec, &err));
		taken++;
	}
	assert_in_range(taken, 1000, 29000); /* the damage is neither nothing nor everything */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_train_gets_its_defaults),
		cmocka_unit_test(test_leniencies),
		cmocka_unit_test(test_what_only_a_reader_of_json_sees),
		cmocka_unit_test(test_one_spelling),
		cmocka_unit_test(test_bad_specs),
		cmocka_unit_test(test_hints),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_damaged_specs_are_refused_or_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
