/*
 * A job spec, decoded once at the boundary into a struct.
 *
 * The keys, types, ranges, defaults and sentences live in one table
 * (queue/spec_table.c). From it come this decoder, the checks inside
 * stoker_submit (build/tables.lua) and docs/spec.md, so that a bad spec is refused
 * at every door with the same sentence.
 */
#ifndef STOKER_QUEUE_SPEC_H
#define STOKER_QUEUE_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/error.h"

#define SPEC_MAX_BYTES (256 * 1024)
#define SPEC_QUEUE_MAX 63

enum spec_backend { BACKEND_COMMAND, BACKEND_TINYGRAD };
enum spec_on_partition { PARTITION_CONTINUE, PARTITION_STOP };
enum spec_until { UNTIL_FINISHED, UNTIL_STARTED, UNTIL_EXPIRED };
enum spec_on_unmet { UNMET_CANCEL, UNMET_HOLD };
enum spec_growth { GROWTH_CONSTANT, GROWTH_LINEAR, GROWTH_EXPONENTIAL };
enum spec_no_checkpoint { NO_CHECKPOINT_RESTART, NO_CHECKPOINT_FAIL };
enum spec_overlap { OVERLAP_SKIP, OVERLAP_QUEUE, OVERLAP_REPLACE };
enum spec_ask { ASK_LINE, ASK_SIGUSR1, ASK_SIGUSR2, ASK_SIGHUP };
enum spec_mode { MODE_MIN, MODE_MAX };
enum spec_missed { MISSED_SKIP, MISSED_ONCE, MISSED_ALL };

struct spec_pair {
	char *key;
	char *value;
};

struct spec_list { /* strings; items is NULL when count is 0 */
	char **items;
	size_t count;
};

struct spec_map {
	struct spec_pair *items;
	size_t count;
};

struct spec_every { /* one of the two, or none of them */
	int64_t steps;
	int64_t ms;
};

struct spec_best {    /* which of several is the best one */
	char *metric; /* NULL: not given */
	enum spec_mode mode;
	int64_t count;
};

struct spec {
	char *name;  /* NULL: none given */
	char *queue; /* NULL: none given (the door decides: default) */
	enum spec_backend backend;
	struct spec_list command; /* argv; a string in the spec became /bin/sh -c <string> */
	struct spec_map env;
	char *workdir; /* NULL: a fresh folder in the run folder */
	char *code;    /* hash of what is in that fresh folder (queue/code.h); NULL: nothing */
	struct spec_map lineage;
	struct {
		int64_t cpus;         /* ≥ 0, default 1 */
		int64_t gpus;         /* default 0 */
		int64_t memory_bytes; /* 0: not stated */
		struct spec_map labels;
	} resources;
	int64_t priority; /* 0 to 9, 9 first; default 5 */
	/* Limits and uniqueness are decided in lua/: C only checks them. Keys are NULL where not given. */
	char *tenant; /* NULL: none */
	struct {
		char *key;
		int64_t max;
	} concurrency;
	struct {
		char *key;
		int64_t max;
		int64_t per_ms;
	} rate;
	struct {
		char *key;
		enum spec_until until;
		int64_t for_ms; /* when until is expired */
	} unique;
	struct spec_list tags;
	char *experiment;
	char *batch;
	int64_t delay_ms;
	bool hold;                /* until it is released */
	int64_t timeout_ms;       /* of an attempt; 0: none */
	int64_t stall_timeout_ms; /* no output, metric or checkpoint for so long; 0: none */
	int64_t grace_ms;         /* between SIGTERM and SIGKILL; default 30 s */
	int64_t lease_ms;         /* default 10 s, 1 s to 10 min */
	enum spec_on_partition on_partition;
	char *resume;          /* latest, best, or a job, and which checkpoint of it; lua/lend.lua */
	struct spec_map after; /* job → succeeded, finished or failed */
	enum spec_on_unmet on_unmet;
	struct {
		int64_t max_attempts; /* errors before it fails; default 3 */
		int64_t max_lost;     /* losses in a row without a new checkpoint; default 3 */
		int64_t backoff_ms;
		enum spec_growth growth;
		int64_t max_backoff_ms;
		double jitter;            /* 0 to 1: part of the delay; default 0.25 */
		struct spec_list on_exit; /* "137", "SIGKILL" */
		struct spec_list never_on_exit;
		struct spec_list on_output;
		struct spec_list never_on_output;
		int64_t elsewhere_ms; /* not on the same worker for so long; 0: anywhere */
	} retry;
	struct {
		bool enabled;
		int64_t max_attempts;
		int64_t backoff_ms;
		enum spec_growth growth;
		int64_t max_backoff_ms;
		double jitter;
		int64_t nonfinite; /* so many reports in a row that are not finite; default 3, 0: never */
		double spike;      /* times the usual spread; default 10, 0: never (worker/detect.h) */
		int64_t spike_reports;
		int64_t spike_window;
		int64_t poll_interval_ms; /* of a remote service */
		char *checkpoint;         /* latest, best, best_loss or a checkpoint id */
		struct spec_best best;
		int64_t quarantine_ms;
		bool restore_optimizer;
		enum spec_no_checkpoint no_checkpoint;
	} recovery;
	struct {
		struct spec_list paths;  /* patterns relative to the working folder */
		struct spec_every every; /* asked of the program */
		enum spec_ask ask;
		int64_t keep_last; /* default 3, at least 1; this and the rest are decided in lua/keep.lua */
		struct spec_best keep_best;
		struct spec_every keep_every;
		int64_t keep_for_ms;
	} checkpoint;
	struct {
		bool parse;  /* read metrics from stdout lines; default true */
		char *watch; /* name whose values must be finite; default "loss" */
	} metrics;
	struct {
		char *url; /* NULL: none; the scheduler reads it from the stored spec */
		struct spec_list on;
	} webhook;
	struct {
		char *name; /* NULL: there is no such section, this is one job */
		char *cron; /* NULL: every_ms counts */
		int64_t every_ms;
		char *zone; /* NULL: UTC */
		enum spec_overlap overlap;
		enum spec_missed missed;
	} schedule;
	char *train_json; /* the `train` section as canonical JSON, for the tinygrad trainer; NULL: none */
};

/* Decodes JSON text. origin stands in front of error messages ("bad.yaml"; NULL: nothing).
 * Strict: no YAML, no duplicate keys. On success spec is owned by the caller (spec_done). */
bool spec_from_json(const char *text, size_t len, struct spec *spec, struct error *err);

/* YAML or JSON text (JSON is YAML's subset; both go through one decoder) → canonical
 * JSON text that stoker_submit takes, checked against the table. Errors carry
 * "origin:line: path: sentence". The caller frees *json. */
bool spec_normalize(const char *text, size_t len, const char *origin, char **json, struct error *err);

void spec_done(struct spec *spec);

static inline void cleanup_spec(struct spec *spec)
{
	spec_done(spec);
}

/* Prints docs/spec.md / the Lua table from the table of keys. */
void spec_print_markdown(void);
void spec_print_lua(void);

/* Grammar of the names in docs/protocol.md. */
bool spec_is_queue(const char *name);
/* "gpu-42" → "gpu" (into a char[SPEC_QUEUE_MAX + 1]) and 42. */
bool spec_split_id(const char *id, char *queue, int64_t *n, struct error *err);

#endif
