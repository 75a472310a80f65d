/* See the header. */
#include "cli/spec_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>
#include "cli/code.h"
#include "cli/set.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/yaml.h"
#include "queue/graph.h"
#include "queue/sweep.h"
#include "queue/spec.h"

static bool spec_file_read(const char *path, const char *name, struct buf *text, struct error *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	CLEANUP(close_fd) int opened = is_stdin ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	int fd = is_stdin ? STDIN_FILENO : opened;
	if (fd < 0)
		return error_errno(err, ERR_INPUT, "name an existing file, or - for stdin", "cannot open %s", path);
	char part[16384];
	ssize_t len;
	while ((len = read(fd, part, sizeof part)) > 0)
		if (!buf_add(text, part, (size_t)len))
			return error_set(err, ERR_INPUT, "training data belongs in files that the spec names",
					 "%s: spec: expected at most %d bytes", name, SPEC_MAX_BYTES);
	if (len < 0)
		return error_errno(err, ERR_INPUT, NULL, "cannot read %s", name);
	return true;
}

/* The value that should stand instead of the path in item; NULL: as it is. */
static json_t *spec_file_resolve(const json_t *item, const char *folder)
{
	const char *path = json_string_value(item);
	char absolute[PATH_MAX];
	if (!path || !*path || path[0] == '/')
		return NULL;
	CLEANUP(free_p) char *joined = mem_printf("%s/%s", folder, path);
	return realpath(joined, absolute) ? json_string(absolute) : NULL;
}

void spec_file_absolute(json_t *spec, const char *folder)
{
	static const char *const keys[] = { "text", "data" };
	json_t *train = json_object_get(spec, "train");
	for (size_t k = 0; json_is_object(train) && k < ARRAY_LEN(keys); k++) {
		json_t *value = json_object_get(train, keys[k]);
		json_t *instead = spec_file_resolve(value, folder);
		if (instead)
			json_object_set_new(train, keys[k], instead);
		size_t i;
		json_t *item;
		json_array_foreach(value, i, item)
		{
			instead = spec_file_resolve(item, folder);
			if (instead)
				json_array_set_new(value, i, instead);
		}
	}
}

static char *spec_file_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (strcmp(path, "-") == 0 || !slash)
		return mem_strdup(".");
	return slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
}

/* A sweep is sent as it is, and expanded there: here it is only checked. */
static bool spec_file_sweep(const char *text, size_t len, const char *origin, char **json, struct error *err)
{
	CLEANUP(sweep) struct sweep sweep = { 0 };
	CLEANUP(buf) struct buf out;
	buf_init(&out, YAML_MAX_BYTES);
	if (!sweep_read(text, len, origin, "sweep", &sweep, err))
		return false;
	json_auto_t *root = yaml_decode(text, len, origin, err);
	if (!root || !json_canonical(root, &out))
		return error_set(err, ERR_INPUT, NULL, "spec: expected at most %d bytes as JSON", YAML_MAX_BYTES);
	*json = buf_take(&out);
	return true;
}

static bool spec_file_normalize(const char *text, size_t len, const char *origin, char **json, struct error *err)
{
	CLEANUP(graph) struct graph graph = { 0 };
	if (sweep_is_one(text, len))
		return spec_file_sweep(text, len, origin, json, err);
	if (!graph_is_one(text, len))
		return spec_normalize(text, len, origin, json, err);
	if (!graph_read(text, len, origin, &graph, err))
		return false;
	*json = graph_json(&graph);
	return true;
}

/* What is sent is the document after --set; but where the same is wrong with the file as it stands,
 * the error names the line there. */
static bool spec_file_check(const char *name, const struct buf *text, const json_t *spec, char **json,
			    struct error *err)
{
	struct error changed = { 0 };
	struct error plain = { 0 };
	CLEANUP(free_p) char *document = json_dumps(spec, JSON_COMPACT | JSON_ENCODE_ANY);
	CLEANUP(free_p) char *ignored = NULL;
	if (spec_file_normalize(document, strlen(document), NULL, json, &changed))
		return true;
	size_t tail = strlen(changed.message);
	if (!spec_file_normalize(buf_text(text), text->len, name, &ignored, &plain) && strlen(plain.message) > tail &&
	    strcmp(plain.message + strlen(plain.message) - tail, changed.message) == 0)
		*err = plain;
	else
		error_set(err, changed.kind, changed.hint, "%s with --set: %s", name, changed.message);
	return false;
}

/* The sentence begins with the path of what is wrong, in a graph below jobs[2]: the line of that in the file. */
static void spec_file_place(const char *name, const struct buf *text, struct error *err)
{
	CLEANUP(free_p) char *message = mem_strdup(err->message);
	CLEANUP(free_p) char *path = mem_strndup(message, strcspn(message, ":"));
	const char *rest = message + strlen(path);
	size_t quoted = strlen(path);
	if (quoted > 2 && path[0] == '"' && path[quoted - 1] == '"') { /* a key that is no word of ours */
		path[quoted - 1] = '\0';
		memmove(path, path + 1, quoted - 1);
	}
	if (strncmp(path, "jobs[", 5) == 0 && strncmp(rest, ": ", 2) == 0) {
		char *below = mem_printf("%s.%.*s", path, (int)strcspn(rest + 2, ":"), rest + 2);
		free(path);
		path = below;
	}
	int line = yaml_line_of(buf_text(text), text->len, path);
	if (line)
		error_set(err, err->kind, err->hint, "%s:%d: %s", name, line, message);
	else
		error_wrap(err, "%s", name);
}

/* With relative working folders: all but them is checked before the first is packed. */
static bool spec_file_pack(const char *name, const struct buf *text, const char *folder, json_t *spec,
			   struct code_folders *folders, char **json, struct error *err)
{
	json_auto_t *taken = NULL;
	bool ok = code_take(folders, spec, folder, &taken, err);
	for (int pass = 0; pass < 2 && ok; pass++) {
		CLEANUP(free_p) char *document = json_dumps(spec, JSON_COMPACT | JSON_ENCODE_ANY);
		free(STEAL(*json));
		ok = spec_file_normalize(document, strlen(document), NULL, json, err);
		if (ok && pass == 0 && !code_put(folders, spec, taken, err))
			return false;
	}
	if (!ok)
		spec_file_place(name, text, err);
	return ok;
}

bool spec_file_load(const char *path, const struct arg_list *sets, struct code_folders *folders, char **json,
		    struct error *err)
{
	const char *name = strcmp(path, "-") == 0 ? "stdin" : path;
	CLEANUP(free_p) char *plain = NULL;
	CLEANUP(buf) struct buf text;
	buf_init(&text, YAML_MAX_BYTES);
	if (!spec_file_read(path, name, &text, err))
		return false;
	json_auto_t *spec = yaml_decode(buf_text(&text), text.len, name, err);
	bool is_packed = spec && folders && code_is_in(folders, spec);
	if (sets->count == 0 && !is_packed && !spec_file_normalize(buf_text(&text), text.len, name, &plain, err))
		return false;
	if (!spec)
		return false;
	for (size_t k = 0; k < sets->count; k++)
		if (!set_apply(spec, sets->items[k], err))
			return false;
	CLEANUP(free_p) char *folder = spec_file_folder(path);
	size_t i;
	json_t *job;
	json_array_foreach(json_object_get(spec, "jobs"), i, job)
	{
		if (!code_is_wanted(folders, job)) /* else it is packed, too */
			spec_file_absolute(job, folder);
	}
	if (!code_is_wanted(folders, spec))
		spec_file_absolute(spec, folder);
	if (folders && code_is_in(folders, spec)) {
		*json = NULL;
		return spec_file_pack(name, &text, folder, spec, folders, json, err);
	}
	return spec_file_check(name, &text, spec, json, err);
}
