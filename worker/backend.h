/*
 * Training backends: a small table of functions. A backend says whether a spec can
 * run on this machine and what to execute; the runner does everything else the
 * same way for all of them (spawn, output, control fd, checkpoints, stop).
 */
#ifndef STOKER_WORKER_BACKEND_H
#define STOKER_WORKER_BACKEND_H

#include <stdbool.h>
#include "lib/error.h"
#include "queue/spec.h"

struct backend_settings {
	const char *python;    /* interpreter that has tinygrad, an absolute path */
	const char *trainer;   /* the trainer script that stoker ships */
	const char *cache_dir; /* compiled kernels, kept from run to run; NULL: the trainer's own default */
};

/* What the settings are when nobody gave them; the caller frees. The Python is the one
 * that scripts/bootstrap.sh makes, the trainer lies beside the program or in ../share/stoker. */
char *backend_find_python(void);
char *backend_find_trainer(void);

struct backend_run { /* what an attempt offers to its program; all paths absolute */
	const struct spec *spec;
	const struct backend_settings *settings;
	const char *work_dir;       /* the program's working folder */
	const char *run_dir;        /* the run folder: a backend may put files there */
	const char *checkpoint_dir; /* STOKER_CHECKPOINT_DIR */
	const char *output_dir;     /* STOKER_OUTPUT_DIR */
	const char *resume;         /* STOKER_RESUME: a file or folder; NULL on a cold start */
};

struct launch {                /* owned by the caller: launch_done */
	struct spec_list argv; /* {{resume}} replaced */
	struct spec_map env;   /* added to the environment that every run gets */
};

struct backend {
	const char *name;
	/* ERR_INPUT: the spec can never run (the attempt ends as permanent, exit 78);
	 * ERR_SYSTEM: not on this machine now. */
	bool (*validate)(const struct backend_run *run, struct error *err);
	bool (*launch)(const struct backend_run *run, struct launch *launch, struct error *err);
};

extern const struct backend backend_command;
extern const struct backend backend_tinygrad;

const struct backend *backend_of(enum spec_backend which);

void launch_done(struct launch *launch);
void launch_arg(struct launch *launch, const char *text);
void launch_env(struct launch *launch, const char *key, const char *value);

#endif
