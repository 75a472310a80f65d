#include "scheduler/doctor.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "lib/cleanup.h"
#include "lib/fields.h"

enum { DOCTOR_REDIS_MAJOR = 7 };

struct doctor_verdict {
	bool ok;
	const char *detail;
	const char *hint; /* "" when all is well */
};

static bool doctor_is(const json_t *info, const char *name, const char *value)
{
	return fields_is(info, name, value);
}

static struct doctor_verdict doctor_version(const json_t *info)
{
	if (strtol(fields_text(info, "redis_version"), NULL, 10) >= DOCTOR_REDIS_MAJOR)
		return (struct doctor_verdict){ true, "it has functions", "" };
	return (struct doctor_verdict){ false, "functions came with version 7.0", "use Redis 7.0 or newer, or Valkey" };
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
	if (max > 0 && used > max / 10 * 9)
		return (struct doctor_verdict){ false, "more than nine tenths of maxmemory are used",
						"raise maxmemory, or lower max_finished of the queues" };
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
	{ "redis version", "redis_version", doctor_version },
	{ "role", "role", doctor_role },
	{ "function library", "library", doctor_library },
	{ "append-only file", "appendonly", doctor_appendonly },
	{ "replay", "", doctor_replay },
	{ "fsync", "appendfsync", doctor_appendfsync },
	{ "append-only file writes", "aof_last_write_status", doctor_aof },
	{ "snapshots", "rdb_last_bgsave_status", doctor_snapshot },
	{ "eviction", "maxmemory_policy", doctor_policy },
	{ "memory", "", doctor_memory },
};

static json_t *doctor_report(json_t *checks, bool ok)
{
	return json_pack("{s:o, s:b}", "checks", checks, "ok", ok);
}

json_t *doctor_judge(const json_t *info)
{
	json_t *checks = json_array();
	bool all = true;
	for (size_t i = 0; i < ARRAY_LEN(doctor_checks); i++) {
		struct doctor_verdict verdict = doctor_checks[i].judge(info);
		const char *value = fields_text(info, doctor_checks[i].field);
		json_array_append_new(checks, json_pack("{s:s, s:b, s:s++, s:s}", "name", doctor_checks[i].name, "ok",
							verdict.ok, "detail", value, *value ? ": " : "", verdict.detail,
							"hint", verdict.hint));
		all = all && verdict.ok;
	}
	return doctor_report(checks, all);
}

json_t *doctor_unreachable(const char *where)
{
	json_t *check =
		json_pack("{s:s, s:b, s:s+, s:s}", "name", "redis", "ok", false, "detail", "cannot be reached at ",
			  where, "hint", "is it running? the scheduler tries again all the time, and its log says why");
	return doctor_report(json_pack("[o]", check), false);
}
