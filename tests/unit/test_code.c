/* Packed code: the same bytes everywhere and for ever, and manifests that lie. */
#include "queue/code.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <jansson.h>

#include "cli/code_pack.h"
#include "cli/set.h"
#include "lib/buf.h"
#include "tests/unit/folder.h"

static void put(const char *folder, const char *path, const char *text, mode_t mode)
{
	CLEANUP(free_p) char *full = folder_path(folder, path);
	FILE *file = fopen(full, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	chmod(full, mode);
}

static void pack(const char *folder, struct code_pack *into)
{
	CLEANUP(code_files) struct code_files files = { .folder = NULL };
	struct error err = { 0 };
	if (!code_walk(folder, 1 << 20, &files, &err) || !code_pack(&files, into, &err))
		fail_msg("%s", err.message);
}

static char *sample(void)
{
	char *folder = folder_make();
	folder_mkdir(folder, "b");
	put(folder, "a.py", "print(1)\n", 0664);
	put(folder, "b/run.sh", "#!/bin/sh\n", 0700);
	put(folder,
	    "b/"
	    "0123456789012345678901234567890123456789012345678901234567890123456789"
	    "01234567890123456789012345678901234567890123456789",
	    "", 0400);
	return folder;
}

/* Another hash here would send all code again, and tell people that their code had changed. */
static void test_the_hash_of_what_is_packed_never_changes(void **state)
{
	char *folder = sample();
	CLEANUP(code_pack) struct code_pack packed = { .fd = -1 };
	(void)state;
	pack(folder, &packed);
	assert_int_equal(packed.code.contents.count, 3);
	assert_string_equal(packed.code.contents.members[0].path, "a.py");
	assert_int_equal(packed.code.contents.members[0].mode, 0644);
	assert_int_equal(packed.code.contents.members[2].mode, 0755);
	assert_string_equal(packed.hash.text, "bedcb17bdf568ba18207bdb8f84573b44172c6ca7da0bcf956d2dd680f82be62");
	folder_remove(folder);
}

static void test_there_and_back(void **state)
{
	char *folder = sample();
	CLEANUP(code_pack) struct code_pack packed = { .fd = -1 };
	CLEANUP(code) struct code read = { .contents.members = NULL };
	struct error err;
	(void)state;
	pack(folder, &packed);
	CLEANUP(free_p) char *json = code_to_json(&packed.code);
	assert_true(code_from_json(json, strlen(json), packed.hash.text, &read, &err));
	CLEANUP(free_p) char *again = code_to_json(&read);
	assert_string_equal(json, again);
	folder_remove(folder);
}

static void test_manifests_that_lie_are_refused(void **state)
{
	static const char *const lies[] = {
		"files.0.path=../a",
		"files.0.path=/a",
		"files.0.path=''",
		"files.0.path=z", /* not in order */
		"files.0.size=-1",
		"files.0.size=999999",
		"files.0.offset=9223372036854775000",
		"files.0.sha256=abc",
		"files.0.executable=1",
		"files=[]",
		"files=3",
		"size=0",
		"size=99999999",
		"size=4611686018427387904",
		"block_bytes=512",
		"blocks=[]",
		"blocks.0=0000000000000000000000000000000000000000000000000000000000000000x",
		"blocks.0='0000000000000000000000000000000000000000000000000000000000000000'",
		"version=2",
	};
	char *folder = sample();
	CLEANUP(code_pack) struct code_pack packed = { .fd = -1 };
	(void)state;
	pack(folder, &packed);
	CLEANUP(free_p) char *json = code_to_json(&packed.code);
	for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
		CLEANUP(code) struct code read = { .contents.members = NULL };
		struct error err = { 0 };
		json_t *root = json_loads(json, 0, NULL);
		assert_true(set_apply(root, lies[i], &err));
		CLEANUP(free_p) char *text = json_dumps(root, 0);
		json_decref(root);
		if (code_from_json(text, strlen(text), packed.hash.text, &read, &err))
			fail_msg("%s was taken", lies[i]);
		assert_int_equal(err.kind, ERR_DAMAGED);
	}
	folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_hash_of_what_is_packed_never_changes),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_manifests_that_lie_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
