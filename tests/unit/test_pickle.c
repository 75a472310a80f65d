/* Pickles that Python wrote, read without Python: what they say, and every way to tear them. */
#include "worker/pickle.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "tests/unit/folder.h"

#define PICKLE(text) text, sizeof(text) - 1

/* Each is pickle.dumps(…) of what the words say. */
static const struct {
	const char *words;
	const char *bytes;
	size_t len;
	int64_t step, epoch;
	int optimizer;
} rows[] = {
	{ "a dict with two steps: the better name wins",
	  PICKLE("\200\002}q\000(X\005\000\000\000epochq\001K\003X\013\000\000\000global_stepq\002K"
		 "\310X\004\000\000\000stepq\003K\007u."),
	  200, 3, 0 },
	{ "protocol 0", PICKLE("(dp0\012Vepoch\012p1\012I3\012sVstep\012p2\012I70000\012s."), 70000, 3, 0 },
	{ "protocol 1", PICKLE("}q\000(X\005\000\000\000epochq\001K\003X\004\000\000\000stepq\002Jp\021\001\000u."),
	  70000, 3, 0 },
	{ "protocol 4",
	  PICKLE("\200\004\225\033\000\000\000\000\000\000\000}\224(\214\005epoch\224K\003\214\004step"
		 "\224Jp\021\001\000u."),
	  70000, 3, 0 },
	{ "protocol 5, a large number",
	  PICKLE("\200\005\225\036\000\000\000\000\000\000\000}\224(\214\005epoch\224K\003\214\004step"
		 "\224\212\006\000\000\000\000\000\001u."),
	  INT64_C(1) << 40, 3, 0 },
	{ "Adam.state_dict(): the steps of its parameters are not the training's",
	  PICKLE("\200\002}q\000(X\005\000\000\000stateq\001}q\002K\000}q\003(X\004\000\000\000stepq"
		 "\004K\021X\003\000\000\000expq\005G\077\370\000\000\000\000\000\000usX\014\000\000"
		 "\000param_groupsq\006]q\007}q\010(X\002\000\000\000lrq\011G\077\271\231\231\231\231"
		 "\231\232X\006\000\000\000paramsq\012]q\013K\000auau."),
	  -1, -1, 1 },
	{ "an optimizer without state",
	  PICKLE("\200\002}q\000(X\004\000\000\000stepq\001K\001X\011\000\000\000optimizerq\002}q\003("
		 "X\005\000\000\000stateq\004}q\005X\014\000\000\000param_groupsq\006]q\007}q\010(X"
		 "\002\000\000\000lrq\011G\077\271\231\231\231\231\231\232X\006\000\000\000paramsq\012"
		 "]q\013K\000auauu."),
	  1, -1, 0 },
	{ "no optimizer",
	  PICKLE("\200\002}q\000(X\004\000\000\000stepq\001K\001X\011\000\000\000optimizerq\002NX\004"
		 "\000\000\000nameq\003X\004\000\000\000adamq\004u."),
	  1, -1, 0 },
	{ "model, optimizer, iteration",
	  PICKLE("\200\002}q\000(X\005\000\000\000modelq\001ccollections\012OrderedDict\012q\002)Rq"
		 "\003X\001\000\000\000wq\004G\077\360\000\000\000\000\000\000sX\024\000\000\000optimi"
		 "zer_state_dictq\005}q\006(X\005\000\000\000stateq\007}q\010K\000}q\011(X\004\000\000"
		 "\000stepq\012K\021X\003\000\000\000expq\013G\077\370\000\000\000\000\000\000usX\014"
		 "\000\000\000param_groupsq\014]q\015}q\016(X\002\000\000\000lrq\017G\077\271\231\231"
		 "\231\231\231\232X\006\000\000\000paramsq\020]q\021K\000auauX\011\000\000\000iteratio"
		 "nq\022K\014u."),
	  12, -1, 1 },
	{ "as Lightning saves",
	  PICKLE("\200\002}q\000(X\005\000\000\000epochq\001K\001X\013\000\000\000global_stepq\002K"
		 "\011X\012\000\000\000state_dictq\003}q\004X\020\000\000\000optimizer_statesq\005]q"
		 "\006}q\007(X\005\000\000\000stateq\010}q\011K\000}q\012(X\004\000\000\000stepq\013K"
		 "\021X\003\000\000\000expq\014G\077\370\000\000\000\000\000\000usX\014\000\000\000par"
		 "am_groupsq\015]q\016}q\017(X\002\000\000\000lrq\020G\077\271\231\231\231\231\231\232"
		 "X\006\000\000\000paramsq\021]q\022K\000auauaX\015\000\000\000lr_schedulersq\023]q"
		 "\024}q\025h\013KcsaX\020\000\000\000hyper_parametersq\026}q\027h\013Kbsu."),
	  9, 1, 1 },
	{ "one level down, but not in a config",
	  PICKLE("\200\002}q\000(X\006\000\000\000configq\001}q\002X\004\000\000\000stepq\003K\005sX"
		 "\007\000\000\000trainerq\004}q\005(h\003K\037X\005\000\000\000epochq\006K\002X\011"
		 "\000\000\000optimizerq\007}q\010(X\005\000\000\000stateq\011}q\012K\000}q\013(h\003K"
		 "\021X\003\000\000\000expq\014G\077\370\000\000\000\000\000\000usX\014\000\000\000par"
		 "am_groupsq\015]q\016}q\017(X\002\000\000\000lrq\020G\077\271\231\231\231\231\231\232"
		 "X\006\000\000\000paramsq\021]q\022K\000auauuu."),
	  31, 2, 1 },
	{ "OrderedDict",
	  PICKLE("\200\002ccollections\012OrderedDict\012q\000)Rq\001(X\004\000\000\000stepq\002K\004X"
		 "\011\000\000\000opt_stateq\003h\000)Rq\004X\001\000\000\000mq\005G\077\360\000\000"
		 "\000\000\000\000su."),
	  4, -1, 1 },
	{ "{\"step\": -4, \"epoch\": True}",
	  PICKLE("\200\002}q\000(X\004\000\000\000stepq\001J\374\377\377\377X\005\000\000\000epochq"
		 "\002\210u."),
	  -1, -1, 0 },
	{ "a number", PICKLE("\200\002K\005."), -1, -1, -1 },
};

static struct pickle_facts scan(const void *bytes, size_t len)
{
	CLEANUP(close_fd) int fd = memfd_create("pickle", MFD_CLOEXEC);
	assert_int_equal(write(fd, bytes, len), len);
	return pickle_scan(fd, 0, (int64_t)len);
}

static void test_what_they_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pickle_facts facts = scan(rows[i].bytes, rows[i].len);
		if (facts.state != PICKLE_READ || facts.end != (int64_t)rows[i].len || facts.step != rows[i].step ||
		    facts.epoch != rows[i].epoch || facts.optimizer != rows[i].optimizer)
			fail_msg("%s: state %d, end %lld of %zu, step %lld, epoch %lld, optimizer %d", rows[i].words,
				 (int)facts.state, (long long)facts.end, rows[i].len, (long long)facts.step,
				 (long long)facts.epoch, facts.optimizer);
	}
}

static void test_what_follows_is_not_read(void **state)
{
	(void)state;
	CLEANUP(close_fd) int fd = memfd_create("pickle", MFD_CLOEXEC);
	assert_int_equal(write(fd, "xxx", 3), 3);
	assert_int_equal(write(fd, rows[0].bytes, rows[0].len), rows[0].len);
	assert_int_equal(write(fd, "garbage", 7), 7);
	struct pickle_facts facts = pickle_scan(fd, 3, (int64_t)rows[0].len + 7);
	assert_int_equal(facts.state, PICKLE_READ);
	assert_int_equal(facts.end, 3 + rows[0].len);
	assert_int_equal(facts.step, rows[0].step);
}

static void test_torn_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t cut = 0; cut < rows[i].len; cut++)
			if (scan(rows[i].bytes, cut).state != PICKLE_TORN)
				fail_msg("%s: not torn after %zu of %zu bytes", rows[i].words, cut, rows[i].len);
}

/* Nothing that can stand there makes it read what is not there (the sanitizers look on). */
static void test_any_byte_anywhere(void **state)
{
	uint64_t dice = 1;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (int round = 0; round < 2000; round++) {
			CLEANUP(free_p) unsigned char *bytes = mem_alloc(rows[i].len);
			memcpy(bytes, rows[i].bytes, rows[i].len);
			for (int n = 1 + round % 3; n > 0; n--)
				bytes[draw(&dice) % rows[i].len] = (unsigned char)draw(&dice);
			struct pickle_facts facts = scan(bytes, rows[i].len);
			assert_true(facts.state != PICKLE_READ || facts.end <= (int64_t)rows[i].len);
		}
	for (int round = 0; round < 20000; round++) {
		unsigned char noise[64];
		for (size_t at = 0; at < sizeof noise; at++)
			noise[at] = (unsigned char)draw(&dice);
		(void)scan(noise, sizeof noise);
	}
}

static void test_numbers_in_the_file_make_nothing_large(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum pickle_state expected;
	} bad[] = {
		{ PICKLE("\200\004\215\377\377\377\377\377\377\377\377abc."), PICKLE_TORN }, /* a text of 16 EiB */
		{ PICKLE("\200\004\216\377\377\377\377\377\377\377\177abc."), PICKLE_TORN }, /* bytes of 8 EiB */
		{ PICKLE("\200\002X\377\377\377\377abc."), PICKLE_TORN },                    /* a text of 4 GiB */
		{ PICKLE("\200\002\213\377\377\377\377abc."), PICKLE_TORN },                 /* a number of 4 GiB */
		{ PICKLE("\200\002}r\377\377\377\377."), PICKLE_STRANGE },                   /* memo place 4294967295 */
		{ PICKLE("\200\002j\377\377\377\377."), PICKLE_STRANGE },                    /* and what is there */
		{ PICKLE("}p999999999999999999\n."), PICKLE_STRANGE },
		{ PICKLE("\200\002\205."), PICKLE_STRANGE }, /* a tuple of nothing that is there */
		{ PICKLE("\200\002u."), PICKLE_STRANGE },    /* no mark */
		{ PICKLE("\200\002."), PICKLE_STRANGE },     /* no value */
		{ PICKLE("\200\002(."), PICKLE_READ },
		{ PICKLE("\200\002}s."), PICKLE_STRANGE },
		{ PICKLE("\200\002\377."), PICKLE_STRANGE }, /* no such opcode */
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (scan(bad[i].bytes, bad[i].len).state != bad[i].expected)
			fail_msg("row %zu: state %d", i, (int)scan(bad[i].bytes, bad[i].len).state);
}

/* One opcode as often as there is room for. */
static void test_bounds(void **state)
{
	const size_t len = 20 * 1024 * 1024;
	CLEANUP(free_p) char *bytes = mem_alloc(len);
	(void)state;
	static const char *const codes[] = { "(", "]", "N", "}\224", "]a", "]2", "N0" };
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		size_t size = strlen(codes[i]);
		for (size_t at = 0; at < len; at++)
			bytes[at] = codes[i][at % size];
		if (scan(bytes, len).state == PICKLE_READ)
			fail_msg("%zu bytes of %s were read to their end", len, codes[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_they_say),
		cmocka_unit_test(test_what_follows_is_not_read),
		cmocka_unit_test(test_torn_anywhere),
		cmocka_unit_test(test_any_byte_anywhere),
		cmocka_unit_test(test_numbers_in_the_file_make_nothing_large),
		cmocka_unit_test(test_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
