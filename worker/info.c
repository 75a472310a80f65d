#include "worker/info.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "lib/clock.h"
#include "lib/ready.h"
#include "lib/store.h"

static void worker_info_grant(struct buf *b, const char *name, const struct grant *grant, const char *labels)
{
	buf_printf(b, ",\"%s\":{\"cpus\":%" PRId64 ",\"gpus\":%" PRId64 ",\"memory\":%" PRId64, name, grant->cpus,
		   slots_gpu_count(grant->gpus), grant->memory_bytes);
	if (labels)
		buf_printf(b, ",\"labels\":%s", labels);
	buf_byte(b, '}');
}

/* What stoker doctor judges of this machine: how many files may be open, bytes free under the state folder, our
 * clock; and that programs are not confined. */
static void worker_info_machine(struct buf *b, const char *state_dir)
{
	struct rlimit files;
	struct statvfs disk;
	buf_printf(b,
		   ",\"time_ms\":\"%" PRId64 "\",\"limits\":{\"files\":%" PRId64 ",\"disk_free\":%" PRId64
		   ",\"sandbox\":\"none\",\"memory\":\"none\"}",
		   clock_wall_ms(),
		   getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur <= INT32_MAX ? (int64_t)files.rlim_cur
											: INT32_MAX,
		   statvfs(state_dir, &disk) == 0 ? (int64_t)(disk.f_bavail * disk.f_frsize) : -1);
}

static char *worker_info_text(const char *text)
{
	json_auto_t *value = json_string(text ? text : "");
	char *shown = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
	return shown ? shown : mem_strdup("\"\"");
}

void worker_info_json(const struct worker_info *info, struct buf *into)
{
	CLEANUP(free_p) char *why = worker_info_text(info->why);
	CLEANUP(free_p) char *store = worker_info_text(info->store);
	buf_printf(into, "{\"host\":\"%s\",\"pid\":%d,\"version\":\"%s\",\"state\":\"%s\",\"why\":%s", info->host,
		   (int)getpid(), STOKER_VERSION, info->state, why);
	buf_printf(into, ",\"store\":%s,\"stored\":\"%s\"", store,
		   info->store && store_is_marked(info->store) ? "1" : "");
	worker_info_grant(into, "capacity", &info->slots->total, info->labels_json);
	worker_info_grant(into, "used", &info->slots->used, NULL);
	buf_str(into, ",\"runs\":");
	runs_list(info->runs, into);
	worker_info_machine(into, info->state_dir);
	buf_byte(into, '}');
}

void worker_info_ready(const char *id, const struct slots *slots, int64_t ready_fd)
{
	const struct grant *total = &slots->total;
	CLEANUP(buf) struct buf lines;
	buf_init(&lines, 1024);
	buf_printf(&lines, "WORKER=%s\nCPUS=%" PRId64 "\nGPUS=%" PRId64 "\nMEMORY=%" PRId64 "\n", id, total->cpus,
		   slots_gpu_count(total->gpus), total->memory_bytes);
	ready_say((int)ready_fd, buf_text(&lines));
}
