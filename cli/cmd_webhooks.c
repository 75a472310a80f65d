/* stoker webhooks: who is told over HTTP of what happens to jobs, and what could not be delivered. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "lib/fields.h"

enum { WEBHOOKS_TEST_MS = 15000, WEBHOOKS_TEST_EVERY_MS = 100 };

struct webhooks_options {
	const char *queue;
	const char *on;
	const char *secret_file;
};

typedef bool webhooks_verb_fn(struct cli *cli, const struct webhooks_options *options, const char *word,
			      struct error *err);

/* "/api/v1/webhooks/<id>/test?queue=q"; word and tail may be "". To be freed. */
static char *webhooks_path(const struct webhooks_options *options, const char *what, const char *word, const char *tail)
{
	CLEANUP(buf) struct buf path;
	buf_init(&path, 4096);
	buf_printf(&path, "/api/v1/%s", what);
	if (*word) {
		buf_byte(&path, '/');
		http_encode(&path, word);
	}
	buf_str(&path, tail);
	client_query(&path, "queue", options->queue);
	return mem_strdup(buf_text(&path));
}

/* ---- list ---- */

static char *webhooks_events(const json_t *webhook)
{
	CLEANUP(buf) struct buf text;
	size_t i;
	json_t *name;
	buf_init(&text, 4096);
	json_array_foreach(json_object_get(webhook, "on"), i, name)
		buf_printf(&text, "%s%s", i ? "," : "", json_string_value(name));
	return mem_strdup(buf_text(&text));
}

static void webhooks_row(struct table *table, const json_t *one)
{
	CLEANUP(free_p) char *events = webhooks_events(one);
	table_add(table, fields_text(one, "id"));
	table_add(table, fields_text(one, "waiting"));
	table_add(table, events);
	table_add(table, fields_text(one, "url"));
}

static bool webhooks_list(struct cli *cli, const struct webhooks_options *options, const char *word, struct error *err)
{
	static const char *const titles[] = { "ID", "WAITING", "ON", "URL" };
	CLEANUP(free_p) char *path = webhooks_path(options, "webhooks", "", "");
	const struct listing listing = {
		.path = path,
		.member = "webhooks",
		.titles = titles,
		.columns = ARRAY_LEN(titles),
		.row = webhooks_row,
	};
	json_auto_t *shown = NULL;
	(void)word;
	if (!listing_print(cli, &listing, &shown, err))
		return false;
	long long dead = (long long)fields_int(shown, "dead", 0);
	if (dead)
		fprintf(stderr, "  hint: %lld deliveries were given up: stoker webhooks dead\n", dead);
	return true;
}

/* ---- add, secret ---- */

/* The first line of the file: never an argument, which others on this machine can see. */
static bool webhooks_read_secret(const char *path, json_t *body, struct error *err)
{
	char text[512];
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (len < 0)
		return error_errno(err, ERR_INPUT, "(umask 077; openssl rand -hex 24 > secret)",
				   "cannot read the secret in %s", path);
	text[len] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	if (json_object_set_new(body, "secret", json_string(text)) != 0)
		return error_set(err, ERR_INPUT, NULL, "the secret in %s is no UTF-8 text", path);
	return true;
}

static void webhooks_print_secret(const json_t *answer)
{
	const char *secret = fields_text(answer, "secret");
	if (!*secret)
		return;
	printf("secret  %s\n", secret);
	fprintf(stderr, "  hint: this is shown once; the receiver needs it to check webhook-signature\n");
}

static bool webhooks_add(struct cli *cli, const struct webhooks_options *options, const char *url, struct error *err)
{
	json_auto_t *body = json_pack("{s:s, s:s*}", "url", url, "queue", options->queue);
	json_auto_t *answer = NULL;
	if (!body)
		return error_set(err, ERR_INPUT, NULL, "a URL is printable ASCII");
	if (options->on) {
		json_t *on = json_array();
		for (const char *at = options->on; *at; at += *at == ',') {
			size_t len = strcspn(at, ",");
			json_array_append_new(on, json_stringn(at, len));
			at += len;
		}
		json_object_set_new(body, "on", on);
	}
	if (options->secret_file && !webhooks_read_secret(options->secret_file, body, err))
		return false;
	if (!client_post(cli, "/api/v1/webhooks", body, &answer, err))
		return false;
	if (cli->common.json) {
		cli_print_json(answer);
		return true;
	}
	puts(fields_text(answer, "id"));
	webhooks_print_secret(answer);
	return true;
}

static bool webhooks_secret(struct cli *cli, const struct webhooks_options *options, const char *word,
			    struct error *err)
{
	json_auto_t *body = json_pack("{s:s*}", "queue", options->queue);
	json_auto_t *answer = NULL;
	(void)word;
	if (options->secret_file && !webhooks_read_secret(options->secret_file, body, err))
		return false;
	if (!client_post(cli, "/api/v1/webhook-secret", body, &answer, err))
		return false;
	if (cli->common.json)
		cli_print_json(answer);
	else
		webhooks_print_secret(answer);
	return true;
}

static bool webhooks_remove(struct cli *cli, const struct webhooks_options *options, const char *id, struct error *err)
{
	CLEANUP(free_p) char *path = webhooks_path(options, "webhooks", id, "/remove");
	json_auto_t *answer = NULL;
	if (!client_post(cli, path, NULL, &answer, err))
		return false;
	if (cli->common.json)
		cli_print_json(answer);
	return true;
}

/* ---- test ---- */

/* Waits until it is delivered or has failed once. */
static bool webhooks_wait(struct cli *cli, const char *path, bool *is_delivered, json_t **record, struct error *err)
{
	for (int ms = 0; ms < WEBHOOKS_TEST_MS; ms += WEBHOOKS_TEST_EVERY_MS) {
		json_decref(*record);
		*record = NULL;
		if (!client_get(cli, path, record, err)) {
			*is_delivered = err->kind == ERR_NOT_FOUND; /* what was delivered is forgotten */
			return *is_delivered;
		}
		if (*fields_text(*record, "error"))
			return true;
		usleep(WEBHOOKS_TEST_EVERY_MS * 1000);
	}
	return true;
}

static bool webhooks_test(struct cli *cli, const struct webhooks_options *options, const char *id, struct error *err)
{
	CLEANUP(free_p) char *path = webhooks_path(options, "webhooks", id, "/test");
	json_auto_t *answer = NULL;
	json_auto_t *record = NULL;
	bool is_delivered = false;
	if (!client_post(cli, path, NULL, &answer, err))
		return false;
	const char *delivery = fields_text(answer, "delivery");
	CLEANUP(free_p) char *look = webhooks_path(options, "deliveries", delivery, "");
	if (!webhooks_wait(cli, look, &is_delivered, &record, err))
		return false;
	if (cli->common.json)
		cli_print_json(record ? record : answer);
	else if (is_delivered)
		puts("delivered");
	if (is_delivered)
		return true;
	const char *why = fields_text(record, "error");
	return error_set(err, ERR_UNAVAILABLE, "it is tried again; stoker webhooks dead lists what was given up",
			 "delivery %s to webhook %s: %s", delivery, id, *why ? why : "no answer yet");
}

/* ---- what was given up ---- */

static void webhooks_dead_row(struct table *table, const json_t *one)
{
	const char *job = fields_text(one, "job");
	table_add(table, fields_text(one, "delivery"));
	table_add(table, fields_text(one, "tries"));
	table_add(table, fields_text(one, "event"));
	table_add(table, *job ? job : fields_text(one, "batch"));
	table_add(table, fields_text(one, "error"));
}

static bool webhooks_dead(struct cli *cli, const struct webhooks_options *options, const char *word, struct error *err)
{
	static const char *const titles[] = { "DELIVERY", "TRIES", "EVENT", "ABOUT", "ERROR" };
	CLEANUP(free_p) char *path = webhooks_path(options, "deliveries", "", "");
	const struct listing listing = {
		.path = path,
		.member = "deliveries",
		.titles = titles,
		.columns = ARRAY_LEN(titles),
		.row = webhooks_dead_row,
	};
	json_auto_t *shown = NULL;
	(void)word;
	if (!listing_print(cli, &listing, &shown, err))
		return false;
	if (*fields_text(shown, "cursor"))
		fprintf(stderr, "  hint: these are the newest; --json and the HTTP API's cursor have the rest\n");
	return true;
}

static bool webhooks_resend(struct cli *cli, const struct webhooks_options *options, const char *id, struct error *err)
{
	CLEANUP(free_p) char *path = webhooks_path(options, "deliveries", id, "/resend");
	json_int_t total = 0, left = 1;
	/* "all" goes a hundred at a time. */
	while (left > 0) {
		json_auto_t *answer = NULL;
		if (!client_post(cli, path, NULL, &answer, err))
			return false;
		json_int_t count = fields_int(answer, "count", 0);
		left = strcmp(id, "all") == 0 ? fields_int(answer, "dead", 0) : 0;
		total += count;
		if (count == 0)
			break;
	}
	json_auto_t *sum = json_pack("{s:I}", "count", total);
	if (cli->common.json)
		cli_print_json(sum);
	else
		printf("%lld to be sent again\n", (long long)total);
	return true;
}

/* ---- the command ---- */

static const struct {
	const char *name;
	size_t words;
	webhooks_verb_fn *run;
} webhooks_verbs[] = {
	{ "list", 0, webhooks_list },     { "add", 1, webhooks_add },   { "rm", 1, webhooks_remove },
	{ "test", 1, webhooks_test },     { "dead", 0, webhooks_dead }, { "resend", 1, webhooks_resend },
	{ "secret", 0, webhooks_secret },
};

static bool webhooks_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const char *verb = words->count ? words->items[0] : "list";
	size_t given = words->count ? words->count - 1 : 0;
	for (size_t i = 0; i < ARRAY_LEN(webhooks_verbs); i++)
		if (strcmp(webhooks_verbs[i].name, verb) == 0 && webhooks_verbs[i].words == given)
			return webhooks_verbs[i].run(cli, options, given ? words->items[1] : "", err);
	return error_set(err, ERR_INPUT, "stoker webhooks add https://example.org/hook --on job.failed",
			 "expected list, add URL, rm ID, test ID, dead, resend DELIVERY or all, or secret");
}

static const struct arg_row webhooks_rows[] = {
	{ "queue", 'q', ARG_TEXT, offsetof(struct webhooks_options, queue), "QUEUE", "default: default", 0 },
	{ "on", 0, ARG_TEXT, offsetof(struct webhooks_options, on), "EVENTS",
	  "add: job.failed,recovery.*,…; default: the ends of jobs", 0 },
	{ "secret-file", 0, ARG_TEXT, offsetof(struct webhooks_options, secret_file), "FILE",
	  "add, secret: sign with this one; else one is made and shown", 0 },
};

const struct command cmd_webhooks = {
	.name = "webhooks",
	.usage = "[list | add URL | rm ID | test ID | dead | resend DELIVERY | secret]",
	.summary = "tells others over HTTP what happens to jobs",
	.text = "Deliveries are signed (webhook-id, webhook-timestamp, webhook-signature: docs/protocol.md) and "
		"repeated\n"
		"for about an hour; `dead` lists those that were given up, `resend all` sends all of them again. "
		"`secret`\n"
		"makes the one that signs what jobs ask for in their own specs (webhook.url).",
	.options = CLI_ROWS(webhooks_rows),
	.options_size = sizeof(struct webhooks_options),
	.words_max = 2,
	.run = webhooks_run,
};
