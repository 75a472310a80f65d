#include "worker/run_record.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/proc.h"

void run_record_done(struct run_record *record)
{
	free(record->installation);
	free(record->spec_json);
	free(record->resume);
	free(record->checkpoint);
	free(record->parents);
	*record = (struct run_record){ 0 };
}

void run_record_from_claim(struct run_record *record, const struct claim *claim, int64_t claimed_boot_ms)
{
	*record = (struct run_record){
		.ref = claim->ref,
		.attempt = claim->attempt,
		.lease_ms = claim->lease_ms,
		.claimed_boot_ms = claimed_boot_ms,
		.installation = mem_strdup(claim->installation),
		.spec_json = mem_strndup(claim->spec_json, claim->spec_len),
		.resume = mem_strdup(claim->resume),
		.checkpoint = mem_strdup(claim->checkpoint),
		.scheduled_ms = claim->scheduled_ms,
		.corrupted = claim->corrupted,
		.parents = mem_strdup(claim->parents),
	};
	str_copy(record->id, sizeof record->id, claim->id);
	proc_boot_id(record->boot, sizeof record->boot);
}

void run_record_mark(const struct run_record *record, char *into, size_t size)
{
	str_format(into, size, "STOKER_RUN=%s.%s", record->ref.uid, record->ref.token);
}

void run_record_folder(const struct run_record *record, char *into, size_t size)
{
	str_format(into, size, "%s-%s", record->id, record->ref.token);
}

char *run_record_print(const struct run_record *r)
{
	char gpus[SLOTS_GPUS_MAX * 3];
	slots_gpu_text(r->grant.gpus, gpus, sizeof gpus);
	json_auto_t *root = json_pack(
		"{s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:s, s:I, s:I, s:s, s:s, s:s, s:s*, s:s*, s:s*, s:I, s:I, "
		"s:b}",
		"id", r->id, "queue", r->ref.queue, "n", (json_int_t)r->ref.n, "uid", r->ref.uid, "token", r->ref.token,
		"attempt", (json_int_t)r->attempt, "lease_ms", (json_int_t)r->lease_ms, "claimed_boot_ms",
		(json_int_t)r->claimed_boot_ms, "boot", r->boot, "cpus", (json_int_t)r->grant.cpus, "memory_bytes",
		(json_int_t)r->grant.memory_bytes, "gpus", gpus, "installation", r->installation, "spec", r->spec_json,
		"resume", r->resume, "checkpoint", r->checkpoint, "parents", r->parents, "scheduled_ms",
		(json_int_t)r->scheduled_ms, "corrupted", (json_int_t)r->corrupted, "marked", r->is_marked);
	return json_dumps(root, JSON_INDENT(2));
}

static uint64_t run_record_gpus(const char *text)
{
	uint64_t gpus = 0;
	for (const char *p = text; *p;) {
		char *end;
		long n = strtol(p, &end, 10);
		if (end == p || n < 0 || n >= SLOTS_GPUS_MAX)
			break;
		gpus |= UINT64_C(1) << n;
		p = *end == ',' ? end + 1 : end;
	}
	return gpus;
}

bool run_record_parse(const char *text, size_t len, struct run_record *r, struct error *err)
{
	json_error_t at;
	const char *id, *queue, *uid, *token, *boot, *gpus, *installation, *spec;
	const char *resume = NULL, *checkpoint = NULL, *parents = NULL;
	json_int_t n, attempt, lease, claimed, cpus, memory, scheduled = 0, corrupted = 0;
	int is_marked = 0;
	json_auto_t *root = json_loadb(text, len, 0, &at);
	if (!root || json_unpack_ex(root, &at, 0,
				    "{s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:s, s:I, s:I, s:s, s:s, s:s, s?:s, "
				    "s?:s, s?:s, s?:I, s?:I, s?:b}",
				    "id", &id, "queue", &queue, "n", &n, "uid", &uid, "token", &token, "attempt",
				    &attempt, "lease_ms", &lease, "claimed_boot_ms", &claimed, "boot", &boot, "cpus",
				    &cpus, "memory_bytes", &memory, "gpus", &gpus, "installation", &installation,
				    "spec", &spec, "resume", &resume, "checkpoint", &checkpoint, "parents", &parents,
				    "scheduled_ms", &scheduled, "corrupted", &corrupted, "marked", &is_marked) < 0)
		return error_set(err, ERR_INPUT, NULL, "not a run record: %s", at.text);
	*r = (struct run_record){
		.attempt = attempt,
		.lease_ms = lease,
		.claimed_boot_ms = claimed,
		.grant = { .cpus = cpus, .memory_bytes = memory, .gpus = run_record_gpus(gpus) },
		.installation = mem_strdup(installation),
		.spec_json = mem_strdup(spec),
		.resume = mem_strdup(resume),
		.checkpoint = mem_strdup(checkpoint),
		.scheduled_ms = scheduled,
		.corrupted = corrupted,
		.parents = mem_strdup(parents),
		.is_marked = is_marked != 0,
	};
	r->ref.n = n;
	str_copy(r->id, sizeof r->id, id);
	str_copy(r->boot, sizeof r->boot, boot);
	str_copy(r->ref.queue, sizeof r->ref.queue, queue);
	str_copy(r->ref.uid, sizeof r->ref.uid, uid);
	str_copy(r->ref.token, sizeof r->ref.token, token);
	return true;
}
