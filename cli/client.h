/*
 * The scheduler's HTTP API (docs/http.md) as the commands use it: finding it, the
 * token, and answers as JSON.
 *
 * Found by --url or STOKER_URL (with STOKER_TOKEN or --token-file), else by the file
 * stoker.json that `stoker up` leaves in its folder while it runs.
 */
#ifndef STOKER_CLI_CLIENT_H
#define STOKER_CLI_CLIENT_H

#include "cli/cli.h"

/* Makes cli->client if it is not there yet. */
bool client_find(struct cli *cli, struct error *err) MUST_CHECK;

/* The answer is to be released with json_decref. path as in http_client.h. */
bool client_get(struct cli *cli, const char *path, json_t **answer, struct error *err) MUST_CHECK;

/* The same, but the answer is a text. */
bool client_get_text(struct cli *cli, const char *path, struct buf *into, struct error *err) MUST_CHECK;

/* body NULL: none. */
bool client_post(struct cli *cli, const char *path, const json_t *body, json_t **answer, struct error *err) MUST_CHECK;

/* The same for what may take long. */
bool client_post_within(struct cli *cli, const char *path, const json_t *body, int64_t deadline_ms, json_t **answer,
			struct error *err) MUST_CHECK;

struct client_text { /* a body that is no JSON value of ours */
	const char *content_type;
	const char *text;
	const char *header; /* one more; NULL: none */
};
bool client_post_text(struct cli *cli, const char *path, const struct client_text *body, json_t **answer,
		      struct error *err) MUST_CHECK;

struct client_data { /* a body of bytes */
	const char *content_type;
	const void *data;
	size_t len;
	int64_t deadline_ms;
};
bool client_post_data(struct cli *cli, const char *path, const struct client_data *body, json_t **answer,
		      struct error *err) MUST_CHECK;

/* A stream of JSON objects, one a line; with a body it is the answer to a POST. fn answers false when it has enough.
 * Ends well when the server closes the stream; interrupted says that interrupt_fd ended it. */
typedef bool client_object_fn(void *arg, const json_t *object);
struct client_stream {
	const char *path;
	const struct client_text *body; /* NULL: GET */
	client_object_fn *fn;
	void *arg;
	int interrupt_fd;
	bool interrupted;
};
bool client_stream(struct cli *cli, struct client_stream *stream, struct error *err) MUST_CHECK;

/* Whether a stream that ended so is worth waiting for: a scheduler that was there may come back, one that
 * was not there at the first try is a mistake to be told. */
bool client_is_worth_waiting(const struct error *err, bool is_first_try);

bool client_delete(struct cli *cli, const char *path, json_t **answer, struct error *err) MUST_CHECK;

/* "/api/v1/jobs/<id><tail>"; false when id is none. To be freed. */
char *client_job_path(const char *id, const char *tail, struct error *err) MUST_CHECK;
/* Appends "?name=value" or "&name=value", encoded; nothing when value is NULL. */
void client_query(struct buf *path, const char *name, const char *value);

#endif
