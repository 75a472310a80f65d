/*
 * Versions of Redis and Valkey with known holes: for each line the least one that has
 * them mended. Of a line that is not here nothing is known.
 */
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/fields.h"
#include "scheduler/doctor.h"

#define DOCTOR_LUA     "CVE-2025-49844: who may run scripts or load functions can run any code as this server"
#define DOCTOR_UNBLOCK "CVE-2026-23479: who may log in and block, as workers do, may run any code as this server"

static const struct {
	const char *product, *line, *mended, *hole;
} doctor_holes[] = {
	{ "redis", "7.2.", "7.2.11", DOCTOR_LUA },     { "redis", "7.4.", "7.4.6", DOCTOR_LUA },
	{ "redis", "8.0.", "8.0.4", DOCTOR_LUA },      { "redis", "8.2.", "8.2.2", DOCTOR_LUA },
	{ "redis", "8.6.", "8.6.3", DOCTOR_UNBLOCK },  { "valkey", "7.2.", "7.2.11", DOCTOR_LUA },
	{ "valkey", "8.0.", "8.0.8", DOCTOR_UNBLOCK }, { "valkey", "8.1.", "8.1.7", DOCTOR_UNBLOCK },
	{ "valkey", "9.0.", "9.0.4", DOCTOR_UNBLOCK },
};

/* "8.0.4" as a number that compares as versions do. */
static long doctor_version_number(const char *text)
{
	long number = 0;
	for (int part = 0; part < 3; part++) {
		char *end;
		long value = strtol(text, &end, 10);
		number = number * 10000 + (end == text ? 0 : value);
		text = *end == '.' ? end + 1 : "";
	}
	return number;
}

void doctor_add_versions(json_t *checks, const json_t *info)
{
	const char *valkey = fields_text(info, "valkey_version");
	const char *product = *valkey ? "valkey" : "redis";
	const char *version = *valkey ? valkey : fields_text(info, "redis_version");
	char detail[256], hint[128];
	if (doctor_version_number(version) < doctor_version_number("7.0.0")) {
		str_format(detail, sizeof detail, "%s: functions came with version 7.0", version);
		doctor_add(checks, false, "redis version", detail, "use Redis 7.0 or newer, or Valkey");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(doctor_holes); i++) {
		if (strcmp(product, doctor_holes[i].product) != 0 ||
		    strncmp(version, doctor_holes[i].line, strlen(doctor_holes[i].line)) != 0 ||
		    doctor_version_number(version) >= doctor_version_number(doctor_holes[i].mended))
			continue;
		str_format(detail, sizeof detail, "%s %s: %s", product, version, doctor_holes[i].hole);
		str_format(hint, sizeof hint, "upgrade it to %s, unless your distribution has mended it in %s",
			   doctor_holes[i].mended, version);
		doctor_add(checks, false, "redis version", detail, hint);
		return;
	}
	bool is_old = strncmp(version, "7.0.", 4) == 0;
	str_format(detail, sizeof detail, "%s %s: %s", product, version,
		   is_old ? "it has functions; this line is mended by distributions only: keep their package up to date"
			  : "it has functions, and no holes that are known here");
	doctor_add(checks, true, "redis version", detail, "");
}
