queue_SOURCES = \
	$(queue_TABLES) \
	queue/code.c \
	queue/code_data.c \
	queue/following.c \
	queue/functions.c \
	queue/graph.c \
	queue/jobs.c \
	queue/jobs_archive.c \
	queue/jobs_bulk.c \
	queue/jobs_code.c \
	queue/jobs_each.c \
	queue/jobs_fsck.c \
	queue/jobs_graph.c \
	queue/jobs_inbox.c \
	queue/jobs_loans.c \
	queue/jobs_runner.c \
	queue/jobs_schedules.c \
	queue/jobs_server.c \
	queue/jobs_streams.c \
	queue/jobs_text.c \
	queue/jobs_webhooks.c \
	queue/jobs_worker.c \
	queue/jobs_workers.c \
	queue/keys.c \
	queue/manifest.c \
	queue/marks.c \
	queue/redis.c \
	queue/redis_calls.c \
	queue/redis_dial.c \
	queue/redis_error.c \
	queue/redis_link.c \
	queue/redis_log_in.c \
	queue/redis_lookup.c \
	queue/redis_pubsub.c \
	queue/redis_tls.c \
	queue/redis_url.c \
	queue/saved.c \
	queue/schedule.c \
	queue/spec.c \
	queue/spec_check.c \
	queue/spec_decode.c \
	queue/spec_markdown.c \
	queue/sweep.c \
	queue/sweep_points.c \
	queue/transcript.c

# The tables that both C and the function library are made from.
queue_TABLES := \
	queue/fsck.c \
	queue/spec_grammar.c \
	queue/spec_schema.c \
	queue/spec_print.c \
	queue/spec_table.c \
	queue/state.c
