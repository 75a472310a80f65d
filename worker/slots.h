/*
 * What a machine has and what its runs hold of it: processors, memory, numbered
 * GPUs. Pure accounting; the rule it protects is that two runs never hold the same GPU.
 */
#ifndef STOKER_WORKER_SLOTS_H
#define STOKER_WORKER_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOTS_GPUS_MAX 64

struct grant { /* what one run holds */
	int64_t cpus;
	int64_t memory_bytes;
	uint64_t gpus; /* bit n: GPU n */
};

struct slots {
	struct grant total;
	struct grant used; /* cpus and memory may pass the total: adopted runs keep what an earlier worker gave */
};

uint64_t slots_gpu_mask(int64_t count); /* the first count GPUs */
int64_t slots_gpu_count(uint64_t gpus);

/* false: it does not fit now; nothing is taken. */
bool slots_take(struct slots *slots, int64_t cpus, int64_t memory_bytes, int64_t gpus, struct grant *grant);
/* Of a run that is adopted: it holds it already. */
void slots_hold(struct slots *slots, const struct grant *grant);
void slots_give(struct slots *slots, const struct grant *grant);

bool slots_fit(const struct slots *slots, int64_t cpus, int64_t memory_bytes, int64_t gpus);
struct grant slots_free(const struct slots *slots); /* never negative */

/* "0,2" as CUDA_VISIBLE_DEVICES wants it; "" for none. */
void slots_gpu_text(uint64_t gpus, char *into, size_t size);

#endif
