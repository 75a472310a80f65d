/* What is written to the stoker command: options, --set, paths in a spec. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/args.h"
#include "cli/set.h"
#include "cli/spec_file.h"
#include "lib/buf.h"

struct options {
	bool follow;
	const char *queue;
	int64_t tail;
	struct arg_list sets;
};

static const struct arg_row rows[] = {
	{ "follow", 'f', ARG_FLAG, offsetof(struct options, follow), NULL, "", 0 },
	{ "queue", 'q', ARG_TEXT, offsetof(struct options, queue), "QUEUE", "", 0 },
	{ "tail", 'n', ARG_INT, offsetof(struct options, tail), "N", "", 1 },
	{ "set", 's', ARG_LIST, offsetof(struct options, sets), "KEY=VALUE", "", 0 },
};

static bool parse(struct options *options, struct arg_list *words, struct error *err, const char *const *argv)
{
	const struct arg_table table = { rows, ARRAY_LEN(rows) };
	void *const intos[] = { options };
	*options = (struct options){ 0 };
	*words = (struct arg_list){ 0 };
	return args_parse(&table, intos, 1, argv, words, err);
}

static void release(struct options *options, struct arg_list *words)
{
	const struct arg_table table = { rows, ARRAY_LEN(rows) };
	args_done(&table, options);
	arg_list_done(words);
}

static void options_and_words_mix(void **state)
{
	(void)state;
	struct options o;
	struct arg_list words;
	struct error err;
	const char *argv[] = { "gpu-1", "-fn20", "--queue=gpu", "--set", "a=1", "-s", "b=2", "--", "--follow", NULL };
	assert_true(parse(&o, &words, &err, argv));
	assert_true(o.follow);
	assert_int_equal(o.tail, 20);
	assert_string_equal(o.queue, "gpu");
	assert_int_equal(o.sets.count, 2);
	assert_string_equal(o.sets.items[1], "b=2");
	assert_int_equal(words.count, 2);
	assert_string_equal(words.items[0], "gpu-1");
	assert_string_equal(words.items[1], "--follow");
	release(&o, &words);
}

struct mistake {
	const char *argv[4];
	const char *message;
	const char *hint;
};

static void mistakes_are_explained(void **state)
{
	(void)state;
	static struct mistake mistakes[] = {
		{ { "--folow" }, "there is no option --folow", "did you mean --follow?" },
		{ { "--zzz" }, "there is no option --zzz", "" },
		{ { "-x" }, "there is no option -x", "" },
		{ { "--queue" }, "--queue wants a value: --queue QUEUE", "" },
		{ { "--follow=yes" }, "--follow takes no value", "" },
		{ { "--tail", "few" }, "--tail: expected an integer of at least 1, got \"few\"", "" },
		{ { "-n", "0" }, "--tail: expected an integer of at least 1, got \"0\"", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
		struct options o;
		struct arg_list words;
		struct error err = { 0 };
		assert_false(parse(&o, &words, &err, mistakes[i].argv));
		assert_string_equal(err.message, mistakes[i].message);
		assert_string_equal(err.hint, mistakes[i].hint);
		assert_int_equal(err.kind, ERR_INPUT);
		release(&o, &words);
	}
}

struct assignment {
	const char *before;
	const char *set;
	const char *after; /* NULL: refused */
};

static void set_changes_one_key(void **state)
{
	(void)state;
	static const struct assignment table[] = {
		{ "{}", "name=x", "{\"name\":\"x\"}" },
		{ "{}", "resources.cpus=2", "{\"resources\":{\"cpus\":2}}" },
		{ "{\"train\":{\"steps\":1,\"lr\":2}}", "train.steps=500", "{\"train\":{\"lr\":2,\"steps\":500}}" },
		{ "{\"a\":null}", "a.b=1", "{\"a\":{\"b\":1}}" },
		{ "{}", "name='42'", "{\"name\":\"42\"}" },
		{ "{}", "env.URL=http://x/?a=b", "{\"env\":{\"URL\":\"http://x/?a=b\"}}" },
		{ "{}", "tags=[a, b]", "{\"tags\":[\"a\",\"b\"]}" },
		{ "{\"command\":[\"a\",\"b\"]}", "command.1=c", "{\"command\":[\"a\",\"c\"]}" },
		{ "{\"command\":[\"a\"]}", "command.1=c", NULL },
		{ "{\"name\":\"x\"}", "name.first=c", NULL },
		{ "{}", "name", NULL },
		{ "{}", "=x", NULL },
		{ "{}", "tags=[a", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct error err = { 0 };
		json_t *document = json_loads(table[i].before, 0, NULL);
		assert_int_equal(set_apply(document, table[i].set, &err), table[i].after != NULL);
		char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
		if (table[i].after)
			assert_string_equal(text, table[i].after);
		else
			assert_non_null(strstr(err.message, table[i].set));
		free(text);
		json_decref(document);
	}
}

static void existing_training_data_becomes_absolute(void **state)
{
	(void)state;
	char folder[] = "/tmp/stoker-test-XXXXXX";
	char real[PATH_MAX];
	assert_non_null(mkdtemp(folder));
	assert_non_null(realpath(folder, real));
	char *file = mem_printf("%s/words.txt", folder);
	int fd = open(file, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	json_t *spec = json_loads("{\"train\":{\"text\":\"words.txt\",\"data\":[\"words.txt\",\"gone\",\"/etc\"]},"
				  "\"name\":\"words.txt\"}",
				  0, NULL);
	spec_file_absolute(spec, folder);
	char *expected = mem_printf("{\"name\":\"words.txt\",\"train\":{\"data\":[\"%s/words.txt\",\"gone\",\"/etc\"],"
				    "\"text\":\"%s/words.txt\"}}",
				    real, real);
	char *text = json_dumps(spec, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, expected);
	free(text);
	free(expected);
	json_decref(spec);
	unlink(file);
	rmdir(folder);
	free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_and_words_mix),
		cmocka_unit_test(mistakes_are_explained),
		cmocka_unit_test(set_changes_one_key),
		cmocka_unit_test(existing_training_data_becomes_absolute),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
