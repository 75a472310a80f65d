/*
 * Scoped cleanup for locals, so that every early return is safe.
 *
 *	CLEANUP(free_p) char *text = NULL;
 *	CLEANUP(close_fd) int fd = open(…);
 *	return STEAL(text);            // ownership leaves the scope
 *
 * Never attach a cleanup to what a callback captured, nor let one span a
 * fork whose child does not return.
 */
#ifndef STOKER_LIB_CLEANUP_H
#define STOKER_LIB_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn)             __attribute__((cleanup(cleanup_##fn)))
#define MUST_CHECK              __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define ARRAY_LEN(a)            (sizeof(a) / sizeof((a)[0]))

/* Takes the pointer out of a CLEANUP variable, which then frees nothing. */
#define STEAL(p)                                                                                                       \
	({                                                                                                             \
		__typeof__(p) stolen_ = (p);                                                                           \
		(p) = NULL;                                                                                            \
		stolen_;                                                                                               \
	})

static inline void cleanup_free_p(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclose_p(FILE **f)
{
	if (*f)
		fclose(*f);
}

#endif
