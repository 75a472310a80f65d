/*
 * The metrics whose last value is kept with a checkpoint: the one that is watched
 * (metrics.watch, always the first), and those that say which checkpoint is the best.
 */
#ifndef STOKER_QUEUE_MARKS_H
#define STOKER_QUEUE_MARKS_H

#include <stddef.h>
#include "queue/spec.h"

enum { MARKS_MAX = 3, MARK_NAME_MAX = 64 };

struct mark {
	char name[MARK_NAME_MAX + 1];
	double value; /* NAN: not known, or not finite */
};

struct marks {
	struct mark all[MARKS_MAX];
	size_t count;
};

/* Those of a spec, without values. */
struct marks marks_of_spec(const struct spec *spec);

/* Adds a name that is not there yet; what does not fit is left out. */
void marks_add(struct marks *marks, const char *name, double value);

/* The value of a metric that the program reported; large and small letters are alike, what is not among them is
 * nothing to us. */
void marks_note(struct marks *marks, const char *name, double value);

/* The value of one that is not known yet, or not among them; NAN is nothing. */
void marks_offer(struct marks *marks, const char *name, double value);

#endif
