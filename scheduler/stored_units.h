/*
 * What a store holds below <installation>/checkpoints/, runs/ and archive/, as stored_ask
 * lists it, put in order: the objects of each checkpoint and each transcript together, those of
 * a job behind each other; and uploads that were never finished.
 */
#ifndef STOKER_SCHEDULER_STORED_UNITS_H
#define STOKER_SCHEDULER_STORED_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum stored_kind {
	STORED_CHECKPOINT, /* "<installation>/checkpoints/gpu-42-<uid>/<token>/<seq>/" */
	STORED_TRANSCRIPT, /* "<installation>/runs/gpu-42-<uid>/<seq: its attempt>-<token>/" */
	STORED_ARCHIVED,   /* "<installation>/archive/gpu/<block>/<least: its n>-<most>-<ms>.<noise>": an object */
	STORED_KINDS
};

extern const char *const stored_kind_names[STORED_KINDS];

struct stored_unit {
	char *prefix; /* of its keys */
	enum stored_kind kind;
	char job[96]; /* "gpu-42" */
	char queue[64];
	int64_t n;
	char uid[33];
	int64_t token, seq;
	bool has_data, has_manifest;
	int64_t size;        /* of all of them */
	int64_t modified_ms; /* of the youngest */
};

struct stored_upload {
	char *key;
	int64_t begun_ms;
};

struct stored_units {
	struct stored_unit *all; /* by queue, number, uid, token, seq */
	size_t count, capacity;
	struct stored_upload *uploads;
	size_t upload_count, upload_capacity;
};

/* What is not named like ours is somebody else's, and left out. */
void stored_units_read(struct stored_units *units, const char *text);
void stored_units_done(struct stored_units *units);

/* The names of its objects, in the order in which they are deleted: data that no manifest names is met again. NULL ends
 * them. */
const char *const *stored_unit_names(const struct stored_unit *unit);

/* The first unit of another job (or uid) than that at `at`. */
size_t stored_units_next(const struct stored_units *units, size_t at);

#endif
