/*
 * https by libcurl, which is loaded by the first request. The request runs on a
 * multi handle of one easy handle, since only that lets a signal (interrupt_fd) wake a
 * request which waits for its next line.
 */
#include <string.h>
#include "lib/curl_api.h"
#include "lib/http_exchange.h"

struct http_curl {
	struct curl_api api;
	CURL *easy;
	CURLM *multi; /* keeps the connection between requests */
};

void http_curl_free(struct http_curl *curl)
{
	if (!curl)
		return;
	if (curl->easy)
		curl->api.easy_cleanup(curl->easy);
	if (curl->multi)
		curl->api.multi_cleanup(curl->multi);
	free(curl);
}

/* The client's, loaded when it is not there yet; NULL on failure. */
static struct http_curl *http_curl_of(struct http_client *client, struct error *err)
{
	if (client->curl)
		return client->curl;
	struct http_curl *curl = mem_alloc(sizeof *curl);
	if (!curl_api_load(&curl->api, err)) {
		free(curl);
		return NULL;
	}
	curl->easy = curl->api.easy_init();
	curl->multi = curl->api.multi_init();
	if (!curl->easy || !curl->multi) {
		error_set(err, ERR_SYSTEM, NULL, "libcurl does not start");
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
	request->curl->api.easy_getinfo(request->curl->easy, CURLINFO_RESPONSE_CODE, &status);
	return http_exchange_body(request->exchange, (int)status, data, size * count) ? size * count : 0;
}

static void http_curl_times(struct http_curl *curl, const struct http_exchange *x)
{
	int64_t deadline_ms = http_exchange_deadline_ms(x);
	curl->api.easy_setopt(curl->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)x->client->connect_ms);
	if (!http_exchange_is_stream(x)) {
		curl->api.easy_setopt(curl->easy, CURLOPT_TIMEOUT_MS, (long)deadline_ms);
		return;
	}
	curl->api.easy_setopt(curl->easy, CURLOPT_LOW_SPEED_LIMIT, 1L); /* bytes a second */
	curl->api.easy_setopt(curl->easy, CURLOPT_LOW_SPEED_TIME, (long)(deadline_ms + 999) / 1000);
}

static void http_curl_prepare(struct http_curl_request *request, const char *url, struct curl_slist *headers)
{
	CURL *easy = request->curl->easy;
	const struct http_call *call = request->exchange->call;
	__typeof__(&curl_easy_setopt) set = request->curl->api.easy_setopt;
	request->curl->api.easy_reset(easy);
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
	struct curl_slist *headers = curl->api.slist_append(NULL, "Expect:");
	CLEANUP(free_p)
	char *type = mem_printf("Content-Type:%s%s", call->content_type ? " " : "",
				call->content_type ? call->content_type : "");
	headers = curl->api.slist_append(headers, type);
	if (x->client->header)
		headers = curl->api.slist_append(headers, x->client->header);
	if (call->header)
		headers = curl->api.slist_append(headers, call->header);
	if (x->client->token) {
		CLEANUP(free_p) char *bearer = mem_printf("Authorization: Bearer %s", x->client->token);
		headers = curl->api.slist_append(headers, bearer);
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
		curl->api.multi_perform(curl->multi, &running);
		CURLMsg *message = curl->api.multi_info_read(curl->multi, &left);
		if (message && message->msg == CURLMSG_DONE) {
			*result = message->data.result;
			return true;
		}
		wake.revents = 0;
		curl->api.multi_poll(curl->multi, &wake, fds, 1000, NULL);
		if (fds && wake.revents)
			return false;
	}
}

/* What is known after the request. */
static enum http_end http_curl_end(struct http_curl *curl, struct http_exchange *x, CURLcode result)
{
	long status = 0;
	curl_off_t connected_us = 0;
	curl->api.easy_getinfo(curl->easy, CURLINFO_RESPONSE_CODE, &status);
	curl->api.easy_getinfo(curl->easy, CURLINFO_APPCONNECT_TIME_T, &connected_us);
	x->status = (int)status;
	if (result == CURLE_OK || x->is_stopped)
		return HTTP_END_ANSWER;
	if (result == CURLE_OPERATION_TIMEDOUT && connected_us)
		return HTTP_END_LATE;
	str_copy(x->reason, sizeof x->reason, curl->api.easy_strerror(result));
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
	curl->api.multi_add_handle(curl->multi, curl->easy);
	bool ended = http_curl_drive(curl, x->call->interrupt_fd, &result);
	enum http_end end = ended ? http_curl_end(curl, x, result) : HTTP_END_INTERRUPTED;
	curl->api.multi_remove_handle(curl->multi, curl->easy);
	curl->api.slist_free_all(headers);
	return end;
}
