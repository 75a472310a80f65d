/* lib/config: who wins, what is refused and in which words, and the value grammars. */
#include "lib/config.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"

struct settings {
	char *url;
	char *token;
	int64_t cpus;
	int64_t grace_ms;
	int64_t memory_bytes;
	bool json;
	char *level;
	char *queues;
};

#define FIELD(name) offsetof(struct settings, name)
static const struct option_row rows[] = {
	{ "redis-url", OPTION_TEXT, FIELD(url), "redis://127.0.0.1", 0, 0, NULL, "where Redis is", false },
	{ "token", OPTION_TEXT, FIELD(token), NULL, 0, 0, NULL, "the secret", true },
	{ "cpus", OPTION_INT, FIELD(cpus), "2", 0, 1024, NULL, "cpus to use", false },
	{ "grace", OPTION_DURATION, FIELD(grace_ms), "30s", 0, 3600000, NULL, "time to stop", false },
	{ "memory", OPTION_SIZE, FIELD(memory_bytes), "0", 0, 1ll << 40, NULL, "memory to use", false },
	{ "log-json", OPTION_BOOL, FIELD(json), "false", 0, 0, NULL, "log JSON", false },
	{ "log-level", OPTION_CHOICE, FIELD(level), "info", 0, 0, "error|info|debug", "how much to log", false },
	{ "queues", OPTION_LIST, FIELD(queues), "default", 0, 0, NULL, "queues to serve", false },
};
static const struct option_table table = { "stoker-test", "a test", "stoker-test [options]", rows, 8 };

static struct settings s;
static struct config_origin origins[8];
static struct error err;

static enum config_result load(int *rest, int argc, ...)
{
	char *argv[16] = { (char *)"stoker-test" };
	va_list args;
	va_start(args, argc);
	for (int i = 1; i <= argc; i++)
		argv[i] = va_arg(args, char *);
	va_end(args);
	memset(&s, 0, sizeof s);
	return config_load(&table, argc + 1, argv, &s, origins, rest, &err);
}

static char *write_file(const char *text)
{
	char *path = mem_strdup("/tmp/stoker-test-config-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

static void test_defaults(void **state)
{
	(void)state;
	assert_int_equal(load(NULL, 0), CONFIG_OK);
	assert_string_equal(s.url, "redis://127.0.0.1");
	assert_null(s.token);
	assert_int_equal(s.cpus, 2);
	assert_int_equal(s.grace_ms, 30000);
	assert_false(s.json);
	assert_string_equal(origins[0].text, "default");
	config_done(&table, &s);
	assert_null(s.url);
}

static void test_flag_over_environment_over_file(void **state)
{
	(void)state;
	CLEANUP(free_p)
	char *path = write_file("# mine\ncpus: 3\nmemory: 2GiB\nredis_url: redis://file\nqueues: [a, b]\n"
				"grace: 90\nlog-json: true\n");
	setenv("STOKER_CPUS", "4", 1);
	setenv("STOKER_MEMORY", "1GiB", 1);
	assert_int_equal(load(NULL, 4, "--config", path, "--cpus=5", "--log-level=debug"), CONFIG_OK);
	unsetenv("STOKER_CPUS");
	unsetenv("STOKER_MEMORY");
	unlink(path);
	assert_int_equal(s.cpus, 5);
	assert_string_equal(origins[2].text, "flag --cpus");
	assert_int_equal(s.memory_bytes, 1 << 30);
	assert_string_equal(origins[4].text, "STOKER_MEMORY");
	assert_string_equal(s.url, "redis://file");
	CLEANUP(free_p) char *line = mem_printf("%s:4", path);
	assert_string_equal(origins[0].text, line);
	assert_string_equal(s.queues, "a,b");
	assert_int_equal(s.grace_ms, 90000);
	assert_true(s.json);
	assert_string_equal(s.level, "debug");
	config_done(&table, &s);
}

static void test_words_end_the_options(void **state)
{
	(void)state;
	int rest = 0;
	assert_int_equal(load(&rest, 4, "--log-json", "--cpus", "1", "submit"), CONFIG_OK);
	assert_int_equal(rest, 4);
	assert_true(s.json);
	config_done(&table, &s);
	assert_int_equal(load(&rest, 2, "--", "--cpus"), CONFIG_OK);
	assert_int_equal(rest, 2);
	config_done(&table, &s);
	assert_int_equal(load(&rest, 1, "-"), CONFIG_OK);
	assert_int_equal(rest, 1);
	config_done(&table, &s);
	assert_int_equal(load(NULL, 1, "submit"), CONFIG_FAILED);
	assert_string_equal(err.message, "submit: unexpected word");
	assert_null(s.url); /* nothing to free after a failure */
}

static void test_help_wins_over_what_follows(void **state)
{
	(void)state;
	assert_int_equal(load(NULL, 2, "--help", "--nonsense"), CONFIG_HELP);
	assert_int_equal(load(NULL, 1, "-h"), CONFIG_HELP);
	assert_int_equal(load(NULL, 1, "--version"), CONFIG_VERSION);
	assert_int_equal(load(NULL, 2, "--redis-url", "--help"), CONFIG_OK);
	assert_string_equal(s.url, "--help");
	config_done(&table, &s);
}

static void refuses(const char *arg, const char *value, const char *message, const char *hint)
{
	assert_int_equal(load(NULL, value ? 2 : 1, arg, value), CONFIG_FAILED);
	assert_int_equal(err.kind, ERR_INPUT);
	assert_string_equal(err.message, message);
	assert_string_equal(err.hint, hint);
}

static void test_bad_flags(void **state)
{
	(void)state;
	refuses("--cpu", "2", "--cpu: unknown option", "did you mean --cpus?");
	refuses("--zzz", NULL, "--zzz: unknown option", "stoker-test --help lists the options");
	refuses("-v", NULL, "-v: unknown option", "options have two dashes and a long name");
	refuses("--cpus", NULL, "--cpus: expected a value after it", "");
	refuses("--cpus", "two", "--cpus: expected an integer from 0 to 1024, got \"two\"", "");
	refuses("--cpus=2000", NULL, "--cpus: expected an integer from 0 to 1024, got \"2000\"", "");
	refuses("--grace=2h", NULL, "--grace: expected a duration from 0s to 1h, got \"2h\"", "");
	refuses("--memory=much", NULL, "--memory: expected a size from 0B to 1TiB, got \"much\"", "");
	refuses("--log-json=1", NULL, "--log-json: expected true or false, got \"1\"", "");
	refuses("--log-level=inf", NULL, "--log-level: expected one of error, info, debug, got \"inf\"", "");
	refuses("--log-level=", NULL, "--log-level: expected one of error, info, debug, got \"\"", "");
}

static void test_bad_environment(void **state)
{
	(void)state;
	setenv("STOKER_CPUS", "many", 1);
	refuses("--log-json", NULL, "STOKER_CPUS: expected an integer from 0 to 1024, got \"many\"", "");
	unsetenv("STOKER_CPUS");
	setenv("STOKER_CPU", "1", 1);
	refuses("--log-json", NULL, "STOKER_CPU: unknown variable", "did you mean STOKER_CPUS?");
	unsetenv("STOKER_CPU");
	setenv("STOKER_OF_ANOTHER_PROGRAM", "1", 1);
	assert_int_equal(load(NULL, 0), CONFIG_OK);
	config_done(&table, &s);
	unsetenv("STOKER_OF_ANOTHER_PROGRAM");
}

static void refuses_file(const char *text, const char *message)
{
	CLEANUP(free_p) char *path = write_file(text);
	CLEANUP(free_p) char *expected = mem_printf("%s%s", path, message);
	assert_int_equal(load(NULL, 2, "--config", path), CONFIG_FAILED);
	unlink(path);
	assert_string_equal(err.message, expected);
}

static void test_bad_files(void **state)
{
	(void)state;
	refuses_file("\ncpus: -1\n", ":2: cpus: expected an integer from 0 to 1024, got \"-1\"");
	refuses_file("cpuss: 1\n", ":1: cpuss: unknown option");
	refuses_file("cpus: 1\ncpus: 2\n", ":2: cpus: given twice");
	refuses_file("cpus: {a: 1}\n", ":1: cpus: expected one value");
	refuses_file("- cpus\n", ": expected lines of the form option: value");
	refuses("--config", "/nowhere/x.yaml",
		"cannot open the configuration /nowhere/x.yaml: No such file or directory",
		"--config and STOKER_CONFIG name the file");
}

static void test_printing(void **state)
{
	(void)state;
	char *text = NULL;
	size_t len = 0;
	assert_int_equal(load(NULL, 3, "--token", "s3cret", "--grace=1500ms"), CONFIG_OK);
	FILE *out = open_memstream(&text, &len);
	config_print_values(&table, &s, origins, out);
	config_print_help(&table, out);
	config_print_markdown(&table, out);
	fclose(out);
	assert_null(strstr(text, "s3cret"));
	assert_non_null(strstr(text, "(set)"));
	assert_non_null(strstr(text, "1500ms"));
	assert_non_null(strstr(text, "# flag --grace"));
	assert_non_null(strstr(text, "--redis-url TEXT           where Redis is [redis://127.0.0.1]\n"));
	assert_non_null(strstr(text, "| `--cpus` | `STOKER_CPUS` | `2` | an integer from 0 to 1024 | cpus to use |\n"));
	free(text);
	config_done(&table, &s);
}

static void test_start_answers_for_the_daemon(void **state)
{
	(void)state;
	int status = -1;
	char *go[] = { (char *)"stoker-test", (char *)"--cpus=7", NULL };
	memset(&s, 0, sizeof s);
	assert_true(config_start(&table, 2, go, &s, &status));
	assert_int_equal(s.cpus, 7);
	config_done(&table, &s);
	static const char *const words[] = {
		"--help", "--version", "--print-config", "--print-config=origin", "--print-config=json", "--cpus=x"
	};
	int out = dup(STDOUT_FILENO), err_fd = dup(STDERR_FILENO);
	char path[] = "/tmp/stoker-test-start-XXXXXX";
	int file = mkstemp(path);
	dup2(file, STDOUT_FILENO);
	dup2(file, STDERR_FILENO);
	bool went_on = false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		char *argv[] = { (char *)"stoker-test", (char *)words[i], NULL };
		memset(&s, 0, sizeof s);
		went_on |= config_start(&table, 2, argv, &s, &status);
		config_done(&table, &s);
	}
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	dup2(err_fd, STDERR_FILENO);
	char text[8192] = "";
	assert_true(pread(file, text, sizeof text - 1, 0) > 0);
	close(out);
	close(err_fd);
	close(file);
	unlink(path);
	assert_false(went_on);
	assert_int_equal(status, 2);
	assert_non_null(strstr(text, "usage: stoker-test [options]"));
	assert_non_null(strstr(text, "stoker-test " STOKER_VERSION "\n"));
	assert_non_null(strstr(text, "cpus                   2                                        # default\n"));
	assert_non_null(strstr(text, "expected an integer from 0 to 1024"));
}

static void test_grammars(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ms;
	} durations[] = {
		{ "0", 0 },       { "30", 30000 },   { "1.5", 1500 },        { "500ms", 500 }, { "30s", 30000 },
		{ "5m", 300000 }, { "1h", 3600000 }, { "2d", 172800000 },    { "0.25s", 250 }, { "5 m", 300000 },
		{ "", -1 },       { "s", -1 },       { "-1s", -1 },          { "1e3", -1 },    { "0x10", -1 },
		{ "5  m", -1 },   { "5 ", -1 },      { "1.s", -1 },          { ".5s", -1 },    { "5M", -1 },
		{ "5m ", -1 },    { " 5m", -1 },     { "99999999999d", -1 }, { "1w", -1 }
	};
	for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
		int64_t ms = -1;
		assert_int_equal(config_parse_duration(durations[i].text, &ms), durations[i].ms >= 0);
		assert_int_equal(ms, durations[i].ms);
	}
	int64_t value = 0;
	assert_true(config_parse_size("2GiB", &value) && value == 2147483648);
	assert_true(config_parse_size("1.5KiB", &value) && value == 1536);
	assert_true(config_parse_size("3MB", &value) && value == 3000000);
	assert_true(config_parse_size("17", &value) && value == 17);
	assert_false(config_parse_size("2G", &value));
	assert_false(config_parse_size("9999999999TiB", &value));
	assert_true(config_parse_int("-12", &value) && value == -12);
	assert_false(config_parse_int("9223372036854775808", &value));
	assert_false(config_parse_int("", &value));
	assert_false(config_parse_int("-", &value));
	assert_false(config_parse_int("1 ", &value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_flag_over_environment_over_file),
		cmocka_unit_test(test_words_end_the_options),
		cmocka_unit_test(test_help_wins_over_what_follows),
		cmocka_unit_test(test_bad_flags),
		cmocka_unit_test(test_bad_environment),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_printing),
		cmocka_unit_test(test_start_answers_for_the_daemon),
		cmocka_unit_test(test_grammars),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
