#include "worker/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "lib/clock.h"

#define POLL_MS  1000
#define YOUNG_MS 100
#define WATCH_MASK                                                                                                     \
	(IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR | IN_EXCL_UNLINK)
#define DRAIN_BYTES (64 * 1024)
#define FOUND_MAX   4096 /* files remembered; any further one counts as changed when it is closed */

struct watch_folder { /* in rising order of wd, as inotify hands them out */
	int wd;
	int root;
	char *path;
};

struct watch_found { /* a file that was there from the start */
	int root;
	char *path;
	ino_t inode;
	struct timespec changed; /* its ctime: no program can set it, and writing through a mapping moves it */
};

struct watch {
	struct watch_options options;
	int roots[WATCH_ROOTS];
	int inotify; /* -1: none, the folders are looked through */
	struct event *readable;
	struct event *poll;
	struct event *grow; /* begins inotify */
	bool is_young;      /* it has not begun */
	bool is_polling;
	struct watch_folder *folders;
	size_t count;
	struct watch_found *found;
	size_t found_count;
	struct timespec seen; /* looking through: what changed (ctime) before this was told */
};

int watch_root(const struct watch *watch, int root)
{
	return watch->roots[root];
}

static struct watch_folder *watch_find(struct watch *w, int wd)
{
	size_t low = 0, high = w->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (w->folders[middle].wd < wd)
			low = middle + 1;
		else
			high = middle;
	}
	return low < w->count && w->folders[low].wd == wd ? &w->folders[low] : NULL;
}

static void watch_forget(struct watch *w, struct watch_folder *folder)
{
	free(folder->path);
	size_t after = w->count - (size_t)(folder - w->folders) - 1;
	memmove(folder, folder + 1, after * sizeof *folder);
	w->count--;
}

/* A folder that was moved away keeps its watches under a name that is wrong now. */
static void watch_forget_below(struct watch *w, int root, const char *path)
{
	size_t len = strlen(path);
	for (size_t i = w->count; i-- > 0;) {
		struct watch_folder *folder = &w->folders[i];
		if (folder->root != root || strncmp(folder->path, path, len) != 0 ||
		    (folder->path[len] != '/' && folder->path[len] != '\0'))
			continue;
		inotify_rm_watch(w->inotify, folder->wd);
		watch_forget(w, folder);
	}
}

static void watch_start_polling(struct watch *w)
{
	struct timeval every = clock_timeval(POLL_MS);
	if (!w->is_polling)
		event_add(w->poll, &every);
	w->is_polling = true;
}

/* By the descriptor, not the path: what was checked is what is watched. */
static void watch_add(struct watch *w, int root, const char *path, int fd)
{
	char self[64];
	if (w->is_young)
		return;
	if (w->inotify < 0 || w->count == WATCH_FOLDERS || !str_format(self, sizeof self, "/proc/self/fd/%d", fd)) {
		watch_start_polling(w);
		return;
	}
	int wd = inotify_add_watch(w->inotify, self, WATCH_MASK);
	if (wd < 0) {
		watch_start_polling(w);
		return;
	}
	struct watch_folder *known = watch_find(w, wd);
	if (known) {
		known->root = root;
		free(known->path);
		known->path = mem_strdup(path);
		return;
	}
	w->folders = mem_realloc(w->folders, (w->count + 1) * sizeof *w->folders);
	w->folders[w->count++] = (struct watch_folder){ .wd = wd, .root = root, .path = mem_strdup(path) };
}

static bool watch_is_new(const struct watch *w, const struct stat *st)
{
	return st->st_ctim.tv_sec > w->seen.tv_sec ||
	       (st->st_ctim.tv_sec == w->seen.tv_sec && st->st_ctim.tv_nsec >= w->seen.tv_nsec);
}

static struct watch_found *watch_find_found(const struct watch *w, int root, const char *path)
{
	for (size_t i = 0; i < w->found_count; i++)
		if (w->found[i].root == root && strcmp(w->found[i].path, path) == 0)
			return &w->found[i];
	return NULL;
}

static void watch_remember(struct watch *w, int root, const char *path, const struct stat *st)
{
	struct watch_found *known = watch_find_found(w, root, path);
	if (known) {
		known->inode = st->st_ino;
		known->changed = st->st_ctim;
		return;
	}
	if (w->found_count == FOUND_MAX)
		return;
	w->found = mem_realloc(w->found, (w->found_count + 1) * sizeof *w->found);
	w->found[w->found_count++] = (struct watch_found){
		.root = root, .path = mem_strdup(path), .inode = st->st_ino, .changed = st->st_ctim
	};
}

/* A reader may open a file for writing, too (tinygrad does when it loads one): closing it says nothing then. */
static bool watch_is_as_found(const struct watch *w, int root, const char *path, const struct stat *st)
{
	const struct watch_found *f = watch_find_found(w, root, path);
	return f && f->inode == st->st_ino && f->changed.tv_sec == st->st_ctim.tv_sec &&
	       f->changed.tv_nsec == st->st_ctim.tv_nsec;
}

static void watch_look(struct watch *w, int root, const char *path, enum watch_change change, bool only_new);

static void watch_look_entry(struct watch *w, int root, const char *path, int at, const char *name,
			     enum watch_change change, bool only_new)
{
	struct stat st;
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return;
	CLEANUP(free_p) char *below = *path ? mem_printf("%s/%s", path, name) : mem_strdup(name);
	bool is_told = only_new && watch_is_as_found(w, root, below, &st);
	if (w->is_young) /* folders as well: what is told again is no news, and takes back what was announced */
		watch_remember(w, root, below, &st);
	if (!is_told && (!only_new || watch_is_new(w, &st)))
		w->options.changed(w->options.arg, root, below, S_ISDIR(st.st_mode), change);
	if (S_ISDIR(st.st_mode))
		watch_look(w, root, below, change, only_new);
}

/* Watches a folder first and looks through it then: what appears in between is told twice, never missed. */
static void watch_look(struct watch *w, int root, const char *path, enum watch_change change, bool only_new)
{
	if ((*path && !beneath_is_path(path)) || !w->options.wants(w->options.arg, root, path))
		return;
	int flags = O_RDONLY | O_DIRECTORY;
	int fd = *path ? beneath_open(w->roots[root], path, flags, 0) : openat(w->roots[root], ".", flags | O_CLOEXEC);
	if (fd < 0)
		return;
	watch_add(w, root, path, fd);
	DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return;
	}
	struct dirent *entry;
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			watch_look_entry(w, root, path, dirfd(dir), entry->d_name, change, only_new);
	closedir(dir);
}

/* Everything that changed since the last time, by its ctime, which no program can set. */
static void watch_look_through(struct watch *w)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	for (int root = 0; root < WATCH_ROOTS; root++)
		if (w->roots[root] >= 0)
			watch_look(w, root, "", WATCH_WRITTEN, true);
	w->seen = now;
}

static void watch_entry(struct watch *w, const struct watch_folder *folder, const struct inotify_event *event)
{
	int root = folder->root; /* folder does not outlive a change of the table */
	CLEANUP(free_p)
	char *path = *folder->path ? mem_printf("%s/%s", folder->path, event->name) : mem_strdup(event->name);
	bool is_folder = event->mask & IN_ISDIR;
	bool is_gone = event->mask & (IN_DELETE | IN_MOVED_FROM);
	enum watch_change change = is_gone ? WATCH_GONE : event->mask & IN_MOVED_TO ? WATCH_RENAMED : WATCH_WRITTEN;
	if (is_folder && (event->mask & IN_MOVED_FROM))
		watch_forget_below(w, root, path);
	struct stat st;
	bool is_known = !is_gone && !is_folder && beneath_stat(w->roots[root], path, &st);
	bool is_link = is_known && !S_ISREG(st.st_mode);
	bool is_only_closed = is_known && event->mask & IN_CLOSE_WRITE && watch_is_as_found(w, root, path, &st);
	if (!is_link && !is_only_closed)
		w->options.changed(w->options.arg, root, path, is_folder, change);
	if (is_folder && !is_gone && (event->mask & (IN_CREATE | IN_MOVED_TO)))
		watch_look(w, root, path, change, false);
}

static void watch_event(struct watch *w, const struct inotify_event *event)
{
	if (event->mask & IN_Q_OVERFLOW) {
		watch_look_through(w);
		return;
	}
	struct watch_folder *folder = watch_find(w, event->wd);
	if (!folder)
		return;
	if (event->mask & IN_IGNORED)
		watch_forget(w, folder);
	else if (event->len > 0)
		watch_entry(w, folder, event);
}

void watch_drain(struct watch *w)
{
	_Alignas(struct inotify_event) char events[DRAIN_BYTES];
	ssize_t got;
	while (w->inotify >= 0 && (got = read(w->inotify, events, sizeof events)) > 0)
		for (char *at = events; at < events + got;) {
			const struct inotify_event *event = (const struct inotify_event *)at;
			watch_event(w, event);
			at += sizeof *event + event->len;
		}
	if (w->is_polling || w->is_young)
		watch_look_through(w);
	else
		clock_gettime(CLOCK_REALTIME_COARSE, &w->seen);
}

static void watch_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	(void)fd;
	(void)what;
	watch_drain(w);
	w->options.settled(w->options.arg);
}

/* Watches first and looks then, as for every folder: nothing is missed. */
static void watch_on_grow(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	(void)fd;
	(void)what;
	watch_drain(w);
	w->is_young = false;
	w->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->inotify >= 0) {
		w->readable = event_new(w->options.base, w->inotify, EV_READ | EV_PERSIST, watch_on_event, w);
		event_add(w->readable, NULL);
	}
	watch_look_through(w);
	w->options.settled(w->options.arg);
}

static bool watch_open_roots(struct watch *w, struct error *err)
{
	for (int root = 0; root < WATCH_ROOTS; root++) {
		if (!w->options.roots[root])
			continue;
		w->roots[root] = beneath_root(w->options.roots[root]);
		if (w->roots[root] < 0)
			return error_errno(err, ERR_SYSTEM, NULL, "cannot watch %s", w->options.roots[root]);
	}
	return true;
}

struct watch *watch_new(const struct watch_options *options, struct error *err)
{
	struct watch *w = mem_alloc(sizeof *w);
	struct timeval young = clock_timeval(YOUNG_MS);
	w->options = *options;
	w->roots[0] = w->roots[1] = -1;
	w->inotify = -1;
	w->is_young = true;
	clock_gettime(CLOCK_REALTIME_COARSE, &w->seen);
	w->poll = event_new(options->base, -1, EV_PERSIST, watch_on_event, w);
	w->grow = evtimer_new(options->base, watch_on_grow, w);
	if (!watch_open_roots(w, err)) {
		watch_free(w);
		return NULL;
	}
	event_add(w->grow, &young);
	for (int root = 0; root < WATCH_ROOTS; root++)
		if (w->roots[root] >= 0)
			watch_look(w, root, "", WATCH_FOUND, false);
	return w;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	if (w->readable)
		event_free(w->readable);
	event_free(w->poll);
	event_free(w->grow);
	if (w->inotify >= 0)
		close(w->inotify);
	for (int root = 0; root < WATCH_ROOTS; root++)
		if (w->roots[root] >= 0)
			close(w->roots[root]);
	for (size_t i = 0; i < w->count; i++)
		free(w->folders[i].path);
	free(w->folders);
	for (size_t i = 0; i < w->found_count; i++)
		free(w->found[i].path);
	free(w->found);
	free(w);
}
