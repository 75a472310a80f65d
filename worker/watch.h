/*
 * Tells what changes in folders that a program writes to: inotify on the folders
 * that somebody wants, found as they appear. Where inotify cannot be had (its limits are
 * per user), the folders are looked through every second instead.
 *
 * It begins after a tenth of a second: until then the folders are looked through when they
 * are asked about (watch_drain). To close an inotify descriptor takes the kernel some ten
 * milliseconds, more than a short run takes in all, and a process ends only after that.
 *
 * Paths are relative to their root; links are never followed. Nothing blocks.
 */
#ifndef STOKER_WORKER_WATCH_H
#define STOKER_WORKER_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <event2/event.h>
#include "lib/error.h"

#define WATCH_ROOTS   2
#define WATCH_FOLDERS 8192 /* at most so many at once; further ones are not seen */

enum watch_change {
	WATCH_FOUND,   /* was there when the watch began */
	WATCH_WRITTEN, /* made, written, closed after writing */
	WATCH_RENAMED, /* moved into place */
	WATCH_GONE,
};

struct watch;

struct watch_options {
	struct event_base *base;
	const char *roots[WATCH_ROOTS]; /* absolute paths; NULL: none */
	/* Whether to look into this folder ("" is the root itself). */
	bool (*wants)(void *arg, int root, const char *path);
	void (*changed)(void *arg, int root, const char *path, bool is_folder, enum watch_change change);
	/* After a batch of changes. */
	void (*settled)(void *arg);
	void *arg;
};

/* What is there already is told as WATCH_FOUND before it returns. */
struct watch *watch_new(const struct watch_options *options, struct error *err) MUST_CHECK;
void watch_free(struct watch *watch);

/* Tells everything that happened until now. */
void watch_drain(struct watch *watch);

/* The folder of a root, open for the whole life of the watch; -1: no such root. */
int watch_root(const struct watch *watch, int root);

#endif
