#include "scheduler/webhooks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/http_post.h"
#include "lib/log.h"
#include "scheduler/webhook_sign.h"

enum {
	WEBHOOKS_MAX = 64,
	WEBHOOKS_A_TAKE = 32,
	WEBHOOKS_A_TARGET = 4,    /* from then on it is not asked for more */
	WEBHOOKS_LEASE_MS = 5000, /* beyond the timeout of a request */
	WEBHOOKS_TARGET_SIZE = 64
};

LIST_HEAD(webhook_sending_list, webhook_sending);

struct webhooks {
	struct jobs *jobs;
	struct http_poster *poster;
	struct address_ranges allowed;
	int64_t lease_ms;
	struct webhook_sending_list sendings;
	size_t count;
};

/* A delivery from its taking until Redis knows how it ended. */
struct webhook_sending {
	LIST_ENTRY(webhook_sending) entry;
	struct webhooks *webhooks;
	char queue[64];
	char target[WEBHOOKS_TARGET_SIZE];
	char *id;
	int64_t try;
};

struct webhooks_taking {
	struct webhooks *webhooks;
	char queue[64];
	size_t max;
};

/* ---- the end of one ---- */

static void webhook_sending_free(struct webhook_sending *sending)
{
	LIST_REMOVE(sending, entry);
	sending->webhooks->count--;
	free(sending->id);
	free(sending);
}

static void webhook_on_done(void *arg, const char *text, size_t len, const struct error *err)
{
	struct webhook_sending *sending = arg;
	struct webhooks *webhooks = sending->webhooks;
	char queue[64];
	if (!err && len == 4 && memcmp(text, "dead", 4) == 0)
		log_warn("a webhook is given up",
			 "queue=%s delivery=%s tries=%" PRId64 " hint=\"stoker webhooks dead\"", sending->queue,
			 sending->id, sending->try);
	str_copy(queue, sizeof queue, sending->queue);
	webhook_sending_free(sending);
	if (!err) /* else its lease runs out, and it comes again */
		webhooks_look(webhooks, queue);
}

static void webhook_tell(struct webhook_sending *sending, const char *verdict, int status, const char *error)
{
	const struct delivery_end end = {
		.id = sending->id, .try = sending->try, .verdict = verdict, .status = status, .error = error
	};
	log_debug("a webhook was sent", "queue=%s delivery=%s try=%" PRId64 " verdict=%s status=%d error=\"%s\"",
		  sending->queue, sending->id, sending->try, verdict, status, error);
	jobs_webhook_done(sending->webhooks->jobs, sending->queue, &end, webhook_on_done, sending);
}

static void webhook_on_answer(void *arg, const struct http_post_end *end)
{
	struct webhook_sending *sending = arg;
	char text[256];
	if (end->status >= 200 && end->status < 300) {
		webhook_tell(sending, "ok", end->status, "");
	} else if (end->status) {
		str_format(text, sizeof text, "it answered %d%s", end->status,
			   end->status >= 300 && end->status < 400 ? "; redirects are not followed" : "");
		webhook_tell(sending, "failed", end->status, text);
	} else if (end->is_refused) {
		str_format(text, sizeof text, "%s | stoker-scheduler --webhook-allow lets it be called", end->reason);
		webhook_tell(sending, "refused", 0, text);
	} else {
		webhook_tell(sending, "failed", 0, end->reason);
	}
}

/* ---- the beginning of one ---- */

static void webhook_send(struct webhooks *webhooks, const char *queue, const struct delivery *delivery)
{
	struct webhook_sending *sending = mem_alloc(sizeof *sending);
	const struct webhook_message message = { .id = delivery->message,
						 .time_s = clock_wall_ms() / 1000,
						 .body = delivery->body,
						 .len = delivery->body_len };
	char signature[WEBHOOK_SIGNATURE_MAX];
	struct error err;
	sending->webhooks = webhooks;
	sending->id = mem_strdup(delivery->id);
	sending->try = delivery->try;
	str_copy(sending->queue, sizeof sending->queue, queue);
	str_copy(sending->target, sizeof sending->target, delivery->target);
	LIST_INSERT_HEAD(&webhooks->sendings, sending, entry);
	webhooks->count++;
	webhook_sign(delivery->secret, &message, signature);
	CLEANUP(free_p) char *id = mem_printf("webhook-id: %s", message.id);
	CLEANUP(free_p) char *time = mem_printf("webhook-timestamp: %" PRId64, message.time_s);
	CLEANUP(free_p) char *sign = mem_printf("webhook-signature: %s", signature);
	const char *const headers[] = { "Content-Type: application/json", id, time, sign, NULL };
	const struct http_post post = {
		.url = delivery->url, .headers = headers, .body = delivery->body, .len = delivery->body_len
	};
	if (!http_poster_send(webhooks->poster, &post, webhook_on_answer, sending, &err))
		webhook_tell(sending, "failed", 0, err.message);
}

static void webhooks_on_taken(void *arg, const struct delivery *deliveries, size_t count, const struct error *err)
{
	struct webhooks_taking *taking = arg;
	struct webhooks *webhooks = taking->webhooks;
	if (err && err->kind != ERR_UNAVAILABLE && err->kind != ERR_UNKNOWN && err->kind != ERR_NOT_FOUND)
		log_failure(LOG_ERROR, "cannot take deliveries of webhooks", err);
	for (size_t i = 0; i < count; i++)
		webhook_send(webhooks, taking->queue, &deliveries[i]);
	if (count > 0 && count == taking->max)
		webhooks_look(webhooks, taking->queue);
	free(taking);
}

/* The targets of this queue that have their share; at most one for each sending. */
static size_t webhooks_busy(const struct webhooks *webhooks, const char *queue, const char *busy[WEBHOOKS_MAX])
{
	const struct webhook_sending *one, *other;
	size_t count = 0;
	LIST_FOREACH(one, &webhooks->sendings, entry)
	{
		size_t share = 0, known = 0;
		if (strcmp(one->queue, queue) != 0)
			continue;
		LIST_FOREACH(other, &webhooks->sendings, entry)
		share += strcmp(one->target, other->target) == 0 && strcmp(other->queue, queue) == 0;
		for (size_t i = 0; i < count; i++)
			known += strcmp(busy[i], one->target) == 0;
		if (share >= WEBHOOKS_A_TARGET && !known && count < WEBHOOKS_MAX)
			busy[count++] = one->target;
	}
	return count;
}

void webhooks_look(struct webhooks *webhooks, const char *queue)
{
	const char *busy[WEBHOOKS_MAX];
	size_t room = webhooks->count < WEBHOOKS_MAX ? WEBHOOKS_MAX - webhooks->count : 0;
	if (room == 0)
		return; /* whichever ends looks again */
	struct webhooks_taking *taking = mem_alloc(sizeof *taking);
	taking->webhooks = webhooks;
	taking->max = room < WEBHOOKS_A_TAKE ? room : WEBHOOKS_A_TAKE;
	str_copy(taking->queue, sizeof taking->queue, queue);
	const struct delivery_request request = { .queue = taking->queue,
						  .max = (int)taking->max,
						  .lease_ms = webhooks->lease_ms,
						  .busy = busy,
						  .busy_count = webhooks_busy(webhooks, queue, busy) };
	jobs_webhook_take(webhooks->jobs, &request, webhooks_on_taken, taking);
}

/* ---- all of them ---- */

struct webhooks *webhooks_new(const struct webhooks_options *options, struct error *err)
{
	struct webhooks *webhooks = mem_alloc(sizeof *webhooks);
	webhooks->jobs = options->jobs;
	webhooks->lease_ms = options->timeout_ms + WEBHOOKS_LEASE_MS;
	LIST_INIT(&webhooks->sendings);
	if (!address_ranges_parse(options->allow, &webhooks->allowed, err)) {
		error_wrap(err, "webhook-allow");
		free(webhooks);
		return NULL;
	}
	const struct http_poster_options poster = { .base = options->base,
						    .allowed = &webhooks->allowed,
						    .ca_file = options->ca_file,
						    .user_agent = "stoker/" STOKER_VERSION,
						    .timeout_ms = options->timeout_ms };
	webhooks->poster = http_poster_new(&poster);
	return webhooks;
}

void webhooks_free(struct webhooks *webhooks)
{
	if (!webhooks)
		return;
	http_poster_free(webhooks->poster);
	for (struct webhook_sending *one = LIST_FIRST(&webhooks->sendings), *next; one; one = next) {
		next = LIST_NEXT(one, entry);
		webhook_sending_free(one);
	}
	address_ranges_done(&webhooks->allowed);
	free(webhooks);
}
