#include "worker/claims.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "worker/given.h"

enum {
	CLAIMS_MAX = 16,          /* jobs a request */
	CLAIMS_CLASSES_MAX = 256, /* doorbells waited on at once: as many as a queue has classes */
	CLAIMS_NAMES_MAX = 64 * 1024,
	CLAIMS_WAIT_MS = 5000, /* on doorbells; then it asks anyway: a bell may have rung for a worker that died */
	CLAIMS_RETRY_MS = 500,
	CLAIMS_BACK_MS = 800,      /* after Redis was away: longer than a runner takes to find it again */
	CLAIMS_REFUSED_MS = 10000, /* after a claim that this machine could not start */
};

enum claims_state {
	CLAIMS_OFF,      /* not begun, or stopped */
	CLAIMS_IN_LINE,  /* waits for its turn to ask */
	CLAIMS_ASKING,   /* a request is on its way */
	CLAIMS_LISTING,  /* asks which classes there are */
	CLAIMS_WAITING,  /* for a doorbell, or for the timer when no class fits */
	CLAIMS_RETRYING, /* Redis did not answer, or this machine failed */
};

struct claims {
	struct claims_options o;
	struct jobs *bell;
	struct event *timer;
	enum claims_state state;
	int64_t request;      /* number of the last request that was answered */
	int64_t sent_boot_ms; /* when the one on its way was sent first; 1: by an earlier worker, long ago */
	int64_t last_boot_ms; /* when the last that was answered was sent: what is handed over began after that */
	char hints[256], given_channel[256];
	char channel[GIVEN_CHANNEL_SIZE];
	struct given given; /* since then */
	bool has_offered;   /* what is free, and did not take it back */
	bool takes_back;    /* the request on its way does */
	bool was_refused;   /* a job could not be started: nothing is to be handed over until the pause is over */
	int64_t held_until;
	bool is_stopped;
	bool has_failed;
	bool is_in_line;
	struct claims *behind; /* in the line */
	bool look_again;       /* something changed while a call was on its way */
	bool is_ringing;       /* a doorbell call is on its way, for these classes: */
	struct buf ringing;    /* their names, joined: NUL stands behind each */
	struct buf wanted;     /* those that fit now */
};

static void claims_ask(struct claims *claims);
static void claims_send(struct claims *claims, int most);
static void claims_list(struct claims *claims);

static void claims_arm(struct claims *claims, enum claims_state state, int64_t ms)
{
	struct timeval tv = clock_timeval(ms);
	claims->state = state;
	event_add(claims->timer, &tv);
}

static void claims_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	claims_ask(arg);
}

struct claims *claims_new(const struct claims_options *options, struct error *err)
{
	struct claims *claims = mem_alloc(sizeof *claims);
	claims->o = *options;
	claims->timer = evtimer_new(options->base, claims_timer, claims);
	claims->is_stopped = true;
	buf_init(&claims->ringing, CLAIMS_NAMES_MAX);
	buf_init(&claims->wanted, CLAIMS_NAMES_MAX);
	claims->bell = jobs_new(options->base, options->own, err);
	if (!claims->bell || !given_channel(claims->channel, err)) {
		claims_free(claims);
		return NULL;
	}
	jobs_control_channel(options->jobs, options->queue, claims->hints, sizeof claims->hints);
	redis_subscribe(options->control, claims->hints);
	jobs_given_channel(options->jobs, options->queue, claims->channel, claims->given_channel,
			   sizeof claims->given_channel);
	if (options->may_be_given)
		redis_subscribe(options->control, claims->given_channel);
	return claims;
}

void claims_free(struct claims *claims)
{
	if (!claims)
		return;
	jobs_free(claims->bell);
	buf_done(&claims->ringing);
	buf_done(&claims->wanted);
	event_free(claims->timer);
	free(claims);
}

static bool claims_rest(struct claims *claims)
{
	if (!claims->is_stopped)
		return false;
	event_del(claims->timer);
	claims->state = CLAIMS_OFF;
	if (claims->has_offered && jobs_is_ready(claims->o.jobs))
		claims_send(claims, 0);
	return true;
}

/* ---- the turn ---- */

static bool claims_turn_take(struct claims *claims)
{
	struct claims_turn *turn = claims->o.turn;
	if (!turn->asking) {
		turn->asking = claims;
		return true;
	}
	struct claims **last = &turn->line;
	while (*last)
		last = &(*last)->behind;
	if (!claims->is_in_line)
		*last = claims;
	claims->is_in_line = true;
	claims->state = CLAIMS_IN_LINE;
	return false;
}

/* The next in line asks, unless it was stopped meanwhile. */
static void claims_turn_pass(struct claims_turn *turn)
{
	turn->asking = NULL;
	while (turn->line && !turn->asking) {
		struct claims *next = turn->line;
		turn->line = STEAL(next->behind);
		next->is_in_line = false;
		if (next->state == CLAIMS_IN_LINE)
			claims_ask(next);
	}
}

/* ---- asking ---- */

/* The request of this number has its answer. False: a claim could not be started. */
static bool claims_take(struct claims *claims, const struct claim *all, size_t count)
{
	bool started = true;
	claims->request++;
	for (size_t i = 0; i < count; i++) {
		struct claim seen = all[i];
		seen.request = claims->request;
		if (given_has(&claims->given, &seen))
			continue; /* its message was faster */
		started = claims->o.on_claim(claims->o.arg, &all[i], claims->sent_boot_ms - all[i].age_ms) && started;
		if (seen.age_ms)
			(void)!given_add(&claims->given, &seen); /* and if it comes after this, it is known */
	}
	given_forget(&claims->given, claims->request);
	claims->last_boot_ms = claims->sent_boot_ms;
	claims->sent_boot_ms = 0;
	return started;
}

static void claims_stopped(struct claims *claims)
{
	event_del(claims->timer);
	claims->state = CLAIMS_OFF;
	claims->o.on_stopped(claims->o.arg);
}

/* This machine could not start a job: first the offer is taken back, then nothing is asked for a while. */
static void claims_pause(struct claims *claims)
{
	claims->was_refused = claims->has_offered;
	if (claims->has_offered)
		claims_send(claims, 0);
	else
		claims_arm(claims, CLAIMS_RETRYING, CLAIMS_REFUSED_MS);
}

static void claims_answered(void *arg, const struct claim *all, size_t count, const struct error *err)
{
	struct claims *claims = arg;
	if (err && !claims->has_failed)
		log_failure(LOG_WARN, "cannot claim", err); /* once; the next success says no more than others do */
	claims->has_failed = err != NULL;
	bool started = err || claims_take(claims, all, count);
	claims->state = CLAIMS_OFF;
	claims->has_offered = claims->has_offered && (err || !claims->takes_back);
	claims_turn_pass(claims->o.turn);
	if (claims->is_stopped && (err || !claims->has_offered))
		claims_stopped(claims); /* what could not be taken back is tried again with the next claims_stop */
	else if (claims_rest(claims))
		return;
	else if (err)
		claims_arm(claims, CLAIMS_RETRYING, CLAIMS_RETRY_MS); /* the same number: it may have happened */
	else if (!started || claims->was_refused)
		claims_pause(claims);
	else if (count >= CLAIMS_MAX || claims->look_again)
		claims_ask(claims);
	else
		claims_list(claims);
}

/* most 0: only takes the offer back. */
static void claims_send(struct claims *claims, int most)
{
	struct grant left = slots_free(claims->o.slots);
	const struct grant *total = &claims->o.slots->total;
	char text[320];
	CLEANUP(buf) struct buf b;
	buf_init(&b, 64 * 1024);
	str_format(text, sizeof text,
		   "{\"cpus\":%" PRId64 ",\"gpus\":%" PRId64 ",\"memory\":%" PRId64 ",\"total\":{\"cpus\":%" PRId64
		   ",\"gpus\":%" PRId64 ",\"memory\":%" PRId64 "},\"labels\":",
		   left.cpus, slots_gpu_count(left.gpus), left.memory_bytes, total->cpus, slots_gpu_count(total->gpus),
		   total->memory_bytes);
	buf_str(&b, text);
	buf_str(&b, claims->o.labels_json);
	buf_str(&b, ",\"given\":");
	given_json(&claims->given, &b);
	buf_byte(&b, '}');
	struct claim_request request = { .queue = claims->o.queue,
					 .worker = claims->o.worker,
					 .free_json = buf_text(&b),
					 .max = most,
					 .request = claims->request + 1,
					 .channel = most && claims->o.may_be_given ? claims->channel : NULL };
	claims->state = CLAIMS_ASKING;
	claims->look_again = false;
	claims->takes_back =
		!request.channel && !claims->sent_boot_ms; /* else an earlier sending may have been answered */
	claims->has_offered = claims->has_offered || request.channel;
	if (!claims->sent_boot_ms)
		claims->sent_boot_ms =
			clock_boot_ms(); /* of the first sending: a lease can only end earlier than we think */
	jobs_claim(claims->o.jobs, &request, claims_answered, claims);
}

static void claims_ask(struct claims *claims)
{
	if (claims_rest(claims))
		return;
	int64_t wait_ms = jobs_is_ready(claims->o.jobs) ? claims->held_until - clock_boot_ms() : CLAIMS_RETRY_MS;
	if (wait_ms > 0)
		claims_arm(claims, CLAIMS_RETRYING, wait_ms);
	else if (claims_turn_take(claims))
		claims_send(claims, CLAIMS_MAX);
}

void claims_redis_is_back(struct claims *claims)
{
	claims->held_until = clock_boot_ms() + CLAIMS_BACK_MS;
}

static void claims_ring(struct claims *claims);

static void claims_rang(void *arg, const char *class_name, const struct error *err)
{
	struct claims *claims = arg;
	bool is_current = claims->ringing.len == claims->wanted.len &&
			  !memcmp(buf_text(&claims->ringing), buf_text(&claims->wanted), claims->wanted.len);
	claims->is_ringing = false;
	if (class_name || !err)
		claims->look_again = true; /* also when nobody rang for so long */
	if (claims->state != CLAIMS_WAITING || claims_rest(claims))
		return;
	if (claims->look_again || !is_current) /* interrupted: it may have rung all the same */
		claims_ask(claims);
	else
		claims_arm(claims, CLAIMS_RETRYING, CLAIMS_RETRY_MS); /* the connection was lost */
}

/* Waits for the bells of the classes wanted, and for no others: a ring for what does not fit here would be lost
 * to the workers where it does. */
static void claims_ring(struct claims *claims)
{
	const char *names[CLAIMS_CLASSES_MAX];
	size_t count = 0;
	if (claims->is_ringing) {
		if (claims->ringing.len != claims->wanted.len ||
		    memcmp(buf_text(&claims->ringing), buf_text(&claims->wanted), claims->wanted.len) != 0)
			jobs_interrupt(claims->bell); /* claims_rang rings again */
		return;
	}
	if (!claims->wanted.len) {
		claims_arm(claims, CLAIMS_WAITING, CLAIMS_WAIT_MS);
		return;
	}
	buf_clear(&claims->ringing);
	buf_add(&claims->ringing, claims->wanted.data, claims->wanted.len);
	for (const char *p = claims->ringing.data; p < claims->ringing.data + claims->ringing.len; p += strlen(p) + 1)
		names[count++] = p;
	claims->is_ringing = true;
	jobs_doorbell(claims->bell, claims->o.queue, names, count, CLAIMS_WAIT_MS, claims_rang, claims);
}

static bool claims_labels_fit(const char *have_json, const json_t *want)
{
	const char *name;
	json_t *value;
	json_auto_t *have = json_loads(have_json, 0, NULL);
	json_object_foreach((json_t *)want, name,
			    value) if (!json_equal(json_object_get(have, name), value)) return false;
	return true;
}

static int64_t claims_number(const json_t *requirement, const char *name)
{
	return json_integer_value(json_object_get(requirement, name));
}

static bool claims_fits(const struct claims *claims, const json_t *requirement)
{
	return slots_fit(claims->o.slots, claims_number(requirement, "cpus"), claims_number(requirement, "memory"),
			 claims_number(requirement, "gpus")) &&
	       claims_labels_fit(claims->o.labels_json, json_object_get(requirement, "labels"));
}

static void claims_listed(void *arg, const char *text, size_t len, const struct error *err)
{
	struct claims *claims = arg;
	size_t count = 0;
	const char *name;
	json_t *requirement;
	json_auto_t *classes = err ? NULL : json_loadb(text, len, 0, NULL);
	if (claims->state != CLAIMS_LISTING || claims_rest(claims))
		return;
	if (!classes) {
		claims_arm(claims, CLAIMS_RETRYING, CLAIMS_RETRY_MS);
		return;
	}
	if (claims->look_again) {
		claims_ask(claims);
		return;
	}
	buf_clear(&claims->wanted);
	json_object_foreach(classes, name,
			    requirement) if (claims_fits(claims, requirement) && count++ < CLAIMS_CLASSES_MAX)
		buf_add(&claims->wanted, name, strlen(name) + 1);
	claims->state = CLAIMS_WAITING;
	claims_ring(claims);
}

static void claims_list(struct claims *claims)
{
	claims->state = CLAIMS_LISTING;
	jobs_classes(claims->o.jobs, claims->o.queue, claims_listed, claims);
}

void claims_begin(struct claims *claims, int64_t last_request)
{
	claims->is_stopped = false;
	/* The last one again: what it gave and nobody started comes back; its answer counts it up to here. */
	claims->request = last_request > 0 ? last_request - 1 : 0;
	claims->sent_boot_ms = last_request > 0 ? 1 : 0;
	claims_ask(claims);
	claims->look_again = last_request > 0; /* what was handed over since then is in the answer to the next */
}

void claims_look(struct claims *claims)
{
	claims->look_again = true;
	if (claims->state != CLAIMS_WAITING)
		return;
	event_del(claims->timer);
	claims_ask(claims);
}

static void claims_given(void *arg, const struct claim *claim, size_t count, const struct error *err)
{
	struct claims *claims = arg;
	if (err)
		log_failure(LOG_WARN, "what was handed over is asked for again", err);
	/* What came before the claim that was answered last was in its answer. */
	if (!count || claim->request < claims->request || !given_add(&claims->given, claim))
		return;
	bool started = claims->o.on_claim(claims->o.arg, claim, claims->last_boot_ms);
	claims->was_refused = claims->was_refused || !started;
	if (claims->state != CLAIMS_WAITING && claims->state != CLAIMS_LISTING)
		return;
	event_del(claims->timer);
	if (claims->was_refused)
		claims_pause(claims);
	else
		claims_list(claims); /* the bells of what fits now */
}

void claims_hear(struct claims *claims, const char *channel, const char *text, size_t len)
{
	if (!strcmp(channel, claims->hints))
		claims_look(claims);
	else if (!strcmp(channel, claims->given_channel))
		jobs_given(claims->o.queue, text, len, claims_given, claims);
}

void claims_stop(struct claims *claims)
{
	claims->is_stopped = true;
	if (claims->is_ringing)
		jobs_interrupt(claims->bell);
	if (claims->state != CLAIMS_ASKING)
		claims_rest(claims);
}

void claims_resume(struct claims *claims)
{
	if (!claims->is_stopped)
		return;
	claims->is_stopped = false;
	claims->look_again = true; /* if an offer is being taken back */
	if (claims->state == CLAIMS_OFF)
		claims_ask(claims);
}

bool claims_is_stopped(const struct claims *claims)
{
	return claims->is_stopped;
}

bool claims_is_idle(const struct claims *claims)
{
	return claims->state != CLAIMS_ASKING;
}
