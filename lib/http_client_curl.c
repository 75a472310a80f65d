/*
 * https by libcurl, which is loaded (dlopen) by the first request. The request runs on a
 * multi handle of one easy handle, since only that lets a signal (interrupt_fd) wake a
 * request which waits for its next line.
 */
#include <curl/curl.h>
#include <dlfcn.h>
#include <string.h>
#include "lib/http_exchange.h"

/* The functions of libcurl that are used, found at run time. */
struct http_curl {
	CURL *easy;
	CURLM *multi; /* keeps the connection between requests */
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
static bool http_curl_find(struct http_curl *curl, struct error *err)
{
	void *library = dlopen("libcurl.so.4", RTLD_LAZY | RTLD_LOCAL);
	if (!library)
		return error_set(err, ERR_SYSTEM, "install libcurl (Debian: apt-get install libcurl4)",
				 "cannot load libcurl, which https needs: %s", dlerror());
	for (size_t i = 0; i < ARRAY_LEN(http_symbols); i++) {
		void *symbol = dlsym(library, http_symbols[i].name);
		if (!symbol)
			return error_set(err, ERR_SYSTEM, "install libcurl 7.85 or newer", "libcurl has no %s",
					 http_symbols[i].name);
		memcpy((char *)curl + http_symbols[i].offset, &symbol, sizeof symbol);
	}
	curl->global_init(CURL_GLOBAL_SSL);
	curl->easy = curl->easy_init();
	curl->multi = curl->multi_init();
	if (!curl->easy || !curl->multi)
		return error_set(err, ERR_SYSTEM, NULL, "libcurl does not start");
	return true;
}

void http_curl_free(struct http_curl *curl)
{
	if (!curl)
		return;
	if (curl->easy)
		curl->easy_cleanup(curl->easy);
	if (curl->multi)
		curl->multi_cleanup(curl->multi);
	free(curl);
}

/* The client's, loaded when it is not there yet; NULL on failure. */
static struct http_curl *http_curl_of(struct http_client *client, struct error *err)
{
	if (client->curl)
		return client->curl;
	struct http_curl *curl = mem_alloc(sizeof *curl);
	if (!http_curl_find(curl, err)) {
		http_curl_free(curl);
		return NULL;
	}
	client->curl = curl;
	return curl;
}

struct http_curl_request {
	struct http_curl *curl;
	struct http_exchange *exchange;
};

/* curl's write callback: another number than was given ends the request. */
static size_t http_curl_receive(char *data, size_t size, size_t count, void *arg)
{
	struct http_curl_request *request = arg;
	long status = 0;
	request->curl->easy_getinfo(request->curl->easy, CURLINFO_RESPONSE_CODE, &status);
	return http_exchange_body(request->exchange, (int)status, data, size * count) ? size * count : 0;
}

static void http_curl_times(struct http_curl *curl, const struct http_exchange *x)
{
	int64_t deadline_ms = http_exchange_deadline_ms(x);
	curl->easy_setopt(curl->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)x->client->connect_ms);
	if (!x->call->on_line) {
		curl->easy_setopt(curl->easy, CURLOPT_TIMEOUT_MS, (long)deadline_ms);
		return;
	}
	curl->easy_setopt(curl->easy, CURLOPT_LOW_SPEED_LIMIT, 1L); /* bytes a second */
	curl->easy_setopt(curl->easy, CURLOPT_LOW_SPEED_TIME, (long)(deadline_ms + 999) / 1000);
}

static void http_curl_prepare(struct http_curl_request *request, const char *url, struct curl_slist *headers)
{
	CURL *easy = request->curl->easy;
	const struct http_call *call = request->exchange->call;
	__typeof__(&curl_easy_setopt) set = request->curl->easy_setopt;
	request->curl->easy_reset(easy);
	set(easy, CURLOPT_URL, url);
	set(easy, CURLOPT_PROTOCOLS_STR, "https");
	set(easy, CURLOPT_NOSIGNAL, 1L);
	set(easy, CURLOPT_HTTPHEADER, headers);
	set(easy, CURLOPT_WRITEFUNCTION, http_curl_receive);
	set(easy, CURLOPT_WRITEDATA, request);
	if (request->exchange->client->ca_file)
		set(easy, CURLOPT_CAINFO, request->exchange->client->ca_file);
	if (request->exchange->client->user_agent)
		set(easy, CURLOPT_USERAGENT, request->exchange->client->user_agent);
	if (call->body) {
		set(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
		set(easy, CURLOPT_POSTFIELDS, call->body);
	}
	if (call->method)
		set(easy, CURLOPT_CUSTOMREQUEST, call->method);
	http_curl_times(request->curl, request->exchange);
}

static struct curl_slist *http_curl_headers(struct http_curl *curl, const struct http_exchange *x)
{
	const struct http_call *call = x->call;
	/* No waiting for "100 Continue": bodies are small. */
	struct curl_slist *headers = curl->slist_append(NULL, "Expect:");
	CLEANUP(free_p)
	char *type = mem_printf("Content-Type:%s%s", call->content_type ? " " : "",
				call->content_type ? call->content_type : "");
	headers = curl->slist_append(headers, type);
	if (x->client->header)
		headers = curl->slist_append(headers, x->client->header);
	if (call->header)
		headers = curl->slist_append(headers, call->header);
	if (x->client->token) {
		CLEANUP(free_p) char *bearer = mem_printf("Authorization: Bearer %s", x->client->token);
		headers = curl->slist_append(headers, bearer);
	}
	return headers;
}

/* Drives the request to its end. False: interrupted. */
static bool http_curl_drive(struct http_curl *curl, int interrupt_fd, CURLcode *result)
{
	struct curl_waitfd wake = { .fd = interrupt_fd, .events = CURL_WAIT_POLLIN };
	unsigned fds = interrupt_fd > 0 ? 1 : 0;
	for (;;) {
		int running = 0;
		int left = 0;
		curl->multi_perform(curl->multi, &running);
		CURLMsg *message = curl->multi_info_read(curl->multi, &left);
		if (message && message->msg == CURLMSG_DONE) {
			*result = message->data.result;
			return true;
		}
		wake.revents = 0;
		curl->multi_poll(curl->multi, &wake, fds, 1000, NULL);
		if (fds && wake.revents)
			return false;
	}
}

/* What is known after the request. */
static enum http_end http_curl_end(struct http_curl *curl, struct http_exchange *x, CURLcode result)
{
	long status = 0;
	curl_off_t connected_us = 0;
	curl->easy_getinfo(curl->easy, CURLINFO_RESPONSE_CODE, &status);
	curl->easy_getinfo(curl->easy, CURLINFO_APPCONNECT_TIME_T, &connected_us);
	x->status = (int)status;
	if (result == CURLE_OK || x->is_stopped)
		return HTTP_END_ANSWER;
	if (result == CURLE_OPERATION_TIMEDOUT && connected_us)
		return HTTP_END_LATE;
	str_copy(x->reason, sizeof x->reason, curl->easy_strerror(result));
	return connected_us ? HTTP_END_LOST : HTTP_END_UNREACHABLE;
}

enum http_end http_curl_run(struct http_client *client, struct http_exchange *x, struct error *err)
{
	struct http_curl *curl = http_curl_of(client, err);
	if (!curl)
		return HTTP_END_FAILED;
	struct http_curl_request request = { curl, x };
	CLEANUP(free_p) char *url = mem_printf("%s%s", client->url, x->call->path);
	struct curl_slist *headers = http_curl_headers(curl, x);
	CURLcode result = CURLE_OK;
	http_curl_prepare(&request, url, headers);
	curl->multi_add_handle(curl->multi, curl->easy);
	bool ended = http_curl_drive(curl, x->call->interrupt_fd, &result);
	enum http_end end = ended ? http_curl_end(curl, x, result) : HTTP_END_INTERRUPTED;
	curl->multi_remove_handle(curl->multi, curl->easy);
	curl->slist_free_all(headers);
	return end;
}
