/*
 * The function library in Redis. The rule this file protects: a newer library is
 * never replaced by an older one, however many programs of different versions
 * start at once. `<prefix>:library` holds "<version> <sha1 of the code>"; loaders
 * WATCH it, compare, and load in a MULTI. The version that counts is the one
 * written in the code that is in place: another prefix on the same Redis shares it.
 *
 * It runs as the setup of a connection (redis_on_setup): on every new one when
 * always, otherwise only when a function turns out to be missing.
 */
#ifndef STOKER_QUEUE_FUNCTIONS_H
#define STOKER_QUEUE_FUNCTIONS_H

#include <stdbool.h>
#include "lib/error.h"
#include "queue/redis.h"

struct functions;

/* NULL and err if the embedded library is not one. redis outlives it. */
struct functions *functions_new(struct redis *redis, const char *prefix, bool always, struct error *err);
void functions_free(struct functions *functions);

/* The version a library's code states (its line "-- version 7"); 0: none. */
int functions_version(const char *code);

#endif
