/* What the last checkpoint has of a file that did not change; and when it is not believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "tests/unit/folder.h"
#include "worker/sent.h"

struct fixture {
	char *folder;
	struct manifest now;
	struct stat st; /* of base.bin */
};

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	f->folder = folder_make();
	manifest_init(&f->now);
	f->st = (struct stat){ .st_dev = 1, .st_ino = 2, .st_mode = S_IFREG | 0644, .st_size = 2 * SENT_LEAST };
	f->st.st_mtim = f->st.st_ctim = (struct timespec){ 1000, 1 };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	manifest_done(&f->now);
	folder_remove(f->folder);
	free(f);
	return 0;
}

static void begin(struct fixture *f, int64_t seq, const char *token)
{
	manifest_done(&f->now);
	f->now.job = mem_strdup("gpu-1");
	f->now.uid = mem_strdup("u");
	f->now.token = mem_strdup(token);
	f->now.framework = mem_strdup("files");
	f->now.verified = mem_strdup("files");
	f->now.resume = mem_strdup("checkpoint/all");
	f->now.attempt = 1;
	f->now.seq = f->now.own.seq = seq;
	f->now.own.key = mem_printf("i/checkpoints/gpu-1-u/%s/%lld/data.tar", token, (long long)seq);
}

static void end(struct fixture *f, struct sent *sent)
{
	struct digest_hex hash = digest_of("", 0);
	f->now.own.size = 4 * SENT_LEAST;
	for (int i = 0; i < 4; i++)
		blocks_add(&f->now.own.blocks, &hash);
	sent_keep(sent);
}

static struct tarball_member *member(struct fixture *f, const char *path, int64_t size)
{
	struct tarball_member *m = tarball_member_add(&f->now.contents, path);
	m->mode = 0644;
	m->size = size;
	m->offset = 512;
	return m;
}

/* One checkpoint of a folder with base.bin in it; was its data known? */
static bool save(struct fixture *f, int64_t seq, const char *token)
{
	begin(f, seq, token);
	CLEANUP(sent) struct sent *sent = sent_open(f->folder, &f->now);
	member(f, "checkpoint/all", 0)->is_folder = true;
	bool known = sent_known(sent, &f->st, member(f, "checkpoint/all/base.bin", f->st.st_size));
	assert_int_equal(sent_known_count(sent), known);
	end(f, sent);
	return known;
}

static void test_it_is_known_where_it_first_was(void **state)
{
	struct fixture *f = *state;
	assert_false(save(f, 1, "100"));
	for (int seq = 2; seq < 5; seq++) {
		assert_true(save(f, seq, "100"));
		const struct tarball_member *m = &f->now.contents.members[1];
		assert_int_equal(m->elsewhere, 1);
		assert_int_equal(m->offset, 512);
		assert_int_equal(f->now.other_count, 1);
		assert_int_equal(manifest_object_of(&f->now, m)->seq, 1);
		assert_string_equal(f->now.others[0].key, "i/checkpoints/gpu-1-u/100/1/data.tar");
		assert_int_equal(f->now.others[0].blocks.count, 4);
	}
}

static void test_any_difference_counts(void **state)
{
	struct fixture *f = *state;
	const struct stat before = f->st;
	for (int what = 0; what < 7; what++) {
		f->st = before;
		(void)save(f, 1, "100");
		f->st.st_dev += what == 0;
		f->st.st_ino += what == 1;
		f->st.st_size += what == 2;
		f->st.st_mtim.tv_sec += what == 3;
		f->st.st_mtim.tv_nsec += what == 4;
		f->st.st_ctim.tv_sec += what == 5;
		f->st.st_ctim.tv_nsec += what == 6;
		if (save(f, 2, "100"))
			fail_msg("difference %d does not count", what);
	}
}

static void test_another_attempt_knows_nothing(void **state)
{
	struct fixture *f = *state;
	assert_false(save(f, 1, "100"));
	assert_false(save(f, 1, "101"));
	assert_true(save(f, 2, "101"));
}

static void test_small_ones_are_sent_again(void **state)
{
	struct fixture *f = *state;
	f->st.st_size = SENT_LEAST - 1;
	assert_false(save(f, 1, "100"));
	assert_false(save(f, 2, "100"));
}

/* A change within the step of the clock would not show. */
static void test_what_is_young_is_sent_again(void **state)
{
	struct fixture *f = *state;
	int64_t now_ms = clock_wall_ms();
	f->st.st_ctim = (struct timespec){ now_ms / 1000, now_ms % 1000 * 1000000 + 1 };
	assert_false(save(f, 1, "100"));
	assert_false(save(f, 2, "100"));
	f->st.st_ctim = f->st.st_mtim = (struct timespec){ now_ms / 1000 - 1, 0 }; /* whole seconds only */
	assert_false(save(f, 3, "100"));
	assert_false(save(f, 4, "100"));
	f->st.st_ctim.tv_sec -= 2;
	assert_false(save(f, 5, "100"));
	assert_true(save(f, 6, "100"));
}

static void test_what_is_noted_may_be_lost_or_torn(void **state)
{
	struct fixture *f = *state;
	assert_false(save(f, 1, "100"));
	assert_true(sent_forget(f->folder));
	assert_false(sent_forget(f->folder));
	assert_false(save(f, 2, "100"));
	size_t len;
	CLEANUP(free_p) char *text = folder_read(f->folder, "sent.json", &len);
	for (size_t cut = 0; cut < len; cut += 7) {
		folder_write(f->folder, "sent.json", text, cut);
		begin(f, 3, "100");
		CLEANUP(sent) struct sent *sent = sent_open(f->folder, &f->now);
		assert_false(sent_known(sent, &f->st, member(f, "checkpoint/all/base.bin", f->st.st_size)));
	}
	folder_write(f->folder, "sent.json", text, len);
	assert_true(save(f, 3, "100"));
}

/* Files of which a hash is wanted are read without asking. */
static void test_what_was_not_asked_for_is_not_known(void **state)
{
	struct fixture *f = *state;
	assert_false(save(f, 1, "100"));
	begin(f, 2, "100");
	CLEANUP(sent) struct sent *sent = sent_open(f->folder, &f->now);
	(void)member(f, "checkpoint/all/base.bin", f->st.st_size);
	end(f, sent);
	assert_false(save(f, 3, "100"));
	assert_true(save(f, 4, "100"));
}

/* Each checkpoint rewrites the file before: what is used spreads over ever more objects, until there are too many. */
static void test_no_more_than_so_many_objects(void **state)
{
	struct fixture *f = *state;
	enum { FILES = MANIFEST_OTHERS_MAX + 1 };
	for (int64_t seq = 1; seq <= FILES + 1; seq++) {
		begin(f, seq, "100");
		CLEANUP(sent) struct sent *sent = sent_open(f->folder, &f->now);
		int known = 0;
		for (int64_t i = 1; i <= FILES; i++) {
			CLEANUP(free_p) char *path = mem_printf("checkpoint/%lld", (long long)i);
			struct stat st = f->st;
			st.st_ino = (ino_t)(100 * i + (seq < i ? seq : i)); /* unchanged since checkpoint i */
			known += sent_known(sent, &st, member(f, path, st.st_size));
		}
		assert_int_equal(known, seq <= MANIFEST_OTHERS_MAX ? seq - 1 : MANIFEST_OTHERS_MAX);
		end(f, sent);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_it_is_known_where_it_first_was, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_difference_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_attempt_knows_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_small_ones_are_sent_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_young_is_sent_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_noted_may_be_lost_or_torn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_was_not_asked_for_is_not_known, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_more_than_so_many_objects, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
