#include "lib/http_post.h"

#include <string.h>
#include <sys/queue.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/curl_api.h"

#define HTTP_POST_ANSWER_MAX (64 * 1024) /* of a body that nobody reads */

LIST_HEAD(http_posting_list, http_posting);

struct http_poster {
	struct http_poster_options options;
	char *ca_file;
	char *user_agent;
	struct curl_api api;
	CURLM *multi; /* NULL until the first request */
	struct event *timer;
	struct http_posting_list postings;
};

/* One request under way. */
struct http_posting {
	LIST_ENTRY(http_posting) entry;
	struct http_poster *poster;
	CURL *easy;
	struct curl_slist *headers;
	char *body;
	size_t received;
	char refused[ADDRESS_TEXT_MAX]; /* the address that was not allowed */
	http_post_fn *fn;
	void *arg;
};

/* ---- the loop under libcurl ---- */

static void http_posting_free(struct http_posting *posting)
{
	struct curl_api *api = &posting->poster->api;
	LIST_REMOVE(posting, entry);
	if (posting->easy) {
		api->multi_remove_handle(posting->poster->multi, posting->easy);
		api->easy_cleanup(posting->easy);
	}
	api->slist_free_all(posting->headers);
	free(posting->body);
	free(posting);
}

static void http_posting_result(struct http_posting *posting, CURLcode code, struct http_post_end *end)
{
	struct curl_api *api = &posting->poster->api;
	long status = 0;
	*end = (struct http_post_end){ 0 };
	api->easy_getinfo(posting->easy, CURLINFO_RESPONSE_CODE, &status);
	/* An answer longer than anybody reads was an answer. */
	if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && status)) {
		end->status = (int)status;
	} else if (posting->refused[0] && code == CURLE_COULDNT_CONNECT) {
		end->is_refused = true;
		str_format(end->reason, sizeof end->reason, "%s is no public address", posting->refused);
	} else if (code == CURLE_OPERATION_TIMEDOUT) {
		char limit[40];
		clock_human(posting->poster->options.timeout_ms, limit, sizeof limit);
		str_format(end->reason, sizeof end->reason, "no answer within %s", limit);
	} else {
		str_copy(end->reason, sizeof end->reason, api->easy_strerror(code));
	}
}

/* Tells of every request that ended. The callback may begin new ones. */
static void http_poster_settle(struct http_poster *poster)
{
	CURLMsg *message;
	int left;
	while ((message = poster->api.multi_info_read(poster->multi, &left))) {
		char *private = NULL;
		struct http_post_end end;
		if (message->msg != CURLMSG_DONE)
			continue;
		poster->api.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		struct http_posting *posting = (void *)private;
		http_posting_result(posting, message->data.result, &end);
		http_post_fn *fn = posting->fn;
		void *arg = posting->arg;
		http_posting_free(posting);
		fn(arg, &end);
	}
}

static void http_poster_on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct http_poster *poster = arg;
	int running;
	int action = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
	poster->api.multi_socket_action(poster->multi, fd, action, &running);
	http_poster_settle(poster);
}

static void http_poster_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct http_poster *poster = arg;
	int running;
	(void)fd;
	(void)what;
	poster->api.multi_socket_action(poster->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	http_poster_settle(poster);
}

/* libcurl wants to know of this socket, of something else of it, or of nothing any more. */
static int http_poster_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct http_poster *poster = arg;
	struct event *event = known;
	(void)easy;
	if (event)
		event_free(event);
	event = NULL;
	if (what != CURL_POLL_REMOVE) {
		short wanted = EV_PERSIST;
		wanted = (short)(wanted | (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
		event = event_new(poster->options.base, fd, wanted, http_poster_on_socket, poster);
		if (!event || event_add(event, NULL) != 0)
			abort();
	}
	poster->api.multi_assign(poster->multi, fd, event);
	return 0;
}

static int http_poster_set_timer(CURLM *multi, long ms, void *arg)
{
	struct http_poster *poster = arg;
	struct timeval wait = clock_timeval(ms);
	(void)multi;
	if (ms < 0)
		event_del(poster->timer);
	else
		event_add(poster->timer, &wait);
	return 0;
}

/* ---- the poster ---- */

struct http_poster *http_poster_new(const struct http_poster_options *options)
{
	struct http_poster *poster = mem_alloc(sizeof *poster);
	poster->options = *options;
	poster->ca_file = options->ca_file ? mem_strdup(options->ca_file) : NULL;
	poster->user_agent = mem_strdup(options->user_agent);
	poster->timer = event_new(options->base, -1, 0, http_poster_on_timer, poster);
	LIST_INIT(&poster->postings);
	if (!poster->timer)
		abort();
	return poster;
}

void http_poster_free(struct http_poster *poster)
{
	if (!poster)
		return;
	for (struct http_posting *one = LIST_FIRST(&poster->postings), *next; one; one = next) {
		next = LIST_NEXT(one, entry);
		http_posting_free(one);
	}
	if (poster->multi)
		poster->api.multi_cleanup(poster->multi);
	event_free(poster->timer);
	free(poster->ca_file);
	free(poster->user_agent);
	free(poster);
}

static bool http_poster_begin(struct http_poster *poster, struct error *err)
{
	if (poster->multi)
		return true;
	if (!curl_api_load(&poster->api, err))
		return false;
	poster->multi = poster->api.multi_init();
	if (!poster->multi)
		return error_set(err, ERR_SYSTEM, NULL, "libcurl does not start");
	__typeof__(&curl_multi_setopt) set = poster->api.multi_setopt;
	set(poster->multi, CURLMOPT_SOCKETFUNCTION, http_poster_watch);
	set(poster->multi, CURLMOPT_SOCKETDATA, poster);
	set(poster->multi, CURLMOPT_TIMERFUNCTION, http_poster_set_timer);
	set(poster->multi, CURLMOPT_TIMERDATA, poster);
	return true;
}

/* ---- a request ---- */

static curl_socket_t http_posting_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_posting *posting = arg;
	(void)purpose;
	if (!address_is_public(&address->addr) &&
	    !address_ranges_have(posting->poster->options.allowed, &address->addr)) {
		address_print(&address->addr, posting->refused);
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t http_posting_receive(char *data, size_t size, size_t count, void *arg)
{
	struct http_posting *posting = arg;
	(void)data;
	posting->received += size * count;
	return posting->received > HTTP_POST_ANSWER_MAX ? 0 : size * count;
}

static void http_posting_prepare(struct http_posting *posting, const struct http_post *post)
{
	struct http_poster *poster = posting->poster;
	CURL *easy = posting->easy;
	__typeof__(&curl_easy_setopt) set = poster->api.easy_setopt;
	set(easy, CURLOPT_URL, post->url);
	set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	set(easy, CURLOPT_PROXY, "");
	set(easy, CURLOPT_FOLLOWLOCATION, 0L);
	set(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	set(easy, CURLOPT_NOSIGNAL, 1L);
	set(easy, CURLOPT_TIMEOUT_MS, (long)poster->options.timeout_ms);
	set(easy, CURLOPT_OPENSOCKETFUNCTION, http_posting_open);
	set(easy, CURLOPT_OPENSOCKETDATA, posting);
	set(easy, CURLOPT_WRITEFUNCTION, http_posting_receive);
	set(easy, CURLOPT_WRITEDATA, posting);
	set(easy, CURLOPT_PRIVATE, posting);
	set(easy, CURLOPT_HTTPHEADER, posting->headers);
	set(easy, CURLOPT_USERAGENT, poster->user_agent);
	set(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->len);
	set(easy, CURLOPT_POSTFIELDS, posting->body);
	if (poster->ca_file)
		set(easy, CURLOPT_CAINFO, poster->ca_file);
}

bool http_poster_send(struct http_poster *poster, const struct http_post *post, http_post_fn *fn, void *arg,
		      struct error *err)
{
	if (!http_poster_begin(poster, err))
		return false;
	struct http_posting *posting = mem_alloc(sizeof *posting);
	posting->poster = poster;
	posting->fn = fn;
	posting->arg = arg;
	posting->body = mem_alloc(post->len + 1);
	memcpy(posting->body, post->body, post->len);
	LIST_INSERT_HEAD(&poster->postings, posting, entry);
	posting->headers = poster->api.slist_append(NULL, "Expect:"); /* no waiting for "100 Continue" */
	for (size_t i = 0; post->headers[i]; i++)
		posting->headers = poster->api.slist_append(posting->headers, post->headers[i]);
	posting->easy = poster->api.easy_init();
	if (!posting->easy) {
		http_posting_free(posting);
		return error_set(err, ERR_SYSTEM, NULL, "libcurl does not start a request");
	}
	http_posting_prepare(posting, post);
	poster->api.multi_add_handle(poster->multi, posting->easy);
	return true;
}
