/* What is seen while the bytes go by: CRCs of ZIP entries, and what changes on the way. */
#include "worker/proof.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "tests/unit/folder.h"
#include "tests/unit/zips.h"

#define LARGE (1024 * 1024 + 77) /* several chunks of the packer */

struct fixture {
	char *folder;
	int root;
	struct error err;
	char *words; /* what was proved; NULL: refused */
	size_t members;
	void (*meddle)(struct fixture *f); /* before the first byte is written */
};

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	f->folder = folder_make();
	f->root = beneath_root(f->folder);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	close(f->root);
	folder_remove(f->folder);
	free(f->words);
	free(f);
	return 0;
}

static bool sink(void *arg, const void *data, size_t len, struct error *err)
{
	struct fixture *f = arg;
	(void)data;
	(void)len;
	(void)err;
	if (f->meddle)
		f->meddle(f);
	f->meddle = NULL;
	return true;
}

/* As the ship helper does it, for one file or folder of a program that was killed. */
static bool prove(struct fixture *f, const char *path, bool is_folder)
{
	CLEANUP(free_p) char *file = mem_strdup(path);
	struct unit unit = { .name = file, .files = &file, .file_count = 1, .is_folder = is_folder };
	struct ship_request request = { .unit = &unit, .root = f->folder, .trust = SHIP_SUSPECT };
	CLEANUP(proof) struct proof proof;
	CLEANUP(tarball) struct tarball contents;
	tarball_init(&contents);
	f->err = (struct error){ .kind = ERR_NONE };
	free(STEAL(f->words));
	if (!proof_take(&proof, &request, f->root, &f->err) ||
	    !proof_pack(&proof, &request, &(const struct proof_pack){ .root = f->root, .sink = sink, .sink_arg = f },
			&contents, &f->err))
		return false;
	f->members = contents.count;
	f->words = proof_words(&proof, &request);
	return true;
}

static char *large_make(struct fixture *f, size_t *len, const char *options)
{
	CLEANUP(free_p) char *tensor = mem_alloc(LARGE);
	uint64_t dice = 7;
	for (size_t i = 0; i < LARGE; i++)
		tensor[i] = (char)draw(&dice);
	const struct zip_part parts[] = { { "m/data.pkl", PICKLE_ALL, sizeof PICKLE_ALL - 1 },
					  { "m/data/0", tensor, LARGE },
					  { "m/data/1", "", 0 },
					  { "m/version", "3\n", 2 } };
	zip_make(f->folder, "a.pt", parts, ARRAY_LEN(parts), options);
	return folder_read(f->folder, "a.pt", len);
}

static void test_every_entry_has_its_crc(void **state)
{
	struct fixture *f = *state;
	size_t len;
	CLEANUP(free_p) char *bytes = large_make(f, &len, "compression=store");
	if (!prove(f, "a.pt", false))
		fail_msg("%s", f->err.message);
	assert_non_null(strstr(f->words, "CRC of 3 entries"));
	/* One bit, anywhere in the tensor: at its ends, at the borders of chunks, and in between. */
	size_t first = (size_t)((char *)memmem(bytes, len, "m/data/0", 8) - bytes) + 200;
	const size_t places[] = { first, 256 * 1024 - 1, 256 * 1024, 512 * 1024 + 5, LARGE - 1 };
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		bytes[places[i]] ^= 1;
		folder_write(f->folder, "a.pt", bytes, len);
		assert_int_equal(format_check(f->root, "a.pt", NULL).proof, FORMAT_WHOLE);
		assert_false(prove(f, "a.pt", false));
		assert_int_equal(f->err.kind, ERR_DAMAGED);
		assert_non_null(strstr(f->err.message, "CRC"));
		bytes[places[i]] ^= 1;
	}
}

/* torch without CRCs writes others. */
static void test_crcs_that_are_none(void **state)
{
	struct fixture *f = *state;
	size_t len;
	CLEANUP(free_p) char *bytes = large_make(f, &len, "compression=store");
	for (size_t i = 0; i + 46 < len; i++)
		if (memcmp(bytes + i, "PK\1\2", 4) == 0)
			bytes[i + 16] ^= 0x55;
	folder_write(f->folder, "a.pt", bytes, len);
	if (!prove(f, "a.pt", false))
		fail_msg("%s", f->err.message);
	assert_null(strstr(f->words, "CRC of"));
	assert_non_null(strstr(f->words, "3 entries unchecked"));
}

static void test_compressed_entries(void **state)
{
	struct fixture *f = *state;
	size_t len;
	CLEANUP(free_p) char *bytes = large_make(f, &len, "compression=deflate");
	if (!prove(f, "a.pt", false))
		fail_msg("%s", f->err.message);
	assert_non_null(strstr(f->words, "CRC of"));
	assert_null(strstr(f->words, "unchecked"));
	/* Anywhere in what is compressed; also where no entry is right that could tell it from a file without CRCs. */
	size_t first = (size_t)((char *)memmem(bytes, len, "m/data/0", 8) - bytes) + 200;
	const size_t places[] = { first, len / 4, len / 2, len - 1000 };
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		bytes[places[i]] ^= 1;
		folder_write(f->folder, "a.pt", bytes, len);
		assert_false(prove(f, "a.pt", false));
		assert_int_equal(f->err.kind, ERR_DAMAGED);
		assert_non_null(strstr(f->err.message, "CRC"));
		bytes[places[i]] ^= 1;
	}
}

/* As numpy.savez_compressed writes one array. */
static void test_a_compressed_entry_alone(void **state)
{
	struct fixture *f = *state;
	size_t len;
	CLEANUP(free_p) char *array = mem_alloc(LARGE);
	for (size_t i = 0; i < LARGE; i++)
		array[i] = (char)(i / 1000 * 7);
	const struct zip_part part = { "w.npy", array, LARGE };
	zip_make(f->folder, "a.npz", &part, 1, "compression=deflate");
	if (!prove(f, "a.npz", false))
		fail_msg("%s", f->err.message);
	assert_non_null(strstr(f->words, "CRC of 1 entries"));
	CLEANUP(free_p) char *bytes = folder_read(f->folder, "a.npz", &len);
	assert_true(len < LARGE / 10);
	for (size_t at = 60; at + 200 < len; at += 97) {
		bytes[at] ^= 4;
		folder_write(f->folder, "a.npz", bytes, len);
		assert_false(prove(f, "a.npz", false));
		assert_int_equal(f->err.kind, ERR_DAMAGED);
		bytes[at] ^= 4;
	}
}

static void test_each_file_of_a_folder(void **state)
{
	struct fixture *f = *state;
	torch_make(f->folder, "c/a.pt", PICKLE_ALL);
	torch_make(f->folder, "c/deep/b.pt", PICKLE_WEIGHTS);
	folder_text(f->folder, "c/_SUCCESS", "");
	if (!prove(f, "c", true))
		fail_msg("%s", f->err.message);
	assert_non_null(strstr(f->words, "CRC of 4 entries"));
	size_t len;
	CLEANUP(free_p) char *bytes = folder_read(f->folder, "c/deep/b.pt", &len);
	char *tensor = memmem(bytes, len, "0123456789abcdef", 16);
	tensor[3] = 'x';
	folder_write(f->folder, "c/deep/b.pt", bytes, len);
	folder_text(f->folder, "c/_SUCCESS", "");
	assert_false(prove(f, "c", true));
	assert_non_null(strstr(f->err.message, "c/deep/b.pt"));
}

/* Two files that are one checkpoint: which of them was saved when, nobody knows. */
static void test_files_of_two_saves(void **state)
{
	struct fixture *f = *state;
	torch_make(f->folder, "model.pt", PICKLE_WEIGHTS);
	torch_make(f->folder, "optim.pt", PICKLE_ALL);
	char *files[] = { mem_strdup("model.pt"), mem_strdup("optim.pt") };
	struct unit unit = { .name = files[0], .files = files, .file_count = 2 };
	struct ship_request request = { .unit = &unit, .root = f->folder, .trust = SHIP_SUSPECT };
	struct proof proof;
	assert_false(proof_take(&proof, &request, f->root, &f->err));
	assert_int_equal(f->err.kind, ERR_DAMAGED);
	proof_done(&proof);
	request.trust = SHIP_SETTLED;
	assert_true(proof_take(&proof, &request, f->root, &f->err));
	proof_done(&proof);
	free(files[0]);
	free(files[1]);
}

static void name_another(struct fixture *f)
{
	folder_text(f->folder, "latest_checkpointed_iteration.txt", "9");
}

static void test_the_file_beside(void **state)
{
	struct fixture *f = *state;
	torch_make(f->folder, "iter_0000007/mp_rank_00/model_optim_rng.pt", PICKLE_ALL);
	assert_false(prove(f, "iter_0000007", true));
	folder_text(f->folder, "latest_checkpointed_iteration.txt", "7");
	if (!prove(f, "iter_0000007", true))
		fail_msg("%s", f->err.message);
	assert_int_equal(f->members, 4);
	f->meddle = name_another; /* a newer save ends while this one is read */
	assert_false(prove(f, "iter_0000007", true));
	assert_int_equal(f->err.kind, ERR_CONFLICT);
	if (!prove(f, "iter_0000007", true))
		fail_msg("%s", f->err.message);
	assert_int_equal(f->members, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_entry_has_its_crc, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crcs_that_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_compressed_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_compressed_entry_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_file_of_a_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files_of_two_saves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_file_beside, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
