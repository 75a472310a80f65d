#include "worker/memory.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/cleanup.h"

/* A limit that a cgroup of version 1 has when it has none is close to the largest number. */
#define MEMORY_LIMIT_MOST (INT64_C(1) << 60)

struct memory_version {
	const char *prefix; /* of its line in /proc/self/cgroup, after the number */
	const char *folder;
	const char *limit;
	const char *events;
};

static const struct memory_version memory_versions[] = {
	{ "::", "/sys/fs/cgroup", "memory.max", "memory.events" },
	{ ":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.oom_control" },
};

int64_t memory_number(const char *path, const char *name)
{
	char line[256];
	CLEANUP(fclose_p) FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		char *end;
		size_t len = strlen(name);
		if (strncmp(line, name, len) != 0)
			continue;
		int64_t value = strtoll(line + len, &end, 10);
		if (end > line + len)
			return value;
	}
	return -1;
}

/* Our group in one version, as the folder that shows it: inside a container the path may be one of outside. */
static bool memory_group_of(const struct memory_version *version, char *into, size_t size)
{
	char line[PATH_MAX];
	bool found = false;
	CLEANUP(fclose_p) FILE *f = fopen("/proc/self/cgroup", "re");
	while (!found && f && fgets(line, sizeof line, f)) {
		const char *at = strchr(line, ':');
		line[strcspn(line, "\n")] = '\0';
		if (!at || strncmp(at, version->prefix, strlen(version->prefix)) != 0)
			continue;
		at += strlen(version->prefix);
		found = str_format(into, size, "%s%s", version->folder, strcmp(at, "/") ? at : "");
	}
	if (found && access(into, F_OK) < 0)
		found = str_copy(into, size, version->folder);
	return found;
}

static int64_t memory_file(const char *group, const char *file, const char *name)
{
	char path[PATH_MAX + 64];
	return str_format(path, sizeof path, "%s/%s", group, file) ? memory_number(path, name) : -1;
}

/* Which version says something of our memory. */
static const struct memory_version *memory_group(char *into, size_t size)
{
	for (size_t i = 0; i < ARRAY_LEN(memory_versions); i++)
		if (memory_group_of(&memory_versions[i], into, size) &&
		    memory_file(into, memory_versions[i].events, "oom_kill ") >= 0)
			return &memory_versions[i];
	return NULL;
}

static int64_t memory_limit(const struct memory_version *version, char *group)
{
	int64_t limit = -1;
	for (size_t root = strlen(version->folder); strlen(group) >= root;) {
		int64_t value = memory_file(group, version->limit, "");
		if (value > 0 && value < MEMORY_LIMIT_MOST && (limit < 0 || value < limit))
			limit = value;
		*strrchr(group, '/') = '\0';
	}
	return limit;
}

int64_t memory_cgroup_limit(void)
{
	char group[PATH_MAX];
	const struct memory_version *version = memory_group(group, sizeof group);
	return version ? memory_limit(version, group) : -1;
}

static int64_t memory_kills(const struct memory_version *version, const char *group)
{
	return version ? memory_file(group, version->events, "oom_kill ") : memory_number("/proc/vmstat", "oom_kill ");
}

int64_t memory_oom_kills(void)
{
	char group[PATH_MAX];
	return memory_kills(memory_group(group, sizeof group), group);
}

void memory_read(struct memory_state *state)
{
	char group[PATH_MAX];
	const struct memory_version *version = memory_group(group, sizeof group);
	int64_t kib = memory_number("/proc/meminfo", "MemTotal:");
	*state = (struct memory_state){ .limit_bytes = kib > 0 ? kib * 1024 : 0, .limit_of = "this machine" };
	state->oom_kills = memory_kills(version, group);
	int64_t limit = version ? memory_limit(version, group) : -1;
	if (limit < 0 || (state->limit_bytes && limit >= state->limit_bytes))
		return;
	state->limit_bytes = limit;
	state->limit_of = "its cgroup";
}
