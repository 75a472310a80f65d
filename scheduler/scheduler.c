#include "scheduler/scheduler.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/fields.h"
#include "lib/log.h"
#include "lib/ready.h"
#include "lib/store.h"
#include "scheduler/routes.h"
#include "scheduler/archive.h"
#include "scheduler/stored.h"
#include "scheduler/bell.h"
#include "scheduler/follow.h"
#include "scheduler/tally.h"
#include "scheduler/ticker.h"
#include "scheduler/webhooks.h"

enum {
	SCHEDULER_STOP_MS = 5000, /* for what is under way when it is told to stop */
	SCHEDULER_TOKEN_MIN = 16  /* characters; shorter ones could be guessed */
};

bool scheduler_is_ready(const struct scheduler *s)
{
	return *s->installation && jobs_is_ready(s->jobs);
}

/* ---- Redis comes and goes ---- */

static void scheduler_begin(struct scheduler *s)
{
	str_copy(s->installation, sizeof s->installation, s->found);
	ticker_wake(s->ticker);
	follow_hub_wake(s->follow);
}

/* ---- is there something in the store? Asked before anything is written there, one queue after the other ---- */

static void scheduler_ask_next(struct scheduler *s);

/* marked: a URL a line; or, by an older library, that there is some. */
static bool scheduler_is_named(const char *marked, const char *store)
{
	size_t len = strlen(store);
	while (len > 0 && store[len - 1] == '/')
		len--;
	for (const char *line = marked; *line; line += strspn(line, "\n")) {
		size_t size = strcspn(line, "\n");
		if (size == len && memcmp(line, store, len) == 0)
			return true;
		line += size;
	}
	return strcmp(marked, "marked") == 0;
}

static void scheduler_on_stats(void *arg, const char *text, size_t len, const struct error *err)
{
	struct scheduler *s = arg;
	json_auto_t *stats = err ? NULL : fields_parse(text, len);
	if (err && err->kind != ERR_NOT_FOUND) {
		log_failure(LOG_WARN, "cannot learn whether something is in the store", err);
		return; /* Redis went: once more when it is back */
	}
	if (scheduler_is_named(fields_text(stats, "store"), s->settings->store))
		store_expect(s->settings->store, s->found, true);
	json_array_remove(s->unasked, 0);
	scheduler_ask_next(s);
}

static void scheduler_ask_next(struct scheduler *s)
{
	const char *queue = json_string_value(json_array_get(s->unasked, 0));
	if (queue)
		jobs_stats(s->jobs, queue, scheduler_on_stats, s);
	else
		scheduler_begin(s);
}

static void scheduler_on_queues(void *arg, const char *text, size_t len, const struct error *err)
{
	struct scheduler *s = arg;
	if (err) {
		log_failure(LOG_WARN, "cannot learn whether something is in the store", err);
		return;
	}
	store_expect(s->settings->store, s->found, false);
	json_decref(s->unasked);
	s->unasked = fields_parse(text, len);
	scheduler_ask_next(s);
}

static void scheduler_on_installation(void *arg, const char *text, size_t len, const struct error *err)
{
	struct scheduler *s = arg;
	char id[sizeof s->installation];
	if (err) {
		log_failure(LOG_WARN, "cannot learn the installation id", err);
		return;
	}
	if (!str_format(id, sizeof id, "%.*s", (int)len, text))
		return;
	if (*s->installation && strcmp(s->installation, id) != 0)
		log_warn("this is another Redis than before", "installation=%s before=%s", id, s->installation);
	str_copy(s->found, sizeof s->found, id);
	if (s->settings->store)
		jobs_queues(s->jobs, scheduler_on_queues, s);
	else
		scheduler_begin(s);
}

static void scheduler_on_redis(void *arg, bool connected, const struct error *err)
{
	struct scheduler *s = arg;
	if (connected) {
		log_info("redis is there", "where=%s", jobs_where(s->jobs));
		jobs_installation(s->jobs, s->installation, scheduler_on_installation, s);
	} else if (!s->is_down_said) {
		log_failure(LOG_WARN, "redis is away; it is tried again all the time", err);
	}
	s->is_down_said = !connected;
}

/* Redis answers, `default` is there, requests can be served. */
static void scheduler_on_first_tick(void *arg)
{
	struct scheduler *s = arg;
	CLEANUP(buf) struct buf lines;
	buf_init(&lines, 4096);
	http_server_addresses(s->http, &lines);
	ready_say(s->settings->ready_fd, buf_text(&lines));
	for (char *c = lines.data; c && *c; c++)
		*c = *c == '\n' ? ' ' : *c;
	log_info("ready", "%sinstallation=%s version=%s", buf_text(&lines), s->installation, STOKER_VERSION);
}

/* ---- the end ---- */

static void scheduler_leave(void *arg)
{
	struct scheduler *s = arg;
	event_base_loopexit(s->base, NULL);
}

static void scheduler_on_stop_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	log_warn("some requests were not finished in time", "limit_ms=%d", SCHEDULER_STOP_MS);
	scheduler_leave(arg);
}

static void scheduler_on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)what;
	struct scheduler *s = arg;
	if (s->is_stopping) {
		event_base_loopbreak(s->base);
		return;
	}
	s->is_stopping = true;
	log_info("stopping", "signal=%d", (int)number);
	ready_say_stopping();
	follow_hub_stop(s->follow);
	http_server_stop(s->http, scheduler_leave, s);
	struct timeval wait = clock_timeval(SCHEDULER_STOP_MS);
	event_add(s->stop_timer, &wait);
}

/* ---- the beginning ---- */

static bool scheduler_read_token(const char *path, char **token, struct error *err)
{
	static const char hint[] = "for example: (umask 077; openssl rand -hex 24 > token)";
	char text[512];
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (len < 0)
		return error_errno(err, ERR_INPUT, hint, "cannot read the token file %s", path);
	struct stat st;
	if (fstat(fd, &st) == 0 && (st.st_mode & 077))
		log_warn("others than its owner can read the token file", "path=%s mode=%o", path, st.st_mode & 0777);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	text[len] = '\0';
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c > '~')
			return error_set(err, ERR_INPUT, hint, "the token in %s is not one word of plain text", path);
	if (len < SCHEDULER_TOKEN_MIN)
		return error_set(err, ERR_INPUT, hint, "the token in %s is shorter than %d characters", path,
				 SCHEDULER_TOKEN_MIN);
	*token = mem_strdup(text);
	return true;
}

static bool scheduler_connect(struct scheduler *s, struct error *err)
{
	const struct jobs_options options = { .redis = { .url = s->settings->redis_url,
							 .ca_file = s->settings->redis_ca,
							 .name = "stoker-scheduler",
							 .fail_when_down = true },
					      .prefix = s->settings->prefix,
					      .load_library = true };
	s->jobs = jobs_new(s->base, &options, err);
	struct redis *subscriber = s->jobs ? jobs_subscriber(s->base, &options, err) : NULL;
	if (!subscriber)
		return false;
	s->follow = follow_hub_new(s->base, s->jobs, subscriber);
	const struct webhooks_options webhooks = { .base = s->base,
						   .jobs = s->jobs,
						   .allow = s->settings->webhook_allow,
						   .ca_file = s->settings->webhook_ca,
						   .timeout_ms = s->settings->webhook_timeout_ms };
	s->webhooks = webhooks_new(&webhooks, err);
	if (!s->webhooks)
		return false;
	if (s->settings->store && !store_check_url(s->settings->store, err))
		return false;
	if (s->settings->store) {
		store_remember(s->settings->store);
		s->stored = stored_new(s->base, s->settings->store);
	}
	const struct archive_options archive = { .base = s->base,
						 .jobs = s->jobs,
						 .store = s->settings->store,
						 .stored = s->stored,
						 .installation = s->installation };
	if (s->settings->store)
		s->archive = archive_new(&archive);
	follow_hub_archive(s->follow, s->archive);
	const struct ticker_options ticks = { .base = s->base,
					      .jobs = s->jobs,
					      .webhooks = s->webhooks,
					      .archive = s->archive,
					      .store = s->settings->store,
					      .installation = s->installation,
					      .on_first = scheduler_on_first_tick,
					      .arg = s };
	s->ticker = ticker_new(&ticks);
	jobs_on_state(s->jobs, scheduler_on_redis, s);
	s->round_trips = (struct histogram){ .first = 0.001, .step = 2 }; /* to 2 s */
	jobs_measure(s->jobs, &s->round_trips);
	s->tally = tally_new(s->jobs);
	s->bell = bell_new(s->base, s->jobs, &options, err);
	return s->bell != NULL;
}

static bool scheduler_serve(struct scheduler *s, struct error *err)
{
	if (s->settings->token_file && !scheduler_read_token(s->settings->token_file, &s->token, err))
		return false;
	const struct http_server_options options = { .listen = s->settings->listen,
						     .groups = routes_api.groups,
						     .group_count = routes_api.group_count,
						     .arg = s,
						     .token = s->token,
						     .allowed_hosts = s->settings->allowed_hosts,
						     .max_connections = (size_t)s->settings->max_connections,
						     .max_connections_each = (size_t)s->settings->max_connections_each,
						     .request_ms = s->settings->request_timeout_ms };
	s->http = http_server_new(s->base, &options, err);
	return s->http != NULL;
}

struct scheduler *scheduler_new(struct event_base *base, const struct scheduler_settings *settings, struct error *err)
{
	static const int numbers[] = { SIGTERM, SIGINT };
	struct scheduler *s = mem_alloc(sizeof *s);
	s->base = base;
	s->settings = settings;
	if (!scheduler_serve(s, err) || !scheduler_connect(s, err)) {
		scheduler_free(s);
		return NULL;
	}
	s->stop_timer = event_new(base, -1, 0, scheduler_on_stop_timer, s);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		s->signals[i] = evsignal_new(base, numbers[i], scheduler_on_signal, s);
		if (!s->signals[i] || event_add(s->signals[i], NULL) != 0)
			abort();
	}
	return s;
}

/* Redis first: ending its calls ends what waits for them, while all of that is still there. */
void scheduler_free(struct scheduler *s)
{
	if (!s)
		return;
	jobs_free(s->jobs);
	follow_hub_free(s->follow);
	ticker_free(s->ticker);
	tally_free(s->tally);
	bell_free(s->bell);
	webhooks_free(s->webhooks);
	archive_free(s->archive);
	stored_free(s->stored);
	http_server_free(s->http);
	for (size_t i = 0; i < ARRAY_LEN(s->signals); i++)
		if (s->signals[i])
			event_free(s->signals[i]);
	if (s->stop_timer)
		event_free(s->stop_timer);
	json_decref(s->unasked);
	free(s->token);
	free(s);
}
