/*
 * The parts of a runner share one struct; each part is a file:
 *   runner.c          its life: the table of states, the timer, signals
 *   runner_lease.c    renewals, verdicts, what happens without Redis
 *   runner_offer.c    the attempt is offered back to a Redis that has forgotten it
 *   runner_code.c     the code to start with
 *   runner_restore.c  the checkpoint to start from
 *   runner_program.c  starting the program, stopping it, its end
 *   runner_death.c    what is known of its end
 *   runner_stall.c    the program when it goes on no more
 *   runner_output.c   what it says: log, metrics, control lines
 *   runner_watch.c    whether it has gone bad
 *   runner_ship.c     checkpoints on their way out
 *   runner_report.c   the final report
 * Nothing else includes this header.
 */
#ifndef STOKER_WORKER_RUNNER_INTERNAL_H
#define STOKER_WORKER_RUNNER_INTERNAL_H

#include "lib/child.h"
#include "lib/signals.h"
#include "queue/spec.h"
#include "worker/breaker.h"
#include "worker/checkpoints.h"
#include "worker/control.h"
#include "worker/detect.h"
#include "worker/feed.h"
#include "worker/outcome.h"
#include "worker/output.h"
#include "worker/progress.h"
#include "worker/runner.h"
#include "worker/spool.h"
#include "worker/stall.h"

#define RUNNER_KEPT_MAX      32
#define RUNNER_FULL_TRIES    10 /* 2 s apart */
#define SPENT_TEXT_MAX       80
#define RUNNER_BACKLOG_BYTES (64 * 1024 * 1024) /* of log that waits for Redis; beyond it the oldest is skipped */

enum run_state { RUN_RESTORING, RUN_RUNNING, RUN_STOPPING, RUN_SHIPPING, RUN_REPORTING, RUN_OVER };

enum run_event {
	ON_READY,    /* everything that the program needs is in place */
	ON_REFUSED,  /* it cannot be started: runner->failure says why */
	ON_STOP,     /* a stop was asked: runner->stop says which */
	ON_ENDED,    /* the program is reaped, its pipes are closed, nothing of it is left */
	ON_SHIPPED,  /* nothing is left to be committed or sent */
	ON_REPORTED, /* Redis has answered */
};

struct runner {
	struct event_base *base;
	const struct runner_task *task;
	const char *folder; /* absolute */
	const struct run_record *record;
	struct run_record called; /* of a spare that was called: read from its folder */
	struct spec spec;
	bool has_spec;
	enum run_state state;
	struct event *timer; /* the one timer: runner_tick */
	bool is_woken;       /* during the tick: look again at once */
	struct signals *signals;
	char *work_dir, *checkpoint_dir, *output_dir;

	/* the lease; times by CLOCK_BOOTTIME */
	struct jobs *jobs;
	struct redis *control_channel; /* hints only; NULL until listen_at */
	int64_t listen_at;
	int64_t lease_ends; /* counted from the sending of the last acknowledged renewal */
	int64_t renew_at;
	int64_t renew_sent;
	bool is_renewing, renew_again;
	bool has_said_resumed;
	bool is_connected;
	bool is_away_said; /* since the last renewal */

	/* what Redis may have forgotten */
	struct runner_kept {
		char *id, *summary;
	} kept[RUNNER_KEPT_MAX]; /* the newest that were committed, and not deleted since */
	size_t kept_count;
	bool is_offering;    /* the attempt is offered back: nothing else is asked until that is answered */
	int64_t offer_at;    /* when to try again; 0: not waiting */
	int64_t offer_until; /* there is no queue: how long to wait for it; 0: there is one */
	bool is_doubted;     /* Redis called the token stale */
	bool is_taken_back;  /* it was adopted, and did not renew since */
	bool is_refused;

	/* the code to start with */
	struct helper *code;
	int64_t code_at; /* when to try again; 0: not waiting */
	int64_t code_tries;
	char *facts; /* what it found on this machine, for its lineage; NULL: nothing was looked for */
	bool are_facts_told;

	/* the checkpoint to start from */
	struct checkpoint_restore *restore;
	char *resume_id; /* NULL: cold */
	char *resume_summary;
	char *resume_path;
	int64_t resume_step;
	int64_t restore_at;               /* when to try again; 0: not waiting */
	int64_t restore_tries;            /* of this checkpoint */
	int restore_crashes;              /* of whoever read it */
	bool is_deadly, has_given_up_one; /* rejected for them: this one, and one of this attempt */
	bool is_rejecting;
	bool is_restored; /* ready to start as far as the checkpoint goes */

	int64_t restore_began, restored_at; /* 0: there was nothing to restore */

	/* the program */
	pid_t program;
	struct child_watch *watch;
	struct output *output;
	struct control *control;
	int64_t started_at, ended_at;
	int64_t turn_ms, turn_wall_ms; /* when what is being cut into lines was read; turn_ms 0: not looked yet */
	int64_t reported_at;           /* its first step or value; 0: none yet */
	bool was_started, is_reaped;
	struct child_exit how;
	int64_t oom_kills;   /* by the kernel before it began; -1: not known */
	int64_t kill_at;     /* SIGKILL after the grace; 0: not asked to stop */
	int64_t pipes_until; /* then whoever holds the pipes is killed; 0: not waiting */
	int64_t term_at;     /* SIGTERM after a stalled program has told where it is; 0: not waiting */
	int64_t sweep_at;    /* the next look for descendants; 0: not looking */
	int64_t reap_at;     /* orphans that ended are reaped then; 0: none */

	/* whether it goes on */
	struct stall stall;
	int64_t stall_looked_at;             /* the last tick of it */
	int64_t stall_heard;                 /* the silence that the rest is of, by when it began */
	int64_t stall_cpu, stall_sampled_at; /* its processor time in ticks, and when that was read; 0: judged */
	int64_t stall_judge_at;              /* when to read it again */
	bool stall_computes;                 /* it used a processor meanwhile */
	bool has_dumped;                     /* it was asked for its stacks by SIGABRT */

	char *stacks; /* where it was when it had stalled; NULL: it has not */

	/* why it ended */
	enum stop_reason stop;
	char why[OUTCOME_ERROR_MAX];
	int64_t onset; /* of its corruption; -1: unknown */
	int64_t good;  /* what was saved at or past this step is not proved good then; -1 likewise */
	char failure[OUTCOME_ERROR_MAX];
	bool is_permanent;
	int64_t full_tries; /* to put what it starts with on a full disk; all of them: it was given back for that */
	bool said_done, said_corrupted;

	/* what it says */
	struct spool log, points;
	struct feed *log_feed, *point_feed;
	int64_t step;           /* the newest; -1: unknown */
	struct marks marks;     /* their newest values */
	struct detect detect;   /* of the watched one */
	int64_t fleeting_at[2]; /* when the last overwritten line of stdout, stderr was kept */
	int64_t bad_control;    /* control lines that were ignored */
	bool reports_metrics;   /* on the control fd: the same in its lines would count twice */

	/* checkpoint.every */
	int ask_fd;          /* where lines go that ask for one; -1: none do */
	int64_t ask_at;      /* the next time; 0: by steps, or never */
	int64_t asked_steps; /* so many times `every` steps were reached by then */
	bool ask_was_told;   /* it was asked by a signal, or the log says why not */

	struct progress progress;
	char *result; /* JSON that it said on the control fd, or wrote to its file; NULL: none */

	/* checkpoints on their way out */
	struct checkpoints *checkpoints;
	char *commit_id; /* offered to Redis; NULL: none */
	char *commit_summary;
	bool is_committing;
	bool is_held;      /* until the doubt about the run is over */
	int64_t commit_at; /* when to try again; 0: not waiting */
	bool is_idle;      /* nothing is left to ship */
	int64_t dropping;  /* deleted checkpoints that Redis is told of */

	/* the report */
	bool is_reporting;
	int64_t report_at;
	char *report_detail;
	const char *report_cause;
	enum run_end report_end; /* what it says to the worker's breaker */
	enum run_rest rest;      /* where its folder goes */
};

/* runner.c */
void runner_step(struct runner *r, enum run_event event);                  /* the only place where the state changes */
void runner_wake(struct runner *r);                                        /* looks at the deadlines soon */
void runner_say(struct runner *r, const char *fmt, ...) PRINTF_LIKE(2, 3); /* a line of its own in the job's log */
/* Asks the program to stop, unless it has ended by itself. A weightier reason replaces a lighter one. */
void runner_ask_stop(struct runner *r, enum stop_reason stop, const char *why);
void runner_refuse(struct runner *r, bool is_permanent, const struct error *err);
/* What could not be put in place to start with is tried again, but where this disk stays full the job is given back,
 * for a worker that has room, and no attempt of its is counted. true: it is. */
bool runner_lacks_room(struct runner *r, const struct error *err);
const char *runner_phase(const struct runner *r);

/* Deadlines: each part says what is due at `now` and when it wants to be asked again (INT64_MAX: never). */
int64_t runner_lease_tick(struct runner *r, int64_t now);
int64_t runner_offer_tick(struct runner *r, int64_t now);
int64_t runner_code_tick(struct runner *r, int64_t now);
int64_t runner_restore_tick(struct runner *r, int64_t now);
int64_t runner_program_tick(struct runner *r, int64_t now);
int64_t runner_ship_tick(struct runner *r, int64_t now);
int64_t runner_stall_tick(struct runner *r, int64_t now);
int64_t runner_report_tick(struct runner *r, int64_t now);
int64_t runner_ask_tick(struct runner *r, int64_t now);

/* runner_ask.c */
bool runner_asks_by_line(const struct runner *r);
bool runner_open_asking(struct runner *r, int *program_fd, struct error *err); /* -1: it is not asked so */
void runner_close_asking(struct runner *r);
void runner_begin_asking(struct runner *r); /* the program was started */
void runner_ask_at_step(struct runner *r);  /* it reported one */

/* runner_lease.c */
bool runner_connect(struct runner *r, struct error *err);
void runner_renew(struct runner *r);
void runner_obey(struct runner *r, enum verdict verdict, const char *reason);
bool runner_may_start(const struct runner *r); /* with on_partition: stop only while the lease is known to hold */
void runner_lease_note(struct runner *r);      /* for the worker: until when the program may run */

/* "<setup>:<restore>:<loading>:<saving>" up to now, in ms; false: nothing of it took a second. */
bool runner_spent(const struct runner *r, char *text, size_t size);

/* runner_offer.c */
/* A fenced call answered STALE, or that there is no queue. true: that is not the last word, try it again later. false:
 * the attempt is over. */
bool runner_took_stale(struct runner *r, const struct error *err);
void runner_reconnected(struct runner *r);
void runner_keep(struct runner *r, const char *id, const char *summary); /* a checkpoint was committed */
void runner_keep_no_more(struct runner *r, const char *id);
bool runner_is_offered(const struct runner *r);

/* runner_code.c */
void runner_code(struct runner *r); /* then runner_restore */
void runner_code_stop(struct runner *r);
void runner_code_tell(struct runner *r); /* the facts, once there is a connection */

/* runner_restore.c */
void runner_restore(struct runner *r);
void runner_restore_stop(struct runner *r);

/* runner_program.c */
void runner_start_program(struct runner *r);
void runner_terminate(struct runner *r);
void runner_orphans(struct runner *r); /* SIGCHLD */
void runner_output_closed(struct runner *r);

/* runner_death.c */
void runner_death_begin(struct runner *r);                                  /* the program starts */
void runner_death(struct runner *r, struct death *death, struct buf *tail); /* tail: memory for what death points to */

/* runner_stall.c */
/* Asks everything of a stalled program that can say where it is for that, by SIGABRT, which ends it; what also listens
 * to SIGTERM is left out unless all is set. How many were asked. */
size_t runner_dump(struct runner *r, bool all);
/* Where it was, in a few lines, for whoever is told of its end; nothing if it has not stalled. */
void runner_stall_trace(const struct runner *r, struct buf *into);

/* runner_output.c */
bool runner_open_spools(struct runner *r, struct error *err);
bool runner_open_output(struct runner *r, int *out, int *err_fd, int *control_fd, struct error *err);
void runner_flush(struct runner *r);
void runner_drained(void *runner);         /* a feed has nothing left */
void runner_take_result(struct runner *r); /* the program has ended: what it left in its result file */

/* runner_watch.c */
void runner_watch(struct runner *r); /* the program is about to start */
void runner_watch_point(struct runner *r, const struct metric_point *point);
/* The run is corrupted; for onset and good see above. */
void runner_flag(struct runner *r, const char *why, int64_t onset, int64_t good);

/* runner_ship.c */
bool runner_open_checkpoints(struct runner *r, struct error *err);
void runner_checkpoint_options(struct runner *r, struct checkpoints_options *o);
void runner_ship_last(struct runner *r);
void runner_release_commit(struct runner *r); /* the doubt is over */
void runner_check_shipped(struct runner *r);

/* runner_report.c */
void runner_report(struct runner *r);
void runner_leave(struct runner *r);

#endif
