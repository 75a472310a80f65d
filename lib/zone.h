/*
 * Time zones by their IANA names ("Europe/Berlin"), as the C library knows them from
 * the tzdata of the system. Nothing here is cached: an updated tzdata holds at once.
 *
 * A name is looked up below $TZDIR, or /usr/share/zoneinfo, and must be a zone there:
 * the C library itself takes UTC for every name that it does not know. "UTC" needs no
 * tzdata. Not taken: "right/…" (counts leap seconds), "posix/…" (the same zones again),
 * "localtime" and "posixrules" (whatever this machine says), rules such as "CET-1CEST".
 *
 * Seconds are counted from 1970 in UTC. The local clock at t shows t + offset_s.
 */
#ifndef STOKER_LIB_ZONE_H
#define STOKER_LIB_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/error.h"

#define ZONE_NAME_MAX 64

struct zone {
	char name[ZONE_NAME_MAX + 1];
};

/* ERR_INPUT: no such zone; ERR_SYSTEM: there is no tzdata to look it up in. */
bool zone_find(const char *name, struct zone *zone, struct error *err);

#define ZONE_LOOK_MAX_S (8 * 86400)
#define ZONE_SPANS_MAX  4 /* no zone has changed its offset twice within three days */

/* A stretch of time in which the offset stays the same. It ends where the next one starts. */
struct zone_span {
	int64_t from_s;
	int64_t offset_s;
};

struct zone_view {
	struct zone_span spans[ZONE_SPANS_MAX]; /* the first starts where the view does */
	size_t count;
	int64_t until_s; /* where the last span ends, because the view does */
};

/* The offsets of a zone in [from_s, until_s), at most ZONE_LOOK_MAX_S long. The TZ of the process is
 * another one while this runs, and is put back: not for programs with threads. It fails when the zone
 * that was found is gone (ERR_SYSTEM). */
bool zone_look(const struct zone *zone, int64_t from_s, int64_t until_s, struct zone_view *view, struct error *err);

#endif
