/* Recurring jobs. What FCALL checks only by its form, the cron expression and the zone, is read here in full. */
#include <string.h>
#include <time.h>
#include "lib/buf.h"
#include "lib/fields.h"
#include "queue/schedule.h"
#include "queue/spec.h"
#include "scheduler/api_gather.h"

enum { SCHEDULE_NEXT = 5, SCHEDULE_NEXT_MAX = 100 };

/* ---- when it is due next ---- */

/* "2026-11-26T03:00:00+01:00": as a clock in the zone of the schedule shows it; "" when that is not known. */
static void api_schedule_local(const struct schedule_rule *rule, int64_t due_ms, char *into, size_t size)
{
	struct zone_view view = { .spans = { { 0, 0 } } };
	struct error ignored;
	struct tm parts;
	char time[32];
	into[0] = '\0';
	if (rule->is_cron && !zone_look(&rule->zone, due_ms / 1000, due_ms / 1000 + 1, &view, &ignored))
		return;
	int64_t offset_s = view.spans[0].offset_s, size_s = offset_s < 0 ? -offset_s : offset_s;
	time_t local_s = (time_t)(due_ms / 1000 + offset_s);
	gmtime_r(&local_s, &parts);
	strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", &parts);
	str_format(into, size, "%s%c%02d:%02d", time, offset_s < 0 ? '-' : '+', (int)(size_s / 3600),
		   (int)(size_s / 60 % 60));
}

/* "next": so many due times after now. None where it is paused, or not understood. */
static json_t *api_schedule_next(const json_t *schedule, int64_t now_ms, int64_t count)
{
	const struct schedule_text text = { .cron = fields_text(schedule, "cron"),
					    .zone = fields_text(schedule, "zone"),
					    .every_ms = fields_int(schedule, "every_ms", 0),
					    .anchor_ms = fields_int(schedule, "anchor_ms", 0) };
	struct schedule_rule rule;
	struct error ignored;
	json_t *list = json_array();
	bool is_off = *fields_text(schedule, "paused_ms") || *fields_text(schedule, "error");
	if (is_off || !schedule_rule_read(&text, &rule, &ignored))
		return list;
	int64_t at_ms = now_ms;
	for (int64_t i = 0; i < count && schedule_rule_next(&rule, at_ms, &at_ms, &ignored); i++) {
		char local[48];
		api_schedule_local(&rule, at_ms, local, sizeof local);
		json_array_append_new(list, json_pack("{s:I, s:s}", "due_ms", (json_int_t)at_ms, "local", local));
	}
	return list;
}

/* ---- making and changing one ---- */

static void api_send_schedule(struct api_call *call);

static void api_on_scheduled_shown(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_auto_t *show = api_parse(call, text, len, err);
	if (!show)
		return;
	const json_t *schedule = json_object_get(show, "schedule");
	json_t *next = api_schedule_next(schedule, fields_int(show, "now_ms", 0), SCHEDULE_NEXT);
	bool is_new = strcmp(call->key, "created") == 0;
	if (is_new)
		http_reply_location(call->reply, "/api/v1/schedules/%s?queue=%s", call->name, call->queue);
	api_answer(call, is_new ? 201 : 200,
		   json_pack("{s:s, s:s, s:s, s:o}", "name", call->name, "queue", call->queue, "result", call->key,
			     "next", next));
}

static void api_on_scheduled(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (api_makes_queue(call, err, api_send_schedule) || !api_went_well(call, err))
		return;
	str_format(call->key, sizeof call->key, "%.*s", (int)len, text);
	jobs_schedule_show(call->scheduler->jobs, call->queue, call->name, api_on_scheduled_shown, call);
}

static void api_send_schedule(struct api_call *call)
{
	jobs_schedule(call->scheduler->jobs, call->queue, call->spec, call->actor, api_on_scheduled, call);
}

static bool api_schedule_check(struct api_call *call, struct error *err)
{
	CLEANUP(spec) struct spec spec = { 0 };
	struct schedule_rule rule;
	int64_t next_ms;
	if (!spec_from_json(call->spec, strlen(call->spec), &spec, err))
		return false;
	if (!spec.schedule.name)
		return error_set(err, ERR_INPUT,
				 "for example schedule: {name: nightly, cron: \"0 3 * * *\", zone: Europe/Berlin}",
				 "schedule: required: its name, and when it is due");
	const struct schedule_text text = { .cron = spec.schedule.cron,
					    .zone = spec.schedule.zone,
					    .every_ms = spec.schedule.every_ms };
	str_copy(call->name, sizeof call->name, spec.schedule.name);
	return schedule_rule_read(&text, &rule, err) && schedule_rule_next(&rule, 0, &next_ms, err);
}

void api_schedule(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	if (api_read_spec(call, request, &err) && api_schedule_check(call, &err))
		api_send_schedule(call);
	else
		api_refuse(call, &err);
}

/* ---- one of them ---- */

/* The {name} of the path, in the queue that is asked for. NULL: refused and answered. */
static struct api_call *api_schedule_call(struct scheduler *s, const struct http_request *request,
					  struct http_reply *reply)
{
	struct error err;
	const char *queue = http_request_query(request, "queue");
	struct api_call *call = api_call_new(s, request, reply);
	if (!call)
		return NULL;
	/* A name that does not fit is none that there is: the function says so. */
	if (!str_copy(call->name, sizeof call->name, request->segment))
		str_copy(call->name, sizeof call->name, "?");
	if (api_queue(call, queue && *queue ? queue : "default", &err))
		return call;
	api_refuse(call, &err);
	return NULL;
}

static void api_on_schedule_shown(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_t *show = api_parse(call, text, len, err);
	if (!show)
		return;
	json_object_set_new(
		show, "next",
		api_schedule_next(json_object_get(show, "schedule"), fields_int(show, "now_ms", 0), call->limit));
	api_answer(call, 200, show);
}

void api_show_schedule(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	struct api_call *call = api_schedule_call(arg, request, reply);
	if (!call)
		return;
	if (api_limit(call, request, SCHEDULE_NEXT, SCHEDULE_NEXT_MAX, &err))
		jobs_schedule_show(call->scheduler->jobs, call->queue, call->name, api_on_schedule_shown, call);
	else
		api_refuse(call, &err);
}

static void api_on_schedule_changed(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (api_went_well(call, err))
		api_answer(
			call, 200,
			json_pack("{s:s, s:s, s:s%}", "name", call->name, "queue", call->queue, "result", text, len));
}

void api_unschedule(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_schedule_call(arg, request, reply);
	if (call)
		jobs_unschedule(call->scheduler->jobs, call->queue, call->name, call->actor, api_on_schedule_changed,
				call);
}

static void api_change_schedule(void *arg, const struct http_request *request, struct http_reply *reply, bool is_pause)
{
	struct api_call *call = api_schedule_call(arg, request, reply);
	if (call)
		jobs_schedule_pause(call->scheduler->jobs, call->queue, call->name, is_pause, call->actor,
				    api_on_schedule_changed, call);
}

void api_pause_schedule(void *arg, const struct http_request *request, struct http_reply *reply)
{
	api_change_schedule(arg, request, reply, true);
}

void api_resume_schedule(void *arg, const struct http_request *request, struct http_reply *reply)
{
	api_change_schedule(arg, request, reply, false);
}

/* ---- all of them ---- */

static void api_schedules_ask(struct api_call *call, const char *queue, size_t which, jobs_text_fn *fn, void *arg)
{
	(void)which;
	jobs_schedules(call->scheduler->jobs, queue, fn, arg);
}

static void api_schedules_answer(struct api_call *call, const struct gathered *all, size_t count)
{
	json_t *schedules = json_array();
	for (size_t i = 0; i < count; i++) {
		size_t row;
		json_t *schedule;
		json_array_foreach(json_object_get(all[i].answers[0], "schedules"), row, schedule)
		{
			json_object_set_new(schedule, "queue", json_string(all[i].queue));
			json_array_append(schedules, schedule);
		}
	}
	api_answer(call, 200, json_pack("{s:o}", "schedules", schedules));
}

void api_schedules(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const struct api_gather_options options = { 1, api_schedules_ask, api_schedules_answer };
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	if (api_queue(call, http_request_query(request, "queue"), &err))
		api_gather(call, &options);
	else
		api_refuse(call, &err);
}
