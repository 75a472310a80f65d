/* One try of a call: signed, given to curl, and judged when it is over. */
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
};

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

static void s3_sign_call(struct s3_transfer *t, struct buf *target, struct buf *headers)
{
	const struct s3_settings *settings = &t->s3->settings;
	const struct s3_call *call = t->call;
	char range[64];
	struct s3_checksum sum;
	CLEANUP(free_p) char *path = s3_path(settings, call->key);
	struct s3_request request = { .method = call->method,
				      .host = settings->host,
				      .path = path,
				      .query_count = call->query_count,
				      .header_count = call->header_count,
				      .sha256 = call->sha256 ? call->sha256 : t->sha256.text };
	memcpy(request.query, call->query, sizeof request.query);
	memcpy(request.headers, call->headers, sizeof request.headers);
	if (call->is_kept) {
		sum = s3_checksum(request.sha256);
		request.headers[request.header_count++] = (struct s3_pair){ "x-amz-checksum-sha256", sum.text };
	}
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

void s3_drop_easy(struct s3_transfer *t)
{
	if (!t->easy)
		return;
	t->s3->api.multi_remove_handle(t->s3->multi, t->easy);
	t->s3->api.easy_cleanup(STEAL(t->easy));
	t->s3->api.slist_free_all(STEAL(t->headers));
}

void s3_try(struct s3_transfer *t)
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

void s3_tried(struct s3_transfer *t, CURLcode result)
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
