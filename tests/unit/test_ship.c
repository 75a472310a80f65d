/* worker/ship, worker/restore, worker/unpack: copies on this machine, what dead helpers left, removal, and folders that
 * are not as they should be. */
#include "worker/ship.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/digest.h"
#include "queue/manifest.h"
#include "tests/unit/folder.h"
#include "worker/restore.h"

#define OURS "store/abc/checkpoints/gpu-1-u1/"

struct fixture {
	char *folder;
	char *url, *run, *work, *checkpoints, *source, *cached;
	struct ship_place place;
	struct cache cache; /* none unless a test says so */
	char *summary;      /* of what was shipped last */
};

static int setup(void **state)
{
	static const char *const folders[] = { "run", "work", "checkpoints", "source", "store" };
	struct fixture *f = mem_alloc(sizeof *f);
	f->folder = folder_make();
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		folder_mkdir(f->folder, folders[i]);
	f->url = mem_printf("file://%s/store", f->folder);
	f->run = folder_path(f->folder, "run");
	f->work = folder_path(f->folder, "work");
	f->checkpoints = folder_path(f->folder, "checkpoints");
	f->source = folder_path(f->folder, "source");
	f->cached = folder_path(f->folder, "cached");
	f->place = (struct ship_place){ f->url, (char *)"abc", (char *)"gpu-1", (char *)"u1", (char *)"100", 1 };
	folder_text(f->source, "a/x.bin", "some weights");
	folder_text(f->source, "a/y.bin", "more weights");
	folder_text(f->source, "ab/z.bin", "others");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	folder_remove(f->folder);
	free(f->url);
	free(f->run);
	free(f->work);
	free(f->checkpoints);
	free(f->source);
	free(f->cached);
	free(f->summary);
	free(f);
	return 0;
}

static bool ship(struct fixture *f, int64_t seq, const char *one, const char *other, bool sweep, struct error *err)
{
	char *files[] = { (char *)one, (char *)other };
	const struct unit unit = { .name = files[0],
				   .files = files,
				   .file_count = other ? 2 : 1,
				   .said_step = -1,
				   .said_optimizer = -1,
				   .step = -1 };
	const struct ship_request request = { .place = &f->place,
					      .unit = &unit,
					      .root = f->source,
					      .run_dir = f->folder,
					      .seq = seq,
					      .trust = SHIP_ANNOUNCED,
					      .cache = f->cache,
					      .sweep = sweep };
	struct buf text;
	buf_init(&text, 65536);
	bool ok = ship_run(&request, &text, err);
	free(f->summary);
	f->summary = buf_take(&text);
	return ok;
}

static void ship_well(struct fixture *f, int64_t seq, const char *one, const char *other)
{
	struct error err = { .message = "" };
	if (!ship(f, seq, one, other, true, &err))
		fail_msg("%s", err.message);
}

static bool restore(struct fixture *f, char **said, struct error *err)
{
	const struct restore_request request = { .store = f->url,
						 .cache = f->cache,
						 .id = "1-1",
						 .summary = f->summary,
						 .run_dir = f->run,
						 .checkpoint_dir = f->checkpoints,
						 .work_dir = f->work };
	struct buf text;
	buf_init(&text, 65536);
	bool ok = restore_run(&request, &text, err);
	if (said)
		*said = mem_strdup(buf_text(&text));
	buf_done(&text);
	return ok;
}

static void restore_well(struct fixture *f)
{
	struct error err = { .message = "" };
	if (!restore(f, NULL, &err))
		fail_msg("%s", err.message);
	CLEANUP(free_p) char *bytes = folder_read(f->checkpoints, "a/x.bin", NULL);
	assert_string_equal(bytes, "some weights");
}

static void restore_fails(struct fixture *f, enum error_kind kind, const char *why)
{
	struct error err = { .message = "" };
	if (restore(f, NULL, &err))
		fail_msg("accepted; expected: %s", why);
	if (err.kind != kind || !strstr(err.message, why))
		fail_msg("expected \"%s\", got %d \"%s\"", why, (int)err.kind, err.message);
}

/* ---- the copy on this machine ---- */

static void test_a_copy_on_this_machine(void **state)
{
	struct fixture *f = *state;
	f->cache = (struct cache){ .folder = f->cached, .most_bytes = 1000000 };
	ship_well(f, 1, "a/x.bin", NULL);
	CLEANUP(summary) struct summary summary;
	struct error err = { .message = "" };
	assert_true(summary_from_json(f->summary, &summary, &err));
	const char *data = summary.sha256, *manifest = summary.manifest_sha256;
	CLEANUP(free_p) char *store = folder_path(f->folder, "store"), *away = folder_path(f->folder, "away");
	assert_true(folder_has(f->cached, data) && folder_has(f->cached, manifest));

	assert_int_equal(rename(store, away), 0); /* nothing is fetched */
	folder_mkdir(f->folder, "store");
	restore_well(f);
	assert_int_equal(rmdir(store), 0);
	assert_int_equal(rename(away, store), 0);

	/* A copy that is not as it should be is forgotten, and then it is fetched, and kept again. */
	folder_text(f->cached, data, "rot");
	restore_fails(f, ERR_UNAVAILABLE, "the copy of it on this machine, which is forgotten now");
	assert_false(folder_has(f->cached, data));
	restore_well(f);
	assert_true(folder_has(f->cached, data));
	size_t len;
	CLEANUP(free_p) char *bytes = folder_read(f->cached, data, &len);
	bytes[700] ^= 1; /* of the same size */
	folder_write(f->cached, data, bytes, len);
	restore_fails(f, ERR_UNAVAILABLE, "the copy of it on this machine");
	folder_text(f->cached, manifest, "{}");
	restore_well(f);
	CLEANUP(free_p) char *kept = folder_read(f->cached, manifest, &len);
	assert_string_equal(digest_of(kept, len).text, manifest);
}

/* ---- what is shipped ---- */

static void test_where_a_program_resumes(void **state)
{
	struct fixture *f = *state;
	struct error err = { .message = "" };
	CLEANUP(free_p) char *said = NULL, *other = NULL, *both = NULL;
	ship_well(f, 1, "a/x.bin", "a/y.bin");
	assert_true(restore(f, &said, &err));
	CLEANUP(free_p) char *folder = mem_printf("-1 %s/a", f->checkpoints);
	assert_string_equal(said, folder);
	ship_well(f, 2, "a/x.bin", "ab/z.bin");
	assert_true(restore(f, &both, &err));
	CLEANUP(free_p) char *all = mem_printf("-1 %s", f->checkpoints);
	assert_string_equal(both, all);
}

static void test_what_cannot_be_shipped(void **state)
{
	struct fixture *f = *state;
	struct error err = { .message = "" };
	char *source = f->source;
	assert_false(ship(f, 1, "gone.bin", NULL, false, &err));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	f->source = f->cached; /* there is none */
	assert_false(ship(f, 1, "a/x.bin", NULL, false, &err));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	f->source = source;
	f->place.store = (char *)"ftp://x";
	assert_false(ship(f, 1, "a/x.bin", NULL, false, &err));
	assert_int_equal(err.kind, ERR_INPUT);
	const struct ship_remove remove = { .place = &f->place, .id = "1-1" };
	assert_false(ship_remove_run(&remove, &err));
	assert_int_equal(err.kind, ERR_INPUT);
	f->place.store = f->url;
	/* A path is never used twice. */
	ship_well(f, 1, "a/x.bin", NULL);
	folder_text(f->folder, OURS "100/2/manifest.json", "somebody's");
	assert_false(ship(f, 2, "a/y.bin", NULL, false, &err));
	assert_int_equal(err.kind, ERR_CONFLICT);
	CLEANUP(free_p) char *theirs = folder_read(f->folder, OURS "100/2/manifest.json", NULL);
	assert_string_equal(theirs, "somebody's");
}

/* ---- what dead helpers left ---- */

static void test_what_dead_helpers_left(void **state)
{
	static const struct {
		const char *name;
		bool goes;
	} rows[] = {
		{ "99/1/data.tar", true },      { "100/7/data.tar", true },
		{ "99/2/data.tar.old", false }, { "101/1/data.tar", false }, /* of a newer attempt */
		{ "x/1/data.tar", false },      { "99999999999999999999/1/data.tar", false },
		{ "98/1/data.tar", false },     { "98/1/manifest.json", false },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(free_p) char *name = mem_printf(OURS "%s", rows[i].name);
		folder_text(f->folder, name, "x");
	}
	ship_well(f, 1, "a/x.bin", NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(free_p) char *name = mem_printf(OURS "%s", rows[i].name);
		if (folder_has(f->folder, name) == rows[i].goes)
			fail_msg("%s %s", rows[i].name, rows[i].goes ? "stays" : "goes");
	}
	assert_true(folder_has(f->folder, OURS "100/1/data.tar"));
}

/* ---- removal ---- */

static void removes(struct fixture *f, const char *id, const char *summary, const char *gone)
{
	const struct ship_remove remove = { .place = &f->place, .id = id, .summary = summary };
	struct error err = { .message = "" };
	if (!ship_remove_run(&remove, &err))
		fail_msg("%s: %s", id, err.message);
	if (gone)
		assert_false(folder_has(f->folder, gone));
}

static void test_removal(void **state)
{
	struct fixture *f = *state;
	struct error err = { .message = "" };
	const struct ship_remove nonsense = { .place = &f->place, .id = "x" };
	assert_false(ship_remove_run(&nonsense, &err));
	assert_int_equal(err.kind, ERR_INPUT);

	ship_well(f, 1, "a/x.bin", NULL);
	CLEANUP(free_p) char *elsewhere = mem_printf("file://%s", f->work);
	const struct ship_remove wrong = { .place = &f->place, .id = "1-1", .summary = f->summary };
	f->place.store = elsewhere;
	assert_false(ship_remove_run(&wrong, &err));
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	f->place.store = f->url;
	removes(f, "1-1", f->summary, OURS "100/1/manifest.json");
	ship_well(f, 2, "a/x.bin", NULL);
	removes(f, "1-2", "nonsense", OURS "100/2/data.tar");
	ship_well(f, 3, "a/x.bin", NULL);
	/* Of an earlier attempt only the manifests say what is whose. */
	f->place.token = (char *)"200";
	f->place.attempt = 2;
	ship_well(f, 3, "a/y.bin", NULL);
	folder_text(f->folder, OURS "50/3/manifest.json", "no manifest");
	folder_text(f->folder, OURS "50/4/manifest.json", "{}");
	removes(f, "1-4", NULL, NULL);
	assert_true(folder_has(f->folder, OURS "100/3/manifest.json"));
	removes(f, "1-3", NULL, OURS "100/3/manifest.json");
	assert_false(folder_has(f->folder, OURS "100/3/data.tar"));
	assert_true(folder_has(f->folder, OURS "200/3/manifest.json"));
}

/* ---- folders that are not as they should be ---- */

static void test_what_cannot_be_restored(void **state)
{
	struct fixture *f = *state;
	struct error err = { .message = "" };
	ship_well(f, 1, "a/x.bin", NULL);
	const struct restore_request nonsense = {
		.store = f->url, .id = "x", .summary = f->summary, .run_dir = f->run
	};
	CLEANUP(buf) struct buf text;
	buf_init(&text, 1000);
	assert_false(restore_run(&nonsense, &text, &err));
	assert_int_equal(err.kind, ERR_INPUT);

	char *run = f->run, *checkpoints = f->checkpoints, *url = f->url;
	CLEANUP(free_p) char *below = folder_path(f->source, "a/x.bin/run"); /* below a file */
	f->run = below;
	restore_fails(f, ERR_SYSTEM, "cannot make");
	CLEANUP(free_p) char *file = folder_path(f->source, "a/x.bin");
	f->run = file;
	restore_fails(f, ERR_SYSTEM, "cannot make");
	f->run = run;
	folder_text(f->run, "restore", "a file");
	restore_fails(f, ERR_SYSTEM, "cannot open");
	CLEANUP(free_p) char *in_the_way = folder_path(f->run, "restore");
	assert_int_equal(unlink(in_the_way), 0);
	f->checkpoints = f->cached; /* there is none */
	restore_fails(f, ERR_SYSTEM, "cannot open the folders of the run");
	f->checkpoints = checkpoints;
	f->url = (char *)"ftp://x";
	restore_fails(f, ERR_INPUT, "this kind of store is not supported");
	f->url = url;
	restore_well(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_copy_on_this_machine, setup, teardown),
		cmocka_unit_test_setup_teardown(test_where_a_program_resumes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_shipped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_dead_helpers_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_restored, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
