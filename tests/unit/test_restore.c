/*
 * Shipping and restoring in one process: what was damaged in the store is never accepted, and
 * never reaches a parser; what is sound comes back bit for bit.
 */
#include "worker/restore.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/helper.h"
#include "lib/landlock.h"
#include "lib/store.h"
#include "tests/unit/folder.h"
#include "worker/ship.h"
#include "worker/unpack.h"

#define PREFIX "store/abc/checkpoints/gpu-1-u1/100/1"
#define ROUNDS 1000

struct fixture {
	char *folder;
	char *url, *run, *work, *checkpoints, *source;
	char *summary;
	unsigned char *tensors; /* of step-7.safetensors */
	size_t tensors_len;
};

static void ship(struct fixture *f, const char *path, bool is_folder)
{
	struct error err = { .message = "" };
	struct ship_place place = { f->url,           mem_strdup("abc"), mem_strdup("gpu-1"),
				    mem_strdup("u1"), mem_strdup("100"), 1 };
	char *files[] = { mem_strdup(path) };
	struct unit unit = { .name = files[0],
			     .is_folder = is_folder,
			     .files = files,
			     .file_count = 1,
			     .said_step = -1,
			     .said_optimizer = -1,
			     .step = -1 };
	struct ship_request request = {
		.place = &place, .unit = &unit, .root = f->source, .run_dir = f->folder, .seq = 1, .trust = SHIP_SETTLED
	};
	CLEANUP(free_p) char *before = folder_path(f->folder, PREFIX "/manifest.json");
	unlink(before); /* no path is used twice, but here */
	struct buf text;
	buf_init(&text, 65536);
	if (!ship_run(&request, &text, &err))
		fail_msg("%s", err.message);
	free(f->summary);
	f->summary = buf_take(&text);
	free(place.installation);
	free(place.job);
	free(place.uid);
	free(place.token);
	free(files[0]);
}

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	f->folder = folder_make();
	static const char *const folders[] = { "run", "work", "checkpoints", "source" };
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		folder_mkdir(f->folder, folders[i]);
	f->url = mem_printf("file://%s/store", f->folder);
	f->run = folder_path(f->folder, "run");
	f->work = folder_path(f->folder, "work");
	f->checkpoints = folder_path(f->folder, "checkpoints");
	f->source = folder_path(f->folder, "source");
	f->tensors = safetensors_make("opt.w", 2000, "{\"step\":\"7\"}", &f->tensors_len);
	folder_write(f->source, "step-7.safetensors", f->tensors, f->tensors_len);
	ship(f, "step-7.safetensors", false);
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
	free(f->summary);
	free(f->tensors);
	free(f);
	return 0;
}

static bool restore(struct fixture *f, char **resume, struct error *err)
{
	struct restore_request request = { .store = f->url,
					   .id = "1-1",
					   .summary = f->summary,
					   .run_dir = f->run,
					   .checkpoint_dir = f->checkpoints,
					   .work_dir = f->work };
	struct buf text;
	buf_init(&text, 65536);
	err->kind = ERR_NONE;
	bool ok = restore_run(&request, &text, err);
	if (resume)
		*resume = mem_strdup(buf_text(&text));
	buf_done(&text);
	return ok;
}

static void restore_fails(struct fixture *f, enum error_kind kind, const char *why)
{
	struct error err = { .message = "" };
	if (restore(f, NULL, &err))
		fail_msg("accepted; expected: %s", why);
	if (err.kind != kind || !strstr(err.message, why))
		fail_msg("expected \"%s\", got %d \"%s\"", why, (int)err.kind, err.message);
	assert_int_equal(folder_count(f->checkpoints), 0);
	assert_int_equal(folder_count(f->work), 0);
	assert_int_equal(folder_count(f->run), 0);
}

static void test_there_and_back(void **state)
{
	struct fixture *f = *state;
	struct error err = { .message = "" };
	CLEANUP(free_p) char *resume = NULL;
	if (!restore(f, &resume, &err))
		fail_msg("%s", err.message);
	CLEANUP(free_p) char *expected = mem_printf("7 %s/step-7.safetensors", f->checkpoints);
	assert_string_equal(resume, expected);
	size_t len;
	CLEANUP(free_p) char *bytes = folder_read(f->checkpoints, "step-7.safetensors", &len);
	assert_int_equal(len, f->tensors_len);
	assert_memory_equal(bytes, f->tensors, len);
	assert_int_equal(folder_count(f->run), 0);
}

/* Whatever bytes of the data or the manifest are changed or cut: 0 accepted. */
static void damage(struct fixture *f, const char *name, int rounds, bool cuts)
{
	size_t len;
	CLEANUP(free_p) char *bytes = folder_read(f->folder, name, &len);
	CLEANUP(free_p) char *work = mem_alloc(len);
	uint64_t seed = 20261122;
	for (int i = 0; i < rounds; i++) {
		memcpy(work, bytes, len);
		size_t at = draw(&seed) % len;
		if (!cuts)
			work[at] = (char)(work[at] ^ (1 << draw(&seed) % 8));
		folder_write(f->folder, name, work, cuts ? at : len);
		struct error err;
		if (restore(f, NULL, &err))
			fail_msg("%s: accepted with %s at %zu of %zu", name, cuts ? "a cut" : "a flipped bit", at, len);
		assert_int_equal(err.kind, ERR_DAMAGED);
	}
	folder_write(f->folder, name, bytes, len);
	assert_int_equal(folder_count(f->checkpoints), 0);
	struct error err;
	assert_true(restore(f, NULL, &err));
	CLEANUP(free_p) char *restored = folder_path(f->checkpoints, "step-7.safetensors");
	assert_int_equal(unlink(restored), 0);
}

static void test_flipped_and_cut_data(void **state)
{
	damage(*state, PREFIX "/data.tar", ROUNDS, false);
	damage(*state, PREFIX "/data.tar", ROUNDS, true);
}

static void test_flipped_and_cut_manifest(void **state)
{
	damage(*state, PREFIX "/manifest.json", ROUNDS, false);
	damage(*state, PREFIX "/manifest.json", ROUNDS, true);
}

/* Found by its hash, before anything parses it. */
static void test_zeroed_longer_and_foreign_data(void **state)
{
	struct fixture *f = *state;
	size_t len;
	CLEANUP(free_p) char *bytes = folder_read(f->folder, PREFIX "/data.tar", &len);
	CLEANUP(free_p) char *zeros = mem_alloc(len + 1);
	folder_write(f->folder, PREFIX "/data.tar", zeros, len);
	restore_fails(f, ERR_DAMAGED, "the SHA-256 of its block 1 is not the one that was committed");
	memcpy(zeros, bytes, len);
	folder_write(f->folder, PREFIX "/data.tar", zeros, len + 1);
	restore_fails(f, ERR_DAMAGED, "bytes");
	folder_write(f->folder, PREFIX "/data.tar", "", 0);
	restore_fails(f, ERR_DAMAGED, "bytes");
}

/* What no compression makes smaller. */
static void fill(char *bytes, size_t len)
{
	uint64_t seed = 1;
	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)draw(&seed);
}

/* Of several blocks, each is verified; the one that is wrong is named, and nothing of the others is left. */
static void test_a_wrong_block_of_many(void **state)
{
	struct fixture *f = *state;
	size_t len = 2 * (size_t)BLOCK_BYTES + 777, stored;
	CLEANUP(free_p) char *big = mem_alloc(len);
	fill(big, len);
	folder_write(f->source, "big.bin", big, len);
	ship(f, "big.bin", false);
	CLEANUP(free_p) char *bytes = folder_read(f->folder, PREFIX "/data.tar", &stored);
	for (size_t block = 0; block < 3; block++) {
		size_t at = block == 2 ? stored - 1 : block * BLOCK_BYTES + 4096;
		CLEANUP(free_p)
		char *why = mem_printf("the SHA-256 of its block %zu is not the one that was committed", block + 1);
		bytes[at] ^= 1;
		folder_write(f->folder, PREFIX "/data.tar", bytes, stored);
		restore_fails(f, ERR_DAMAGED, why);
		bytes[at] ^= 1;
	}
	folder_write(f->folder, PREFIX "/data.tar", bytes, stored);
	struct error err;
	assert_true(restore(f, NULL, &err));
	size_t got;
	CLEANUP(free_p) char *back = folder_read(f->checkpoints, "big.bin", &got);
	assert_int_equal(got, len);
	assert_memory_equal(back, big, len);
}

/* It is stored smaller, and what comes back is the same; what is damaged is found before it is made larger. */
static void test_what_gets_smaller(void **state)
{
	struct fixture *f = *state;
	size_t len = 3 * (size_t)BLOCK_BYTES, stored, got;
	CLEANUP(free_p) char *big = mem_alloc(len);
	fill(big, len);
	for (size_t i = 0; i < len; i++)
		big[i] &= 7;
	folder_write(f->source, "big.bin", big, len);
	ship(f, "big.bin", false);
	CLEANUP(free_p) char *bytes = folder_read(f->folder, PREFIX "/data.tar", &stored);
	assert_true(stored > len / 4 && stored < len / 2);
	assert_non_null(strstr(f->summary, "\"compression\":\"zstd\""));
	bytes[stored / 2] ^= 1;
	folder_write(f->folder, PREFIX "/data.tar", bytes, stored);
	restore_fails(f, ERR_DAMAGED, "the SHA-256 of its block 1 is not the one that was committed");
	bytes[stored / 2] ^= 1;
	folder_write(f->folder, PREFIX "/data.tar", bytes, stored);
	struct error err;
	if (!restore(f, NULL, &err))
		fail_msg("%s", err.message);
	CLEANUP(free_p) char *back = folder_read(f->checkpoints, "big.bin", &got);
	assert_int_equal(got, len);
	assert_memory_equal(back, big, len);
}

/* Of one half that does and one that does not: there is less to gain than to lose. */
static void test_what_hardly_gets_smaller(void **state)
{
	struct fixture *f = *state;
	size_t len = 2 * (size_t)BLOCK_BYTES;
	CLEANUP(free_p) char *big = mem_alloc(len);
	fill(big, len);
	memset(big, 0, len / 5);
	folder_write(f->source, "big.bin", big, len);
	ship(f, "big.bin", false);
	assert_null(strstr(f->summary, "compression"));
}

/* A whole checkpoint of somebody else's in our place: sound by itself, but not what was committed. */
static void test_replaced_objects(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *committed = mem_strdup(f->summary);
	folder_text(f->source, "evil.pt", "other weights");
	ship(f, "evil.pt", false);
	free(f->summary);
	f->summary = STEAL(committed);
	restore_fails(f, ERR_DAMAGED, "its SHA-256 is not the one that was committed");
}

static void test_missing_objects(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *data = folder_path(f->folder, PREFIX "/data.tar");
	CLEANUP(free_p) char *manifest = folder_path(f->folder, PREFIX "/manifest.json");
	assert_int_equal(unlink(data), 0);
	restore_fails(f, ERR_DAMAGED, "there is no");
	assert_int_equal(unlink(manifest), 0);
	/* Nothing of this installation at all: more likely a disk that is not mounted. */
	restore_fails(f, ERR_UNAVAILABLE, "is it mounted?");
	folder_text(f->folder, "store/abc/other", "something");
	restore_fails(f, ERR_DAMAGED, "there is no");
}

static void test_another_store(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *mine = f->url;
	f->url = mem_printf("file://%s/elsewhere", f->folder);
	restore_fails(f, ERR_UNAVAILABLE, "is not in the store");
	free(f->url);
	f->url = STEAL(mine);
	free(f->summary);
	f->summary = mem_strdup("{\"uri\":\"file:///etc/../etc/passwd\"}");
	restore_fails(f, ERR_DAMAGED, "summary");
}

static void test_a_folder_is_replaced_as_a_whole(void **state)
{
	struct fixture *f = *state;
	struct error err = { .message = "" };
	folder_text(f->source, "checkpoint-9/weights.bin", "weights");
	folder_mkdir(f->source, "checkpoint-9/empty");
	ship(f, "checkpoint-9", true);
	folder_text(f->checkpoints, "checkpoint-9/weights.bin", "torn");
	folder_text(f->checkpoints, "checkpoint-9/old/extra.bin", "of a save that was killed");
	CLEANUP(free_p) char *resume = NULL;
	if (!restore(f, &resume, &err))
		fail_msg("%s", err.message);
	CLEANUP(free_p) char *expected = mem_printf("9 %s/checkpoint-9", f->checkpoints);
	assert_string_equal(resume, expected);
	assert_false(folder_has(f->checkpoints, "checkpoint-9/old"));
	assert_true(folder_has(f->checkpoints, "checkpoint-9/empty"));
	CLEANUP(free_p) char *bytes = folder_read(f->checkpoints, "checkpoint-9/weights.bin", NULL);
	assert_string_equal(bytes, "weights");
}

/* Megatron and DeepSpeed load what the file beside their folder names: it goes and comes back with the folder. */
static void test_the_file_beside_comes_along(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *folder, *file, *beside, *text, *older;
	} rows[] = {
		{ "iter_0000007", "mp_rank_00/weights", "latest_checkpointed_iteration.txt", "7", "9" },
		{ "global_step7", "mp_rank_00_model_states.pt", "latest", "global_step7", "global_step9" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct error err = { .message = "" };
		CLEANUP(free_p) char *resume = NULL;
		CLEANUP(free_p) char *file = mem_printf("%s/%s", rows[i].folder, rows[i].file);
		folder_text(f->source, file, "new");
		folder_text(f->source, rows[i].beside, rows[i].text);
		ship(f, rows[i].folder, true);
		folder_text(f->checkpoints, rows[i].beside, rows[i].older);
		if (!restore(f, &resume, &err))
			fail_msg("%s", err.message);
		CLEANUP(free_p) char *expected = mem_printf("7 %s", f->checkpoints);
		assert_string_equal(resume, expected);
		CLEANUP(free_p) char *latest = folder_read(f->checkpoints, rows[i].beside, NULL);
		assert_string_equal(latest, rows[i].text);
		CLEANUP(free_p) char *weights = folder_read(f->checkpoints, file, NULL);
		assert_string_equal(weights, "new");
	}
}

/* The place is on another file system: copied there, and then renamed. */
static void test_across_file_systems(void **state)
{
	struct fixture *f = *state;
	struct error err = { .message = "" };
	struct stat here, there;
	CLEANUP(free_p) char *shm = mem_strdup("/dev/shm/stoker-test-XXXXXX");
	if (!mkdtemp(shm) || stat(shm, &there) < 0 || stat(f->folder, &here) < 0 || here.st_dev == there.st_dev)
		skip();
	CLEANUP(free_p) char *before = f->checkpoints;
	f->checkpoints = mem_strdup(shm);
	folder_text(f->source, "checkpoint-9/a/weights.bin", "weights");
	folder_text(f->source, "checkpoint-9/empty", "");
	ship(f, "checkpoint-9", true);
	folder_text(shm, "checkpoint-9/old", "old");
	if (!restore(f, NULL, &err))
		fail_msg("%s", err.message);
	CLEANUP(free_p) char *bytes = folder_read(shm, "checkpoint-9/a/weights.bin", NULL);
	assert_string_equal(bytes, "weights");
	assert_int_equal(folder_count(shm), 2);
	free(f->checkpoints);
	f->checkpoints = STEAL(before);
	folder_remove(STEAL(shm));
}

/* A program cannot lead the restore out of its folder by a link that it left there. */
static void test_links_in_the_way(void **state)
{
	struct fixture *f = *state;
	struct error err = { .message = "" };
	folder_text(f->source, "checkpoint-9/weights.bin", "weights");
	ship(f, "checkpoint-9", true);
	CLEANUP(free_p) char *link = folder_path(f->checkpoints, "checkpoint-9");
	CLEANUP(free_p) char *target = folder_path(f->folder, "target");
	folder_text(f->folder, "target/weights.bin", "precious");
	assert_int_equal(symlink(target, link), 0);
	if (!restore(f, NULL, &err))
		fail_msg("%s", err.message);
	CLEANUP(free_p) char *kept = folder_read(target, "weights.bin", NULL);
	assert_string_equal(kept, "precious");
	CLEANUP(free_p) char *bytes = folder_read(f->checkpoints, "checkpoint-9/weights.bin", NULL);
	assert_string_equal(bytes, "weights");
}

struct look { /* around in the unpacker, after its work */
	struct fixture *f;
	struct unpack_request request;
};

static bool look_can(const char *folder, const char *name, int flags)
{
	CLEANUP(free_p) char *path = folder_path(folder, name);
	CLEANUP(close_fd) int fd = open(path, flags | O_CLOEXEC, 0600);
	return fd >= 0;
}

static bool look_around(void *arg, struct buf *text, struct error *err)
{
	struct look *look = arg;
	CLEANUP(buf) struct buf plan;
	buf_init(&plan, 65536);
	if (!unpack_run(&look->request, &plan, err))
		return false;
	return buf_printf(text, "%d%d%d%d%d%d", look_can(look->request.folder, "new", O_WRONLY | O_CREAT),
			  look_can("/etc", "passwd", O_RDONLY),
			  look_can(look->f->checkpoints, "new", O_WRONLY | O_CREAT),
			  look_can(look->f->run, "new", O_WRONLY | O_CREAT), look_can(look->f->source, "x", O_RDONLY),
			  look_can(look->f->folder, PREFIX "/data.tar", O_WRONLY));
}

/* The process that read the store can write in its own folder, and nowhere else; and read nothing but the store. */
static void test_the_unpacker_is_confined(void **state)
{
	struct fixture *f = *state;
	struct error err = { .message = "" };
	CLEANUP(summary) struct summary summary;
	CLEANUP(free_p) char *own = folder_path(f->run, "own");
	if (!landlock_version()) {
		print_message("UNPROVED: this kernel has no Landlock\n");
		skip();
	}
	folder_text(f->source, "x", "x");
	folder_mkdir(f->run, "own");
	assert_true(summary_from_json(f->summary, &summary, &err));
	CLEANUP(close_fd) int root = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct look look = { f, { .store = f->url, .summary = &summary, .folder = own, .root = root } };
	const struct helper_options options = { .name = "look", .keep_fd = root, .run = look_around, .run_arg = &look };
	CLEANUP(buf) struct buf text;
	buf_init(&text, 100);
	if (!helper_call(&options, &text, &err))
		fail_msg("%s", err.message);
	assert_string_equal(buf_text(&text), "100000");
	assert_true(folder_has(own, "checkpoint/step-7.safetensors"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flipped_and_cut_data, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flipped_and_cut_manifest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zeroed_longer_and_foreign_data, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_wrong_block_of_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_gets_smaller, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_hardly_gets_smaller, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaced_objects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_objects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_folder_is_replaced_as_a_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_file_beside_comes_along, setup, teardown),
		cmocka_unit_test_setup_teardown(test_across_file_systems, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_in_the_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_unpacker_is_confined, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
