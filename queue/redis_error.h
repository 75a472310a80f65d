/*
 * What an error answer of Redis means to us: one table of its first words.
 * Texts that our functions wrote are passed on without the code; a text after
 * " | " is the hint. Redis' own sentences are kept whole.
 */
#ifndef STOKER_QUEUE_REDIS_ERROR_H
#define STOKER_QUEUE_REDIS_ERROR_H

#include <stddef.h>
#include "lib/error.h"

/* where: the Redis that said it. */
void redis_error_read(const char *where, const char *text, size_t len, struct error *err);

/* The function library is not there, or older than the function that was called. */
bool redis_error_is_missing_function(const char *text, size_t len);

#endif
