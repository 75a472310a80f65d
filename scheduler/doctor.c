#include "scheduler/doctor.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/fields.h"

struct doctor_verdict {
	bool ok;
	const char *detail;
	const char *hint; /* "" when all is well */
};

static bool doctor_is(const json_t *info, const char *name, const char *value)
{
	return fields_is(info, name, value);
}

static struct doctor_verdict doctor_appendonly(const json_t *info)
{
	if (doctor_is(info, "appendonly", "yes") || doctor_is(info, "appendonly", "1"))
		return (struct doctor_verdict){ true, "what is acknowledged is written to a file", "" };
	return (struct doctor_verdict){ false, "a restart of Redis loses every job since its last snapshot",
					"CONFIG SET appendonly yes, and write it into redis.conf" };
}

static struct doctor_verdict doctor_replay(const json_t *info)
{
	if (!*fields_text(info, "default_user"))
		return (struct doctor_verdict){
			true, "Redis does not tell this user whether a restart can replay all writes",
			"ask it: redis-cli ACL DRYRUN default HSET 'stoker:{default}:meta' next 1"
		};
	if (doctor_is(info, "default_user", "yes"))
		return (struct doctor_verdict){ true, "a restart of Redis replays all writes", "" };
	return (struct doctor_verdict){
		false,
		"a restart of Redis loses what functions wrote: it replays its "
		"append-only file as the user default, who may not write",
		"ACL SETUSER default off resetpass ~* &* +@all, and write it into the ACL file: "
		"nobody can log in as it"
	};
}

static struct doctor_verdict doctor_appendfsync(const json_t *info)
{
	if (doctor_is(info, "appendfsync", "always"))
		return (struct doctor_verdict){ true, "what is acknowledged is on the disk", "" };
	if (doctor_is(info, "appendfsync", "everysec"))
		return (struct doctor_verdict){ true,
						"a crash of Redis or its machine may lose up to 2 s of acknowledged "
						"submits and results",
						"CONFIG SET appendfsync always, if that is too much" };
	if (!*fields_text(info, "appendfsync"))
		return (struct doctor_verdict){ true, "Redis does not tell this user how often it writes its file",
						"look there: redis-cli CONFIG GET appendfsync" };
	return (struct doctor_verdict){ false, "a crash of its machine may lose half a minute of acknowledged writes",
					"CONFIG SET appendfsync always" };
}

static struct doctor_verdict doctor_policy(const json_t *info)
{
	if (doctor_is(info, "maxmemory_policy", "noeviction"))
		return (struct doctor_verdict){ true, "a full Redis refuses, and drops nothing", "" };
	return (struct doctor_verdict){ false, "a full Redis throws jobs away",
					"CONFIG SET maxmemory-policy noeviction" };
}

static struct doctor_verdict doctor_memory(const json_t *info)
{
	int64_t max = fields_int(info, "maxmemory", 0), used = fields_int(info, "used_memory", 0);
	int64_t machine = fields_int(info, "total_system_memory", 0);
	if (max > 0 && used > max / 10 * 9)
		return (struct doctor_verdict){
			false, "more than nine tenths of maxmemory are used: soon new jobs are refused",
			"raise maxmemory, or lower max_finished of the queues"
		};
	if (machine > 0 && used > machine / 10 * 7)
		return (struct doctor_verdict){
			false,
			"more than seven tenths of its machine are used: a rewrite of its file, or the "
			"kernel, may end it",
			"give it a larger machine, or lower max_finished of the queues"
		};
	if (machine > 0 && max > machine)
		return (struct doctor_verdict){ false,
						"maxmemory is more than its machine has: the kernel ends it first",
						"CONFIG SET maxmemory to at most seven tenths of the machine" };
	return (struct doctor_verdict){ true, max > 0 ? "there is room" : "no bound is set (maxmemory 0)", "" };
}

static struct doctor_verdict doctor_role(const json_t *info)
{
	if (doctor_is(info, "role", "master"))
		return (struct doctor_verdict){ true, "it takes writes", "" };
	return (struct doctor_verdict){ false, "a replica takes no writes", "point --redis-url at its master" };
}

static struct doctor_verdict doctor_aof(const json_t *info)
{
	if (doctor_is(info, "aof_last_write_status", "ok") || doctor_is(info, "aof_last_write_status", ""))
		return (struct doctor_verdict){ true, "the last write to the append-only file went well", "" };
	return (struct doctor_verdict){ false, "the last write to the append-only file failed",
					"is the disk of Redis full? its log says why" };
}

static struct doctor_verdict doctor_snapshot(const json_t *info)
{
	if (doctor_is(info, "rdb_last_bgsave_status", "ok") || doctor_is(info, "rdb_last_bgsave_status", ""))
		return (struct doctor_verdict){ true, "the last snapshot went well", "" };
	return (struct doctor_verdict){ false, "the last snapshot failed; Redis may refuse writes (MISCONF)",
					"is the disk of Redis full? its log says why" };
}

static struct doctor_verdict doctor_rewrite(const json_t *info)
{
	if (doctor_is(info, "no_fsync_on_rewrite", "yes"))
		return (struct doctor_verdict){
			false,
			"while the append-only file is rewritten nothing is synced: a crash then loses "
			"what was acknowledged since",
			"CONFIG SET no-appendfsync-on-rewrite no"
		};
	if (doctor_is(info, "aof_last_bgrewrite_status", "ok") || doctor_is(info, "aof_last_bgrewrite_status", ""))
		return (struct doctor_verdict){ true, "the last rewrite of the append-only file went well", "" };
	return (struct doctor_verdict){
		false, "the last rewrite of the append-only file failed: it grows until the disk is full",
		"is there memory for a fork (vm.overcommit_memory 1), and room on the disk?"
	};
}

static struct doctor_verdict doctor_library(const json_t *info)
{
	if (json_object_get(info, "library"))
		return (struct doctor_verdict){ true, "the function library is loaded", "" };
	return (struct doctor_verdict){ false, "the function library is not loaded",
					"may this user FUNCTION LOAD? the scheduler's log says why it could not" };
}

static const struct {
	const char *name;
	const char *field; /* shown with the verdict; "": nothing */
	struct doctor_verdict (*judge)(const json_t *info);
} doctor_checks[] = {
	{ "role", "role", doctor_role },
	{ "function library", "library", doctor_library },
	{ "append-only file", "appendonly", doctor_appendonly },
	{ "replay", "", doctor_replay },
	{ "fsync", "appendfsync", doctor_appendfsync },
	{ "append-only file writes", "aof_last_write_status", doctor_aof },
	{ "rewrites", "aof_last_bgrewrite_status", doctor_rewrite },
	{ "snapshots", "rdb_last_bgsave_status", doctor_snapshot },
	{ "eviction", "maxmemory_policy", doctor_policy },
	{ "memory", "", doctor_memory },
};

static json_t *doctor_report(json_t *checks, bool ok)
{
	return json_pack("{s:o, s:b}", "checks", checks, "ok", ok);
}

void doctor_add(json_t *checks, bool ok, const char *name, const char *detail, const char *hint)
{
	json_array_append_new(
		checks, json_pack("{s:s, s:b, s:s, s:s}", "name", name, "ok", ok, "detail", detail, "hint", hint));
}

json_t *doctor_judge(const struct doctor_facts *facts)
{
	json_t *checks = json_array();
	bool all = true;
	doctor_add_versions(checks, facts->info);
	for (size_t i = 0; i < ARRAY_LEN(doctor_checks); i++) {
		struct doctor_verdict verdict = doctor_checks[i].judge(facts->info);
		const char *value = fields_text(facts->info, doctor_checks[i].field);
		CLEANUP(free_p) char *detail = mem_printf("%s%s%s", value, *value ? ": " : "", verdict.detail);
		doctor_add(checks, verdict.ok, doctor_checks[i].name, detail, verdict.hint);
	}
	doctor_add_fleet(checks, facts);
	size_t i;
	json_t *check;
	json_array_foreach(checks, i, check) all = all && fields_is_true(check, "ok");
	return doctor_report(checks, all);
}

json_t *doctor_unreachable(const char *where)
{
	json_t *check =
		json_pack("{s:s, s:b, s:s+, s:s}", "name", "redis", "ok", false, "detail", "cannot be reached at ",
			  where, "hint", "is it running? the scheduler tries again all the time, and its log says why");
	return doctor_report(json_pack("[o]", check), false);
}
