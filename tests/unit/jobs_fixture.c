#include "tests/unit/jobs_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"

static void ended(struct fixture *f, const struct error *err)
{
	f->ended++;
	f->err.kind = ERR_NONE;
	if (err)
		f->err = *err;
}

void on_text(void *arg, const char *text, size_t len, const struct error *err)
{
	struct fixture *f = arg;
	assert_true(!text == !!err);
	free(f->text);
	f->text = text ? mem_strndup(text, len) : NULL;
	ended(f, err);
}

void on_reaped(void *arg, int64_t done, int64_t next_ms, int64_t newest, const struct error *err)
{
	struct fixture *f = arg;
	f->count = (size_t)newest;
	on_tick(arg, done, next_ms, err);
}

void on_tick(void *arg, int64_t done, int64_t next_ms, const struct error *err)
{
	struct fixture *f = arg;
	f->done = done;
	f->next_ms = next_ms;
	ended(f, err);
}

void on_promoted(void *arg, int64_t done, int64_t next_ms, const char *const *letters, size_t count,
		 const struct error *err)
{
	struct fixture *f = arg;
	f->count = count;
	if (count) {
		free(f->text);
		f->text = mem_strdup(letters[count - 1]);
	}
	on_tick(arg, done, next_ms, err);
}

void on_worker(void *arg, const struct worker_answer *answer, const struct error *err)
{
	struct fixture *f = arg;
	f->done = answer->last_request;
	f->next_ms = answer->resumed_ms;
	f->flag = answer->drain;
	ended(f, err);
}

void on_claims(void *arg, const struct claim *claims, size_t count, const struct error *err)
{
	struct fixture *f = arg;
	f->count = count;
	if (count) {
		f->claim = claims[0];
		str_copy(f->class_name, sizeof f->class_name, claims[0].class_name);
		str_copy(f->installation, sizeof f->installation, claims[0].installation);
		str_format(f->spec, sizeof f->spec, "%.*s", (int)claims[0].spec_len, claims[0].spec_json);
		str_copy(f->resume, sizeof f->resume, claims[0].resume ? claims[0].resume : "cold");
		str_copy(f->checkpoint, sizeof f->checkpoint, claims[0].checkpoint ? claims[0].checkpoint : "none");
	}
	ended(f, err);
}

void on_verdict(void *arg, enum verdict verdict, const char *reason, const struct error *err)
{
	struct fixture *f = arg;
	assert_true(!reason == !!err);
	f->verdict = verdict;
	free(f->text);
	f->text = mem_strdup(reason);
	ended(f, err);
}

void on_next(void *arg, bool ok, int64_t next, const struct error *err)
{
	struct fixture *f = arg;
	f->flag = ok;
	f->done = next;
	ended(f, err);
}

void on_ids(void *arg, const char *const *ids, size_t count, const struct error *err)
{
	struct fixture *f = arg;
	f->count = count;
	for (size_t i = 0; i < count && i < ARRAY_LEN(f->ids); i++)
		str_copy(f->ids[i], sizeof f->ids[i], ids[i]);
	ended(f, err);
}

void on_bell(void *arg, const char *class_name, const struct error *err)
{
	struct fixture *f = arg;
	str_copy(f->class_name, sizeof f->class_name, class_name ? class_name : "none");
	ended(f, err);
}

int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	struct error err = { 0 };
	*state = f;
	test_loop_start(&f->loop);
	redis_server_start(&f->server, NULL);
	struct jobs_options options = { .redis = { .url = f->server.url }, .prefix = "test.1", .load_library = true };
	f->jobs = jobs_new(f->loop.base, &options, &err);
	if (!f->jobs)
		fail_msg("%s", err.message);
	jobs_create_queue(f->jobs, "gpu", INSTALLATION, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "gpu");
	return 0;
}

int teardown(void **state)
{
	struct fixture *f = *state;
	jobs_free(f->jobs);
	test_loop_stop(&f->loop);
	redis_server_stop(&f->server);
	free(f->text);
	free(f);
	return 0;
}

void submit(struct fixture *f)
{
	jobs_submit(f->jobs, "gpu", SPEC, NULL, "cli:ada", on_text, f);
	GOOD(f);
}

void claim(struct fixture *f, int64_t request)
{
	struct claim_request want = {
		.queue = "gpu",
		.worker = "node-7",
		.free_json = "{\"cpus\":4,\"gpus\":0,\"memory\":8589934592,\"labels\":{}}",
		.max = 10,
		.request = request,
	};
	jobs_claim(f->jobs, &want, on_claims, f);
	GOOD(f);
}

/* A document that the last answer was; decref'd by the caller. */
json_t *answered_json(struct fixture *f)
{
	json_t *document = json_loads(f->text, 0, NULL);
	if (!document)
		fail_msg("not JSON: %s", f->text);
	return document;
}

void assert_member(json_t *object, const char *name, const char *value)
{
	const char *is = json_string_value(json_object_get(object, name));
	if (!is || strcmp(is, value) != 0)
		fail_msg("%s is %s, not %s", name, is ? is : "no text", value);
}
