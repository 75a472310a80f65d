#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/s3_internal.h"

enum {
	S3_TRIES = 6,
	S3_BACKOFF_MS = 200, /* at most, before the second try; twice as long before each that follows */
	S3_BACKOFF_MOST_MS = 10000,
	S3_CONNECT_MS = 10000,
	S3_STALL_S = 30, /* fewer bytes than this in so long: the connection is given up */
	S3_STALL_BYTES = 1024,
	S3_COMPLETE_S = 600, /* putting parts together may take minutes, with nothing but blanks to be heard */
	S3_ANSWER_MAX = 32 * 1024 * 1024,
	S3_HEADERS_MAX = 64 * 1024,
};

/* ---- calls ---- */

void s3_call_init(struct s3_call *call, const char *method, const char *key)
{
	*call = (struct s3_call){ .method = method, .key = key, .size = -1 };
	buf_init(&call->text, S3_ANSWER_MAX);
}

void s3_call_query(struct s3_call *call, const char *name, const char *value)
{
	call->query[call->query_count++] = (struct s3_pair){ name, value };
}

void s3_call_header(struct s3_call *call, const char *name, const char *value)
{
	call->headers[call->header_count++] = (struct s3_pair){ name, value };
}

void s3_call_done(struct s3_call *call)
{
	buf_done(&call->text);
}

/* ---- one try ---- */

static size_t s3_give(char *into, size_t size, size_t count, void *arg)
{
	struct s3_transfer *t = arg;
	size_t left = t->call->body_len - t->sent, len = size * count < left ? size * count : left;
	memcpy(into, (const char *)t->call->body + t->sent, len);
	t->sent += len;
	return len;
}

/* A connection that was kept may be dead: curl then begins anew. */
static int s3_rewind(void *arg, curl_off_t offset, int origin)
{
	struct s3_transfer *t = arg;
	if (origin != SEEK_SET || offset < 0 || (size_t)offset > t->call->body_len)
		return CURL_SEEKFUNC_FAIL;
	t->sent = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

static void s3_set_body(struct s3_transfer *t)
{
	__typeof__(&curl_easy_setopt) set = t->s3->api.easy_setopt;
	const struct s3_call *call = t->call;
	if (!strcmp(call->method, "HEAD")) {
		set(t->easy, CURLOPT_NOBODY, 1L);
	} else if (strcmp(call->method, "GET") != 0 && strcmp(call->method, "DELETE") != 0) {
		set(t->easy, CURLOPT_UPLOAD, 1L);
		set(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->body_len);
		set(t->easy, CURLOPT_READFUNCTION, s3_give);
		set(t->easy, CURLOPT_READDATA, t);
		set(t->easy, CURLOPT_SEEKFUNCTION, s3_rewind);
		set(t->easy, CURLOPT_SEEKDATA, t);
		set(t->easy, CURLOPT_UPLOAD_BUFFERSIZE, 1024L * 1024);
	}
	set(t->easy, CURLOPT_CUSTOMREQUEST, call->method);
}

static void s3_set_options(struct s3_transfer *t, const char *url)
{
	__typeof__(&curl_easy_setopt) set = t->s3->api.easy_setopt;
	set(t->easy, CURLOPT_URL, url);
	set(t->easy, CURLOPT_PATH_AS_IS, 1L);
	set(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	set(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	set(t->easy, CURLOPT_NOSIGNAL, 1L);
	set(t->easy, CURLOPT_HTTPHEADER, t->headers);
	set(t->easy, CURLOPT_WRITEFUNCTION, s3_receive);
	set(t->easy, CURLOPT_WRITEDATA, t);
	set(t->easy, CURLOPT_HEADERFUNCTION, s3_receive_header);
	set(t->easy, CURLOPT_HEADERDATA, t);
	set(t->easy, CURLOPT_BUFFERSIZE, 256L * 1024);
	set(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)S3_CONNECT_MS);
	set(t->easy, CURLOPT_LOW_SPEED_LIMIT, (long)S3_STALL_BYTES);
	set(t->easy, CURLOPT_LOW_SPEED_TIME, (long)(t->call->again == S3_AGAIN_NOT ? S3_COMPLETE_S : S3_STALL_S));
	set(t->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	set(t->easy, CURLOPT_PRIVATE, t);
	if (t->s3->settings.ca_file)
		set(t->easy, CURLOPT_CAINFO, t->s3->settings.ca_file);
	if (t->call->again == S3_AGAIN_NOT)
		set(t->easy, CURLOPT_FRESH_CONNECT, 1L); /* on one that was kept, curl itself would try again */
	s3_set_body(t);
}

/* "/bucket/prefix/key", encoded nowhere. */
static char *s3_path(const struct s3_settings *settings, const char *key)
{
	return mem_printf("%s%s/%s%s", settings->is_path_style ? "/" : "",
			  settings->is_path_style ? settings->bucket : "", key ? settings->prefix : "", key ? key : "");
}

static void s3_sign_call(struct s3_transfer *t, struct buf *target, struct buf *headers)
{
	const struct s3_settings *settings = &t->s3->settings;
	const struct s3_call *call = t->call;
	char range[64];
	CLEANUP(free_p) char *path = s3_path(settings, call->key);
	struct s3_request request = { .method = call->method,
				      .host = settings->host,
				      .path = path,
				      .query_count = call->query_count,
				      .header_count = call->header_count,
				      .sha256 = call->sha256 ? call->sha256 : t->sha256.text };
	memcpy(request.query, call->query, sizeof request.query);
	memcpy(request.headers, call->headers, sizeof request.headers);
	if (call->is_range) {
		str_format(range, sizeof range, "bytes=%" PRId64 "-%" PRId64, call->from + (int64_t)t->kept,
			   call->from + (int64_t)call->into_size - 1);
		request.headers[request.header_count++] = (struct s3_pair){ "range", range };
	}
	const struct s3_keys keys = s3_settings_keys(settings);
	s3_sign(&keys, &request, clock_wall_ms() / 1000 + t->s3->skew_s, target, headers);
}

/* Neither "Expect: 100-continue", which costs a round trip, nor a type or length that curl would make up. */
static void s3_make_headers(struct s3_transfer *t, char *lines)
{
	const struct curl_api *api = &t->s3->api;
	char *rest = NULL;
	t->headers = api->slist_append(NULL, "Expect:");
	t->headers = api->slist_append(t->headers, "Content-Type:");
	CLEANUP(free_p)
	char *host = mem_printf("Host: %s", t->s3->settings.host); /* as signed: curl cuts a usual port */
	t->headers = api->slist_append(t->headers, host);
	for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		t->headers = api->slist_append(t->headers, line);
}

static void s3_end(struct s3_transfer *t)
{
	struct s3 *s3 = t->s3;
	for (struct s3_transfer **at = &s3->all; *at; at = &(*at)->next)
		if (*at == t) {
			*at = t->next;
			break;
		}
	t->call->is_done = true;
	t->call->transfer = NULL;
	free(t);
}

static void s3_drop_easy(struct s3_transfer *t)
{
	if (!t->easy)
		return;
	t->s3->api.multi_remove_handle(t->s3->multi, t->easy);
	t->s3->api.easy_cleanup(STEAL(t->easy));
	t->s3->api.slist_free_all(STEAL(t->headers));
}

static void s3_try(struct s3_transfer *t)
{
	struct s3 *s3 = t->s3;
	struct s3_call *call = t->call;
	CLEANUP(buf) struct buf target;
	CLEANUP(buf) struct buf headers;
	buf_init(&target, S3_HEADERS_MAX);
	buf_init(&headers, S3_HEADERS_MAX);
	if (!s3_settings_renew(&s3->settings, clock_wall_ms() / 1000 + s3->skew_s, &call->error)) {
		s3_end(t);
		return;
	}
	t->tries++;
	t->sent = 0;
	t->date_s = 0;
	call->status = 0;
	t->kept = call->is_range && call->got < call->into_size ? call->got : 0;
	call->got = t->kept;
	call->size = -1;
	call->error.kind = ERR_NONE;
	buf_clear(&call->text);
	s3_sign_call(t, &target, &headers);
	s3_make_headers(t, headers.data);
	CLEANUP(free_p) char *url = mem_printf("%s%s", s3->settings.base, buf_text(&target));
	t->easy = s3->api.easy_init();
	s3_set_options(t, url);
	s3->api.multi_add_handle(s3->multi, t->easy);
}

static void s3_tried(struct s3_transfer *t, CURLcode result)
{
	struct s3_call *call = t->call;
	long status = 0;
	bool passes;
	if (result == CURLE_OK) {
		t->s3->api.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
		call->status = (int)status;
		call->is_unknown = status >= 500;
		passes = !s3_is_success(call->status) && s3_judge_refusal(t);
	} else {
		passes = s3_judge_failure(t, result);
	}
	s3_drop_easy(t);
	if (!passes || t->tries >= S3_TRIES || (call->again == S3_AGAIN_NOT && call->is_unknown)) {
		if (passes && call->error.kind == ERR_NONE)
			error_set(&call->error, ERR_UNAVAILABLE, NULL, "store %s: the clocks differ",
				  t->s3->settings.url);
		s3_end(t);
		return;
	}
	int64_t most_ms = (int64_t)S3_BACKOFF_MS << (t->tries - 1);
	most_ms = most_ms < S3_BACKOFF_MOST_MS ? most_ms : S3_BACKOFF_MOST_MS;
	t->due_ms = clock_boot_ms() + rand_r(&t->s3->noise) % (most_ms + 1);
}

/* ---- all of them ---- */

void s3_begin(struct s3 *s3, struct s3_call *call)
{
	struct s3_transfer *t = mem_alloc(sizeof *t);
	*t = (struct s3_transfer){ .s3 = s3, .call = call, .next = s3->all };
	if (!call->sha256)
		t->sha256 = digest_of(call->body, call->body_len);
	s3->all = t;
	call->transfer = t;
	call->is_done = false;
	call->got = 0;
	s3_try(t);
}

static int s3_begin_due(struct s3 *s3, int wait_ms)
{
	int64_t now_ms = clock_boot_ms();
	for (struct s3_transfer *t = s3->all, *next; t; t = next) {
		next = t->next;
		if (!t->easy && t->due_ms <= now_ms)
			s3_try(t);
		else if (!t->easy && t->due_ms - now_ms < wait_ms)
			wait_ms = (int)(t->due_ms - now_ms);
	}
	return wait_ms;
}

void s3_drive(struct s3 *s3, int wait_ms)
{
	int running = 0, left = 0;
	CURLMsg *message;
	wait_ms = s3_begin_due(s3, wait_ms);
	s3->api.multi_perform(s3->multi, &running);
	bool moved = false;
	while ((message = s3->api.multi_info_read(s3->multi, &left))) {
		char *private = NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		s3->api.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		s3_tried((struct s3_transfer *)private, message->data.result);
		moved = true;
	}
	if (!moved && wait_ms > 0)
		s3->api.multi_poll(s3->multi, NULL, 0, wait_ms, NULL);
}

void s3_cancel(struct s3_call *call)
{
	if (!call->transfer)
		return;
	s3_drop_easy(call->transfer);
	s3_end(call->transfer);
}

bool s3_run(struct s3 *s3, struct s3_call *call, struct error *err)
{
	s3_begin(s3, call);
	while (!call->is_done)
		s3_drive(s3, 1000);
	if (call->error.kind == ERR_NONE)
		return true;
	if (err)
		*err = call->error;
	return false;
}

bool s3_head(struct s3 *s3, struct s3_call *call, struct error *err)
{
	char byte;
	struct error why;
	if (s3_run(s3, call, &why))
		return call->size >= 0 || error_set(err, ERR_UNAVAILABLE, NULL, "store %s: HEAD %s: no size was said",
						    s3->settings.url, call->key);
	if (why.kind == ERR_NOT_FOUND) {
		CLEANUP(s3_call) struct s3_call get;
		s3_call_init(&get, "GET", call->key);
		get.is_range = true;
		get.into = &byte;
		get.into_size = 1;
		if (s3_run(s3, &get, &why)) /* it is there after all */
			error_set(&why, ERR_UNAVAILABLE, NULL, "store %s: HEAD %s: status 404, but it is there",
				  s3->settings.url, call->key);
	}
	if (err)
		*err = why;
	return false;
}

bool s3_link(struct s3 *s3, const char *key, const char *name, int64_t seconds, char **url, struct error *err)
{
	CLEANUP(free_p) char *path = s3_path(&s3->settings, key);
	CLEANUP(free_p) char *as = mem_printf("attachment; filename=\"%s\"", name);
	CLEANUP(buf) struct buf target;
	const struct s3_request request = { .method = "GET",
					    .host = s3->settings.host,
					    .path = path,
					    .query = { { "response-content-disposition", as } },
					    .query_count = 1 };
	int64_t now_s = clock_wall_ms() / 1000 + s3->skew_s;
	if (!s3_settings_renew(&s3->settings, now_s, err))
		return false;
	const struct s3_keys keys = s3_settings_keys(&s3->settings);
	buf_init(&target, S3_HEADERS_MAX);
	s3_presign(&keys, &request, now_s, seconds, &target);
	*url = mem_printf("%s%s", s3->settings.base, buf_text(&target));
	return true;
}

bool s3_open(const char *url, struct s3 **into, struct error *err)
{
	struct s3 *s3 = mem_alloc(sizeof *s3);
	s3->noise = (unsigned)clock_boot_ms();
	bool ok = s3_settings_read(url, &s3->settings, err) && curl_api_load(&s3->api, err);
	if (ok) {
		s3->multi = s3->api.multi_init();
		ok = s3->multi || error_set(err, ERR_SYSTEM, NULL, "libcurl does not start");
	}
	if (!ok)
		s3_close(STEAL(s3));
	*into = s3;
	return ok;
}

void s3_close(struct s3 *s3)
{
	if (!s3)
		return;
	for (struct s3_transfer *t = s3->all, *next; t; t = next) {
		next = t->next;
		s3_drop_easy(t);
		t->call->transfer = NULL;
		free(t);
	}
	if (s3->multi)
		s3->api.multi_cleanup(s3->multi);
	s3_settings_done(&s3->settings);
	free(s3);
}

const struct s3_settings *s3_settings_of(const struct s3 *s3)
{
	return &s3->settings;
}
