/*
 * Folders: Hugging Face (trainer_state.json comes last), PyTorch DCP (.metadata comes
 * last), a marker file that says so, or simply the sum of the files in it.
 */
#include "worker/formats.h"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/beneath.h"
#include "lib/buf.h"

#define JSON_MAX     (64 * 1024 * 1024)
#define FOLDER_DEPTH 16

struct folder {
	int root;
	const char *path;
	char **names; /* directly in it */
	size_t count;
};

static const char *const folder_markers[] = { "_SUCCESS", "commit_success.txt", ".complete" };

static void folder_done(struct folder *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->names[i]);
	free(f->names);
}

static bool folder_read(struct folder *f)
{
	int fd = beneath_open(f->root, f->path, O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	struct dirent *entry;
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		f->names = mem_realloc(f->names, (f->count + 1) * sizeof *f->names);
		f->names[f->count++] = mem_strdup(entry->d_name);
	}
	closedir(dir);
	return true;
}

/* The first name that matches; NULL: none. */
static const char *folder_find(const struct folder *f, const char *pattern)
{
	for (size_t i = 0; i < f->count; i++)
		if (fnmatch(pattern, f->names[i], 0) == 0)
			return f->names[i];
	return NULL;
}

static int64_t folder_file_size(const struct folder *f, const char *name)
{
	CLEANUP(free_p) char *path = mem_printf("%s/%s", f->path, name);
	struct stat st;
	return beneath_stat(f->root, path, &st) && S_ISREG(st.st_mode) ? st.st_size : -1;
}

static json_t *folder_json(const struct folder *f, const char *name)
{
	CLEANUP(free_p) char *path = mem_printf("%s/%s", f->path, name);
	CLEANUP(close_fd) int fd = beneath_open(f->root, path, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > JSON_MAX)
		return NULL;
	CLEANUP(free_p) char *text = mem_alloc((size_t)st.st_size + 1);
	if (pread(fd, text, (size_t)st.st_size, 0) != st.st_size)
		return NULL;
	return json_loadb(text, (size_t)st.st_size, JSON_DECODE_ANY, NULL);
}

static struct format_verdict folder_torn(const char *framework, const char *why, const char *name)
{
	CLEANUP(free_p) char *words = mem_printf("%s %s", name, why);
	return format_verdict_of(FORMAT_TORN, framework, words);
}

/* Every file that has a format of its own must be right; the others do not speak against it. */
static bool folder_check_files(const struct folder *f, struct format_verdict *torn, int *optimizer)
{
	for (size_t i = 0; i < f->count; i++) {
		if (folder_file_size(f, f->names[i]) < 0)
			continue;
		CLEANUP(free_p) char *path = mem_printf("%s/%s", f->path, f->names[i]);
		struct format_verdict one = format_check(f->root, path);
		if (one.optimizer > *optimizer)
			*optimizer = one.optimizer;
		if (one.proof == FORMAT_TORN) {
			*torn = folder_torn(one.framework, one.words, f->names[i]);
			return false;
		}
	}
	return true;
}

/* Shards that an index names must all be there. */
static bool folder_check_shards(const struct folder *f, struct format_verdict *torn)
{
	const char *name = folder_find(f, "*.index.json");
	json_t *index = name ? folder_json(f, name) : NULL;
	const char *tensor;
	json_t *shard;
	bool ok = !name || index;
	if (!ok)
		*torn = folder_torn("huggingface", "is not JSON", name);
	json_object_foreach(json_object_get(index, "weight_map"), tensor, shard)
	{
		const char *file = json_string_value(shard);
		if (ok && (!file || strchr(file, '/') || folder_file_size(f, file) <= 0)) {
			*torn = folder_torn("huggingface", "is named by its index but not there",
					    file ? file : "a shard");
			ok = false;
		}
	}
	json_decref(index);
	return ok;
}

static struct format_verdict folder_huggingface(const struct folder *f)
{
	if (!folder_find(f, "trainer_state.json"))
		return folder_torn("huggingface", "is not there yet", "trainer_state.json");
	json_t *state = folder_json(f, "trainer_state.json");
	if (!json_is_object(state)) {
		json_decref(state);
		return folder_torn("huggingface", "is not a JSON object", "trainer_state.json");
	}
	struct format_verdict verdict = format_verdict_of(
		FORMAT_WHOLE, "huggingface", "trainer_state.json, weights, optimizer and shards; file hashes");
	const json_t *step = json_object_get(state, "global_step"), *epoch = json_object_get(state, "epoch");
	if (json_is_integer(step))
		verdict.step = json_integer_value(step);
	if (json_is_number(epoch))
		verdict.epoch = (int64_t)floor(json_number_value(epoch));
	json_decref(state);
	verdict.optimizer = folder_find(f, "optimizer.*") != NULL;
	struct format_verdict torn;
	int ignored = -1;
	if (!folder_check_files(f, &torn, &ignored) || !folder_check_shards(f, &torn))
		return torn;
	if (!folder_find(f, "*.safetensors") && !folder_find(f, "*.bin"))
		return folder_torn("huggingface", "are not there", "the weights");
	return verdict;
}

static struct format_verdict folder_dcp(const struct folder *f)
{
	if (folder_file_size(f, ".metadata") <= 0)
		return folder_torn("dcp", "is not there yet", ".metadata");
	for (size_t i = 0; i < f->count; i++)
		if (fnmatch("__*_*.distcp", f->names[i], 0) == 0 && folder_file_size(f, f->names[i]) <= 0)
			return folder_torn("dcp", "is empty", f->names[i]);
	return format_verdict_of(FORMAT_WHOLE, "dcp", "DCP .metadata and shards; file hashes");
}

static struct format_verdict folder_sum(const struct folder *f, int depth);

static struct format_verdict folder_entry(const struct folder *f, const char *name, int depth)
{
	CLEANUP(free_p) char *path = mem_printf("%s/%s", f->path, name);
	struct stat st;
	if (!beneath_stat(f->root, path, &st) || !S_ISDIR(st.st_mode))
		return format_check(f->root, path);
	struct folder below = { .root = f->root, .path = path };
	struct format_verdict verdict = folder_read(&below) ? folder_sum(&below, depth + 1)
							    : format_verdict_of(FORMAT_OPAQUE, "files", "hash only");
	folder_done(&below);
	return verdict;
}

static struct format_verdict folder_sum(const struct folder *f, int depth)
{
	if (depth > FOLDER_DEPTH)
		return format_verdict_of(FORMAT_OPAQUE, "files", "hash only: too deep to look into");
	if (folder_find(f, "__*_*.distcp"))
		return folder_dcp(f);
	struct format_verdict sum = format_verdict_of(f->count ? FORMAT_WHOLE : FORMAT_OPAQUE, "files",
						      f->count ? "" : "hash only (empty)");
	for (size_t i = 0; i < f->count; i++) {
		struct format_verdict one = folder_entry(f, f->names[i], depth);
		if (one.proof == FORMAT_WHOLE)
			one.proof =
				FORMAT_SOUND; /* another file may still come: no file here says that it is the last */
		format_join(&sum, &one);
	}
	return sum;
}

struct format_verdict format_folder(int root, const char *path)
{
	struct folder f = { .root = root, .path = path };
	struct format_verdict verdict;
	bool has_marker = false;
	if (!folder_read(&f))
		verdict = format_verdict_of(FORMAT_TORN, "files", "it cannot be opened");
	else if (folder_find(&f, "trainer_state.json") || folder_find(&f, "optimizer.pt") ||
		 folder_find(&f, "rng_state*.pth"))
		verdict = folder_huggingface(&f);
	else
		verdict = folder_sum(&f, 0);
	for (size_t i = 0; i < ARRAY_LEN(folder_markers); i++)
		has_marker |= folder_find(&f, folder_markers[i]) != NULL;
	if (has_marker && verdict.proof != FORMAT_TORN) {
		verdict.proof = FORMAT_WHOLE;
		str_copy(verdict.words, sizeof verdict.words, "marker file of its writer; file hashes");
	}
	folder_done(&f);
	return verdict;
}
