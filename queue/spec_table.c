#include "queue/spec_table.h"

#include <string.h>
#include "lib/config.h"

#define FIELD(member) offsetof(struct spec, member)
#define NO_FIELD      0
#define DAY           86400000.0
#define TIB           1099511627776.0

/* ---- grammars ---- */

static const struct spec_grammar spec_any = { "[^%z]*", 0, 131072,
					      .expected = "text of at most 131072 bytes without NUL" };
static const struct spec_grammar spec_line = { "[^%c]*", 1, 64,
					       .expected = "text of 1 to 64 bytes without control characters" };
static const struct spec_grammar spec_queue = { "[a-z0-9][a-z0-9-]*", 1, SPEC_QUEUE_MAX,
						.expected =
							"a queue name (a-z, 0-9 and -, at most 63, no - in front)" };
static const struct spec_grammar spec_env_name = {
	"[A-Za-z_][A-Za-z0-9_]*", 1, 128, .refuse = "STOKER_",
	.expected = "a variable name (letters, digits and _, no digit in front, not STOKER_…)"
};
static const struct spec_grammar spec_label_name = { "[A-Za-z0-9][A-Za-z0-9._/-]*", 1, 63,
						     .expected =
							     "a label name (letters, digits, . _ / -, at most 63)" };
static const struct spec_grammar spec_label = { "[A-Za-z0-9][A-Za-z0-9._-]*", 1, 63,
						.expected = "a label (letters, digits, . _ -, at most 63)" };
static const struct spec_grammar spec_tag = { "[A-Za-z0-9][A-Za-z0-9._:/=-]*", 1, 64,
					      .expected = "a tag (letters, digits, . _ : / = -, at most 64)" };
static const struct spec_grammar spec_batch = { "[A-Za-z0-9][A-Za-z0-9._-]*", 1, 64,
						.expected = "a batch id (letters, digits, . _ -, at most 64)" };
static const struct spec_grammar spec_metric = {
	"[A-Za-z_][A-Za-z0-9_./-]*", 1, 64,
	.expected = "a metric name (letters, digits, _ . / -, no digit in front, at most 64)"
};
static const struct spec_grammar spec_tenant = { "[A-Za-z0-9][A-Za-z0-9._@-]*", 1, 63,
						 .expected = "a tenant (letters, digits, . _ @ -, at most 63)" };
static const struct spec_grammar spec_limit_key = { "[A-Za-z0-9][A-Za-z0-9._:@/-]*", 1, 64,
						    .expected = "a key (letters, digits, . _ : @ / -, at most 64)" };
static const struct spec_grammar spec_absolute = {
	"[/][^%z]*", 1, 4096,
	.expected = "an absolute path on the worker (stoker submit packs the folder of a relative one)"
};
static const struct spec_grammar spec_code = { "[0-9a-f]+", 64, 64, .expected = "a SHA-256 as 64 hex digits" };
static const struct spec_grammar spec_fact_name = { "[a-z][a-z0-9_]*", 1, 32,
						    .expected = "a name (a-z, 0-9 and _, at most 32)" };
static const struct spec_grammar spec_fact = { "[^%c]*", 1, 256,
					       .expected = "text of 1 to 256 bytes without control characters" };
static const struct spec_grammar spec_inside = { "[^%z]*", 1, 1024, .inside = true,
						 .expected = "a path or pattern inside the working folder" };
static const struct spec_grammar spec_file = { "[^%z]*", 1, 4096, .expected = "a path" };
static const struct spec_grammar spec_checkpoint = { "[0-9]+[-][0-9]+", 3, 40, .also = "latest|best|best_loss",
						     .expected = "latest, best or a checkpoint id like 2-1" };
static const struct spec_grammar spec_resume = {
	"[a-z0-9@-]+", 1, 160, .whole_max = 2147483647,
	.expected = "latest, best, a step, a checkpoint id like 2-1, or a job like gpu-41 or gpu-41@best"
};
static const struct spec_grammar spec_schedule_name = { "[A-Za-z0-9][A-Za-z0-9._-]*", 1, 64,
							.expected = "a name (letters, digits, . _ -, at most 64)" };
static const struct spec_grammar spec_cron = { "[A-Za-z0-9@*,/ -]+", 1, 256,
					       .expected = "a cron expression like \"30 2 * * MON-FRI\" or @daily" };
static const struct spec_grammar spec_zone = { "[A-Za-z][A-Za-z0-9+_/-]*", 1, 64,
					       .expected = "a time zone like Europe/Berlin" };

static const struct spec_grammar spec_job = {
	"[^%c]*", 1, 80, .expected = "the name of a job of the same submit, or a job id, of 1 to 80 bytes"
};
/* A shell says a death by a signal as 128 and its number: so either way of writing it means both. */
static const struct spec_grammar spec_exit = {
	NULL,
	0,
	0,
	.words = "SIGHUP|SIGINT|SIGQUIT|SIGILL|SIGTRAP|SIGABRT|SIGBUS|SIGFPE|SIGKILL|SIGUSR1|SIGSEGV|SIGUSR2|SIGPIPE|"
		 "SIGALRM|SIGTERM|SIGXCPU|SIGXFSZ|SIGSYS",
	.whole_max = 255,
	.expected = "an exit code from 1 to 255 or a signal like SIGKILL"
};
static const struct spec_grammar spec_found = { "[^%c]*", 1, 200,
						.expected = "text of 1 to 200 bytes without control characters" };

static const struct spec_grammar spec_url = {
	"[!-~]+", 1, 2048, .url = true,
	.expected = "a URL of http or https, without user, password and fragment, at most 2048 characters"
};
/* docs/protocol.md says what each means; tests/lua/test_webhooks.py looks for those that are missing here. */
static const struct spec_grammar spec_event = {
	NULL, 0, 0,
	.words = "*|job.*|checkpoint.*|recovery.*|job.submitted|job.queued|job.claimed|job.succeeded|job.failed|"
		 "job.cancelled|job.unmet|job.retrying|job.lost|job.preempted|job.adopted|job.cancel_asked|"
		 "job.stalled|job.preempt_asked|job.held|job.released|job.updated|job.removed|"
		 "checkpoint.committed|checkpoint.rejected|checkpoint.quarantined|checkpoint.discarded|recovery."
		 "detected|"
		 "recovery.started|recovery.checkpoint_selected|recovery.resumed|recovery.completed|recovery.failed|"
		 "recovery.exhausted",
	.expected = "the name of an event (job.failed), or job.*, checkpoint.*, recovery.* or *"
};

/* ---- the keys ---- */

#define WHEN_COMMAND                                                                                                   \
	{                                                                                                              \
		"backend", "command"                                                                                   \
	}

static const struct spec_row spec_top[] = {
	{ "name", SPEC_TEXT, FIELD(name), .text = &spec_line, .help = "what people call the job" },
	{ "queue", SPEC_TEXT, FIELD(queue), .text = &spec_queue,
	  .help = "the queue it goes to; left out: the one that is submitted to, else `default`" },
	{ "backend", SPEC_CHOICE, FIELD(backend), "command", .choices = "command|tinygrad",
	  .help = "what runs it: any program, or the trainer that stoker ships" },
	{ "command", SPEC_COMMAND, FIELD(command), .min = 1, .max = 1024, .text = &spec_any, .when = WHEN_COMMAND,
	  .is_required = true,
	  .help = "program and arguments; one text is run by `/bin/sh -c`. `{{resume}}` in an argument stands for the "
		  "restored checkpoint" },
	{ "env", SPEC_MAP, FIELD(env), .max = 256, .text = &spec_any, .names = &spec_env_name,
	  .help = "environment of the program, beside what stoker sets" },
	{ "workdir", SPEC_TEXT, FIELD(workdir), .text = &spec_absolute,
	  .help = "working folder on the worker; left out: a fresh one for each attempt. `stoker submit` takes a "
		  "relative "
		  "one, too: the folder is packed ([code.md](code.md)) and becomes `code`" },
	{ "code", SPEC_TEXT, FIELD(code), .text = &spec_code, .without = "workdir",
	  .help = "the hash of the packed folder that each attempt begins with, in a writable copy of its own" },
	{ "lineage", SPEC_MAP, FIELD(lineage), .max = 32, .text = &spec_fact, .names = &spec_fact_name,
	  .help = "where it comes from, by name: nothing is decided by it (`stoker lineage`)" },
	{ "priority", SPEC_INTEGER, FIELD(priority), "5", .max = 9, .help = "9 goes first" },
	{ "tenant", SPEC_TEXT, FIELD(tenant), .text = &spec_tenant,
	  .help = "whose job it is: tenants of a queue share it by what they used of it lately" },
	{ "tags", SPEC_LIST, FIELD(tags), .max = 32, .text = &spec_tag,
	  .help = "words to find it by (`--tag`); more than 64 bytes of them cost memory" },
	{ "experiment", SPEC_TEXT, FIELD(experiment), .text = &spec_line, .help = "the group of runs it belongs to" },
	{ "batch", SPEC_TEXT, FIELD(batch), .text = &spec_batch,
	  .help = "the batch that it is counted with, made at first use" },
	{ "delay", SPEC_DURATION, FIELD(delay_ms), "0s", .max = 365 * DAY,
	  .help = "do not start before this has passed" },
	{ "hold", SPEC_BOOL, FIELD(hold), "false", .help = "do not start before it is released (`stoker release`)" },
	{ "timeout", SPEC_DURATION, FIELD(timeout_ms), "0s", .max = 365 * DAY,
	  .help = "an attempt that takes longer is stopped and counts as an error; 0s: no limit" },
	{ "stall_timeout", SPEC_DURATION, FIELD(stall_timeout_ms), "2h", .max = 365 * DAY,
	  .help = "likewise for an attempt that gives no output, metric, step or checkpoint for so long; once its "
		  "steps are known, six "
		  "times the slowest recent one is enough, and at least 90s (docs/programs.md); 0s: no limit" },
	{ "grace", SPEC_DURATION, FIELD(grace_ms), "30s", .max = 3600000, .help = "between SIGTERM and SIGKILL" },
	{ "lease", SPEC_DURATION, FIELD(lease_ms), "10s", .min = 1000, .max = 600000,
	  .help = "a runner that is not heard of for so long has lost its job" },
	{ "on_partition", SPEC_CHOICE, FIELD(on_partition), "continue", .choices = "continue|stop",
	  .help = "without a connection to Redis: go on training, or stop before the lease ends" },
	{ "resume", SPEC_TEXT, FIELD(resume), "latest", .text = &spec_resume,
	  .help = "where an attempt goes on: its latest good checkpoint or its best one; the first attempt: where "
		  "another job is, or was, of whichever queue, also one in the archive (`gpu-41`, `gpu-41@best`, "
		  "`gpu-41@800` for a step, `gpu-41@2-1` for a checkpoint id)" },
	{ "after", SPEC_AFTER, FIELD(after), .max = 100, .choices = "succeeded|finished|failed", .text = &spec_job,
	  .help = "jobs that must have ended before: names of jobs of the same submit, or ids. In a list each must "
		  "have "
		  "succeeded; an object gives a condition for each: `after: {prepare: succeeded, gpu-3: finished}`" },
	{ "on_unmet", SPEC_CHOICE, FIELD(on_unmet), "cancel", .choices = "cancel|hold",
	  .help = "when one of them has ended otherwise: it is cancelled, or waits for somebody to retry or cancel "
		  "it" },
};

static const struct spec_row spec_resources[] = {
	{ "cpus", SPEC_INTEGER, FIELD(resources.cpus), "1", .max = 1024, .help = "processors it is counted with" },
	{ "gpus", SPEC_INTEGER, FIELD(resources.gpus), "0", .max = 1024, .help = "whole GPUs, its own while it runs" },
	{ "memory", SPEC_SIZE, FIELD(resources.memory_bytes), "0B", .max = 1024 * TIB,
	  .help = "memory it is counted with; 0B: not stated" },
	{ "labels", SPEC_MAP, FIELD(resources.labels), .max = 16, .text = &spec_label, .names = &spec_label_name,
	  .help = "only on workers with all of these labels" },
};

static const struct spec_row spec_concurrency[] = {
	{ "key", SPEC_TEXT, FIELD(concurrency.key), .text = &spec_limit_key, .is_required = true,
	  .help = "jobs of the queue with the same key share the limit" },
	{ "max", SPEC_INTEGER, FIELD(concurrency.max), .min = 1, .max = 1000000, .is_required = true,
	  .help = "so many of them may be queued and running at once; what is above waits, and blocks no others" },
};

static const struct spec_row spec_rate[] = {
	{ "key", SPEC_TEXT, FIELD(rate.key), .text = &spec_limit_key, .is_required = true,
	  .help = "jobs of the queue with the same key share the limit" },
	{ "max", SPEC_INTEGER, FIELD(rate.max), .min = 1, .max = 1000000, .is_required = true,
	  .help = "so many of them are let go in `per`, at once or spread (a token bucket); counts jobs, not "
		  "attempts" },
	{ "per", SPEC_DURATION, FIELD(rate.per_ms), "1s", .min = 1, .max = 365 * DAY, .help = "see `max`" },
};

#define WHEN_EXPIRED                                                                                                   \
	{                                                                                                              \
		"unique.until", "expired"                                                                              \
	}
static const struct spec_row spec_unique[] = {
	{ "key", SPEC_TEXT, FIELD(unique.key), .text = &spec_limit_key, .is_required = true,
	  .help = "while a job of the queue has this key, another one is refused, and told which job has it" },
	{ "until", SPEC_CHOICE, FIELD(unique.until), "finished", .choices = "finished|started|expired",
	  .help = "it gives the key up when it ends, when its first attempt starts, or after a time whatever becomes "
		  "of "
		  "it" },
	{ "for", SPEC_DURATION, FIELD(unique.for_ms), .min = 1000, .max = 365 * DAY, .when = WHEN_EXPIRED,
	  .is_required = true, .help = "that time" },
};

#define BACKOFF_ROWS(section)                                                                                          \
	{ "backoff", SPEC_DURATION, FIELD(section.backoff_ms),                                                         \
	  "5s",      .max = DAY,    .help = "wait before the first new attempt" },                                     \
		{ "growth",                                                                                            \
		  SPEC_CHOICE,                                                                                         \
		  FIELD(section.growth),                                                                               \
		  "exponential",                                                                                       \
		  .choices = "constant|linear|exponential",                                                            \
		  .help = "how the wait grows: not at all, by the first one each time, or doubling" },                 \
		{ "max_backoff",                                                                                       \
		  SPEC_DURATION,                                                                                       \
		  FIELD(section.max_backoff_ms),                                                                       \
		  "60s",                                                                                               \
		  .max = DAY,                                                                                          \
		  .at_least = #section ".backoff",                                                                     \
		  .help = "where the growing ends" },                                                                  \
	{                                                                                                              \
		"jitter", SPEC_NUMBER, FIELD(section.jitter), "0.25",                                                  \
			.max = 1, .help = "part of the wait that is left to chance"                                    \
	}

static const struct spec_row spec_retry[] = {
	{ "max_attempts", SPEC_INTEGER, FIELD(retry.max_attempts), "3", .min = 1, .max = 1000,
	  .help = "it fails after so many errors, timeouts and stalls" },
	{ "max_lost", SPEC_INTEGER, FIELD(retry.max_lost), "3", .min = 1, .max = 1000,
	  .help = "it fails after so many lost attempts in a row without a new checkpoint" },
	BACKOFF_ROWS(retry),
	{ "on_exit", SPEC_LIST, FIELD(retry.on_exit), .max = 64, .text = &spec_exit,
	  .help = "only after one of these ends of the program; a signal is also 128 and its number. What is named "
		  "here "
		  "is tried again even if it is 65 or 78. None: after any other" },
	{ "never_on_exit", SPEC_LIST, FIELD(retry.never_on_exit), .max = 64, .text = &spec_exit,
	  .help = "not after one of these: it fails at once" },
	{ "on_output", SPEC_LIST, FIELD(retry.on_output), .max = 32, .text = &spec_found,
	  .help = "only when one of these stands in one of its last 100 lines (large and small letters alike, `*` is "
		  "anything within the line), or the end is one of `on_exit`" },
	{ "never_on_output", SPEC_LIST, FIELD(retry.never_on_output), .max = 32, .text = &spec_found,
	  .help = "not when one of these stands there: it fails at once" },
	{ "elsewhere", SPEC_DURATION, FIELD(retry.elsewhere_ms), "0s", .max = DAY,
	  .help = "not again on the worker where it ended badly, unless no other has taken it for so long; 0s: "
		  "anywhere" },
};

static const struct spec_row spec_recovery[] = {
	{ "enabled", SPEC_BOOL, FIELD(recovery.enabled), "true",
	  .help = "a corrupted run goes on from a checkpoint before the damage; false: it fails" },
	{ "max_attempts", SPEC_INTEGER, FIELD(recovery.max_attempts), "3", .max = 1000,
	  .help = "it fails after so many recoveries" },
	BACKOFF_ROWS(recovery),
	{ "nonfinite", SPEC_INTEGER, FIELD(recovery.nonfinite), "3", .max = 1000000,
	  .help = "so many reports in a row of a watched metric that is not finite mark the run corrupted; 0: never" },
	{ "spike", SPEC_NUMBER, FIELD(recovery.spike), "10", .max = 1000000,
	  .help = "likewise reports that lie so many times their usual spread above their median (below it for a "
		  "metric "
		  "of which `best_mode` is max), and far from it altogether; 0: never" },
	{ "spike_reports", SPEC_INTEGER, FIELD(recovery.spike_reports), "20", .min = 1, .max = 1000000,
	  .help = "so many of them in a row; what passes sooner is let pass" },
	{ "spike_window", SPEC_INTEGER, FIELD(recovery.spike_window), "100", .min = 8, .max = 10000,
	  .help = "the good reports before them that median and spread are taken over; with fewer there is no spike" },
	{ "poll_interval", SPEC_DURATION, FIELD(recovery.poll_interval_ms), "30s", .min = 1000, .max = DAY,
	  .help = "how often a backend that has to ask for it (a remote service) asks whether the run is corrupted; "
		  "the "
		  "others say it by themselves" },
	{ "checkpoint", SPEC_TEXT, FIELD(recovery.checkpoint), "latest", .text = &spec_checkpoint,
	  .help = "where to go on: the latest good one, the best good one, or this one" },
	{ "best_metric", SPEC_TEXT, FIELD(recovery.best.metric), "loss", .text = &spec_metric,
	  .help = "the metric that says which one is the best; left out: that of `checkpoint.keep_best`, if it is "
		  "given" },
	{ "best_mode", SPEC_CHOICE, FIELD(recovery.best.mode), "min", .choices = "min|max",
	  .help = "whether small or large values of it are good; likewise" },
	{ "quarantine", SPEC_DURATION, FIELD(recovery.quarantine_ms), "7d", .max = 365 * DAY,
	  .help = "how long checkpoints that were quarantined or rejected are kept, to be looked at" },
	{ "restore_optimizer", SPEC_BOOL, FIELD(recovery.restore_optimizer), "true",
	  .help = "take up the optimizer's state, too" },
	{ "no_checkpoint", SPEC_CHOICE, FIELD(recovery.no_checkpoint), "restart", .choices = "restart|fail",
	  .help = "when there is none: start again from nothing, or fail" },
};

static const struct spec_row spec_checkpoints[] = {
	{ "paths", SPEC_LIST, FIELD(checkpoint.paths), .max = 32, .text = &spec_inside,
	  .help = "files or patterns, relative to the working folder, that are checkpoints beside those in "
		  "`STOKER_CHECKPOINT_DIR`" },
	{ "every", SPEC_EVERY, FIELD(checkpoint.every), .min = 1000, .max = 365 * DAY,
	  .help = "how often the tinygrad trainer saves, and other programs are asked to" },
	{ "ask", SPEC_CHOICE, FIELD(checkpoint.ask), "line", .choices = "line|SIGUSR1|SIGUSR2|SIGHUP", .needs = "every",
	  .help = "how: by a line on `STOKER_ASK_FD`, or by a signal to the program" },
	{ "keep_last", SPEC_INTEGER, FIELD(checkpoint.keep_last), "3", .min = 1, .max = 1000,
	  .help = "the newest; older ones are deleted, unless one of the rules below keeps them" },
	{ "keep_best", SPEC_BEST, FIELD(checkpoint.keep_best), .min = 1, .max = 1000, .text = &spec_metric,
	  .choices = "min|max",
	  .help = "the `count` (1) best by the last value of this metric before they were saved; `mode` (min) says "
		  "whether small or large values are good" },
	{ "keep_every", SPEC_EVERY, FIELD(checkpoint.keep_every), .min = 1000, .max = 365 * DAY,
	  .help = "the first one at or after each so many steps, or in each so long a time since the submit" },
	{ "keep_for", SPEC_DURATION, FIELD(checkpoint.keep_for_ms), "0s", .max = 365 * DAY,
	  .help = "all that are younger than this when the next one is saved" },
};

static const struct spec_row spec_metrics[] = {
	{ "parse", SPEC_BOOL, FIELD(metrics.parse), "true",
	  .help = "read metrics from `key=value` and JSON lines of the output" },
	{ "watch", SPEC_TEXT, FIELD(metrics.watch), "loss", .text = &spec_metric,
	  .help = "the metric that must stay finite" },
};

static const struct spec_row spec_webhook[] = {
	{ "url", SPEC_TEXT, FIELD(webhook.url), .text = &spec_url, .is_required = true,
	  .help = "who is told; signed with the secret of the queue (`stoker webhooks secret`)" },
	{ "on", SPEC_LIST, FIELD(webhook.on), .max = 32, .text = &spec_event,
	  .help = "of what; left out: of the end, `job.succeeded`, `job.failed` and `job.cancelled`" },
};

#define WHEN_LANGUAGE                                                                                                  \
	{                                                                                                              \
		"train.task", "language-model"                                                                         \
	}
#define WHEN_CLASSIFIER                                                                                                \
	{                                                                                                              \
		"train.task", "classifier"                                                                             \
	}

static const struct spec_row spec_train[] = {
	{ "task", SPEC_CHOICE, NO_FIELD, .choices = "language-model|classifier", .is_required = true,
	  .help = "predict the next character, or the class of a row of numbers" },
	{ "text", SPEC_TEXT, NO_FIELD, .text = &spec_file, .when = WHEN_LANGUAGE, .is_required = true,
	  .help = "file or folder to learn from; a relative path starts at the working folder" },
	{ "data", SPEC_TEXT, NO_FIELD, .text = &spec_file, .when = WHEN_CLASSIFIER, .is_required = true,
	  .help = "CSV file: a row an example, the label in the last column" },
	{ "steps", SPEC_INTEGER, NO_FIELD, "1000", .min = 1, .max = 1000000000, .help = "optimizer steps" },
	{ "batch", SPEC_INTEGER, NO_FIELD, "32", .min = 1, .max = 65536, .help = "examples a step" },
	{ "lr", SPEC_NUMBER, NO_FIELD, "0.003", .min = 1e-9, .max = 10, .help = "learning rate of Adam" },
	{ "seed", SPEC_INTEGER, NO_FIELD, "1", .max = 4294967295.0,
	  .help = "of the weights and of the order of the data" },
	{ "context", SPEC_INTEGER, NO_FIELD, "64", .min = 2, .max = 65536, .when = WHEN_LANGUAGE,
	  .help = "characters that it looks back at" },
	{ "layers", SPEC_INTEGER, NO_FIELD, "2", .min = 1, .max = 256, .help = "blocks, or hidden layers" },
	{ "width", SPEC_INTEGER, NO_FIELD, "64", .min = 1, .max = 65536, .help = "numbers that stand for a position" },
	{ "heads", SPEC_INTEGER, NO_FIELD, "2", .min = 1, .max = 1024, .when = WHEN_LANGUAGE,
	  .help = "attention heads; they divide the width" },
	{ "optimize", SPEC_BOOL, NO_FIELD, "false",
	  .help = "let tinygrad tune its kernels: each step is up to twice as fast, each start half a minute longer" },
};

static const struct spec_row spec_schedule[] = {
	{ "name", SPEC_TEXT, FIELD(schedule.name), .text = &spec_schedule_name, .is_required = true,
	  .help = "what it is called in its queue; the same name again changes it" },
	{ "cron", SPEC_TEXT, FIELD(schedule.cron), .text = &spec_cron,
	  .help = "when it is due: minute, hour, day of the month, month, day of the week; or @hourly, @daily, "
		  "@weekly, "
		  "@monthly, @yearly" },
	{ "every", SPEC_DURATION, FIELD(schedule.every_ms), .min = 1000, .max = 365 * DAY,
	  .help = "instead: so often, counted from when this was first said" },
	{ "zone", SPEC_TEXT, FIELD(schedule.zone), .text = &spec_zone, .needs = "cron",
	  .help = "the time zone of `cron`, by its IANA name; left out: UTC" },
	{ "overlap", SPEC_CHOICE, FIELD(schedule.overlap), "skip", .choices = "skip|queue|replace",
	  .help = "when it is due and its last job has not ended: leave this one out, let it wait until that one has "
		  "ended, or cancel that one and then start" },
	{ "missed", SPEC_CHOICE, FIELD(schedule.missed), "once", .choices = "skip|once|all",
	  .help = "due times that passed while no scheduler ran: none of them, the newest, or each (the newest 100)" },
};

#define ROWS(table) table, ARRAY_LEN(table)
const struct spec_section spec_sections[] = {
	{ "", ROWS(spec_top), .help = "What to run, and how it is treated." },
	{ "resources", ROWS(spec_resources), .help = "What it needs: a job runs where this much is free." },
	{ "concurrency", ROWS(spec_concurrency), .help = "How many of its kind may run at once." },
	{ "rate", ROWS(spec_rate), .help = "How many of its kind may start in a time." },
	{ "unique", ROWS(spec_unique), .help = "That there is only one of its kind." },
	{ "retry", ROWS(spec_retry), .help = "After an error or a loss." },
	{ "recovery", ROWS(spec_recovery), .help = "After the run was marked as corrupted." },
	{ "checkpoint", ROWS(spec_checkpoints), .help = "Which files are checkpoints and which of them are kept." },
	{ "metrics", ROWS(spec_metrics), .help = "What is read from the output." },
	{ "webhook", ROWS(spec_webhook), .help = "Who is told over HTTP what becomes of it." },
	{ "train", ROWS(spec_train), .when = { "backend", "tinygrad" }, .is_required = true,
	  .help = "The model, its data and its training, for the trainer that stoker ships." },
	{ "schedule", ROWS(spec_schedule), .one_of = { "cron", "every" },
	  .help = "Makes it a recurring job ([schedules.md](schedules.md)): not submitted now, but whenever it is "
		  "due." },
};
const size_t spec_section_count = ARRAY_LEN(spec_sections);

/* ---- reading the table ---- */

void spec_row_path(const struct spec_section *section, const struct spec_row *row, char path[SPEC_PATH_MAX])
{
	str_format(path, SPEC_PATH_MAX, "%s%s%s", section->name, *section->name ? "." : "", row->key);
}

const struct spec_row *spec_row_at(const char *path, const struct spec_section **section)
{
	for (size_t i = 0; i < spec_section_count; i++) {
		const struct spec_section *s = &spec_sections[i];
		for (size_t j = 0; j < s->count; j++) {
			char found[SPEC_PATH_MAX];
			spec_row_path(s, &s->rows[j], found);
			if (strcmp(found, path) != 0)
				continue;
			if (section)
				*section = s;
			return &s->rows[j];
		}
	}
	return NULL;
}

void spec_show_known(const struct spec_section *section, struct buf *out)
{
	for (size_t i = 0; i < section->count; i++)
		buf_printf(out, "%s%s", i ? ", " : "", section->rows[i].key);
	for (size_t i = 0; i < spec_section_count && !*section->name; i++)
		if (*spec_sections[i].name)
			buf_printf(out, ", %s", spec_sections[i].name);
}

void spec_show_choices(const char *choices, struct buf *out)
{
	for (const char *c = choices; *c; c++)
		buf_printf(out, *c == '|' ? " or " : "%c", *c);
}

static void spec_show_duration(const struct spec_row *row, struct buf *out)
{
	char min[CONFIG_VALUE_MAX], max[CONFIG_VALUE_MAX];
	config_format_duration((int64_t)row->min, min);
	config_format_duration((int64_t)row->max, max);
	buf_printf(out, "a duration from %s to %s", min, max);
}

void spec_show_expected(const struct spec_row *row, struct buf *out)
{
	char min[CONFIG_VALUE_MAX], max[CONFIG_VALUE_MAX];
	switch (row->type) {
	case SPEC_TEXT:
		buf_str(out, row->text->expected);
		break;
	case SPEC_INTEGER:
		buf_printf(out, "an integer from %.0f to %.0f", row->min, row->max);
		break;
	case SPEC_NUMBER:
		buf_printf(out, "a number from %g to %g", row->min, row->max);
		break;
	case SPEC_BOOL:
		buf_str(out, "true or false");
		break;
	case SPEC_CHOICE:
		spec_show_choices(row->choices, out);
		break;
	case SPEC_DURATION:
		spec_show_duration(row, out);
		break;
	case SPEC_SIZE:
		config_format_size((int64_t)row->min, min);
		config_format_size((int64_t)row->max, max);
		buf_printf(out, "a size from %s to %s", min, max);
		break;
	case SPEC_LIST:
		buf_printf(out, "a list of at most %.0f %s", row->max,
			   row->text->whole_max ? "exit codes and signals" : "texts");
		break;
	case SPEC_MAP:
		buf_printf(out, "an object of at most %.0f names and texts", row->max);
		break;
	case SPEC_COMMAND:
		buf_printf(out, "a text, or a list of %.0f to %.0f texts", row->min, row->max);
		break;
	case SPEC_AFTER:
		buf_printf(out, "a list of at most %.0f jobs, or an object of them and conditions", row->max);
		break;
	case SPEC_BEST:
		buf_str(out, "an object like {metric: loss, mode: min, count: 1}");
		break;
	case SPEC_EVERY:
		buf_str(out, "\"N steps\" or ");
		spec_show_duration(row, out);
		break;
	case SPEC_TYPES:
	default:
		break;
	}
}
