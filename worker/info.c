#include "worker/info.h"

#include <inttypes.h>
#include <unistd.h>
#include "lib/ready.h"

static void worker_info_grant(struct buf *b, const char *name, const struct grant *grant, const char *labels)
{
	buf_printf(b, ",\"%s\":{\"cpus\":%" PRId64 ",\"gpus\":%" PRId64 ",\"memory\":%" PRId64, name, grant->cpus,
		   slots_gpu_count(grant->gpus), grant->memory_bytes);
	if (labels)
		buf_printf(b, ",\"labels\":%s", labels);
	buf_byte(b, '}');
}

void worker_info_json(const struct worker_info *info, struct buf *into)
{
	/* why: made of numbers and job ids, so that nothing in it needs an escape */
	buf_printf(into, "{\"host\":\"%s\",\"pid\":%d,\"version\":\"%s\",\"state\":\"%s\",\"why\":\"%s\"", info->host,
		   (int)getpid(), STOKER_VERSION, info->state, info->why);
	worker_info_grant(into, "capacity", &info->slots->total, info->labels_json);
	worker_info_grant(into, "used", &info->slots->used, NULL);
	buf_str(into, ",\"runs\":");
	runs_list(info->runs, into);
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
