/* See the header. */
#include "cli/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "lib/json.h"
#include <unistd.h>
#include "queue/spec.h"

#define CLIENT_TOKEN_MAX  4096
#define CLIENT_SILENCE_MS 45000 /* three missed pings */
#define CLIENT_DOWN_HINT  "is it running? STOKER_URL says where to look; stoker up starts one here"

/* The first line of a token file. */
static char *client_read_token(const char *path, struct error *err)
{
	char text[CLIENT_TOKEN_MAX];
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (len < 0) {
		error_errno(err, ERR_AUTH, "STOKER_TOKEN_FILE or --token-file names the file that holds the token",
			    "cannot read the token file %s", path);
		return NULL;
	}
	text[len] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	if (!text[0]) {
		error_set(err, ERR_AUTH, NULL, "the token file %s is empty", path);
		return NULL;
	}
	return mem_strdup(text);
}

/* "X-Stoker-Actor: cli:ada": who is noted in the history. */
static char *client_actor(void)
{
	const char *user = getenv("USER");
	if (!user || !*user)
		user = getenv("LOGNAME");
	char *header = user && *user ? mem_printf("X-Stoker-Actor: cli:%.100s", user)
				     : mem_printf("X-Stoker-Actor: cli:uid-%u", (unsigned)getuid());
	for (char *c = header; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = '_';
	return header;
}

static bool client_make(struct cli *cli, const char *url, const char *unix_socket, const char *token, struct error *err)
{
	CLEANUP(free_p) char *actor = client_actor();
	struct http_client_options options = {
		.url = url,
		.unix_socket = unix_socket,
		.ca_file = cli->config.ca,
		.token = token,
		.user_agent = "stoker/" STOKER_VERSION,
		.header = actor,
		.peer = "the scheduler",
		.down_hint = CLIENT_DOWN_HINT,
	};
	cli->client = http_client_new(&options, err);
	return cli->client != NULL;
}

/* --url or STOKER_URL: http://…, https://… or unix:/path. */
static bool client_from_config(struct cli *cli, struct error *err)
{
	const struct cli_config *config = &cli->config;
	CLEANUP(free_p) char *token = mem_strdup(config->token);
	if (!token && config->token_file) {
		token = client_read_token(config->token_file, err);
		if (!token)
			return false;
	}
	if (strncmp(config->url, "unix:", 5) != 0)
		return client_make(cli, config->url, NULL, token, err);
	const char *path = config->url + 5;
	if (strncmp(path, "//", 2) == 0)
		path += 2; /* unix:///run/x.sock */
	return client_make(cli, "http://localhost", path, token, err);
}

/* The file that `stoker up` leaves while it runs. */
static bool client_from_state(struct cli *cli, struct error *err)
{
	CLEANUP(free_p) char *dir = cli_dir(cli, err);
	if (!dir)
		return false;
	CLEANUP(free_p) char *path = mem_printf("%s/stoker.json", dir);
	if (access(path, R_OK) != 0 && errno == ENOENT)
		return error_set(err, ERR_UNAVAILABLE, CLIENT_DOWN_HINT,
				 "no scheduler is known: STOKER_URL is not set and nothing runs in %s", dir);
	json_error_t at;
	json_auto_t *state = json_load_file(path, 0, &at);
	const char *unix_socket = json_string_value(json_object_get(state, "socket"));
	const char *token_file = json_string_value(json_object_get(state, "token_file"));
	if (!unix_socket || !token_file)
		return error_set(err, ERR_DAMAGED, "stop `stoker up`, remove the file, start it again",
				 "cannot read %s: %s", path, state ? "socket or token_file is missing" : at.text);
	CLEANUP(free_p) char *token = client_read_token(token_file, err);
	return token && client_make(cli, "http://localhost", unix_socket, token, err);
}

bool client_find(struct cli *cli, struct error *err)
{
	if (cli->client)
		return true;
	return cli->config.url ? client_from_config(cli, err) : client_from_state(cli, err);
}

/* The server's hint names the header; here it is a setting. Answers false. */
static bool client_explain(struct error *err)
{
	if (err->kind == ERR_AUTH)
		str_copy(err->hint, sizeof err->hint, "STOKER_TOKEN, or --token-file FILE, gives the token");
	return false;
}

static bool client_json(struct cli *cli, const struct http_call *call, json_t **answer, struct error *err)
{
	if (!client_find(cli, err))
		return false;
	CLEANUP(http_answer) struct http_answer reply;
	if (!http_client_call(cli->client, call, &reply, err))
		return client_explain(err);
	json_error_t at;
	*answer = json_loadb(buf_text(&reply.body), reply.body.len, JSON_DECODE_ANY, &at);
	if (!*answer)
		return error_set(err, ERR_INTERNAL, "is STOKER_URL that of a stoker scheduler?",
				 "the answer from %s is not JSON: %s", http_client_where(cli->client), at.text);
	return true;
}

bool client_get(struct cli *cli, const char *path, json_t **answer, struct error *err)
{
	struct http_call call = { .path = path };
	return client_json(cli, &call, answer, err);
}

bool client_get_text(struct cli *cli, const char *path, struct buf *into, struct error *err)
{
	struct http_call call = { .path = path };
	CLEANUP(http_answer) struct http_answer reply;
	if (!client_find(cli, err))
		return false;
	if (!http_client_call(cli->client, &call, &reply, err))
		return client_explain(err);
	return buf_add(into, reply.body.data, reply.body.len) ||
	       error_set(err, ERR_INTERNAL, NULL, "the answer of %zu bytes is too long", reply.body.len);
}

bool client_post_text(struct cli *cli, const char *path, const struct client_text *body, json_t **answer,
		      struct error *err)
{
	struct http_call call = {
		.method = "POST",
		.path = path,
		.content_type = body->content_type,
		.body = body->text,
		.body_len = strlen(body->text),
		.header = body->header,
	};
	return client_json(cli, &call, answer, err);
}

bool client_post_data(struct cli *cli, const char *path, const struct client_data *body, json_t **answer,
		      struct error *err)
{
	const struct http_call call = { .method = "POST",
					.path = path,
					.content_type = body->content_type,
					.body = body->data,
					.body_len = body->len,
					.deadline_ms = body->deadline_ms };
	return client_json(cli, &call, answer, err);
}

bool client_post(struct cli *cli, const char *path, const json_t *body, json_t **answer, struct error *err)
{
	CLEANUP(free_p) char *text = body ? json_dumps(body, JSON_COMPACT) : mem_strdup("{}");
	struct client_text json = { .content_type = "application/json", .text = text };
	return client_post_text(cli, path, &json, answer, err);
}

bool client_post_within(struct cli *cli, const char *path, const json_t *body, int64_t deadline_ms, json_t **answer,
			struct error *err)
{
	CLEANUP(free_p) char *text = body ? json_dumps(body, JSON_COMPACT) : mem_strdup("{}");
	const struct http_call call = { .method = "POST",
					.path = path,
					.content_type = "application/json",
					.body = text,
					.body_len = strlen(text),
					.deadline_ms = deadline_ms };
	return client_json(cli, &call, answer, err);
}

bool client_delete(struct cli *cli, const char *path, json_t **answer, struct error *err)
{
	struct http_call call = { .method = "DELETE", .path = path };
	return client_json(cli, &call, answer, err);
}

static bool client_line(void *arg, const char *line, size_t len)
{
	struct client_stream *stream = arg;
	if (!len)
		return true;
	json_auto_t *object = json_read_texts(line, len);
	if (!object)
		object = json_loadb(line, len, 0, NULL);
	/* A line cut by a dying server: the reconnect brings it again. */
	return !object || stream->fn(stream->arg, object);
}

bool client_stream(struct cli *cli, struct client_stream *stream, struct error *err)
{
	if (!client_find(cli, err))
		return false;
	struct http_call call = {
		.path = stream->path,
		.deadline_ms = CLIENT_SILENCE_MS,
		.on_line = client_line,
		.arg = stream,
		.interrupt_fd = stream->interrupt_fd,
	};
	if (stream->body) {
		call.method = "POST";
		call.content_type = stream->body->content_type;
		call.body = stream->body->text;
		call.body_len = strlen(stream->body->text);
		call.header = stream->body->header;
	}
	CLEANUP(http_answer) struct http_answer reply;
	bool ok = http_client_call(cli->client, &call, &reply, err);
	stream->interrupted = reply.interrupted;
	return ok || client_explain(err);
}

bool client_is_worth_waiting(const struct error *err, bool is_first_try)
{
	if (err->kind == ERR_UNKNOWN || err->kind == ERR_TIMEOUT)
		return true;
	return !is_first_try && error_kind_of(err->kind)->can_retry;
}

char *client_job_path(const char *id, const char *tail, struct error *err)
{
	char queue[SPEC_QUEUE_MAX + 1];
	int64_t n;
	if (!spec_split_id(id, queue, &n, err))
		return NULL;
	return mem_printf("/api/v1/jobs/%s%s", id, tail);
}

void client_query(struct buf *path, const char *name, const char *value)
{
	if (!value)
		return;
	buf_byte(path, strchr(buf_text(path), '?') ? '&' : '?');
	buf_printf(path, "%s=", name);
	http_encode(path, value);
}
