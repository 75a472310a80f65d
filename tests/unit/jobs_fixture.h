/*
 * A queue `gpu` under the prefix test.1 on a Redis of its own, and a client: each
 * call's answer is noted in the fixture, and GOOD or BAD waits for it.
 */
#ifndef STOKER_TESTS_JOBS_FIXTURE_H
#define STOKER_TESTS_JOBS_FIXTURE_H

#include <jansson.h>
#include "lib/clock.h"
#include "queue/jobs.h"
#include "tests/unit/redis_server.h"

#define INSTALLATION "0123456789ab"
#define SPEC         "{\"name\":\"mnist\",\"command\":[\"true\"],\"resources\":{\"cpus\":1}}"

struct fixture {
	struct redis_server server;
	struct test_loop loop;
	struct jobs *jobs;
	int calls, ended;
	/* The last answer. */
	struct error err;
	char *text;
	int64_t done, next_ms;
	bool flag;
	enum verdict verdict;
	size_t count;
	char ids[4][256];
	struct claim claim; /* the first one; its pointers are gone */
	char class_name[128], spec[256], installation[32], resume[32], checkpoint[512];
};

/* Waits for one more call to end; one is in flight. */
#define ANSWER(f)                                                                                                      \
	do {                                                                                                           \
		int want_ = (f)->calls + 1;                                                                            \
		UNTIL(&(f)->loop, (f)->ended == want_);                                                                \
		(f)->calls = want_;                                                                                    \
	} while (0)

#define GOOD(f)                                                                                                        \
	do {                                                                                                           \
		ANSWER(f);                                                                                             \
		if ((f)->err.kind)                                                                                     \
			fail_msg("%s", (f)->err.message);                                                              \
	} while (0)

#define BAD(f, expected)                                                                                               \
	do {                                                                                                           \
		ANSWER(f);                                                                                             \
		assert_int_equal((f)->err.kind, expected);                                                             \
		assert_true((f)->err.message[0]);                                                                      \
	} while (0)

void on_text(void *arg, const char *text, size_t len, const struct error *err);
void on_reaped(void *arg, int64_t done, int64_t next_ms, int64_t newest, const struct error *err);
void on_tick(void *arg, int64_t done, int64_t next_ms, const struct error *err);
void on_promoted(void *arg, int64_t done, int64_t next_ms, const char *const *letters, size_t count,
		 const struct error *err);
void on_worker(void *arg, const struct worker_answer *answer, const struct error *err);
void on_claims(void *arg, const struct claim *claims, size_t count, const struct error *err);
void on_verdict(void *arg, enum verdict verdict, const char *reason, const struct error *err);
void on_next(void *arg, bool ok, int64_t next, const struct error *err);
void on_ids(void *arg, const char *const *ids, size_t count, const struct error *err);
void on_bell(void *arg, const char *class_name, const struct error *err);
int setup(void **state);
int teardown(void **state);
void submit(struct fixture *f);
void claim(struct fixture *f, int64_t request);
json_t *answered_json(struct fixture *f);
void assert_member(json_t *object, const char *name, const char *value);

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
