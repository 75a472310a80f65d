/*
 * The environment of a program: that of the worker without what belongs to the
 * worker, then what its backend adds, what its spec says, and last what stoker
 * promises, which nobody can override.
 */
#ifndef STOKER_WORKER_ENVIRONMENT_H
#define STOKER_WORKER_ENVIRONMENT_H

#include <stddef.h>

struct environment {
	char **items; /* "NAME=value"; NULL-terminated once anything was set */
	size_t count;
};

void environment_inherit(struct environment *e, const char *const *from);
void environment_set(struct environment *e, const char *name, const char *value); /* replaces */
void environment_set_default(struct environment *e, const char *name, const char *value);
void environment_done(struct environment *e);

static inline void cleanup_environment(struct environment *e)
{
	environment_done(e);
}

#endif
