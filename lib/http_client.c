/*
 * See the header. The request runs on a curl multi handle of one easy handle, since
 * only that lets a signal (interrupt_fd) wake a request which waits for its next line.
 */
#include "lib/http_client.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <jansson.h>
#include <string.h>

#define HTTP_BODY_MAX  (64U << 20)
#define HTTP_LINE_MAX  (16U << 20) /* a log entry is far below it */
#define HTTP_ERROR_MAX (64U << 10)

/* The functions of libcurl that are used, found at run time. */
struct http_curl {
	__typeof__(&curl_global_init) global_init;
	__typeof__(&curl_easy_init) easy_init;
	__typeof__(&curl_easy_setopt) easy_setopt;
	__typeof__(&curl_easy_getinfo) easy_getinfo;
	__typeof__(&curl_easy_strerror) easy_strerror;
	__typeof__(&curl_easy_reset) easy_reset;
	__typeof__(&curl_easy_cleanup) easy_cleanup;
	__typeof__(&curl_multi_init) multi_init;
	__typeof__(&curl_multi_add_handle) multi_add_handle;
	__typeof__(&curl_multi_remove_handle) multi_remove_handle;
	__typeof__(&curl_multi_perform) multi_perform;
	__typeof__(&curl_multi_poll) multi_poll;
	__typeof__(&curl_multi_info_read) multi_info_read;
	__typeof__(&curl_multi_cleanup) multi_cleanup;
	__typeof__(&curl_slist_append) slist_append;
	__typeof__(&curl_slist_free_all) slist_free_all;
};

struct http_client {
	struct http_curl curl;
	CURL *easy;   /* NULL until the first request */
	CURLM *multi; /* keeps the connection between requests */
	char *url;
	char *unix_socket;
	char *token;
	char *user_agent;
	char *peer;
	char *down_hint;
	char *where;
	int64_t connect_ms;
};

/* One request under way. */
struct http_exchange {
	struct http_client *client;
	const struct http_call *call;
	struct http_answer *answer;
	struct buf line;  /* what came after the last newline */
	struct buf error; /* the body of an answer that is no success */
	bool stopped;     /* on_line said enough */
	bool too_large;
};

struct http_symbol {
	const char *name;
	size_t offset;
};

#define HTTP_SYMBOL(field)                                                                                             \
	{                                                                                                              \
		"curl_" #field, offsetof(struct http_curl, field)                                                      \
	}

static const struct http_symbol http_symbols[] = {
	HTTP_SYMBOL(global_init),         HTTP_SYMBOL(easy_init),     HTTP_SYMBOL(easy_setopt),
	HTTP_SYMBOL(easy_getinfo),        HTTP_SYMBOL(easy_strerror), HTTP_SYMBOL(easy_reset),
	HTTP_SYMBOL(easy_cleanup),        HTTP_SYMBOL(multi_init),    HTTP_SYMBOL(multi_add_handle),
	HTTP_SYMBOL(multi_remove_handle), HTTP_SYMBOL(multi_perform), HTTP_SYMBOL(multi_poll),
	HTTP_SYMBOL(multi_info_read),     HTTP_SYMBOL(multi_cleanup), HTTP_SYMBOL(slist_append),
	HTTP_SYMBOL(slist_free_all),
};

/* dlsym answers void *, which ISO C does not convert to a function: copied instead. */
static bool http_load(struct http_client *client, struct error *err)
{
	void *library = dlopen("libcurl.so.4", RTLD_LAZY | RTLD_LOCAL);
	if (!library)
		return error_set(err, ERR_SYSTEM, "install libcurl (Debian: apt-get install libcurl4)",
				 "cannot load libcurl: %s", dlerror());
	for (size_t i = 0; i < ARRAY_LEN(http_symbols); i++) {
		void *symbol = dlsym(library, http_symbols[i].name);
		if (!symbol)
			return error_set(err, ERR_SYSTEM, "install libcurl 7.85 or newer", "libcurl has no %s",
					 http_symbols[i].name);
		memcpy((char *)&client->curl + http_symbols[i].offset, &symbol, sizeof symbol);
	}
	/* TLS is set up by curl itself when a https url asks for it. */
	bool tls = strncmp(client->url, "https:", 6) == 0;
	client->curl.global_init(tls ? CURL_GLOBAL_SSL : CURL_GLOBAL_NOTHING);
	client->easy = client->curl.easy_init();
	client->multi = client->curl.multi_init();
	if (!client->easy || !client->multi)
		return error_set(err, ERR_SYSTEM, NULL, "libcurl does not start");
	return true;
}

struct http_client *http_client_new(const struct http_client_options *options, struct error *err)
{
	if (strncmp(options->url, "http://", 7) != 0 && strncmp(options->url, "https://", 8) != 0) {
		error_set(err, ERR_INPUT, "write it as http://127.0.0.1:8700", "\"%s\" is not an http or https url",
			  options->url);
		return NULL;
	}
	struct http_client *client = mem_alloc(sizeof *client);
	client->url = mem_strdup(options->url);
	for (size_t len = strlen(client->url); len && client->url[len - 1] == '/'; len--)
		client->url[len - 1] = '\0';
	client->unix_socket = mem_strdup(options->unix_socket);
	client->token = mem_strdup(options->token);
	client->user_agent = mem_strdup(options->user_agent);
	client->peer = mem_strdup(options->peer ? options->peer : "the server");
	client->down_hint = mem_strdup(options->down_hint);
	client->where = options->unix_socket ? mem_printf("unix:%s", options->unix_socket) : mem_strdup(client->url);
	client->connect_ms = options->connect_ms ? options->connect_ms : 5000;
	return client;
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	if (client->easy)
		client->curl.easy_cleanup(client->easy);
	if (client->multi)
		client->curl.multi_cleanup(client->multi);
	free(client->url);
	free(client->unix_socket);
	free(client->token);
	free(client->user_agent);
	free(client->peer);
	free(client->down_hint);
	free(client->where);
	free(client);
}

const char *http_client_where(const struct http_client *client)
{
	return client->where;
}

void http_answer_done(struct http_answer *answer)
{
	buf_done(&answer->body);
}

void http_encode(struct buf *into, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
			     strchr("-._~", *p);
		if (plain)
			buf_byte(into, (char)*p);
		else
			buf_printf(into, "%%%02X", *p);
	}
}

/* The kind of an answer that states none: a proxy's, for example. */
static enum error_kind http_kind_of(int status)
{
	if (status == 401 || status == 403)
		return ERR_AUTH;
	if (status == 404)
		return ERR_NOT_FOUND;
	if (status == 409)
		return ERR_CONFLICT;
	if (status == 504 || status == 408)
		return ERR_TIMEOUT;
	if (status == 502 || status == 503 || status == 429)
		return ERR_UNAVAILABLE;
	return status >= 500 ? ERR_INTERNAL : ERR_INPUT;
}

bool http_problem(struct error *err, int status, const char *body, size_t len)
{
	json_auto_t *problem = json_loadb(body, len, 0, NULL);
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	const char *hint = json_string_value(json_object_get(problem, "hint"));
	const char *kind = json_string_value(json_object_get(problem, "kind"));
	if (!detail)
		return error_set(err, http_kind_of(status), NULL, "the server answered with status %d", status);
	return error_set(err, kind ? error_kind_from_name(kind) : http_kind_of(status), hint, "%s", detail);
}

/* Hands every whole line to the caller; what follows the last newline stays. */
static bool http_lines(struct http_exchange *request, const char *data, size_t len)
{
	while (len && !request->stopped) {
		const char *newline = memchr(data, '\n', len);
		size_t part = newline ? (size_t)(newline - data) : len;
		if (!buf_add(&request->line, data, part)) {
			request->too_large = true;
			return false;
		}
		if (!newline)
			return true;
		const struct http_call *call = request->call;
		request->stopped = !call->on_line(call->arg, buf_text(&request->line), request->line.len);
		buf_clear(&request->line);
		data += part + 1;
		len -= part + 1;
	}
	return !request->stopped;
}

/* curl's write callback: another number than was given ends the request. */
static size_t http_receive(char *data, size_t size, size_t count, void *arg)
{
	struct http_exchange *request = arg;
	struct http_client *client = request->client;
	size_t len = size * count;
	long status = 0;
	client->curl.easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200 || status > 299) {
		buf_add(&request->error, data, len);
		return len;
	}
	if (request->call->on_line)
		return http_lines(request, data, len) ? len : 0;
	if (buf_add(&request->answer->body, data, len))
		return len;
	request->too_large = true;
	return 0;
}

static void http_times(struct http_client *client, const struct http_call *call)
{
	int64_t deadline_ms = call->deadline_ms ? call->deadline_ms : 30000;
	client->curl.easy_setopt(client->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)client->connect_ms);
	if (!call->on_line) {
		client->curl.easy_setopt(client->easy, CURLOPT_TIMEOUT_MS, (long)deadline_ms);
		return;
	}
	client->curl.easy_setopt(client->easy, CURLOPT_LOW_SPEED_LIMIT, 1L); /* bytes a second */
	client->curl.easy_setopt(client->easy, CURLOPT_LOW_SPEED_TIME, (long)(deadline_ms + 999) / 1000);
}

static void http_prepare(struct http_exchange *request, const char *url, struct curl_slist *headers)
{
	struct http_client *client = request->client;
	const struct http_call *call = request->call;
	__typeof__(&curl_easy_setopt) set = client->curl.easy_setopt;
	client->curl.easy_reset(client->easy);
	set(client->easy, CURLOPT_URL, url);
	set(client->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	set(client->easy, CURLOPT_NOSIGNAL, 1L);
	set(client->easy, CURLOPT_HTTPHEADER, headers);
	set(client->easy, CURLOPT_WRITEFUNCTION, http_receive);
	set(client->easy, CURLOPT_WRITEDATA, request);
	set(client->easy, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
	if (client->user_agent)
		set(client->easy, CURLOPT_USERAGENT, client->user_agent);
	if (client->unix_socket)
		set(client->easy, CURLOPT_UNIX_SOCKET_PATH, client->unix_socket);
	if (call->body) {
		set(client->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
		set(client->easy, CURLOPT_POSTFIELDS, call->body);
	}
	if (call->method)
		set(client->easy, CURLOPT_CUSTOMREQUEST, call->method);
	http_times(client, call);
}

static struct curl_slist *http_headers(struct http_client *client, const struct http_call *call)
{
	struct curl_slist *headers = NULL;
	/* No waiting for "100 Continue": bodies are small. */
	headers = client->curl.slist_append(headers, "Expect:");
	CLEANUP(free_p)
	char *type = mem_printf("Content-Type:%s%s", call->content_type ? " " : "",
				call->content_type ? call->content_type : "");
	headers = client->curl.slist_append(headers, type);
	if (call->header)
		headers = client->curl.slist_append(headers, call->header);
	if (client->token) {
		CLEANUP(free_p) char *bearer = mem_printf("Authorization: Bearer %s", client->token);
		headers = client->curl.slist_append(headers, bearer);
	}
	return headers;
}

/* Drives the request to its end. False: interrupted. */
static bool http_drive(struct http_client *client, int interrupt_fd, CURLcode *result)
{
	struct curl_waitfd wake = { .fd = interrupt_fd, .events = CURL_WAIT_POLLIN };
	unsigned fds = interrupt_fd > 0 ? 1 : 0;
	for (;;) {
		int running = 0;
		int left = 0;
		client->curl.multi_perform(client->multi, &running);
		CURLMsg *message = client->curl.multi_info_read(client->multi, &left);
		if (message && message->msg == CURLMSG_DONE) {
			*result = message->data.result;
			return true;
		}
		wake.revents = 0;
		client->curl.multi_poll(client->multi, &wake, fds, 1000, NULL);
		if (fds && wake.revents)
			return false;
	}
}

/* What is known after a request that brought no answer. */
static bool http_failed(struct http_client *client, CURLcode result, struct error *err)
{
	const char *peer = client->peer;
	long number = 0;
	curl_off_t connected_us = 0;
	client->curl.easy_getinfo(client->easy, CURLINFO_OS_ERRNO, &number);
	client->curl.easy_getinfo(client->easy, CURLINFO_CONNECT_TIME_T, &connected_us);
	if (result == CURLE_COULDNT_RESOLVE_HOST)
		return error_set(err, ERR_UNAVAILABLE, client->down_hint,
				 "cannot reach %s at %s: its host name is not known", peer, client->where);
	if (result == CURLE_OPERATION_TIMEDOUT && !connected_us)
		return error_set(err, ERR_UNAVAILABLE, client->down_hint,
				 "cannot reach %s at %s: no answer within %lld s", peer, client->where,
				 (long long)client->connect_ms / 1000);
	if (result == CURLE_OPERATION_TIMEDOUT)
		return error_set(err, ERR_TIMEOUT, NULL, "%s at %s did not answer in time", peer, client->where);
	if (result == CURLE_COULDNT_CONNECT || (!connected_us && number)) {
		char reason[128];
		str_copy(reason, sizeof reason, number ? strerror((int)number) : "refused");
		if (reason[0] >= 'A' && reason[0] <= 'Z')
			reason[0] = (char)(reason[0] - 'A' + 'a');
		return error_set(err, ERR_UNAVAILABLE, client->down_hint, "cannot reach %s at %s: %s", peer,
				 client->where, reason);
	}
	if (!connected_us)
		return error_set(err, ERR_UNAVAILABLE, client->down_hint, "cannot reach %s at %s: %s", peer,
				 client->where, client->curl.easy_strerror(result));
	return error_set(err, ERR_UNKNOWN, NULL, "lost the connection to %s at %s: %s", peer, client->where,
			 client->curl.easy_strerror(result));
}

static bool http_outcome(struct http_exchange *request, CURLcode result, struct error *err)
{
	struct http_client *client = request->client;
	long status = 0;
	client->curl.easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
	request->answer->status = (int)status;
	if (request->too_large)
		return error_set(err, ERR_DAMAGED, NULL, "the answer of %s is larger than %u MiB", client->peer,
				 HTTP_BODY_MAX >> 20);
	if (request->stopped)
		return true;
	if (result != CURLE_OK)
		return http_failed(client, result, err);
	if (status < 200 || status > 299)
		return http_problem(err, (int)status, buf_text(&request->error), request->error.len);
	return true;
}

bool http_client_call(struct http_client *client, const struct http_call *call, struct http_answer *answer,
		      struct error *err)
{
	*answer = (struct http_answer){ 0 };
	buf_init(&answer->body, HTTP_BODY_MAX);
	if (!client->easy && !http_load(client, err))
		return false;
	struct http_exchange request = { .client = client, .call = call, .answer = answer };
	buf_init(&request.line, HTTP_LINE_MAX);
	buf_init(&request.error, HTTP_ERROR_MAX);
	CLEANUP(free_p) char *url = mem_printf("%s%s", client->url, call->path);
	struct curl_slist *headers = http_headers(client, call);
	http_prepare(&request, url, headers);
	client->curl.multi_add_handle(client->multi, client->easy);
	CURLcode result = CURLE_OK;
	answer->interrupted = !http_drive(client, call->interrupt_fd, &result);
	bool ok = answer->interrupted || http_outcome(&request, result, err);
	client->curl.multi_remove_handle(client->multi, client->easy);
	client->curl.slist_free_all(headers);
	buf_done(&request.line);
	buf_done(&request.error);
	return ok;
}
