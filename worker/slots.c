#include "worker/slots.h"

#include "lib/buf.h"

uint64_t slots_gpu_mask(int64_t count)
{
	return count >= SLOTS_GPUS_MAX ? UINT64_MAX : count <= 0 ? 0 : (UINT64_C(1) << count) - 1;
}

int64_t slots_gpu_count(uint64_t gpus)
{
	return __builtin_popcountll(gpus);
}

static int64_t slots_at_least_zero(int64_t value)
{
	return value > 0 ? value : 0;
}

struct grant slots_free(const struct slots *slots)
{
	return (struct grant){
		.cpus = slots_at_least_zero(slots->total.cpus - slots->used.cpus),
		.memory_bytes = slots_at_least_zero(slots->total.memory_bytes - slots->used.memory_bytes),
		.gpus = slots->total.gpus & ~slots->used.gpus,
	};
}

bool slots_fit(const struct slots *slots, int64_t cpus, int64_t memory_bytes, int64_t gpus)
{
	struct grant left = slots_free(slots);
	return cpus <= left.cpus && memory_bytes <= left.memory_bytes && gpus <= slots_gpu_count(left.gpus);
}

bool slots_take(struct slots *slots, int64_t cpus, int64_t memory_bytes, int64_t gpus, struct grant *grant)
{
	if (!slots_fit(slots, cpus, memory_bytes, gpus))
		return false;
	uint64_t left = slots_free(slots).gpus;
	*grant = (struct grant){ .cpus = cpus, .memory_bytes = memory_bytes };
	for (int n = 0; n < SLOTS_GPUS_MAX && slots_gpu_count(grant->gpus) < gpus; n++)
		grant->gpus |= left & (UINT64_C(1) << n);
	slots_hold(slots, grant);
	return true;
}

void slots_hold(struct slots *slots, const struct grant *grant)
{
	slots->used.cpus += grant->cpus;
	slots->used.memory_bytes += grant->memory_bytes;
	slots->used.gpus |= grant->gpus;
}

void slots_give(struct slots *slots, const struct grant *grant)
{
	slots->used.cpus -= grant->cpus;
	slots->used.memory_bytes -= grant->memory_bytes;
	slots->used.gpus &= ~grant->gpus;
}

void slots_gpu_text(uint64_t gpus, char *into, size_t size)
{
	CLEANUP(buf) struct buf b;
	buf_init(&b, 256);
	for (int n = 0; n < SLOTS_GPUS_MAX; n++)
		if (gpus & (UINT64_C(1) << n))
			buf_printf(&b, "%s%d", b.len ? "," : "", n);
	str_copy(into, size, buf_text(&b));
}
