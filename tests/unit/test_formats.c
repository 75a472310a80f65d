/* What the bytes prove: every cut, every hole, every flipped byte of a header. */
#include "worker/formats.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "tests/unit/folder.h"
#include "tests/unit/zips.h"

struct fixture {
	char *folder;
	int root;
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
	free(f);
	return 0;
}

static struct format_verdict check(struct fixture *f, const char *name, const void *bytes, size_t len)
{
	folder_write(f->folder, name, bytes, len);
	return format_check(f->root, name, NULL);
}

static void test_safetensors(void **state)
{
	struct fixture *f = *state;
	size_t len;
	CLEANUP(free_p)
	unsigned char *bytes = safetensors_make("opt.m.0", 20, "{\"step\":\"1200\",\"epoch\":\"3\"}", &len);
	struct format_verdict v = check(f, "x.safetensors", bytes, len);
	assert_int_equal(v.proof, FORMAT_SOUND);
	assert_int_equal(v.step, 1200);
	assert_int_equal(v.epoch, 3);
	assert_int_equal(v.optimizer, 1);
	assert_string_equal(v.framework, "safetensors");
	CLEANUP(free_p) unsigned char *weights = safetensors_make("layer.weight", 20, NULL, &len);
	v = check(f, "y.safetensors", weights, len);
	assert_int_equal(v.proof, FORMAT_SOUND);
	assert_int_equal(v.step, -1);
	assert_int_equal(v.optimizer, 0);
}

static void test_safetensors_torn_anywhere(void **state)
{
	struct fixture *f = *state;
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 40, "{\"step\":\"1\"}", &len);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(check(f, "x.safetensors", bytes, cut).proof, FORMAT_TORN);
	CLEANUP(free_p) unsigned char *longer = mem_alloc(len + 1);
	memcpy(longer, bytes, len);
	assert_int_equal(check(f, "x.safetensors", longer, len + 1).proof, FORMAT_TORN);
}

/* As tinygrad saves: the final size first, then the header and the tensors through a mapping. */
static void test_safetensors_with_holes(void **state)
{
	struct fixture *f = *state;
	size_t len, elements = 256 * 1024, page = (size_t)sysconf(_SC_PAGESIZE);
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", elements, NULL, &len);
	CLEANUP(free_p) char *path = folder_path(f->folder, "x.safetensors");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	unsigned char *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	close(fd);
	assert_int_equal(format_check(f->root, "x.safetensors", NULL).proof, FORMAT_TORN); /* no header yet */
	for (size_t at = 0; at < len; at += 16 * page) {
		size_t size = len - at < 16 * page ? len - at : 16 * page;
		memcpy(map + at, bytes + at, size);
		enum format_proof proof = format_check(f->root, "x.safetensors", NULL).proof;
		assert_int_equal(proof, at + size < len ? FORMAT_OPAQUE : FORMAT_SOUND);
	}
	munmap(map, len);
}

static void safetensors_with(struct fixture *f, const char *header, size_t data, enum format_proof expected)
{
	size_t size = strlen(header), len = 8 + size + data;
	CLEANUP(free_p) unsigned char *bytes = mem_alloc(len);
	memset(bytes, 1, len);
	memset(bytes, 0, 8);
	bytes[0] = (unsigned char)size;
	bytes[1] = (unsigned char)(size >> 8);
	memcpy(bytes + 8, header, size);
	if (check(f, "h.safetensors", bytes, len).proof != expected)
		fail_msg("%s with %zu bytes", header, data);
}

static void test_safetensors_headers(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *header;
		size_t data;
		enum format_proof proof;
	} rows[] = {
		{ "{}", 0, FORMAT_SOUND },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, FORMAT_SOUND },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, FORMAT_SOUND },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[0,0]}}", 0, FORMAT_SOUND },
		{ "{\"a\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]}}", 2, FORMAT_SOUND },
		{ "{\"a\":{\"dtype\":\"F99\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3, FORMAT_SOUND },
		{ "{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]},"
		  "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
		  3, FORMAT_SOUND },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, FORMAT_TORN },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, FORMAT_TORN },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, FORMAT_TORN },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, FORMAT_TORN },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,16],\"data_offsets\":[0,8]}}", 8,
		  FORMAT_TORN },
		{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[1,9]}}", 9, FORMAT_TORN },
		{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[8,0]}}", 8, FORMAT_TORN },
		{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
		  "\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[8,16]}}",
		  16, FORMAT_TORN },
		{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
		  "\"b\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[4,12]}}",
		  12, FORMAT_TORN },
		{ "{\"a\":{\"dtype\":\"U8\",\"shape\":[8]}}", 8, FORMAT_TORN },
		{ "{\"a\":8}", 8, FORMAT_TORN },
		{ "[]", 0, FORMAT_TORN },
		{ "{", 0, FORMAT_TORN },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		safetensors_with(f, rows[i].header, rows[i].data, rows[i].proof);
	unsigned char huge[16];
	memset(huge, 0xff, sizeof huge);
	assert_int_equal(check(f, "x.safetensors", huge, sizeof huge).proof, FORMAT_TORN);
}

static void test_torch(void **state)
{
	struct fixture *f = *state;
	torch_make_with(f->folder, "large.pt", PICKLE_ALL, sizeof PICKLE_ALL - 1, "compression=store,zip64");
	assert_int_equal(format_check(f->root, "large.pt", NULL).proof, FORMAT_WHOLE);
	assert_int_equal(format_check(f->root, "large.pt", NULL).optimizer, 1);
	torch_make(f->folder, "weights.pt", PICKLE_WEIGHTS);
	struct format_verdict v = format_check(f->root, "weights.pt", NULL);
	assert_string_equal(v.framework, "torch");
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_int_equal(v.optimizer, 0);
	assert_int_equal(v.step, 5);
	torch_make_with(f->folder, "packed.pt", PICKLE_ALL, sizeof PICKLE_ALL - 1, "compression=deflate");
	v = format_check(f->root, "packed.pt", NULL);
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_int_equal(v.optimizer, -1);
	assert_int_equal(v.step, -1);
	torch_make(f->folder, "half.pt", "\200\002}q\000(X\005");
	v = format_check(f->root, "half.pt", NULL); /* a pickle that is not understood speaks for nothing */
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_int_equal(v.optimizer, -1);
}

static void test_torch_torn_anywhere(void **state)
{
	struct fixture *f = *state;
	torch_make(f->folder, "all.ckpt", PICKLE_ALL);
	assert_int_equal(format_check(f->root, "all.ckpt", NULL).proof, FORMAT_WHOLE);
	size_t len;
	CLEANUP(free_p) char *bytes = folder_read(f->folder, "all.ckpt", &len);
	for (size_t cut = 4; cut < len; cut++)
		assert_int_equal(check(f, "cut.pt", bytes, cut).proof, FORMAT_TORN);
	/* The right size, but the end not written yet. */
	for (size_t cut = 4; cut < len; cut++) {
		CLEANUP(free_p) char *part = mem_alloc(len);
		memcpy(part, bytes, cut);
		enum format_proof proof = check(f, "cut.pt", part, len).proof;
		if (memcmp(part, bytes, len) != 0 && proof != FORMAT_TORN)
			fail_msg("accepted with %zu of %zu bytes", cut, len);
	}
}

/* torch.save(…, _use_new_zipfile_serialization=False): five pickles, then the tensors. */
static void test_old_torch(void **state)
{
	struct fixture *f = *state;
	static const char magic[] = "\200\002\212\012l\374\234F\371 j\250P\031.\200\002M\351\003.\200\002}.";
	static const char tail[] = "\200\002]X\001\000\000\0000a.\001\000\000\000\000\000\000\000abcd";
	size_t head = sizeof magic - 1, body = sizeof PICKLE_ALL - 1, end = sizeof tail - 1, keys = 11;
	CLEANUP(free_p) char *bytes = mem_alloc(head + body + end);
	memcpy(bytes, magic, head);
	memcpy(bytes + head, PICKLE_ALL, body);
	memcpy(bytes + head + body, tail, end);
	struct format_verdict v = check(f, "old.pt", bytes, head + body + end);
	assert_int_equal(v.proof, FORMAT_OPAQUE);
	assert_string_equal(v.framework, "torch");
	assert_int_equal(v.step, 5);
	assert_int_equal(v.optimizer, 1);
	for (size_t cut = 14; cut < head + body + keys; cut++)
		if (check(f, "old.pt", bytes, cut).proof != FORMAT_TORN)
			fail_msg("accepted with %zu bytes", cut);
	/* From there on nothing says how much there must be. */
	assert_int_equal(check(f, "old.pt", bytes, head + body + keys).proof, FORMAT_OPAQUE);
}

static void numpy_with(struct fixture *f, const char *header, size_t data, enum format_proof expected)
{
	size_t size = strlen(header), len = 10 + size + data;
	CLEANUP(free_p) char *bytes = mem_alloc(len);
	memset(bytes, 1, len);
	memcpy(bytes, "\223NUMPY\1\0", 8);
	bytes[8] = (char)size;
	bytes[9] = 0;
	memcpy(bytes + 10, header, size);
	if (check(f, "a.npy", bytes, len).proof != expected)
		fail_msg("%s with %zu bytes: %s", header, data, check(f, "a.npy", bytes, len).words);
}

static void test_numpy(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *header;
		size_t data;
		enum format_proof proof;
	} rows[] = {
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n", 48, FORMAT_SOUND },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n", 47, FORMAT_TORN },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n", 49, FORMAT_TORN },
		{ "{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n", 8, FORMAT_SOUND },
		{ "{'descr': '|b1', 'fortran_order': True, 'shape': (5,), }\n", 5, FORMAT_SOUND },
		{ "{'descr': '<U3', 'fortran_order': True, 'shape': (2,), }\n", 24, FORMAT_SOUND },
		{ "{'descr': '|O', 'fortran_order': False, 'shape': (5,), }\n", 5, FORMAT_OPAQUE },
		{ "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (5,), }\n", 5, FORMAT_OPAQUE },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999999999), }\n", 4, FORMAT_TORN },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (", 4, FORMAT_TORN },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (x), }\n", 4, FORMAT_TORN },
		{ "{'descr': ", 4, FORMAT_TORN },
		{ "{'shape': (1,), 'descr': '", 4, FORMAT_OPAQUE },
		{ "{'shape': (1,), 'descr': '<", 4, FORMAT_OPAQUE },
		{ "", 4, FORMAT_TORN },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		numpy_with(f, rows[i].header, rows[i].data, rows[i].proof);
	assert_int_equal(check(f, "b.npy", "\223NUMPY", 6).proof, FORMAT_TORN);
	assert_int_equal(check(f, "b.npy", "\223NUMPY\1\0\377\377", 10).proof, FORMAT_TORN);
	const struct zip_part parts[] = { { "a.npy", "0123", 4 }, { "b.npy", "0123", 4 } };
	zip_make(f->folder, "c.npz", parts, 2, "compression=store");
	struct format_verdict v = format_check(f->root, "c.npz", NULL);
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_string_equal(v.framework, "numpy");
}

static void put_number(unsigned char *at, int bytes, uint64_t value)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (unsigned char)(value >> 8 * i);
}

/* One entry "a" at 0; its directory at 31, with a comment of 76 bytes in which a 64-bit record (at 78) and its
 * locator stand; the classic end at 154 says "too large for me". */
static void zip64_make(unsigned char bytes[176], uint64_t at, uint64_t size)
{
	memset(bytes, 0, 176);
	memcpy(bytes, "PK\3\4", 4);
	put_number(bytes + 26, 2, 1);
	memcpy(bytes + 30, "a", 1);
	memcpy(bytes + 31, "PK\1\2", 4);
	put_number(bytes + 31 + 28, 2, 1);
	put_number(bytes + 31 + 32, 2, 76);
	memcpy(bytes + 77, "a", 1);
	memcpy(bytes + 78, "PK\6\6", 4);
	put_number(bytes + 78 + 32, 8, 1);
	put_number(bytes + 78 + 40, 8, size);
	put_number(bytes + 78 + 48, 8, at);
	memcpy(bytes + 134, "PK\6\7", 4);
	put_number(bytes + 134 + 8, 8, 78);
	memcpy(bytes + 154, "PK\5\6", 4);
	memset(bytes + 154 + 8, 0xff, 12);
}

/* A 64-bit record that does not end where the directory does counts for nothing: not even its numbers are used. */
static void test_torch_with_a_record_that_does_not_fit(void **state)
{
	struct fixture *f = *state;
	unsigned char bytes[176];
	zip64_make(bytes, 31, 154 - 31);
	assert_int_equal(check(f, "x.pt", bytes, sizeof bytes).proof, FORMAT_TORN);
	zip64_make(bytes, INT64_MAX, INT64_MAX); /* whose sum no number holds */
	assert_int_equal(check(f, "x.pt", bytes, sizeof bytes).proof, FORMAT_TORN);
	zip64_make(bytes, 31, 154 - 31); /* the same directory is fine when the classic end says it */
	put_number(bytes + 154 + 10, 2, 1);
	put_number(bytes + 154 + 12, 4, 154 - 31);
	put_number(bytes + 154 + 16, 4, 31);
	assert_int_equal(check(f, "x.pt", bytes, sizeof bytes).proof, FORMAT_WHOLE);
}

static void test_opaque_files(void **state)
{
	struct fixture *f = *state;
	struct format_verdict v = check(f, "old.pt", "\200\2}q\0.", 6);
	assert_int_equal(v.proof, FORMAT_OPAQUE);
	assert_non_null(strstr(v.words, "hash only"));
	assert_int_equal(v.optimizer, -1);
	assert_int_equal(format_check(f->root, "missing", NULL).proof, FORMAT_TORN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_safetensors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_safetensors_torn_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_safetensors_with_holes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_safetensors_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torch_with_a_record_that_does_not_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_opaque_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torch_torn_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_torch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numpy, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
