/*
 * The code of a run (queue/code.h), put into its working folder: from the cache of this
 * machine, else from the store into the cache first. Runs in a helper process.
 *
 *	<state>/code/<hash>/       the files; there whole, by a rename, or not at all
 *	<state>/code/<hash>.new/   being unpacked
 *	<state>/code/<hash>.lock   held exclusively by who fills or removes it, shared by who copies; its time says
 *	                           when it was used last, its text how large it is
 *
 * A run gets a copy (sharing its blocks where the file system can): what it changes there
 * nobody else sees. The cache is bounded: what was not used for longest goes first, never
 * what somebody is using; and so it does when the disk has no room for the files of a run.
 */
#ifndef STOKER_WORKER_CODE_CACHE_H
#define STOKER_WORKER_CODE_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/buf.h"
#include "lib/error.h"

struct code_cache_request {
	const char *store; /* URL */
	const char *installation;
	const char *hash;
	const char *cache_dir; /* <state>/code, made when it is missing */
	const char *work_dir;  /* what is in it is removed */
	int64_t most_bytes;    /* of the cache */
	const char *command;   /* for the facts (worker/facts.h) */
	const char *path;
};

/* A helper_run_fn; text: "fetched" or "cached", how many files, bytes, and the facts. ERR_DAMAGED: the store has it
 * not, or it does not verify; ERR_UNAVAILABLE: the store cannot be read, or holds nothing at all (is it mounted?);
 * ERR_FULL: there is no room on this machine. Nothing half is left then. */
bool code_cache_run(void *request, struct buf *text, struct error *err);

/* So many bytes of what nobody uses go, the longest unused first. */
void code_cache_give_way(const char *cache_dir, int64_t bytes);

#endif
