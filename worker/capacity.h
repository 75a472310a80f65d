/*
 * What this machine can give to runs, found or declared. What cannot be found is
 * an error that says how to declare it, never a guess.
 */
#ifndef STOKER_WORKER_CAPACITY_H
#define STOKER_WORKER_CAPACITY_H

#include "lib/error.h"
#include "worker/settings.h"
#include "worker/slots.h"

/* cpus by the affinity mask, memory by /proc/meminfo and the cgroup's limit (the smaller), GPUs by
 * /dev/nvidia<n>, else /dev/dri/renderD*. */
bool capacity_find(const struct worker_settings *settings, struct grant *total, struct error *err) MUST_CHECK;

/* "gpu=a100,zone=b" → {"gpu":"a100","zone":"b"}, to be freed; NULL and err: not of that form. */
char *capacity_labels(const char *text, struct error *err);

#endif
