/* What is around Redis: clocks, the store, the machines of the workers. */
#include <inttypes.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/fields.h"
#include "scheduler/doctor.h"

enum {
	DOCTOR_CLOCK_MS = 5000,
	DOCTOR_SILENT_MS = 20000, /* four missed heartbeats: what it says is old */
	DOCTOR_FILES = 4096,
	DOCTOR_FILES_LEAST = 1024,
};
#define DOCTOR_DISK (INT64_C(1) << 30)

static void doctor_clock(json_t *checks, const char *name, const char *whose, int64_t ahead_ms)
{
	char detail[192];
	bool ok = ahead_ms < DOCTOR_CLOCK_MS && ahead_ms > -DOCTOR_CLOCK_MS;
	str_format(detail, sizeof detail, "%s is %s%" PRId64 ".%" PRId64 " s %s that of Redis%s", whose,
		   ok ? "within " : "", (ahead_ms < 0 ? -ahead_ms : ahead_ms) / 1000,
		   (ahead_ms < 0 ? -ahead_ms : ahead_ms) / 100 % 10,
		   ok             ? "of"
		   : ahead_ms < 0 ? "behind"
				  : "ahead of",
		   ok ? "" : ": ages and times of logs are shown wrong, and S3 refuses who is off by 15 min");
	doctor_add(checks, ok, name, detail,
		   ok ? "" : "let NTP (chrony, systemd-timesyncd) set the clocks of both machines");
}

static void doctor_store(json_t *checks, const struct doctor_facts *facts)
{
	char detail[sizeof facts->store_error->message + 128];
	if (!facts->store) {
		doctor_add(checks, true, "store",
			   "this scheduler has none: no archive, no downloads, no stoker gc | --store of the workers",
			   "");
		return;
	}
	if (!facts->store_error) {
		doctor_add(checks, true, "store", facts->store_says, "");
		return;
	}
	str_format(detail, sizeof detail, "%s: checkpoints are not kept, runs start from their beginning",
		   facts->store_error->message);
	doctor_add(checks, false, "store", detail,
		   *facts->store_error->hint ? facts->store_error->hint
					     : "stoker config show --origin says who we are there");
}

/* What a worker says of its machine: {"files","disk_free","sandbox","memory"}; an older one says nothing. */
static void doctor_machine(json_t *checks, const json_t *worker, const json_t *limits)
{
	const char *id = fields_text(worker, "id");
	char detail[256];
	int64_t files = fields_int(limits, "files", DOCTOR_FILES), disk = fields_int(limits, "disk_free", -1);
	if (files < DOCTOR_FILES) {
		str_format(detail, sizeof detail,
			   "%s may open %" PRId64
			   " files: a run with many data files or sockets fails (too many open files)",
			   id, files);
		doctor_add(checks, files >= DOCTOR_FILES_LEAST, "open files", detail,
			   "LimitNOFILE=65536 in its unit, or ulimit -n 65536");
	}
	if (disk >= 0 && disk < DOCTOR_DISK) {
		str_format(detail, sizeof detail,
			   "%s has %" PRId64 " MiB left for logs, restored checkpoints and what programs write", id,
			   disk >> 20);
		doctor_add(checks, false, "disk", detail, "make room under its state folder, or move it: --state-dir");
	}
	bool is_open = fields_is(limits, "sandbox", "none"), is_free = fields_is(limits, "memory", "none");
	if (is_open || is_free) {
		str_format(detail, sizeof detail, "%s: %s%s%s", id,
			   is_open ? "programs can read what its user can, those of other runs too" : "",
			   is_open && is_free ? "; " : "",
			   is_free ? "one that takes more memory than it asked for may have another one killed" : "");
		doctor_add(checks, true, "isolation", detail, "");
	}
}

static void doctor_workers(json_t *checks, const struct doctor_facts *facts)
{
	size_t i, heard = 0;
	json_t *worker;
	char detail[128];
	json_array_foreach(facts->workers, i, worker)
	{
		int64_t seen_ms = fields_int(worker, "seen_ms", 0), time_ms = fields_int(worker, "time_ms", 0);
		if (facts->now_ms - seen_ms > DOCTOR_SILENT_MS)
			continue;
		heard++;
		json_auto_t *limits = fields_json(worker, "limits");
		int64_t ahead_ms = time_ms - seen_ms;
		if (time_ms && (ahead_ms >= DOCTOR_CLOCK_MS || ahead_ms <= -DOCTOR_CLOCK_MS))
			doctor_clock(checks, "worker clock", fields_text(worker, "id"), ahead_ms);
		doctor_machine(checks, worker, limits);
	}
	if (heard)
		str_format(detail, sizeof detail, "%zu heard of in the last 20 s", heard);
	else
		str_copy(detail, sizeof detail, "none was heard of in the last 20 s: nothing is started");
	doctor_add(checks, true, "workers", detail, "");
}

void doctor_add_fleet(json_t *checks, const struct doctor_facts *facts)
{
	doctor_clock(checks, "clock", "the clock of this scheduler", fields_int(facts->info, "clock_ahead_ms", 0));
	doctor_store(checks, facts);
	doctor_workers(checks, facts);
}
