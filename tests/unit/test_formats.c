/* What the bytes prove: every cut, every hole, every flipped byte of a header. */
#include "worker/formats.h"

#include <archive.h>
#include <archive_entry.h>
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
	return format_check(f->root, name);
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
	assert_int_equal(format_check(f->root, "x.safetensors").proof, FORMAT_TORN); /* no header yet */
	for (size_t at = 0; at < len; at += 16 * page) {
		size_t size = len - at < 16 * page ? len - at : 16 * page;
		memcpy(map + at, bytes + at, size);
		enum format_proof proof = format_check(f->root, "x.safetensors").proof;
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

/* A ZIP as torch.save writes it: stored entries, the directory last. */
static void torch_make_with(struct fixture *f, const char *name, const char *pickle, const char *options)
{
	CLEANUP(free_p) char *path = folder_path(f->folder, name);
	struct archive *zip = archive_write_new();
	archive_write_set_format_zip(zip);
	assert_int_equal(archive_write_set_options(zip, options), ARCHIVE_OK);
	archive_write_set_bytes_in_last_block(zip, 1);
	assert_int_equal(archive_write_open_filename(zip, path), ARCHIVE_OK);
	const struct {
		const char *name;
		const char *data;
		size_t len;
	} entries[] = { { "model/data.pkl", pickle, strlen(pickle) }, { "model/data/0", "0123456789abcdef", 16 } };
	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		struct archive_entry *entry = archive_entry_new();
		archive_entry_set_pathname(entry, entries[i].name);
		archive_entry_set_filetype(entry, AE_IFREG);
		archive_entry_set_size(entry, (la_int64_t)entries[i].len);
		assert_int_equal(archive_write_header(zip, entry), ARCHIVE_OK);
		archive_write_data(zip, entries[i].data, entries[i].len);
		archive_entry_free(entry);
	}
	assert_int_equal(archive_write_close(zip), ARCHIVE_OK);
	archive_write_free(zip);
}

static void torch_make(struct fixture *f, const char *name, const char *pickle)
{
	torch_make_with(f, name, pickle, "compression=store");
}

static void test_torch(void **state)
{
	struct fixture *f = *state;
	torch_make_with(f, "large.pt", "optimizer", "compression=store,zip64");
	assert_int_equal(format_check(f->root, "large.pt").proof, FORMAT_WHOLE);
	assert_int_equal(format_check(f->root, "large.pt").optimizer, 1);
	torch_make(f, "weights.pt", "state_dict layer.weight");
	struct format_verdict v = format_check(f->root, "weights.pt");
	assert_string_equal(v.framework, "torch");
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_int_equal(v.optimizer, 0);
	torch_make(f, "all.ckpt", "model optimizer_state_dict exp_avg");
	v = format_check(f->root, "all.ckpt");
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_int_equal(v.optimizer, 1);
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

static void test_opaque_files(void **state)
{
	struct fixture *f = *state;
	struct format_verdict v = check(f, "old.pt", "\200\2}q\0.", 6);
	assert_int_equal(v.proof, FORMAT_OPAQUE);
	assert_non_null(strstr(v.words, "hash only"));
	assert_int_equal(v.optimizer, -1);
	assert_int_equal(format_check(f->root, "missing").proof, FORMAT_TORN);
}

static void test_huggingface_folders(void **state)
{
	struct fixture *f = *state;
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 10, NULL, &len);
	folder_write(f->folder, "checkpoint-5/model.safetensors", bytes, len);
	folder_text(f->folder, "checkpoint-5/config.json", "{}");
	assert_int_equal(format_check(f->root, "checkpoint-5").proof, FORMAT_OPAQUE);
	torch_make(f, "optimizer.pt", "exp_avg");
	size_t size;
	CLEANUP(free_p) char *optimizer = folder_read(f->folder, "optimizer.pt", &size);
	folder_write(f->folder, "checkpoint-5/optimizer.pt", optimizer, size);
	assert_int_equal(format_check(f->root, "checkpoint-5").proof, FORMAT_TORN);
	folder_text(f->folder, "checkpoint-5/trainer_state.json", "{\"global_step\": 5, \"epo");
	assert_int_equal(format_check(f->root, "checkpoint-5").proof, FORMAT_TORN);
	folder_text(f->folder, "checkpoint-5/trainer_state.json", "{\"global_step\": 5, \"epoch\": 1.5}");
	struct format_verdict v = format_check(f->root, "checkpoint-5");
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_int_equal(v.step, 5);
	assert_int_equal(v.epoch, 1);
	assert_int_equal(v.optimizer, 1);
	assert_string_equal(v.framework, "huggingface");
	folder_write(f->folder, "checkpoint-5/model.safetensors", bytes, len - 1);
	assert_int_equal(format_check(f->root, "checkpoint-5").proof, FORMAT_TORN);
	folder_write(f->folder, "checkpoint-5/model.safetensors", bytes, len);
	folder_text(f->folder, "checkpoint-5/model.safetensors.index.json",
		    "{\"weight_map\":{\"a\":\"model.safetensors\",\"b\":\"model-2.safetensors\"}}");
	v = format_check(f->root, "checkpoint-5");
	assert_int_equal(v.proof, FORMAT_TORN);
	assert_non_null(strstr(v.words, "model-2.safetensors"));
}

static void test_dcp_and_marked_folders(void **state)
{
	struct fixture *f = *state;
	folder_text(f->folder, "dcp/__0_0.distcp", "shard");
	folder_text(f->folder, "dcp/.metadata.tmp", "meta");
	assert_int_equal(format_check(f->root, "dcp").proof, FORMAT_TORN);
	folder_text(f->folder, "dcp/.metadata", "meta");
	struct format_verdict v = format_check(f->root, "dcp");
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_string_equal(v.framework, "dcp");
	folder_text(f->folder, "dcp/__1_0.distcp", "");
	assert_int_equal(format_check(f->root, "dcp").proof, FORMAT_TORN);
	folder_text(f->folder, "own/weights.npy", "data");
	assert_int_equal(format_check(f->root, "own").proof, FORMAT_OPAQUE);
	folder_text(f->folder, "own/_SUCCESS", "");
	assert_int_equal(format_check(f->root, "own").proof, FORMAT_WHOLE);
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("optim.w", 10, "{\"step\":\"9\"}", &len);
	folder_write(f->folder, "two/model/a.safetensors", bytes, len);
	folder_write(f->folder, "two/optim/b.safetensors", bytes, len);
	v = format_check(f->root, "two");
	assert_int_equal(v.proof, FORMAT_SOUND);
	assert_int_equal(v.step, 9);
	assert_int_equal(v.optimizer, 1);
	folder_write(f->folder, "two/optim/b.safetensors", bytes, len - 3);
	assert_int_equal(format_check(f->root, "two").proof, FORMAT_TORN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_safetensors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_safetensors_torn_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_safetensors_with_holes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_safetensors_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_opaque_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_huggingface_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dcp_and_marked_folders, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
