#include "cli/queue_limits.h"

#include <inttypes.h>
#include <string.h>
#include "cli/client.h"
#include "lib/config.h"
#include "lib/fields.h"
#include "queue/spec.h"

char *queue_limits_path(const char *queue, const char *verb, struct error *err)
{
	if (spec_is_queue(queue))
		return mem_printf("/api/v1/queues/%s/%s", queue, verb);
	error_set(err, ERR_INPUT, NULL, "a queue's name is [a-z0-9][a-z0-9-]{0,62}");
	return NULL;
}

/* "100/1m" into 100 and 60000. */
static bool queue_limits_rate(const char *text, int64_t *max, int64_t *per_ms, struct error *err)
{
	char count[24];
	size_t len = strcspn(text, "/");
	bool ok = str_format(count, sizeof count, "%.*s", (int)len, text) && config_parse_int(count, max) && *max >= 0;
	*per_ms = 1000;
	if (ok && text[len] == '/')
		ok = config_parse_duration(text + len + 1, per_ms) && *per_ms > 0;
	return ok || error_set(err, ERR_INPUT, "--rate 100/1m, or --rate 0 for none",
			       "--rate: expected a count, a slash and a time, got \"%s\"", text);
}

static bool queue_limits_post(struct cli *cli, const char *path, json_t *body, struct error *err)
{
	json_auto_t *answer = NULL;
	bool ok = client_post(cli, path, body, &answer, err);
	json_decref(body);
	if (ok && cli->common.json)
		cli_print_json(answer);
	return ok;
}

static bool queue_limits_count(const char *option, const char *text, int64_t *count, struct error *err)
{
	return !text || (config_parse_int(text, count) && *count >= 0) ||
	       error_set(err, ERR_INPUT, NULL, "%s: expected an integer from 0, got \"%s\"", option, text);
}

bool queue_limits_set(struct cli *cli, const char *queue, const struct queue_limits_options *o, struct error *err)
{
	int64_t running = 0, recovering = 0, max = 0, per_ms = 0;
	CLEANUP(free_p) char *path = queue_limits_path(queue, "limits", err);
	if (!path)
		return false;
	if (!o->max_running && !o->max_recovering && !o->rate && !o->preempt)
		return error_set(err, ERR_INPUT, "stoker queues limit gpu --max-running 8",
				 "expected --max-running, --max-recovering, --rate or --preempt");
	if (o->preempt && strcmp(o->preempt, "on") != 0 && strcmp(o->preempt, "off") != 0)
		return error_set(err, ERR_INPUT, NULL, "--preempt: expected on or off, got \"%s\"", o->preempt);
	if (!queue_limits_count("--max-running", o->max_running, &running, err) ||
	    !queue_limits_count("--max-recovering", o->max_recovering, &recovering, err) ||
	    (o->rate && !queue_limits_rate(o->rate, &max, &per_ms, err)))
		return false;
	json_t *body = json_object();
	if (o->max_running)
		json_object_set_new(body, "max_running", json_integer(running));
	if (o->max_recovering)
		json_object_set_new(body, "max_recovering", json_integer(recovering));
	if (o->rate) {
		json_object_set_new(body, "rate_max", json_integer(max));
		json_object_set_new(body, "rate_per_ms", json_integer(per_ms));
	}
	if (o->preempt)
		json_object_set_new(body, "preempt", json_boolean(strcmp(o->preempt, "on") == 0));
	return queue_limits_post(cli, path, body, err);
}

bool queue_limits_share(struct cli *cli, const char *queue, const char *tenant, const char *weight, struct error *err)
{
	char *end;
	double value = strtod(weight, &end);
	CLEANUP(free_p) char *path = queue_limits_path(queue, "shares", err);
	if (!path)
		return false;
	if (end == weight || *end)
		return error_set(err, ERR_INPUT, "stoker queues share gpu ada 2",
				 "expected a weight, a number, got \"%s\"", weight);
	json_t *body = json_pack("{s:s, s:f}", "tenant", tenant, "weight", value);
	if (!body)
		return error_set(err, ERR_INPUT, NULL, "the tenant is not UTF-8, or the weight not finite");
	return queue_limits_post(cli, path, body, err);
}

void queue_limits_text(const json_t *queue, char *into, size_t size)
{
	char per[CONFIG_VALUE_MAX], most[40] = "", rate[80] = "";
	int64_t max_running = fields_int(queue, "max_running", 0), rate_max = fields_int(queue, "rate_max", 0);
	if (max_running > 0)
		str_format(most, sizeof most, "at most %" PRId64 " at once", max_running);
	config_format_duration(fields_int(queue, "rate_per_ms", 0), per);
	if (rate_max > 0)
		str_format(rate, sizeof rate, "%s%" PRId64 " in %s", *most ? ", " : "at most ", rate_max, per);
	const char *preempts = !fields_int(queue, "preempt", 0) ? "" : *most || *rate ? ", preempts" : "preempts";
	str_format(into, size, "%s%s%s", most, rate, preempts);
}
