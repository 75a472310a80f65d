/* Routes about the installation itself: what is in its store, whether it is well, and what it offers. */
#include "lib/cleanup.h"
#include "scheduler/api.h"
#include "scheduler/routes.h"

#define HEALTH "{ready: bool, state?: text, means?: text, redis?: text, ticked_ms_ago?: int, error?: text}"
#define LINES  .answers = { { .status = 200, .type = "application/x-ndjson" } }, .errors = "404"

static const struct http_route store_rows[] = {
	{ .method = "POST",
	  .pattern = API "/gc",
	  .handler = api_gc,
	  .summary = "delete what nobody needs from the store",
	  .body = "{dry_run?: bool, older_ms?: int 0..}",
	  LINES,
	  .help = "A line an object (`action`, `job`, `key`, `size`, `modified_ms`, `why`), then "
		  "`{\"sum\":{\"objects\",\"bytes\",\"problems\"}}` or `{\"error\":{…}}`; an empty line now and then. "
		  "`older_ms`: a "
		  "day, unless it is said" },
	{ .method = "POST",
	  .pattern = API "/verify",
	  .handler = api_verify,
	  .summary = "read all that is in the store, and compare it with its hashes",
	  .body = "{}",
	  LINES,
	  .help = "Every checkpoint, every transcript and every object of the archive, as lines like those of gc: "
		  "`action` is "
		  "`good`, `damaged` or `loose` (no manifest); `read` of `of` bytes are behind it. The sum counts "
		  "`checkpoints`, `transcripts` and `archives`" },
};
const struct http_group routes_store = { "The store", "All that is in it.", store_rows, ARRAY_LEN(store_rows) };

static const struct http_route service_rows[] = {
	{ .method = "GET",
	  .pattern = "/livez",
	  .handler = api_livez,
	  .summary = "the process runs",
	  .is_open = true,
	  .answers = { { .status = 200, .shape = "{alive: bool}" } } },
	{ .method = "GET",
	  .pattern = "/readyz",
	  .handler = api_readyz,
	  .summary = "Redis answers and has the function library",
	  .is_open = true,
	  .query = "{verbose?: text}",
	  .answers = { { .status = 200, .shape = HEALTH }, { .status = 503, .shape = HEALTH } },
	  .help = "`verbose=1`: `{ready, state, means, redis, ticked_ms_ago, error}`; state: `ok`, `read-only`, "
		  "`silent`, `away` "
		  "([operations.md](operations.md#redis-that-fails))" },
	{ .method = "GET",
	  .pattern = "/health",
	  .handler = api_health,
	  .summary = "Redis takes writes and the ticks run",
	  .is_open = true,
	  .answers = { { .status = 200, .shape = HEALTH }, { .status = 503, .shape = HEALTH } },
	  .help = "The document of `/readyz?verbose=1`; 503 in any state but `ok`, also where `/readyz` still says 200 "
		  "because jobs "
		  "can be looked at" },
	{ .method = "GET",
	  .pattern = "/health/ready",
	  .handler = api_health,
	  .summary = "the same",
	  .is_open = true,
	  .answers = { { .status = 200, .shape = HEALTH }, { .status = 503, .shape = HEALTH } } },
	{ .method = "GET",
	  .pattern = "/health/live",
	  .handler = api_livez,
	  .summary = "the process runs, as `/livez`",
	  .is_open = true,
	  .answers = { { .status = 200, .shape = "{alive: bool}" } } },
	{ .method = "GET",
	  .pattern = "/metrics",
	  .handler = api_figures,
	  .summary = "figures for Prometheus",
	  .answers = { { .status = 200, .type = "text/plain", .help = "the text exposition format" } },
	  .help = "[operations.md](operations.md#watching-with-prometheus) lists them" },
	{ .method = "GET",
	  .pattern = API "/version",
	  .handler = api_version,
	  .summary = "versions of the program and of the function library",
	  .answers = { { .status = 200, .shape = "{version: text, library: any}" } } },
	{ .method = "GET",
	  .pattern = "/api/openapi.json",
	  .handler = api_openapi,
	  .summary = "this API as an OpenAPI 3.1 document",
	  .answers = { { .status = 200, .shape = "{openapi: text}" } } },
	{ .method = "GET",
	  .pattern = API "/doctor",
	  .handler = api_doctor,
	  .summary = "what Redis, the clocks, the store and the workers risk",
	  .answers = { { .status = 200,
			 .shape = "{checks: [{name: text, ok: bool, detail: text, hint: text}], ok: bool}" } },
	  .help = "Small objects under `<installation>/doctor/` of the store are written, read, listed and removed" },
	{ .method = "POST",
	  .pattern = API "/fsck",
	  .handler = api_fsck,
	  .summary = "look for what is wrong in the queues, and mend it",
	  .body = "{queue?: queue|\"\", repair?: bool}",
	  LINES,
	  .help = "A line a finding (`queue`, `where`, `code`, `detail`, `risk`, `advice`, `outcome`: `found`; with "
		  "`repair` "
		  "`repaired` or `left`), then `{\"sum\":{\"queues\",\"looked\",\"repaired\",\"left\",\"partial\"}}` "
		  "or "
		  "`{\"error\":{…}}`; see [fsck.md](fsck.md)" },
};
const struct http_group routes_service = { "The service", "Whether it is well, and what it offers.", service_rows,
					   ARRAY_LEN(service_rows) };
