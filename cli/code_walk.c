#include "cli/code_walk.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/ignore.h"
#include "cli/text.h"
#include "lib/beneath.h"
#include "lib/buf.h"
#include "lib/size.h"
#include "lib/utf8.h"
#include "queue/code.h"

#define CODE_LARGEST 5 /* named when there is too much */
static const char code_hint[] = ".stokerignore in the folder names what is left out, as .gitignore does";

struct code_walk {
	struct code_files *files;
	const char *above; /* what stands before our paths for the rules: "" or "sub/folder/" */
	int64_t size_max;
};

void code_files_done(struct code_files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		free(files->items[i].path);
		free(files->items[i].source);
	}
	free(files->items);
	free(files->folder);
	*files = (struct code_files){ .folder = NULL };
}

/* ---- bounds ---- */

static int code_by_size(const void *a, const void *b)
{
	int64_t x = ((const struct code_file *)a)->size, y = ((const struct code_file *)b)->size;
	return (x < y) - (x > y);
}

static bool code_too_large(const struct code_walk *w, struct error *err)
{
	struct code_files *files = w->files;
	char all[32], most[32];
	CLEANUP(buf) struct buf largest;
	buf_init(&largest, 320);
	qsort(files->items, files->count, sizeof *files->items, code_by_size);
	for (size_t i = 0; i < files->count && i < CODE_LARGEST; i++) {
		char size[32];
		size_human(files->items[i].size, size, sizeof size);
		(void)!buf_printf(&largest, "%s%.60s (%s)", i ? ", " : "", files->items[i].path, size);
	}
	size_human(files->size, all, sizeof all);
	size_human(w->size_max, most, sizeof most);
	return error_set(err, ERR_INPUT, code_hint, "%s is too large to be packed: %s, at most %s; the largest: %s",
			 files->folder, all, most, buf_text(&largest));
}

/* The folder, or file, directly below ours that holds most of the files. */
static bool code_too_many(const struct code_walk *w, struct error *err)
{
	const struct code_files *files = w->files;
	const char *best = "";
	size_t best_len = 0, best_count = 0, count = 0;
	for (size_t i = 0; i < files->count; i++) { /* of one part they stand together: in the order of the walk */
		const char *path = files->items[i].path;
		size_t len = strcspn(path, "/");
		bool is_same = i && strncmp(files->items[i - 1].path, path, len) == 0 &&
			       strcspn(files->items[i - 1].path, "/") == len;
		count = is_same ? count + 1 : 1;
		if (count > best_count) {
			best = path;
			best_len = len;
			best_count = count;
		}
	}
	return error_set(err, ERR_INPUT, code_hint,
			 "%s has more than %d files, too many to be packed; of the first, %zu are in %.*s",
			 files->folder, CODE_FILES_MAX, best_count, (int)(best_len < 200 ? best_len : 200), best);
}

/* ---- one file ---- */

static bool code_add(struct code_walk *w, const char *path, const char *source, const struct stat *st,
		     struct error *err)
{
	struct code_files *files = w->files;
	if (!beneath_is_path(path) || !utf8_is_valid(path, strlen(path)))
		return error_set(err, ERR_INPUT, "at most 512 bytes and 32 parts, in UTF-8, without control characters",
				 "%s/%s: a path that cannot be packed", files->folder, path);
	if (files->count == CODE_FILES_MAX)
		return code_too_many(w, err);
	if ((files->count & (files->count - 1)) == 0)
		files->items = mem_realloc(files->items, (files->count ? files->count * 2 : 1) * sizeof *files->items);
	files->items[files->count++] = (struct code_file){ .path = mem_strdup(path),
							   .source = mem_strdup(source),
							   .size = st->st_size,
							   .is_executable = st->st_mode & 0100 };
	files->size += st->st_size;
	return true;
}

static bool code_is_inside(const char *folder, const char *path)
{
	size_t len = strlen(folder);
	return strncmp(path, folder, len) == 0 && (path[len] == '/' || (len == 1 && path[1]));
}

static bool code_link(struct code_walk *w, const char *path, const char *source, struct error *err)
{
	static const char hint[] = "name it in .stokerignore, or put the file itself there";
	char real[PATH_MAX];
	struct stat st;
	if (!realpath(source, real) || stat(real, &st) < 0)
		return error_errno(err, ERR_INPUT, hint, "%s is a link that leads nowhere", source);
	if (!code_is_inside(w->files->folder, real))
		return error_set(err, ERR_INPUT, hint, "%s is a link out of the folder, to %s", source, real);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_INPUT, "name it in .stokerignore: only links to files can be packed",
				 "%s is a link to %s, which is no file", source, real);
	return code_add(w, path, real, &st, err);
}

/* ---- a folder ---- */

static bool code_folder(struct code_walk *w, const char *path, const struct ignore *above, struct error *err);

static bool code_entry(struct code_walk *w, const char *folder, const char *name, const struct ignore *ignore,
		       struct error *err)
{
	struct stat st;
	CLEANUP(free_p) char *path = mem_printf("%s%s%s", folder, *folder ? "/" : "", name);
	CLEANUP(free_p) char *source = mem_printf("%s/%s", w->files->folder, path);
	CLEANUP(free_p) char *ruled = mem_printf("%s%s", w->above, path);
	if (strcmp(name, ".git") == 0)
		return true;
	if (lstat(source, &st) < 0)
		return error_errno(err, ERR_INPUT, NULL, "cannot look at %s", source);
	if (ignore_takes(ignore, ruled, S_ISDIR(st.st_mode)))
		return true;
	if (S_ISDIR(st.st_mode))
		return code_folder(w, path, ignore, err);
	if (S_ISLNK(st.st_mode))
		return code_link(w, path, source, err);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_INPUT, code_hint, "%s is neither a file nor a folder", source);
	return code_add(w, path, source, &st, err);
}

static int code_not_dots(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int code_by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool code_rules(const char *folder, struct ignore *ignore, struct error *err)
{
	CLEANUP(free_p) char *git = mem_printf("%s/.gitignore", folder);
	CLEANUP(free_p) char *own = mem_printf("%s/.stokerignore", folder);
	return ignore_add_file(ignore, git, err) && ignore_add_file(ignore, own, err);
}

static bool code_folder(struct code_walk *w, const char *path, const struct ignore *above, struct error *err)
{
	CLEANUP(free_p) char *folder = mem_printf("%s%s%s", w->files->folder, *path ? "/" : "", path);
	CLEANUP(free_p) char *base = mem_printf("%s%s", w->above, path);
	CLEANUP(ignore) struct ignore ignore;
	struct dirent **entries = NULL;
	size_t len = strlen(base);
	if (len && base[len - 1] == '/')
		base[len - 1] = '\0';
	ignore_init(&ignore, above, base);
	if (!code_rules(folder, &ignore, err))
		return false;
	int count = scandir(folder, &entries, code_not_dots, code_by_bytes);
	if (count < 0)
		return error_errno(err, ERR_INPUT, code_hint, "cannot read %s", folder);
	bool ok = true;
	for (int i = 0; i < count; i++) {
		ok = ok && code_entry(w, path, entries[i]->d_name, &ignore, err);
		free(entries[i]);
	}
	free(entries);
	return ok;
}

/* ---- the rules above the folder ---- */

static bool code_is_repository(const char *folder)
{
	CLEANUP(free_p) char *git = mem_printf("%s/.git", folder);
	return access(git, F_OK) == 0;
}

/* The folder of the repository that ours is in, or ours. */
static char *code_top(const char *folder)
{
	CLEANUP(free_p) char *at = mem_strdup(folder);
	while (!code_is_repository(at)) {
		char *slash = strrchr(at, '/');
		if (!slash || slash == at)
			return mem_strdup(folder);
		*slash = '\0';
	}
	return STEAL(at);
}

/* From the top down to the parent of ours, then ours: rest is what is left of the way. */
static bool code_descend(struct code_walk *w, const char *top, const char *base, const char *rest,
			 const struct ignore *above, struct error *err)
{
	if (!*rest)
		return code_folder(w, "", above, err);
	CLEANUP(ignore) struct ignore ignore;
	CLEANUP(free_p) char *folder = mem_printf("%s%s%s", top, *base ? "/" : "", base);
	size_t len = strcspn(rest, "/");
	CLEANUP(free_p) char *next = mem_printf("%s%s%.*s", base, *base ? "/" : "", (int)len, rest);
	ignore_init(&ignore, above, base);
	return code_rules(folder, &ignore, err) &&
	       code_descend(w, top, next, rest + len + (rest[len] == '/'), &ignore, err);
}

static int code_by_path(const void *a, const void *b)
{
	return strcmp(((const struct code_file *)a)->path, ((const struct code_file *)b)->path);
}

bool code_walk(const char *folder, int64_t size_max, struct code_files *files, struct error *err)
{
	*files = (struct code_files){ .folder = realpath(folder, NULL) };
	struct stat st;
	if (!files->folder || stat(files->folder, &st) < 0)
		return error_errno(err, ERR_INPUT, "workdir names a folder, relative to the spec",
				   "cannot pack the folder %s", folder);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERR_INPUT, "workdir names a folder, relative to the spec", "%s is no folder",
				 folder);
	CLEANUP(free_p) char *top = code_top(files->folder);
	CLEANUP(free_p) char *exclude = mem_printf("%s/.git/info/exclude", top);
	const char *rest = files->folder + strlen(top) + (files->folder[strlen(top)] == '/');
	CLEANUP(free_p) char *above = mem_printf("%s%s", rest, *rest ? "/" : "");
	struct code_walk w = { .files = files, .above = above, .size_max = size_max };
	CLEANUP(ignore) struct ignore outermost;
	ignore_init(&outermost, NULL, "");
	if (!ignore_add_file(&outermost, exclude, err) || !code_descend(&w, top, "", rest, &outermost, err))
		return false;
	if (files->size > size_max)
		return code_too_large(&w, err);
	if (files->count == 0)
		return error_set(err, ERR_INPUT, code_hint, "%s has no files to pack", files->folder);
	qsort(files->items, files->count, sizeof *files->items, code_by_path);
	return true;
}
