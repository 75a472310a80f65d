#include "worker/capacity.h"

#include <dirent.h>
#include <jansson.h>
#include <sched.h>
#include <string.h>
#include "lib/buf.h"
#include "worker/memory.h"

static int64_t capacity_cpus(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : -1;
}

static int64_t capacity_memory(void)
{
	int64_t kib = memory_number("/proc/meminfo", "MemTotal:");
	int64_t limit = memory_cgroup_limit();
	int64_t bytes = kib < 0 ? -1 : kib * 1024;
	return limit > 0 && (bytes < 0 || limit < bytes) ? limit : bytes;
}

/* How many names of a folder are prefix and a number. */
static int64_t capacity_devices(const char *folder, const char *prefix)
{
	int64_t count = 0;
	DIR *dir = opendir(folder);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		int64_t number;
		size_t len = strlen(prefix);
		if (!strncmp(entry->d_name, prefix, len) && config_parse_int(entry->d_name + len, &number))
			count++;
	}
	if (dir)
		closedir(dir);
	return count;
}

static bool capacity_gpus(const char *text, int64_t *count, struct error *err)
{
	if (!strcmp(text, "auto")) {
		*count = capacity_devices("/dev", "nvidia");
		if (!*count)
			*count = capacity_devices("/dev/dri", "renderD");
		if (*count > SLOTS_GPUS_MAX)
			*count = SLOTS_GPUS_MAX;
		return true;
	}
	if (!config_parse_int(text, count) || *count < 0 || *count > SLOTS_GPUS_MAX)
		return error_set(err, ERR_INPUT, NULL, "--gpus: expected auto or an integer from 0 to %d, got \"%s\"",
				 SLOTS_GPUS_MAX, text);
	return true;
}

bool capacity_find(const struct worker_settings *settings, struct grant *total, struct error *err)
{
	int64_t gpus;
	if (!capacity_gpus(settings->gpus, &gpus, err))
		return false;
	total->gpus = slots_gpu_mask(gpus);
	total->cpus = settings->cpus ? settings->cpus : capacity_cpus();
	total->memory_bytes = settings->memory_bytes ? settings->memory_bytes : capacity_memory();
	if (total->cpus < 1)
		return error_set(err, ERR_SYSTEM, "declare them with --cpus",
				 "cannot tell how many processors there are");
	if (total->memory_bytes < 1)
		return error_set(err, ERR_SYSTEM, "declare it with --memory", "cannot tell how much memory there is");
	return true;
}

char *capacity_labels(const char *text, struct error *err)
{
	json_auto_t *labels = json_object();
	for (const char *p = text ? text : ""; *p;) {
		size_t len = strcspn(p, ",");
		const char *equals = memchr(p, '=', len);
		if (!equals || equals == p) {
			error_set(err, ERR_INPUT, "as in --labels gpu=a100,zone=b",
				  "--labels: expected name=value, got \"%.*s\"", (int)len, p);
			return NULL;
		}
		CLEANUP(free_p) char *name = mem_strndup(p, (size_t)(equals - p));
		json_object_set_new(labels, name, json_stringn(equals + 1, (size_t)(p + len - equals - 1)));
		p += len + (p[len] == ',');
	}
	return json_dumps(labels, JSON_COMPACT | JSON_SORT_KEYS);
}
