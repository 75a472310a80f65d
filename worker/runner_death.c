/* What is known of the end of a program that nobody asked to stop (worker/death.h). */
#include <sys/statvfs.h>
#include "lib/buf.h"
#include "worker/memory.h"
#include "worker/retry_rules.h"
#include "worker/runner_internal.h"

enum { DEATH_DISK_LEAST = 64 * 1024 }; /* bytes; with less a disk is full */

static bool death_is_full(const char *folder)
{
	struct statvfs disk;
	return statvfs(folder, &disk) == 0 && disk.f_blocks && disk.f_bavail * disk.f_frsize < DEATH_DISK_LEAST;
}

/* Only folders of this machine: a dead network file system must not keep an end from being reported. */
static const char *death_full_disk(const struct runner *r)
{
	const char *folders[] = { r->folder, "/tmp", "/dev/shm" };
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (death_is_full(folders[i]))
			return folders[i];
	return NULL;
}

void runner_death_begin(struct runner *r)
{
	r->oom_kills = memory_oom_kills();
}

void runner_death(struct runner *r, struct death *death, struct buf *tail)
{
	struct memory_state memory;
	*death = (struct death){ .how = r->how, .tail = "" };
	if (!r->was_started || (r->how.is_known && !r->how.signal && r->how.code == 0))
		return;
	spool_tail(&r->log, RETRY_RULES_BYTES, tail);
	memory_read(&memory);
	death->oom_kills = memory.oom_kills < 0 || r->oom_kills < 0 ? -1 : memory.oom_kills - r->oom_kills;
	death->granted_bytes = r->spec.resources.memory_bytes;
	death->limit_bytes = memory.limit_bytes;
	death->limit_of = memory.limit_of;
	death->full_disk = death_full_disk(r);
	death->tail = buf_text(tail);
	death->tail_len = tail->len;
}
