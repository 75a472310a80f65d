#include "worker/facts.h"

#include <dirent.h>
#include <glob.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/utf8.h"

enum { FACTS_PACKAGES_MAX = 12 * 1024, FACTS_NAMES_MAX = 4000 };

struct facts_names {
	char **items;
	size_t count;
};

static void facts_set(json_t *facts, const char *name, const char *text)
{
	if (text && *text && utf8_is_valid(text, strlen(text)))
		json_object_set_new(facts, name, json_string(text));
}

/* The value behind "key" and ":" or "=" in the first line of a file that begins so; to be freed, or NULL. */
static char *facts_line(const char *path, const char *key)
{
	CLEANUP(fclose_p) FILE *file = fopen(path, "re");
	char line[512];
	size_t len = strlen(key);
	while (file && fgets(line, sizeof line, file)) {
		if (strncmp(line, key, len) != 0)
			continue;
		const char *value = line + len + strspn(line + len, " \t");
		if (*value != ':' && *value != '=')
			continue;
		value += 1 + strspn(value + 1, " \t");
		return mem_strndup(value, strcspn(value, "\r\n"));
	}
	return NULL;
}

static void facts_machine(json_t *facts)
{
	struct utsname name;
	glob_t gpus = { 0 };
	CLEANUP(free_p) char *cpu = facts_line("/proc/cpuinfo", "model name");
	facts_set(facts, "stoker", STOKER_VERSION);
	facts_set(facts, "cpu", cpu);
	if (uname(&name) == 0) {
		CLEANUP(free_p) char *kernel = mem_printf("%s %s %s", name.sysname, name.release, name.machine);
		facts_set(facts, "host", name.nodename);
		facts_set(facts, "kernel", kernel);
	}
	if (glob("/proc/driver/nvidia/gpus/*/information", 0, NULL, &gpus) == 0) {
		CLEANUP(free_p) char *model = facts_line(gpus.gl_pathv[0], "Model");
		CLEANUP(free_p) char *text = model ? mem_printf("%zu × %s", gpus.gl_pathc, model) : NULL;
		facts_set(facts, "gpus", text);
	}
	globfree(&gpus);
}

/* ---- Python ---- */

/* Where a shell would find it; to be freed, or NULL. */
static char *facts_find(const char *command, const char *path)
{
	if (strchr(command, '/'))
		return command[0] == '/' && access(command, X_OK) == 0 ? mem_strdup(command) : NULL;
	while (path && *path) {
		size_t len = strcspn(path, ":");
		CLEANUP(free_p) char *full = mem_printf("%.*s/%s", (int)len, path, command);
		if (full[0] == '/' && access(full, X_OK) == 0)
			return STEAL(full);
		path += len + (path[len] == ':');
	}
	return NULL;
}

static void facts_add_name(struct facts_names *names, const char *folder_name)
{
	static const char *const ends[] = { ".dist-info", ".egg-info" };
	size_t len = strlen(folder_name);
	for (size_t i = 0; i < ARRAY_LEN(ends) && names->count < FACTS_NAMES_MAX; i++) {
		size_t end = strlen(ends[i]);
		if (len <= end || strcmp(folder_name + len - end, ends[i]) != 0)
			continue;
		char *name = mem_strndup(folder_name, len - end); /* "numpy-1.24.2" */
		names->items = mem_realloc(names->items, (names->count + 1) * sizeof *names->items);
		names->items[names->count++] = name;
	}
}

static void facts_add_folder(struct facts_names *names, const char *pattern)
{
	glob_t found = { 0 };
	glob(pattern, 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		DIR *dir = opendir(found.gl_pathv[i]);
		for (struct dirent *entry; dir && (entry = readdir(dir));)
			facts_add_name(names, entry->d_name);
		if (dir)
			closedir(dir);
	}
	globfree(&found);
}

static int facts_by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void facts_packages(json_t *facts, struct facts_names *names)
{
	CLEANUP(buf) struct buf text;
	buf_init(&text, FACTS_PACKAGES_MAX);
	if (names->count)
		qsort(names->items, names->count, sizeof *names->items, facts_by_name);
	size_t shown = 0;
	while (shown < names->count && text.len + strlen(names->items[shown]) + 64 < FACTS_PACKAGES_MAX) {
		buf_printf(&text, "%s%s", shown ? " " : "", names->items[shown]);
		shown++;
	}
	if (shown < names->count)
		buf_printf(&text, " and %zu more", names->count - shown);
	facts_set(facts, "packages", buf_text(&text));
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	free(names->items);
}

/* "/opt/venv/bin/python3" → "/opt/venv" */
static char *facts_prefix(const char *python)
{
	size_t len = strlen(python);
	for (int parts = 0; parts < 2; parts++) {
		while (len > 0 && python[len - 1] != '/')
			len--;
		len -= len > 0;
	}
	return mem_strndup(python, len);
}

/* A virtual environment says its version; of any other Python it stands in its name: "/usr/bin/python3.11". Of what
 * says neither (a script that stands for one) the packages are not known. */
static void facts_version(const char *python, char **prefix, char **version)
{
	char real[PATH_MAX];
	*prefix = facts_prefix(python);
	CLEANUP(free_p) char *config = mem_printf("%s/pyvenv.cfg", *prefix);
	*version = facts_line(config, "version");
	if (!*version)
		*version = facts_line(config, "version_info");
	if (*version || !realpath(python, real))
		return;
	free(*prefix);
	*prefix = facts_prefix(real);
	const char *name = strrchr(real, '/') + 1;
	if (strncmp(name, "python3.", 8) == 0)
		*version = mem_strdup(name + strlen("python"));
}

static void facts_python(json_t *facts, const char *command, const char *path)
{
	const char *base = strrchr(command, '/') ? strrchr(command, '/') + 1 : command;
	CLEANUP(free_p) char *python = facts_find(strncmp(base, "python", 6) == 0 ? command : "python3", path);
	CLEANUP(free_p) char *prefix = NULL;
	CLEANUP(free_p) char *version = NULL;
	struct facts_names names = { .items = NULL };
	if (!python)
		return;
	facts_version(python, &prefix, &version);
	CLEANUP(free_p) char *text = mem_printf("%s%s%s", version ? version : "", version ? " " : "", python);
	facts_set(facts, "python", text);
	if (!version)
		return;
	CLEANUP(free_p) char *site = mem_printf("%s/lib/python3*/site-packages", prefix);
	facts_add_folder(&names, site);
	if (strcmp(prefix, "/usr") == 0) { /* Debian's */
		facts_add_folder(&names, "/usr/lib/python3/dist-packages");
		facts_add_folder(&names, "/usr/local/lib/python3*/dist-packages");
	}
	facts_packages(facts, &names);
}

void facts_json(const char *command, const char *path, struct buf *into)
{
	json_auto_t *facts = json_object();
	facts_machine(facts);
	facts_python(facts, command, path);
	CLEANUP(free_p) char *text = json_dumps(facts, JSON_COMPACT);
	(void)!buf_str(into, text && strlen(text) <= FACTS_MAX ? text : "{}");
}
