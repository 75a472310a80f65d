/* The table as a whole, and the shapes that its rows name. */
#include "lib/cleanup.h"
#include "queue/spec_schema.h"
#include "scheduler/routes.h"

/* Small letters: texts that name something. Capitals: documents. */
static const struct shape_row shapes[] = {
	{ .name = "job",
	  .shape = "text 3..90",
	  .pattern = "^[a-z0-9][a-z0-9-]{0,62}-[1-9][0-9]{0,14}$",
	  .example = "default-1",
	  .help = "the id of a job: its queue, a hyphen, and a number" },
	{ .name = "queue",
	  .shape = "text 1..63",
	  .pattern = "^[a-z0-9][a-z0-9-]{0,62}$",
	  .example = "default",
	  .help = "the name of a queue" },
	{ .name = "state",
	  .shape = "\"waiting\"|\"queued\"|\"running\"|\"succeeded\"|\"failed\"|\"cancelled\"",
	  .help = "the state of a job ([states.md](states.md))" },
	{ .name = "worker", .shape = "text 1..160", .example = "node-7", .help = "the id of a worker" },
	{ .name = "schedule", .shape = "text 1..64", .example = "nightly", .help = "the name of a recurring job" },
	{ .name = "submitter", .shape = "text 1..64", .example = "nightly-app", .help = "who may use an inbox" },
	{ .name = "webhook", .shape = "text 1..128", .example = "1", .help = "the id of a webhook" },
	{ .name = "delivery", .shape = "text 1..128", .example = "1", .help = "the id of a delivery" },
	{ .name = "batch", .shape = "text 1..64", .example = "sweep-1", .help = "the id of a batch" },
	{ .name = "checkpoint",
	  .shape = "text 1..40",
	  .pattern = "^(latest|best|[0-9]{1,10}|[0-9]{1,10}-[0-9]{1,10})$",
	  .example = "latest",
	  .help = "`latest`, `best`, a step, or an id like `2-1`" },
	{ .name = "hash",
	  .shape = "text 64..64",
	  .pattern = "^[0-9a-f]{64}$",
	  .example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	  .help = "a SHA-256" },
	{ .name = "block", .shape = "text 64..64", .pattern = "^[0-9a-f]{64}$", .help = "the SHA-256 of a block" },
	{ .name = "entry",
	  .shape = "text 0..64",
	  .pattern = "^([0-9]{1,19}(-[0-9]{1,19})?)?$",
	  .example = "1-1",
	  .help = "the id of an entry of a stream, as an answer said it" },
	{ .name = "cursor",
	  .shape = "text 0..255",
	  .help = "where the next page begins, as the last answer said it; \"\": none" },
	{ .name = "flag", .shape = "\"0\"|\"1\"|\"false\"|\"true\"", .help = "of a query; left out: 0" },
	{ .name = "key", .shape = "text 1..128", .help = "the same request with the same key is done once" },
	{ .name = "reason", .shape = "text 0..1000", .example = "wrong data", .help = "for the history" },
	{ .name = "Problem",
	  .shape = "{type: text, title: text, status: int, detail: text, hint: text, kind: text, request_id: text, "
		   "errors?: [{detail: text, pointer?: text, parameter?: text}]}",
	  .help = "what failed, on what, why; what to do next ([errors.md](errors.md) lists the kinds)" },
	{ .name = "Spec",
	  .shape = "object",
	  .schema = spec_schema,
	  .help = "a job spec: [spec.md](spec.md) has its keys" },
	{ .name = "Job",
	  .shape = "{state: state, why?: text, left_ms?: number}",
	  .help = "what Redis keeps of a job ([protocol.md](protocol.md)): numbers are decimal text; `why`: a sentence "
		  "on what it "
		  "waits for or why it ended" },
	{ .name = "Show",
	  .shape = "{id: job, job: Job, spec: Spec, checkpoints: object, history: list, attempts: list, time: object, "
		   "why: "
		   "text, save_every?: object, last_lines?: [text], archived?: bool}",
	  .help = "everything about a job" },
	{ .name = "Changed", .shape = "{id: job, state: text}", .help = "a job, and the state it is in now" },
	{ .name = "Entry", .shape = "{id?: text}", .help = "of a stream, as Redis keeps it: all values are text" },
	{ .name = "Page", .shape = "{entries: [Entry], next: text}", .help = "entries; `next`: give it as `after`" },
	{ .name = "Checkpoint",
	  .shape = "{id: text}",
	  .help = "the summary of a checkpoint ([checkpoints.md](checkpoints.md))" },
	{ .name = "Batch", .shape = "{id: text, queue: queue}", .help = "how far a batch is" },
	{ .name = "Worker",
	  .shape = "{id: text, queues: [queue], state?: text, capacity?: object, used?: object, runs?: any}",
	  .help = "a worker and what it has" },
	{ .name = "Goodput",
	  .shape = "object",
	  .help = "where time went: `queued_ms`, `setup_ms`, `restore_ms`, `training_ms`, `saving_ms`, `lost_ms`, "
		  "`productive`" },
	{ .name = "Queue",
	  .shape = "{queue: queue, goodput: Goodput}",
	  .help = "the figures of a queue, as `stoker_stats`" },
	{ .name = "Schedule",
	  .shape = "{name?: schedule, queue?: queue}",
	  .help = "a recurring job ([schedules.md](schedules.md))" },
	{ .name = "Due",
	  .shape = "{due_ms: int, local: text}",
	  .help = "a due time, and what a clock in its zone shows then" },
	{ .name = "Delivery",
	  .shape = "{delivery?: text, webhook?: text, url?: text, event?: text, tries?: any, status?: any}",
	  .help = "what is to be told to a webhook" },
};

static const struct http_group *const groups[] = { &routes_jobs, &routes_runs,  &routes_queues, &routes_schedules,
						   &routes_told, &routes_store, &routes_service };

const struct openapi routes_api = {
	.title = "The routes of the HTTP API",
	.version = STOKER_VERSION,
	.help = "What holds for all of them (who may call, bounds, problems, streams) is in [http.md](http.md). Bodies "
		"have no "
		"other keys than these; answers may have more.",
	.groups = groups,
	.group_count = ARRAY_LEN(groups),
	.shapes = shapes,
	.shape_count = ARRAY_LEN(shapes),
};
