/*
 * "Did you mean …?": how far two names are apart, counted in typing mistakes (a
 * letter too many, too few, wrong, or two swapped).
 */
#ifndef STOKER_LIB_NEAREST_H
#define STOKER_LIB_NEAREST_H

#include <stdbool.h>
#include <stddef.h>

/* Names longer than 64 bytes are infinitely far from everything (SIZE_MAX). */
size_t nearest_distance(const char *a, const char *b);

/* Keeps the nearest candidate seen so far. Start with { .name = name }. */
struct nearest {
	const char *name; /* what was typed */
	const char *best; /* NULL: nothing is near enough to be meant */
	size_t distance;
};
void nearest_offer(struct nearest *n, const char *candidate);

#endif
