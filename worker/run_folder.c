#include "worker/run_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/buf.h"
#include "worker/blank.h"
#include "worker/run_record.h"
#include "worker/tree.h"

enum { RUN_JSON_MAX = 2 * SPEC_MAX_BYTES + 64 * 1024 };

char *run_path(const char *folder, const char *name)
{
	return mem_printf("%s/%s", folder, name);
}

static bool run_mkdir(const char *path, struct error *err)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return true;
	return error_errno(err, ERR_SYSTEM, NULL, "cannot make the folder %s", path);
}

bool run_folders_make(const char *state_dir, struct error *err)
{
	static const char *const names[] = { "runs", "owed", "finished", "cache", "blank" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		CLEANUP(free_p) char *path = run_path(state_dir, names[i]);
		if (!run_mkdir(path, err))
			return false;
	}
	return true;
}

/* Whole or not at all: written beside it and renamed. Not synced: after a crash of the machine no run of it lives. */
static bool run_write(const char *folder, const char *name, const char *text, size_t len, struct error *err)
{
	CLEANUP(free_p) char *path = run_path(folder, name);
	CLEANUP(free_p) char *beside = mem_printf("%s/.%s.new", folder, name);
	CLEANUP(close_fd) int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, len) != (ssize_t)len || rename(beside, path) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot write %s", path);
	return true;
}

static bool run_read(const char *folder, const char *name, struct buf *into, struct error *err)
{
	CLEANUP(free_p) char *path = run_path(folder, name);
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM, NULL, "cannot read %s", path);
	char chunk[16 * 1024];
	ssize_t got;
	while ((got = read(fd, chunk, sizeof chunk)) > 0)
		if (!buf_add(into, chunk, (size_t)got))
			return error_set(err, ERR_INPUT, NULL, "%s is too large", path);
	return got == 0 || error_errno(err, ERR_SYSTEM, NULL, "cannot read %s", path);
}

bool run_notice_write(const char *state_dir, const char *why, struct error *err)
{
	if (*why)
		return run_write(state_dir, "notice", why, strlen(why), err);
	CLEANUP(free_p) char *path = run_path(state_dir, "notice");
	return unlink(path) == 0 || errno == ENOENT || error_errno(err, ERR_SYSTEM, NULL, "cannot remove %s", path);
}

void run_notice_read(const char *folder, char *into, size_t size)
{
	struct error err;
	CLEANUP(buf) struct buf text;
	buf_init(&text, size - 1);
	bool ok = run_read(folder, "../../notice", &text, &err);
	str_copy(into, size, ok ? buf_text(&text) : "");
}

enum run_lock run_folder_lock(const char *folder, int *lock_fd, struct error *err)
{
	CLEANUP(free_p) char *path = run_path(folder, "lock");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		error_errno(err, ERR_SYSTEM, NULL, "cannot open %s", path);
		return RUN_LOCK_FAILED;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		*lock_fd = fd;
		return RUN_LOCK_TAKEN;
	}
	bool held = errno == EWOULDBLOCK;
	if (!held)
		error_errno(err, ERR_SYSTEM, NULL, "cannot lock %s", path);
	close(fd);
	return held ? RUN_LOCK_HELD : RUN_LOCK_FAILED;
}

/* Everything but the record, under a name that is no run's. */
static bool run_folder_begin(const char *state_dir, const char *name, char **folder, int *lock_fd, struct error *err)
{
	static const char *const inside[] = { "work", "checkpoints", "output" };
	CLEANUP(free_p) char *path = mem_printf("%s/runs/%s", state_dir, name);
	tree_remove(path); /* that of an earlier worker */
	if (!blank_take(state_dir, path) && !run_mkdir(path, err))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(inside); i++) {
		CLEANUP(free_p) char *sub = run_path(path, inside[i]);
		if (!run_mkdir(sub, err))
			return false;
	}
	CLEANUP(free_p) char *json = run_path(path, "run.json");
	CLEANUP(close_fd) int fd = open(json, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* making it is what costs */
	if (fd < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make %s", json);
	enum run_lock lock = run_folder_lock(path, lock_fd, err);
	if (lock == RUN_LOCK_HELD)
		return error_set(err, ERR_CONFLICT, NULL, "somebody uses %s", path);
	*folder = STEAL(path);
	return lock == RUN_LOCK_TAKEN;
}

bool run_folder_make_spare(const char *state_dir, char **folder, int *lock_fd, struct error *err)
{
	return run_folder_begin(state_dir, ".spare", folder, lock_fd, err);
}

bool run_folder_name_spare(const char *spare, const struct run_record *record, char **folder, struct error *err)
{
	char name[128];
	run_record_folder(record, name, sizeof name);
	CLEANUP(free_p) char *path = mem_printf("%.*s/%s", (int)(strrchr(spare, '/') - spare), spare, name);
	CLEANUP(free_p) char *json = run_path(spare, "run.json"); /* nobody looks before the folder has its name */
	CLEANUP(free_p) char *text = run_record_print(record);
	CLEANUP(close_fd) int fd = open(json, O_WRONLY | O_CLOEXEC);
	if (!text)
		return error_set(err, ERR_INPUT, NULL, "the claim of %s is not UTF-8", record->id);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return error_errno(err, ERR_SYSTEM, NULL, "cannot write %s", json);
	if (rename(spare, path) < 0)
		return error_errno(err, errno == EEXIST || errno == ENOTEMPTY ? ERR_CONFLICT : ERR_SYSTEM, NULL,
				   "cannot move %s to %s", spare, path);
	*folder = STEAL(path);
	return true;
}

bool run_folder_make(const char *state_dir, const struct run_record *record, char **folder, int *lock_fd,
		     struct error *err)
{
	CLEANUP(free_p) char *begun = NULL;
	CLEANUP(close_fd) int fd = -1;
	if (!run_folder_begin(state_dir, ".new", &begun, &fd, err) || !begun ||
	    !run_folder_name_spare(begun, record, folder, err))
		return false;
	*lock_fd = fd;
	fd = -1;
	return true;
}

bool run_folder_read(const char *folder, struct run_record *record, struct error *err)
{
	CLEANUP(buf) struct buf text;
	buf_init(&text, RUN_JSON_MAX);
	*record = (struct run_record){ 0 };
	return run_read(folder, "run.json", &text, err) &&
	       (run_record_parse(buf_text(&text), text.len, record, err) || error_wrap(err, "%s/run.json", folder));
}

void run_folder_trim(const char *folder)
{
	CLEANUP(free_p) char *work = run_path(folder, "work");
	CLEANUP(free_p) char *checkpoints = run_path(folder, "checkpoints");
	CLEANUP(free_p) char *restore = run_path(folder, "restore");
	tree_empty(work);
	tree_empty(checkpoints);
	tree_remove(restore);
}

static const char *const run_places[] = { [RUN_OWED] = "owed", [RUN_FINISHED] = "finished" };

bool run_folder_retire(const char *folder, enum run_rest rest, char **now_at, struct error *err)
{
	const char *name = strrchr(folder, '/') + 1;
	CLEANUP(free_p)
	char *to = mem_printf("%.*s/../%s/%s", (int)(name - 1 - folder), folder, run_places[rest], name);
	if (rename(folder, to) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot move %s to %s", folder, to);
	if (now_at)
		*now_at = STEAL(to);
	return true;
}

bool run_folder_has_output(const char *folder)
{
	static const char *const spools[] = { "spool.log", "metrics.jsonl" };
	struct stat st;
	for (size_t i = 0; i < ARRAY_LEN(spools); i++) {
		CLEANUP(free_p) char *path = run_path(folder, spools[i]);
		if (stat(path, &st) == 0 && st.st_size > 0)
			return true;
	}
	return false;
}

struct run_aged {
	char *path;
	struct timespec changed;
};

static int run_oldest_first(const void *a, const void *b)
{
	const struct timespec *x = &((const struct run_aged *)a)->changed, *y = &((const struct run_aged *)b)->changed;
	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

char **run_folders_at(const char *state_dir, enum run_rest rest, size_t *count)
{
	CLEANUP(free_p) char *place = run_path(state_dir, run_places[rest]);
	CLEANUP(free_p) struct run_aged *all = NULL;
	DIR *dir = opendir(place);
	*count = 0;
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		struct stat st;
		if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		all = mem_realloc(all, (*count + 1) * sizeof *all);
		all[(*count)++] = (struct run_aged){ run_path(place, entry->d_name), st.st_ctim };
	}
	if (dir)
		closedir(dir);
	if (*count)
		qsort(all, *count, sizeof *all, run_oldest_first);
	char **paths = mem_alloc((*count + 1) * sizeof *paths);
	for (size_t i = 0; i < *count; i++)
		paths[i] = all[i].path;
	return paths;
}

void run_folders_prune(const char *state_dir, int64_t keep)
{
	size_t count;
	CLEANUP(free_p) char **all = run_folders_at(state_dir, RUN_FINISHED, &count);
	for (size_t i = count; i > 0; i--) { /* from the newest */
		char *path = all[i - 1];
		bool is_kept = (int64_t)(count - i) < keep;
		if (is_kept)
			run_folder_trim(path);
		else if (!blank_make(state_dir, path))
			tree_remove(path);
		free(path);
	}
}

bool run_pid_note(const char *folder, const char *who, const struct run_pid *pid, struct error *err)
{
	char text[96];
	CLEANUP(free_p) char *path = run_path(folder, "pid");
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	str_format(text, sizeof text, "%d %" PRId64 " %s\n", (int)pid->pid, pid->start, who);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return error_errno(err, ERR_SYSTEM, NULL, "cannot write %s", path);
	return true;
}

static bool run_pid_parse(const char **at, const char *who, struct run_pid *into)
{
	char *end;
	struct run_pid found = { .pid = (pid_t)strtol(*at, &end, 10) };
	found.start = strtoll(end, &end, 10);
	size_t len = strlen(who);
	if (*end != ' ' || strncmp(end + 1, who, len) != 0 || end[1 + len] != '\n')
		return false;
	*into = found;
	*at = end + 2 + len;
	return true;
}

void run_pids_read(const char *folder, struct run_pid *runner, struct run_pid *program)
{
	CLEANUP(buf) struct buf text;
	buf_init(&text, 4096);
	*runner = *program = (struct run_pid){ 0 };
	if (!run_read(folder, "pid", &text, NULL))
		return;
	const char *at = buf_text(&text);
	if (run_pid_parse(&at, "runner", runner))
		run_pid_parse(&at, "program", program);
}

static bool run_write_number(const char *folder, const char *name, int64_t number, struct error *err)
{
	char text[32];
	str_format(text, sizeof text, "%" PRId64 "\n", number);
	return run_write(folder, name, text, strlen(text), err);
}

static int64_t run_read_number(const char *folder, const char *name)
{
	CLEANUP(buf) struct buf text;
	buf_init(&text, 64);
	return run_read(folder, name, &text, NULL) ? strtoll(buf_text(&text), NULL, 10) : 0;
}

bool run_resumed_write(const char *folder, int64_t step, struct error *err)
{
	return run_write_number(folder, "resumed", step, err);
}

int64_t run_resumed_read(const char *folder)
{
	return run_read_number(folder, "resumed");
}

/* In place, since it must go on when the disk is full: then nothing new can be written, but what is there can be
 * overwritten. All numbers are as long. */
bool run_lease_write(const char *folder, int64_t until_boot_ms, struct error *err)
{
	char text[32];
	CLEANUP(free_p) char *path = run_path(folder, "lease");
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	str_format(text, sizeof text, "%020" PRId64 "\n", until_boot_ms);
	if (fd < 0 || pwrite(fd, text, strlen(text), 0) != (ssize_t)strlen(text))
		return error_errno(err, ERR_SYSTEM, NULL, "cannot write %s", path);
	return true;
}

/* Read twice alike: else it was being written. */
int64_t run_lease_read(const char *folder)
{
	int64_t before, now = run_read_number(folder, "lease");
	do {
		before = now;
		now = run_read_number(folder, "lease");
	} while (now != before);
	return now;
}
