/*
 * The folder of `stoker up`: every path in it, the lock that keeps a second one out, the
 * token, the Redis configuration, and the state file by which commands find it.
 *
 *	lock            held (flock) by stoker up, its Redis and its scheduler
 *	stoker.json     0600, there while it is ready: {"url","socket","token_file","pid","redis"}
 *	token           0600, made once
 *	scheduler.sock  the HTTP API for whoever may open it
 *	redis/          redis.conf, redis.sock, the append-only file
 *	worker/ store/  runs and checkpoints
 *	*.log           what each of the three wrote
 *
 * The lock is passed on, so that after a kill -9 of stoker up the next one waits until
 * the old Redis has closed its file.
 */
#ifndef STOKER_CLI_UP_FOLDER_H
#define STOKER_CLI_UP_FOLDER_H

#include <stdbool.h>
#include <sys/types.h>
#include "lib/error.h"

struct up_folder {
	char *dir; /* absolute */
	char *lock;
	char *state;
	char *token;
	char *socket;
	char *redis_conf;
	char *redis_socket;
	char *redis_url;
	char *redis_log;
	char *scheduler_log;
	char *worker_dir;
	char *worker_log;
	char *store_url;
	int lock_fd;
};

/* Makes what is not there and takes the lock. ERR_CONFLICT: another one runs on this folder. */
bool up_folder_open(struct up_folder *folder, const char *dir, struct error *err) MUST_CHECK;
void up_folder_done(struct up_folder *folder); /* gives the lock back */

/* Written to a file beside it and renamed: never half there. */
bool up_folder_write_state(const struct up_folder *folder, const char *url, struct error *err) MUST_CHECK;
void up_folder_remove_state(const struct up_folder *folder);

#endif
