/*
 * Whether it pays to compress a unit: a few places of its files, compressed, tell. Weights mostly do not get smaller;
 * the states of an optimizer that has barely begun, text and integers do.
 */
#ifndef STOKER_WORKER_SAMPLE_H
#define STOKER_WORKER_SAMPLE_H

#include <stdbool.h>
#include "worker/units.h"

/* False too when nothing can be read: whoever packs it says why. */
bool sample_pays(int root, const struct unit *unit);

#endif
