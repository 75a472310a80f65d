/* Routes about jobs, one of them or many. */
#include "lib/cleanup.h"
#include "scheduler/api.h"
#include "scheduler/routes.h"

#define SPEC_TYPES "application/json application/yaml application/x-yaml text/yaml"
#define CHANGED    .answers = { { .status = 200, .shape = "Changed" } }, .errors = "404 409"

static const struct http_route jobs_rows[] = {
	{ .method = "POST",
	  .pattern = API "/jobs",
	  .handler = api_submit,
	  .summary = "submit a job, a graph of jobs, a sweep, or a spec a line",
	  .query = "{queue?: queue}",
	  .headers = "{Idempotency-Key?: key}",
	  .body = "Spec|{jobs: [Spec] 1..10000, batch?: batch, then?: Spec, webhook?: {url: text}}",
	  .body_types = SPEC_TYPES " application/x-ndjson",
	  .answers = { { .status = 201,
			 .shape = "{id: job}|{ids: [job], batch: batch}",
			 .help = "made, or made before with this key; `Location` leads to it" },
		       { .status = 200, .type = "application/x-ndjson", .help = "of lines: a line each" } },
	  .errors = "404 409",
	  .help = "The queue is that of the request, of the spec, or `default`; one that does not exist is made. A "
		  "body with "
		  "`jobs` is a graph of up to 10,000 of them, all or none; `ids` are in the same order. A spec with a "
		  "`sweep` "
		  "block is up to 10,000 jobs, answered likewise; when one is refused those before it are in, and the "
		  "same "
		  "request with the same key goes on there ([spec.md](spec.md)). With `application/x-ndjson` the body "
		  "is a "
		  "spec a line, thousands of them, and the answer comes as it is made, a line each, in order: "
		  "`{\"line\":1,\"id\":\"default-1\"}` or "
		  "`{\"line\":2,\"kind\":\"invalid\",\"detail\":\"…\",\"hint\":\"…\"}`; empty "
		  "lines are passed over. What one line is refused for does not touch the others. With an "
		  "`Idempotency-Key` "
		  "of at most 100 characters every line has one of its own, so that the whole request may be sent "
		  "again" },
	{ .method = "GET",
	  .pattern = API "/jobs",
	  .handler = api_list,
	  .summary = "list jobs, newest first",
	  .query =
		  "{queue?: queue, state?: text 0..20, tag?: text 0..64, batch?: batch, rank?: text 0..65, limit?: int "
		  "1..10000, cursor?: cursor}",
	  .answers = { { .status = 200, .shape = "{jobs: [Job], cursor: cursor, batch?: Batch, batches?: [Batch]}" } },
	  .errors = "404",
	  .help = "Each with a `why` sentence; limit at most 100, 50 if it is not said. Without `queue`: of every "
		  "queue, without "
		  "a cursor when there are several. `state=archived`: of one queue (`default`), what has left Redis "
		  "for the "
		  "archive, what ended last first (without an index the largest number first); 404 when the scheduler "
		  "has "
		  "none. With `tag` (`*` stands for anything; of one queue) a page has those of its jobs that carry "
		  "such a "
		  "tag, maybe none: go on while there is a cursor. With `batch`: the jobs of a batch of `queue`, or of "
		  "every "
		  "queue that has one of this name (then `batches` instead of `batch`, and no cursor, when there are "
		  "several), limit at most 10000. With `rank=loss` those with the lowest last value of that metric "
		  "first "
		  "(`rank=-acc`: the highest), each with its value as `rank`, of the newest 10,000" },
	{ .method = "GET",
	  .pattern = API "/jobs/{job}",
	  .handler = api_show,
	  .summary = "everything about one job",
	  .headers = "{If-None-Match?: text}",
	  .answers = { { .status = 200, .shape = "Show" }, { .status = 304 } },
	  .errors = "404",
	  .help = "As `stoker_show`, and `why`. `attempts`: each with the `checkpoint` that it went on from (`none`: "
		  "the "
		  "beginning) and its `step`, `worker`, `cause`, `error` and the budget's numbers (`reason`) of its "
		  "end, `onset` "
		  "of a corruption. `time`: `queued_ms`, `setup_ms` (with the program's own `loading_ms`), "
		  "`restore_ms`, "
		  "`training_ms` (without what was lost), `saving_ms`, `lost_ms`, and `productive`, the share of "
		  "training in the "
		  "time that attempts ran. `save_every`, once the queue has run for a minute and a checkpoint was "
		  "saved: "
		  "`every_ms`, the square root of 2 · `save_ms` · `mtbf_ms`, the latter of the whole queue (`ran_ms` "
		  "and "
		  "`ends`, what did not go straight). After a failure also `last_lines`: up to 10 lines that the "
		  "program wrote "
		  "last. Of a job that runs and told how many steps there are: `left_ms` in `job`, how long it still "
		  "takes. "
		  "`archived: true`: it was read from the archive, as it was when it ended; so are the routes below. "
		  "`ETag` changes whenever something but `now_ms` and `time` does" },
	{ .method = "POST",
	  .pattern = API "/jobs/{job}/cancel",
	  .handler = api_cancel,
	  .summary = "cancel a job",
	  .body = "{reason?: reason}",
	  CHANGED },
	{ .method = "POST",
	  .pattern = API "/jobs/{job}/retry",
	  .handler = api_retry,
	  .summary = "run a job again",
	  .body = "{attempt?: int 0.., resume?: text}",
	  .answers = { { .status = 200, .shape = "{id: job}" } },
	  .errors = "404 409",
	  .help = "`attempt`: the last one, unless it is said; `resume`: from where its spec says, unless it is said" },
	{ .method = "POST",
	  .pattern = API "/jobs/{job}/corrupt",
	  .handler = api_corrupt,
	  .summary = "flag an attempt as corrupted",
	  .body = "{attempt?: int 0.., reason?: reason, onset?: int 0..}",
	  CHANGED,
	  .help = "`onset`: the step at which it went bad" },
	{ .method = "POST",
	  .pattern = API "/jobs/{job}/hold",
	  .handler = api_hold,
	  .summary = "keep a job from starting",
	  .body = "{reason?: reason}",
	  CHANGED },
	{ .method = "POST",
	  .pattern = API "/jobs/{job}/release",
	  .handler = api_release,
	  .summary = "let a held job go on",
	  .body = "{}",
	  CHANGED },
	{ .method = "POST",
	  .pattern = API "/jobs/{job}/update",
	  .handler = api_update,
	  .summary = "change a job that does not run yet",
	  .body = "Spec",
	  CHANGED,
	  .help = "The body has the changes, part of a spec: `{\"priority\":9,\"retry\":{\"max_attempts\":5}}`" },
	{ .method = "POST",
	  .pattern = API "/jobs/{job}/remove",
	  .handler = api_remove,
	  .summary = "take a job that has ended out of Redis",
	  .body = "{}",
	  CHANGED,
	  .help = "Its objects stay in the store" },
	{ .method = "POST",
	  .pattern = API "/each",
	  .handler = api_each,
	  .summary = "do one of these to every job that a filter finds",
	  .body = "{action: \"cancel\"|\"retry\"|\"hold\"|\"release\"|\"update\"|\"remove\", queue: queue, state?: "
		  "text, name?: "
		  "text, experiment?: text, tag?: text, older_than?: text, limit?: int 1.., dry_run?: bool, reason?: "
		  "reason, "
		  "changes?: Spec, cursor?: text}",
	  .answers = { { .status = 200,
			 .shape = "{action: text, dry_run: bool, jobs: [{id: job, state?: text, error?: any}], done: "
				  "int, "
				  "refused: int, cursor: text}" } },
	  .errors = "404 409",
	  .help = "[http.md](http.md#by-filter) says what a filter is" },
	{ .method = "GET",
	  .pattern = API "/batches",
	  .handler = api_batches,
	  .summary = "list batches, newest first, and how far they are",
	  .query = "{queue?: queue, limit?: int 1..100, cursor?: cursor}",
	  .answers = { { .status = 200, .shape = "{batches: [Batch], cursor: cursor}" } },
	  .errors = "404" },
	{ .method = "POST",
	  .pattern = API "/batches",
	  .handler = api_create_batch,
	  .summary = "make a batch before its jobs, or change it",
	  .body = "{batch: batch, queue?: queue, size?: int 1.., then?: Spec, webhook?: {url: text}}",
	  .answers = { { .status = 201, .shape = "{batch: batch}" } },
	  .errors = "404 409" },
};
const struct http_group routes_jobs = { "Jobs", "One job, or many of them.", jobs_rows, ARRAY_LEN(jobs_rows) };
