/*
 * One action on every job of a queue that a filter finds: page after page of the
 * indexes, and for each page one call that does it to what fits. Nothing is scanned
 * inside a function, and a page that was done is never done again.
 *
 * States are walked in the order in which jobs go through them, so that one that
 * moves on meanwhile is met again. A job that is not what was listed any more when
 * its turn comes is left alone.
 */
#include <fnmatch.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/config.h"
#include "lib/fields.h"
#include "queue/spec.h"
#include "scheduler/api.h"

enum {
	EACH_PAGE = JOBS_EACH_MAX,
	EACH_PAGES_MAX = 100, /* a request: then it answers with a cursor */
	EACH_STATES = 4,      /* the last one is NULL */
};

struct each_action {
	const char *name;
	const char *states[EACH_STATES]; /* what it can be done to, and in which order */
	bool skips_held;                 /* of those that wait */
	bool names_attempt;
};

static const struct each_action each_actions[] = {
	{ "cancel", { "waiting", "queued", "running" }, .skips_held = false, .names_attempt = false },
	{ "retry", { "failed", "cancelled" }, .skips_held = true, .names_attempt = true },
	{ "hold", { "waiting", "queued" }, .skips_held = true, .names_attempt = false },
	{ "release", { "held" }, .skips_held = false, .names_attempt = false },
	{ "update", { "waiting", "queued" }, .skips_held = false, .names_attempt = false },
	{ "remove", { "succeeded", "failed", "cancelled" }, .skips_held = false, .names_attempt = false },
};

struct each {
	struct api_call *call;
	const struct each_action *action;
	const char *states[EACH_STATES];     /* those that are walked; NULL behind the last */
	size_t at;                           /* the state that is walked now */
	char *cursor;                        /* within it; "" at its start */
	const char *name, *experiment, *tag; /* patterns; "": any. Of the call's body */
	int64_t older_ms;                    /* -1: of any age */
	int64_t limit;                       /* 0: none */
	bool is_dry_run;
	char *extra; /* reason, or changes; NULL: none */
	size_t pages;
	json_t *page; /* those of the page that fit */
	json_t *jobs; /* the answer */
	int64_t done, refused;
};

static void each_free(struct each *each)
{
	json_decref(each->page);
	json_decref(each->jobs);
	free(each->cursor);
	free(each->extra);
	free(each);
}

static void each_next(struct each *each);

static void each_end(struct each *each, const struct error *err)
{
	struct api_call *call = each->call;
	bool is_over = !each->states[each->at];
	CLEANUP(free_p)
	char *cursor = is_over ? mem_strdup("") : mem_printf("%s/%s", each->states[each->at], each->cursor);
	json_t *answer = json_pack("{s:s, s:b, s:O, s:I, s:I, s:s}", "action", each->action->name, "dry_run",
				   each->is_dry_run, "jobs", each->jobs, "done", (json_int_t)each->done, "refused",
				   (json_int_t)each->refused, "cursor", cursor);
	each_free(each);
	if (err) {
		json_decref(answer);
		api_refuse(call, err);
	} else {
		api_answer(call, 200, answer);
	}
}

/* ---- what fits ---- */

static bool each_fits(const struct each *each, const json_t *job, int64_t now_ms)
{
	bool is_held = fields_is(job, "reason", "held");
	int64_t since_ms = fields_int(job, "ended_ms", fields_int(job, "submitted_ms", now_ms));
	if (strcmp(each->states[each->at], "held") == 0 ? !is_held : is_held && each->action->skips_held)
		return false;
	if (*each->name && fnmatch(each->name, fields_text(job, "name"), 0) != 0)
		return false;
	if (*each->experiment && fnmatch(each->experiment, fields_text(job, "experiment"), 0) != 0)
		return false;
	if (*each->tag && !api_has_tag(job, each->tag))
		return false;
	return each->older_ms < 0 || now_ms - since_ms >= each->older_ms;
}

static bool each_is_enough(const struct each *each)
{
	return each->limit > 0 && (int64_t)json_array_size(each->jobs) >= each->limit;
}

/* ---- one page ---- */

static void each_add(struct each *each, const char *id, const char *state, const struct error *err)
{
	json_t *row = json_pack("{s:s}", "id", id);
	if (err)
		json_object_set_new(row, "error", json_string(err->message));
	else
		json_object_set_new(row, strcmp(each->action->name, "retry") == 0 && !each->is_dry_run ? "as" : "state",
				    json_string(state));
	json_array_append_new(each->jobs, row);
	each->done += !err;
	each->refused += err != NULL;
}

static void each_on_done(void *arg, const struct jobs_each_answer *answers, size_t count, const struct error *err)
{
	struct each *each = arg;
	if (err) {
		each_end(each, err);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const char *id = fields_text(json_array_get(each->page, i), "id");
		if (answers[i].outcome == EACH_SKIPPED)
			continue;
		each_add(each, id, answers[i].text, answers[i].outcome == EACH_REFUSED ? &answers[i].err : NULL);
	}
	each_next(each);
}

static void each_do(struct each *each)
{
	struct jobs_each_one all[EACH_PAGE];
	size_t i;
	json_t *job;
	char queue[SPEC_QUEUE_MAX + 1];
	struct error err;
	json_array_foreach(each->page, i, job)
	{
		all[i].attempt = each->action->names_attempt ? fields_int(job, "attempt", 0) : -1;
		if (!spec_split_id(fields_text(job, "id"), queue, &all[i].n, &err)) {
			each_end(each, &err);
			return;
		}
	}
	struct jobs_each request = { .queue = each->call->queue,
				     .action = each->action->name,
				     .states = each->states[each->at],
				     .actor = each->call->actor,
				     .extra = each->extra,
				     .all = all,
				     .count = i };
	jobs_each(each->call->scheduler->jobs, &request, each_on_done, each);
}

static void each_on_page(void *arg, const char *text, size_t len, const struct error *err)
{
	struct each *each = arg;
	struct error bad;
	json_auto_t *page = err ? NULL : fields_parse(text, len);
	if (!err && !page) {
		error_set(&bad, ERR_INTERNAL, NULL, "the function library answered no JSON");
		err = &bad;
	}
	if (err) {
		each_end(each, err);
		return;
	}
	size_t i;
	json_t *job;
	int64_t now_ms = fields_int(page, "now_ms", 0);
	json_array_clear(each->page);
	json_array_foreach(json_object_get(page, "jobs"), i, job)
	{
		bool is_room = !each->limit ||
			       (int64_t)(json_array_size(each->jobs) + json_array_size(each->page)) < each->limit;
		if (is_room && each_fits(each, job, now_ms))
			json_array_append(each->page, job);
	}
	free(each->cursor);
	each->cursor = mem_strdup(fields_text(page, "cursor"));
	if (json_array_size(each->page) > 0 && !each->is_dry_run) {
		each_do(each);
		return;
	}
	json_array_foreach(each->page, i, job) each_add(each, fields_text(job, "id"), fields_text(job, "state"), NULL);
	each_next(each);
}

static void each_ask(struct each *each)
{
	const char *state = each->states[each->at];
	/* By the due time: pages of what waits are as cheap as those of the rest then. */
	bool is_waiting = strcmp(state, "held") == 0 || strcmp(state, "waiting") == 0;
	each->pages++;
	jobs_list(each->call->scheduler->jobs, each->call->queue, is_waiting ? "due" : state, EACH_PAGE, each->cursor,
		  each_on_page, each);
}

static void each_next(struct each *each)
{
	if (!*each->cursor)
		each->at++;
	if (!each->states[each->at] || each_is_enough(each) || each->pages == EACH_PAGES_MAX) {
		if (each_is_enough(each)) /* what was left out is the next request's */
			while (each->states[each->at])
				each->at++;
		each_end(each, NULL);
		return;
	}
	each_ask(each);
}

/* ---- the request ---- */

static bool each_read_action(struct each *each, const char *name, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(each_actions) && !each->action; i++)
		if (strcmp(each_actions[i].name, name) == 0)
			each->action = &each_actions[i];
	return each->action ||
	       error_set(err, ERR_INPUT, NULL,
			 "action: expected cancel, retry, hold, release, update or remove, got \"%.40s\"", name);
}

static bool each_has_waiting(const struct each_action *action)
{
	return action->states[0] && strcmp(action->states[0], "waiting") == 0;
}

/* How often the list of names has this one. */
static size_t each_count_name(const char *list, const char *name)
{
	size_t len = strlen(name), count = 0;
	for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
		count += strncmp(at, name, len) == 0 && (at[len] == ',' || !at[len]);
	return count;
}

/* The states that the action knows, and that are wanted: "queued,waiting"; "" for all of them. */
static bool each_read_states(struct each *each, const char *wanted, struct error *err)
{
	const struct each_action *action = each->action;
	size_t count = 0, found = 0, named = *wanted != '\0';
	bool takes_held = !action->skips_held && each_has_waiting(action);
	CLEANUP(buf) struct buf known;
	buf_init(&known, 256);
	if (takes_held && strcmp(wanted, "held") == 0) { /* of those that wait, only these */
		each->states[0] = "held";
		return true;
	}
	for (const char *c = wanted; *c; c++)
		named += *c == ',';
	for (size_t i = 0; i < EACH_STATES - 1 && action->states[i]; i++) {
		size_t times = each_count_name(wanted, action->states[i]);
		if (times || !*wanted)
			each->states[count++] = action->states[i];
		found += times;
		buf_printf(&known, "%s%s", i ? ", " : "", action->states[i]);
	}
	return found == named || error_set(err, ERR_INPUT, NULL, "state: %s is for jobs that are %s%s; got \"%.60s\"",
					   action->name, buf_text(&known), takes_held ? ", held" : "", wanted);
}

static bool each_read_cursor(struct each *each, const char *text, struct error *err)
{
	const char *slash = strchr(text, '/');
	each->cursor = mem_strdup(slash ? slash + 1 : "");
	if (!*text)
		return true;
	while (slash && each->states[each->at] &&
	       (strlen(each->states[each->at]) != (size_t)(slash - text) ||
		strncmp(each->states[each->at], text, (size_t)(slash - text)) != 0))
		each->at++;
	return (slash && each->states[each->at]) ||
	       error_set(err, ERR_INPUT, "give back what the last answer said", "cursor: \"%.60s\" is none", text);
}

static bool each_read_extra(struct each *each, struct error *err)
{
	const json_t *body = each->call->body;
	bool is_update = strcmp(each->action->name, "update") == 0;
	const json_t *changes = json_object_get(body, "changes");
	if (is_update != (changes != NULL) || (changes && !json_is_object(changes)))
		return error_set(err, ERR_INPUT, "for example {\"priority\":9}",
				 "changes: expected an object with update, and only then");
	if (is_update)
		each->extra = json_dumps(changes, JSON_COMPACT);
	else
		each->extra = mem_strdup(fields_text(body, "reason"));
	return true;
}

static bool each_read_numbers(struct each *each, const char *older, struct error *err)
{
	const json_t *body = each->call->body;
	const json_t *limit = json_object_get(body, "limit");
	each->older_ms = -1;
	each->limit = json_integer_value(limit);
	each->is_dry_run = json_is_true(json_object_get(body, "dry_run"));
	if (*older && (!config_parse_duration(older, &each->older_ms) || each->older_ms < 0))
		return error_set(err, ERR_INPUT, "for example 30d", "older_than: expected a duration, got \"%.40s\"",
				 older);
	if (limit && (!json_is_integer(limit) || each->limit < 1))
		return error_set(err, ERR_INPUT, NULL, "limit: expected an integer from 1");
	return true;
}

static bool each_read(struct each *each, struct error *err)
{
	struct api_call *call = each->call;
	const char *action, *queue, *state, *older, *cursor, *reason;
	if (!api_body_text(call, "action", &action, err) || !api_body_text(call, "queue", &queue, err) ||
	    !api_body_text(call, "state", &state, err) || !api_body_text(call, "name", &each->name, err) ||
	    !api_body_text(call, "experiment", &each->experiment, err) ||
	    !api_body_text(call, "tag", &each->tag, err) || !api_body_text(call, "older_than", &older, err) ||
	    !api_body_text(call, "cursor", &cursor, err) || !api_body_text(call, "reason", &reason, err) ||
	    !api_queue(call, queue, err))
		return false;
	if (!*queue)
		return error_set(err, ERR_INPUT, NULL, "queue: required");
	if (!*state && !*each->name && !*each->experiment && !*each->tag && !*older)
		return error_set(err, ERR_INPUT,
				 "give a state, a name, an experiment, a tag or an age; name \"*\" is all",
				 "the filter is empty: that would be every job of queue %s", queue);
	return each_read_action(each, action, err) && each_read_states(each, state, err) &&
	       each_read_cursor(each, cursor, err) && each_read_extra(each, err) && each_read_numbers(each, older, err);
}

void api_each(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "action",     "queue", "state",   "name",   "experiment", "tag",
					    "older_than", "limit", "dry_run", "reason", "changes",    "cursor" };
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	if (!api_body(call, request, keys, ARRAY_LEN(keys), &err)) {
		api_refuse(call, &err);
		return;
	}
	struct each *each = mem_alloc(sizeof *each);
	each->call = call;
	each->page = json_array();
	each->jobs = json_array();
	if (each_read(each, &err)) {
		each_ask(each);
		return;
	}
	each_free(each);
	api_refuse(call, &err);
}
