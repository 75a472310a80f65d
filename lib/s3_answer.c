#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "lib/clock.h"
#include "lib/s3_internal.h"
#include "lib/s3_xml.h"

enum { S3_SKEW_MOST_S = 300 }; /* of two clocks: then the time may be why a request is refused */

size_t s3_receive(char *data, size_t size, size_t count, void *arg)
{
	struct s3_transfer *t = arg;
	struct s3_call *call = t->call;
	long status = 0;
	size_t len = size * count;
	t->s3->api.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!call->into || !s3_is_success((int)status))
		return buf_add(&call->text, data, len) ? len : 0;
	if (call->is_range && status != 206 && call->got == t->kept) /* the whole object: it begins at its beginning */
		call->got = t->kept = 0;
	if (len > call->into_size - call->got)
		return 0;
	memcpy((char *)call->into + call->got, data, len);
	call->got += len;
	return len;
}

static bool s3_header_is(const char *line, size_t len, const char *name)
{
	size_t name_len = strlen(name);
	return len > name_len && strncasecmp(line, name, name_len) == 0 && line[name_len] == ':';
}

static int64_t s3_http_date(const char *text)
{
	struct tm tm = { 0 };
	return strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) ? (int64_t)timegm(&tm) : 0;
}

size_t s3_receive_header(char *data, size_t size, size_t count, void *arg)
{
	struct s3_transfer *t = arg;
	struct s3_call *call = t->call;
	size_t len = size * count;
	const char *colon = memchr(data, ':', len);
	if (len > 5 && !strncmp(data, "HTTP/", 5)) { /* the head of a new answer, behind that of a proxy, say */
		call->etag[0] = '\0';
		call->size = -1;
		call->keeps_sums = false;
		call->modified_ms = t->date_s = 0;
	}
	if (!colon)
		return len;
	CLEANUP(free_p) char *value = mem_strndup(colon + 1, len - (size_t)(colon + 1 - data));
	char *text = value + strspn(value, " \t");
	text[strcspn(text, "\r\n")] = '\0';
	if (s3_header_is(data, len, "etag"))
		str_copy(call->etag, sizeof call->etag, text);
	else if (s3_header_is(data, len, "content-length") && call->size < 0)
		call->size = strtoll(text, NULL, 10);
	else if (s3_header_is(data, len, "content-range") && strchr(text, '/'))
		call->size = strtoll(strchr(text, '/') + 1, NULL, 10);
	else if (s3_header_is(data, len, "x-amz-checksum-algorithm"))
		call->keeps_sums = !strcmp(text, "SHA256");
	else if (s3_header_is(data, len, "last-modified"))
		call->modified_ms = s3_http_date(text) * 1000;
	else if (s3_header_is(data, len, "date"))
		t->date_s = s3_http_date(text);
	return len;
}

struct s3_refusal {
	char code[96];
	char message[256];
};

static void s3_read_refusal(void *arg, const char *path, const char *text)
{
	struct s3_refusal *refusal = arg;
	if (!strcmp(path, "Error/Code"))
		str_copy(refusal->code, sizeof refusal->code, text);
	else if (!strcmp(path, "Error/Message") && !str_copy(refusal->message, sizeof refusal->message, text))
		str_format(refusal->message, sizeof refusal->message, "%.200s…", text);
}

static const struct {
	const char *code; /* NULL: any other of this status */
	int status;       /* 0: whatever it is */
	bool passes;      /* it may be another answer next time */
	enum error_kind kind;
	const char *hint;
} s3_refusals[] = {
	{ "SlowDown", 0, true, ERR_UNAVAILABLE, NULL },
	{ "InternalError", 0, true, ERR_UNAVAILABLE, NULL },
	{ "ServiceUnavailable", 0, true, ERR_UNAVAILABLE, NULL },
	{ "RequestTimeout", 0, true, ERR_UNAVAILABLE, NULL },
	{ "OperationAborted", 0, true, ERR_UNAVAILABLE, NULL },
	{ "BadDigest", 0, true, ERR_UNAVAILABLE, NULL },
	{ "XAmzContentSHA256Mismatch", 0, true, ERR_UNAVAILABLE, NULL },
	{ "NoSuchBucket", 0, false, ERR_UNAVAILABLE, "make the bucket, or name another (--store)" },
	{ "NoSuchUpload", 0, false, ERR_CONFLICT, NULL },
	{ "NoSuchKey", 0, false, ERR_NOT_FOUND, NULL },
	{ "NotFound", 0, false, ERR_NOT_FOUND, NULL },
	{ "XAdminUserNotFound", 0, false, ERR_AUTH, "are the keys those of this server?" }, /* versitygw */
	{ "InvalidAccessKeyId", 0, false, ERR_AUTH, "are the keys those of this server?" },
	{ "SignatureDoesNotMatch", 0, false, ERR_AUTH, "is the secret key right, and the region (STOKER_S3_REGION)?" },
	{ "RequestTimeTooSkewed", 0, false, ERR_AUTH, "set the clock of this machine" },
	{ "ExpiredToken", 0, false, ERR_AUTH, "get new keys" },
	{ "QuotaExceeded", 0, false, ERR_FULL, "make room in the store" },
	{ "EntityTooLarge", 0, false, ERR_FULL, NULL },
	{ NULL, 401, false, ERR_AUTH, NULL },
	{ NULL, 403, false, ERR_AUTH, "may these keys do this to this bucket?" },
	{ NULL, 404, false, ERR_NOT_FOUND, NULL },
	{ NULL, 408, true, ERR_UNAVAILABLE, NULL },
	{ NULL, 409, true, ERR_CONFLICT, NULL },
	{ NULL, 412, false, ERR_CONFLICT, NULL },
	{ NULL, 429, true, ERR_UNAVAILABLE, NULL },
	{ NULL, 500, true, ERR_UNAVAILABLE, NULL },
	{ NULL, 502, true, ERR_UNAVAILABLE, NULL },
	{ NULL, 503, true, ERR_UNAVAILABLE, NULL },
	{ NULL, 504, true, ERR_UNAVAILABLE, NULL },
	{ NULL, 507, false, ERR_FULL, "make room in the store" },
	{ NULL, 0, false, ERR_UNAVAILABLE, NULL },
};

static void s3_describe(const struct s3_transfer *t, const char *what, char *into, size_t size)
{
	const struct s3_call *call = t->call;
	if (!str_format(into, size, "store %s: %s %s: %s", t->s3->settings.url, call->method,
			call->key ? call->key : "the bucket", what))
		str_format(into, size, "store: %s: %.300s", call->method, what);
}

/* Once: the second time something else is wrong. The answer to a HEAD has no code, only its own time. */
static bool s3_correct_clock(struct s3_transfer *t, const char *code)
{
	int64_t skew_s = t->date_s - clock_wall_ms() / 1000;
	bool is_told = !strcmp(code, "RequestTimeTooSkewed");
	bool is_seen = !*code && t->call->status == 403 && llabs(skew_s) > S3_SKEW_MOST_S;
	if (t->s3->has_skew || !t->date_s || !(is_told || is_seen))
		return false;
	t->s3->has_skew = true;
	t->s3->skew_s = skew_s;
	return true;
}

/* That an object is not there is concluded only from S3's own word for it: a 404 may also come from a proxy, or for a
 * bucket. To a HEAD there are no words: who asks by HEAD must ask again (s3_head). */
static bool s3_is_missing(const struct s3_call *call, const char *code)
{
	bool is_said = !strcmp(code, "NoSuchKey") || !strcmp(code, "NotFound");
	bool may_be = !strcmp(call->method, "GET") || !strcmp(call->method, "DELETE");
	return may_be ? is_said : !strcmp(call->method, "HEAD");
}

bool s3_judge_refusal(struct s3_transfer *t)
{
	struct s3_call *call = t->call;
	struct s3_refusal refusal = { "", "" };
	char text[512];
	s3_xml_read(buf_text(&call->text), call->text.len, s3_read_refusal, &refusal);
	if (s3_correct_clock(t, refusal.code))
		return true;
	size_t i = 0;
	while (s3_refusals[i].code ? strcmp(s3_refusals[i].code, refusal.code) != 0
				   : s3_refusals[i].status && s3_refusals[i].status != call->status)
		i++;
	CLEANUP(free_p)
	char *what = refusal.code[0] ? mem_printf("%s (%d) %s", refusal.code, call->status, refusal.message)
				     : mem_printf("status %d", call->status);
	s3_describe(t, what, text, sizeof text);
	enum error_kind kind = s3_refusals[i].kind;
	bool passes = s3_refusals[i].passes;
	if (kind == ERR_NOT_FOUND && !s3_is_missing(call, refusal.code)) {
		kind = ERR_UNAVAILABLE;
		passes = !refusal.code[0];
	}
	error_set(&call->error, kind, s3_refusals[i].hint, "%s", text);
	return passes;
}

bool s3_judge_failure(struct s3_transfer *t, CURLcode result)
{
	struct s3_call *call = t->call;
	char text[512];
	curl_off_t connected_us = 0;
	t->s3->api.easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
	bool is_ours = result == CURLE_WRITE_ERROR; /* more than there is room for */
	call->status = 0;
	call->is_unknown = connected_us != 0;
	s3_describe(t, is_ours ? "the answer is longer than what was asked for" : t->s3->api.easy_strerror(result),
		    text, sizeof text);
	bool is_trust = result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE;
	error_set(&call->error, ERR_UNAVAILABLE,
		  is_trust ? "name the authority of its certificate: STOKER_S3_CA_FILE" : NULL, "%s", text);
	return !is_ours && !is_trust;
}
