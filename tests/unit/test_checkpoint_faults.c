/* Programs that are killed in the middle of a save, helpers that are killed, stores that are full or not there. */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "tests/unit/attempt.h"
#include "tests/unit/folder.h"

/* ---- torn ---- */

/* tinygrad's way: unlink, final size, mapping, header first. Killed in the middle of it. */
static void test_killed_while_saving_in_place(void **state)
{
	struct run *run = *state;
	size_t len, page = (size_t)sysconf(_SC_PAGESIZE);
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 16 * 1024, NULL, &len);
	run_begin(run);
	folder_put(run->checkpoints, "step-1.safetensors", bytes, len);
	RUN_UNTIL(run, run->shipped == 1);
	CLEANUP(free_p) char *path = folder_path(run->checkpoints, "step-2.safetensors");
	pid_t pid = fork();
	if (pid == 0) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
		unsigned char *map = ftruncate(fd, (off_t)len) < 0
					     ? MAP_FAILED
					     : mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED)
			_exit(1);
		close(fd);
		/* Something in every page: no hole gives it away. */
		for (size_t at = 0; at < len; at += page)
			memcpy(map + at, bytes + at, len - at < 64 ? len - at : 64);
		memcpy(map, bytes, 4096);
		pause();
	}
	RUN_UNTIL(run, folder_has(run->checkpoints, "step-2.safetensors"));
	run_for(run, 2500); /* open: never taken, however quiet */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	checkpoints_ended(run->c, false);
	checkpoints_flush(run->c);
	RUN_UNTIL(run, run->is_idle);
	assert_int_equal(run->shipped, 1);
	assert_int_equal(run->problem.kind, ERR_DAMAGED);
}

/* A ZIP as torch.save writes it, made by zipping nothing but an end: the smallest that has a directory. */
static unsigned char *zip_make(size_t *len)
{
	static const char name[] = "m/data.pkl";
	const size_t size = 300000, head = 30 + sizeof name - 1, entry = 46 + sizeof name - 1;
	*len = head + size + entry + 22;
	unsigned char *zip = mem_alloc(*len), *directory = zip + head + size, *end = directory + entry;
	uint32_t at = (uint32_t)(head + size), directory_size = (uint32_t)entry, size32 = (uint32_t)size;
	memcpy(zip, "PK\3\4", 4);
	zip[26] = sizeof name - 1;
	memcpy(zip + 30, name, sizeof name - 1);
	memset(zip + head, 0x5a, size);
	memcpy(directory, "PK\1\2", 4);
	memcpy(directory + 20, &size32, 4);
	memcpy(directory + 24, &size32, 4);
	directory[28] = sizeof name - 1;
	memcpy(directory + 46, name, sizeof name - 1);
	memcpy(end, "PK\5\6", 4);
	end[8] = end[10] = 1;
	memcpy(end + 12, &directory_size, 4);
	memcpy(end + 16, &at, 4);
	return zip;
}

/* Saves over and over, in place, until it is killed: byte by byte further, or through a mapping. */
static void save_forever(const char *path, const unsigned char *bytes, size_t len, bool by_mapping)
{
	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		unsigned char *map = MAP_FAILED;
		if (by_mapping && ftruncate(fd, (off_t)len) == 0)
			map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		for (size_t at = 0, piece; at < len; at += piece) {
			piece = len - at < 5000 ? len - at : 5000;
			if (map != MAP_FAILED)
				memcpy(map + at, bytes + at, piece);
			else if (write(fd, bytes + at, piece) < 0)
				_exit(1);
		}
		if (map != MAP_FAILED)
			munmap(map, len);
		close(fd);
	}
}

/* SIGKILL at any time of a save: what is shipped, if anything, is whole. */
static void test_kills_at_random(void **state)
{
	struct run *run = *state;
	uint64_t seed = 42;
	size_t zip_len, tensors_len;
	int shipped = 0;
	CLEANUP(free_p) unsigned char *zip = zip_make(&zip_len);
	CLEANUP(free_p) unsigned char *tensors = safetensors_make("w", 75000, NULL, &tensors_len);
	for (int i = 0; i < 200 || (shipped == 0 && i < 4000); i++) { /* on a busy machine few writers get far */
		bool is_zip = draw(&seed) % 2, by_mapping = !is_zip && draw(&seed) % 2;
		const unsigned char *bytes = is_zip ? zip : tensors;
		size_t len = is_zip ? zip_len : tensors_len;
		const char *name = is_zip ? "model.pt" : "model.safetensors";
		CLEANUP(free_p) char *path = folder_path(run->checkpoints, name);
		run->shipped = 0;
		run->is_idle = false;
		run_begin(run);
		pid_t pid = fork();
		if (pid == 0)
			save_forever(path, bytes, len, by_mapping);
		struct timespec wait = { .tv_nsec = (long)(draw(&seed) % 3000000) };
		nanosleep(&wait, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		checkpoints_ended(run->c, false);
		checkpoints_flush(run->c);
		RUN_UNTIL(run, run->is_idle);
		if (run->shipped) {
			assert_file(run->checkpoints, name, bytes, len);
			shipped++;
		}
		checkpoints_free(STEAL(run->c));
		unlink(path);
	}
	assert_true(shipped > 0); /* the ZIPs that were whole */
}

/* A file as long as it must be, of which nothing speaks but that its writer is dead. */
static void test_last_file_of_a_killed_program(void **state)
{
	struct run *run = *state;
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 50, NULL, &len);
	run_begin(run);
	folder_put(run->checkpoints, "step-1.safetensors", bytes, len);
	folder_write(run->checkpoints, "step-2.safetensors", bytes, len);
	checkpoints_step(run->c, 3, NULL); /* read late, printed when? */
	run_for(run, 50);
	checkpoints_step(run->c, 4, NULL);
	checkpoints_ended(run->c, false);
	checkpoints_flush(run->c);
	RUN_UNTIL(run, run->is_idle);
	checkpoints_step(run->c, 5, NULL);
	RUN_UNTIL(run, run->is_idle);
	assert_int_equal(run->shipped, 1); /* the older, which was renamed into place */
	assert_int_equal(summary_number(run, "step"), 1);
}

static void test_last_file_of_a_program_that_ended_well(void **state)
{
	struct run *run = *state;
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 50, NULL, &len);
	run_begin(run);
	folder_put(run->checkpoints, "step-1.safetensors", bytes, len);
	folder_write(run->checkpoints, "step-2.safetensors", bytes, len);
	folder_write(run->checkpoints, "step-3.safetensors", bytes, len - 1);
	checkpoints_ended(run->c, true);
	checkpoints_flush(run->c);
	RUN_UNTIL(run, run->is_idle);
	assert_int_equal(run->shipped, 1);
	assert_int_equal(summary_number(run, "step"), 2); /* 3 is torn, 1 is superseded */
}

/* It was over before anybody watched. */
static void test_last_file_of_a_short_program(void **state)
{
	struct run *run = *state;
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 50, NULL, &len);
	int64_t began_ms = clock_boot_ms();
	run_begin_young(run);
	checkpoints_step(run->c, 1, NULL);
	folder_write(run->checkpoints, "model.safetensors", bytes, len);
	checkpoints_ended(run->c, true);
	checkpoints_flush(run->c);
	assert_false(has_inotify());
	RUN_UNTIL(run, run->is_idle);
	assert_int_equal(run->shipped, 1);
	assert_int_equal(summary_number(run, "step"), 1);
	if (clock_boot_ms() - began_ms < 100) /* else it was not so short: a slow machine */
		assert_false(has_inotify());
}

static void test_announced_hash_must_fit(void **state)
{
	struct run *run = *state;
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 50, NULL, &len);
	run_begin(run);
	folder_put(run->checkpoints, "step-1.safetensors", bytes, len);
	CLEANUP(free_p) char *path = folder_path(run->checkpoints, "step-1.safetensors");
	checkpoints_announce(run->c, path, 1, -1, "0000000000000000000000000000000000000000000000000000000000000000");
	RUN_UNTIL(run, run->problems == 1);
	assert_int_equal(run->problem.kind, ERR_DAMAGED);
	assert_int_equal(run->shipped, 0);
	assert_int_equal(folder_count(run->folder), 1); /* the file itself */
	checkpoints_announce(run->c, "/etc/passwd", 1, -1, NULL);
	assert_int_equal(run->problem.kind, ERR_INPUT);
	checkpoints_announce(run->c, "no/such", 1, -1, NULL);
	assert_int_equal(run->problem.kind, ERR_NOT_FOUND);
}

/* A writer that never stops: what is shipped in the end is what it ended with. */
static void test_rewritten_while_it_is_shipped(void **state)
{
	struct run *run = *state;
	size_t len;
	run_begin(run);
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 2 * 1024 * 1024, NULL, &len);
	for (int i = 0; i < 5; i++) {
		folder_write(run->checkpoints, "model.safetensors", bytes, len);
		bytes[len - 1]++;
		run_for(run, 150);
		checkpoints_step(run->c, i, NULL); /* the save is believed soon, and overwritten as soon */
		run_for(run, 160);
		folder_write(run->checkpoints, "model.safetensors", bytes, len);
	}
	bytes[len - 1]++;
	folder_write(run->checkpoints, "model.safetensors", bytes, len);
	checkpoints_ended(run->c, true);
	checkpoints_flush(run->c);
	RUN_UNTIL(run, run->is_idle);
	assert_true(run->shipped >= 1);
	run_restore(run);
	assert_true(run->restored_ok);
	assert_file(run->checkpoints, "model.safetensors", bytes, len);
}

static bool has_child(void)
{
	CLEANUP(free_p) char *path = mem_printf("/proc/self/task/%d/children", (int)getpid());
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char byte;
	return fd >= 0 && read(fd, &byte, 1) == 1;
}

/* The helper is through with it, and found nothing wrong; before its word is heard the file changes. */
static void test_written_when_it_was_shipped(void **state)
{
	struct run *run = *state;
	siginfo_t helper;
	size_t len;
	run_begin(run);
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 50, NULL, &len);
	folder_put(run->checkpoints, "step-1.safetensors", bytes, len);
	RUN_UNTIL(run, has_child());
	assert_int_equal(waitid(P_ALL, 0, &helper, WEXITED | WNOWAIT), 0);
	bytes[len - 1]++;
	folder_write(run->checkpoints, "step-1.safetensors", bytes, len);
	checkpoints_ended(run->c, true);
	checkpoints_flush(run->c);
	RUN_UNTIL(run, run->is_idle);
	assert_int_equal(run->shipped, 1);
	run_restore(run);
	assert_true(run->restored_ok);
	assert_file(run->checkpoints, "step-1.safetensors", bytes, len);
}

static void test_links_in_a_checkpoint_are_refused(void **state)
{
	struct run *run = *state;
	run_begin(run);
	folder_text(run->checkpoints, "new.tmp/weights", "weights");
	CLEANUP(free_p) char *link = folder_path(run->checkpoints, "new.tmp/secret");
	CLEANUP(free_p) char *alias = folder_path(run->checkpoints, "last.ckpt");
	CLEANUP(free_p) char *from = folder_path(run->checkpoints, "new.tmp");
	CLEANUP(free_p) char *to = folder_path(run->checkpoints, "new");
	assert_int_equal(symlink("/etc/passwd", link), 0);
	assert_int_equal(symlink("/etc/passwd", alias), 0); /* ignored */
	assert_int_equal(rename(from, to), 0);
	RUN_UNTIL(run, run->problems == 1);
	assert_int_equal(run->problem.kind, ERR_INPUT);
	run_for(run, 1500);
	assert_int_equal(run->problems, 1);
	assert_int_equal(run->shipped, 0);
}

/* ---- the store ---- */

static void test_newest_first_and_older_superseded(void **state)
{
	struct run *run = *state;
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 50, NULL, &len);
	run->hold = true;
	run_begin(run);
	folder_put(run->checkpoints, "step-1.safetensors", bytes, len);
	RUN_UNTIL(run, run->shipped == 1);
	for (int i = 2; i < 20; i++) {
		char name[64];
		str_format(name, sizeof name, "step-%d.safetensors", i);
		folder_put(run->checkpoints, name, bytes, len);
	}
	run_for(run, 400);
	assert_int_equal(run->shipped, 1); /* one at a time */
	run->hold = false;
	checkpoints_committed(run->c, run->id);
	RUN_UNTIL(run, run->shipped == 2);
	assert_int_equal(summary_number(run, "step"), 19);
	run_for(run, 400);
	assert_int_equal(run->shipped, 2);
}

static void test_refused_and_deleted_objects_go(void **state)
{
	struct run *run = *state;
	CLEANUP(free_p) char *store = folder_path(run->folder, "store");
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 50, NULL, &len);
	run->refuse = true;
	run_begin(run);
	folder_put(run->checkpoints, "step-1.safetensors", bytes, len);
	RUN_UNTIL(run, run->shipped == 1 && folder_count(store) == 0);
	run->refuse = false;
	folder_put(run->checkpoints, "step-2.safetensors", bytes, len);
	RUN_UNTIL(run, run->shipped == 2);
	folder_put(run->checkpoints, "step-3.safetensors", bytes, len);
	RUN_UNTIL(run, run->shipped == 3);
	assert_int_equal(folder_count(store), 4);
	checkpoints_delete(run->c, "2-2", NULL);
	checkpoints_delete(run->c, "2-2", NULL);
	RUN_UNTIL(run, run->deleted == 1);
	assert_int_equal(folder_count(store), 2);

	/* The next attempt is asked to delete what this one left. */
	checkpoints_free(run->c);
	run->options.attempt = 3;
	run->options.token = "1795329305999";
	run_begin(run);
	checkpoints_delete(run->c, "2-3", NULL);
	RUN_UNTIL(run, run->deleted == 2);
	assert_int_equal(folder_count(store), 0);
	assert_false(folder_has(store, "0123456789ab"));
	checkpoints_delete(run->c, "1-1", NULL);
	RUN_UNTIL(run, run->deleted == 3);
}

/* The helper may write no file past a small size: the disk is full. Training does not notice; later there is room. */
static void test_full_store(void **state)
{
	struct run *run = *state;
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 50000, NULL, &len);
	struct rlimit before, small;
	getrlimit(RLIMIT_FSIZE, &before);
	small = (struct rlimit){ 65536, before.rlim_max };
	run_begin(run);
	folder_put(run->checkpoints, "step-1.safetensors", bytes, len);
	setrlimit(RLIMIT_FSIZE, &small);
	RUN_UNTIL(run, run->problems == 1);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(run->problem.kind, ERR_FULL);
	assert_int_equal(run->shipped, 0);
	RUN_UNTIL(run, run->shipped == 1);
	assert_int_equal(run->problems, 1);
	run_restore(run);
	assert_true(run->restored_ok);
	assert_file(run->checkpoints, "step-1.safetensors", bytes, len);
}

static void test_store_that_is_not_there(void **state)
{
	struct run *run = *state;
	free(run->store);
	run->store = mem_printf("file://%s/not/mounted", run->folder);
	run->options.store = run->store;
	run_begin(run);
	folder_text(run->checkpoints, "a.tmp", "x");
	folder_put(run->checkpoints, "step-1.pt", "pickle", 6);
	RUN_UNTIL(run, run->problems == 1);
	assert_int_equal(run->problem.kind, ERR_UNAVAILABLE);
	folder_mkdir(run->folder, "not");
	RUN_UNTIL(run, run->shipped == 1);
}

/* After the end of the run it is waited for, but not for ever; and what was given up is named. */
static void test_store_that_does_not_come_back(void **state)
{
	struct run *run = *state;
	free(run->store);
	run->store = mem_printf("file://%s/not/mounted", run->folder);
	run->options.store = run->store;
	run->options.give_up_ms = 700;
	run_begin(run);
	folder_put(run->checkpoints, "step-1.pt", "pickle", 6);
	RUN_UNTIL(run, run->problems == 1);
	checkpoints_flush(run->c);
	RUN_UNTIL(run, run->is_idle);
	assert_int_equal(run->problems, 2);
	assert_int_equal(run->problem.kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(run->problem.message, "given up"));
}

static pid_t helper_pid(void)
{
	CLEANUP(free_p) char *path = mem_printf("/proc/self/task/%d/children", (int)getpid());
	CLEANUP(fclose_p) FILE *children = fopen(path, "re");
	int pid = 0;
	if (children && fscanf(children, "%d", &pid) != 1)
		pid = 0;
	return pid;
}

/* kill -9 of the helper at any time: nothing that looks committed is left, and the next try succeeds. */
static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void test_killed_helpers(void **state)
{
	struct run *run = *state;
	CLEANUP(free_p) char *store = folder_path(run->folder, "store");
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 1024 * 1024, NULL, &len);
	uint64_t seed = 7;
	int kills = 0;
	int64_t whole_us =
		0; /* how long the first one takes, which nobody disturbs: the others are killed within that */
	run_begin(run);
	for (int i = 1; i <= 26; i++) {
		int shipped = run->shipped;
		folder_put(run->checkpoints, "model.safetensors", bytes, len);
		CLEANUP(free_p) char *path = folder_path(run->checkpoints, "model.safetensors");
		checkpoints_announce(run->c, path, i, -1, NULL);
		pid_t pid;
		RUN_UNTIL(run, (pid = helper_pid()) > 0 || run->shipped > shipped);
		int64_t began_us = now_us();
		if (whole_us) {
			struct timespec wait = { .tv_nsec = (long)(draw(&seed) % (uint64_t)whole_us) * 1000 };
			nanosleep(&wait, NULL);
		}
		if (whole_us && pid > 0 && run->shipped == shipped)
			kills += kill(pid, SIGKILL) == 0;
		RUN_UNTIL(run, run->shipped > shipped);
		whole_us = whole_us ? whole_us : now_us() - began_us;
		assert_int_equal(summary_number(run, "step"), i);
		checkpoints_delete(run->c, run->id, run->summary);
		RUN_UNTIL(run, run->deleted == i);
	}
	assert_true(kills > 5);
	/* The sweep of the next attempt leaves nothing. */
	checkpoints_free(run->c);
	run->options.attempt = 3;
	run->options.token = "1795329305999";
	run_begin(run);
	folder_put(run->checkpoints, "last.safetensors", bytes, len);
	int shipped = run->shipped;
	RUN_UNTIL(run, run->shipped > shipped);
	assert_int_equal(folder_count(store), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_killed_while_saving_in_place, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_kills_at_random, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_last_file_of_a_killed_program, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_last_file_of_a_program_that_ended_well, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_last_file_of_a_short_program, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_announced_hash_must_fit, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_rewritten_while_it_is_shipped, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_written_when_it_was_shipped, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_links_in_a_checkpoint_are_refused, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_newest_first_and_older_superseded, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_refused_and_deleted_objects_go, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_full_store, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_store_that_does_not_come_back, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_store_that_is_not_there, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_killed_helpers, run_setup, run_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
