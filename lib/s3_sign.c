#include "lib/s3_sign.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/digest.h"

#define S3_TEXT_MAX  (64 * 1024)
#define S3_ALGORITHM "AWS4-HMAC-SHA256"

struct s3_mac {
	unsigned char bytes[32];
};

/* One request on its way to its signature. */
struct s3_signing {
	const struct s3_keys *keys;
	const struct s3_request *request;
	struct s3_pair headers[S3_PAIRS_MAX + 8]; /* all that are signed, by name */
	size_t header_count;
	char date[17]; /* 20130524T000000Z */
	char scope[80];
	struct buf query, names; /* canonical, and "host;x-amz-date" */
};

static struct s3_mac s3_mac(const void *key, size_t key_len, const char *text)
{
	struct s3_mac mac;
	unsigned len = 0;
	HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, strlen(text), mac.bytes, &len);
	return mac;
}

void s3_encode(struct buf *into, const char *text, bool keep_slash)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	static const char hex[] = "0123456789ABCDEF";
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (strchr(plain, c) || (keep_slash && c == '/')) {
			buf_byte(into, (char)c);
			continue;
		}
		const char coded[] = { '%', hex[c >> 4], hex[c & 15] };
		buf_add(into, coded, sizeof coded);
	}
}

struct s3_checksum s3_checksum(const char *sha256)
{
	struct s3_checksum sum;
	unsigned char bytes[DIGEST_HEX / 2];
	for (size_t i = 0; i < sizeof bytes; i++) {
		const char digits[] = { sha256[2 * i], sha256[2 * i + 1], '\0' };
		bytes[i] = (unsigned char)strtoul(digits, NULL, 16);
	}
	EVP_EncodeBlock((unsigned char *)sum.text, bytes, sizeof bytes);
	return sum;
}

static int s3_compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int s3_compare_name(const void *a, const void *b)
{
	return strcmp(((const struct s3_pair *)a)->name, ((const struct s3_pair *)b)->name);
}

/* name=value, encoded, in the order of the encoded names. Whole items are sorted: the same, as long as no name begins
 * with another, and none that is sent does. */
static void s3_query(const struct s3_request *request, struct buf *into)
{
	char *items[S3_PAIRS_MAX];
	size_t count = 0;
	for (; count < request->query_count; count++) {
		struct buf item;
		buf_init(&item, S3_TEXT_MAX);
		s3_encode(&item, request->query[count].name, false);
		buf_byte(&item, '=');
		s3_encode(&item, request->query[count].value, false);
		items[count] = buf_take(&item);
	}
	qsort(items, count, sizeof *items, s3_compare_text);
	for (size_t i = 0; i < count; i++) {
		buf_str(into, i ? "&" : "");
		buf_str(into, items[i]);
		free(items[i]);
	}
}

static void s3_signing_begin(struct s3_signing *s, const struct s3_keys *keys, const struct s3_request *request,
			     int64_t time_s)
{
	struct tm tm;
	time_t time = (time_t)time_s;
	s->keys = keys;
	s->request = request;
	gmtime_r(&time, &tm);
	strftime(s->date, sizeof s->date, "%Y%m%dT%H%M%SZ", &tm);
	str_format(s->scope, sizeof s->scope, "%.8s/%s/s3/aws4_request", s->date, keys->region);
	s->header_count = request->header_count;
	memcpy(s->headers, request->headers, request->header_count * sizeof *s->headers);
	s->headers[s->header_count++] = (struct s3_pair){ "host", request->host };
	buf_init(&s->query, S3_TEXT_MAX);
	buf_init(&s->names, S3_TEXT_MAX);
}

static void s3_signing_done(struct s3_signing *s)
{
	buf_done(&s->query);
	buf_done(&s->names);
}

static void s3_sort_headers(struct s3_signing *s)
{
	qsort(s->headers, s->header_count, sizeof *s->headers, s3_compare_name);
	buf_clear(&s->names);
	for (size_t i = 0; i < s->header_count; i++) {
		buf_str(&s->names, i ? ";" : "");
		buf_str(&s->names, s->headers[i].name);
	}
}

/* With the query and the headers in their final form. */
static struct digest_hex s3_signature(const struct s3_signing *s, const char *payload)
{
	CLEANUP(buf) struct buf canonical;
	CLEANUP(buf) struct buf text;
	buf_init(&canonical, 4 * S3_TEXT_MAX);
	buf_init(&text, S3_TEXT_MAX);
	buf_str(&canonical, s->request->method);
	buf_byte(&canonical, '\n');
	s3_encode(&canonical, s->request->path, true);
	buf_printf(&canonical, "\n%s\n", buf_text(&s->query));
	for (size_t i = 0; i < s->header_count; i++)
		buf_printf(&canonical, "%s:%s\n", s->headers[i].name, s->headers[i].value);
	buf_printf(&canonical, "\n%s\n%s", buf_text(&s->names), payload);
	buf_printf(&text, S3_ALGORITHM "\n%s\n%s\n%s", s->date, s->scope,
		   digest_of(canonical.data, canonical.len).text);

	CLEANUP(free_p) char *first = mem_printf("AWS4%s", s->keys->secret);
	CLEANUP(free_p) char *day = mem_strndup(s->date, 8);
	struct s3_mac mac = s3_mac(first, strlen(first), day);
	const char *const steps[] = { s->keys->region, "s3", "aws4_request", buf_text(&text) };
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		mac = s3_mac(mac.bytes, sizeof mac.bytes, steps[i]);
	struct digest_hex hex;
	for (size_t i = 0; i < sizeof mac.bytes; i++)
		str_format(hex.text + 2 * i, 3, "%02x", mac.bytes[i]);
	return hex;
}

static void s3_target(const struct s3_signing *s, struct buf *target)
{
	s3_encode(target, s->request->path, true);
	if (s->query.len)
		buf_printf(target, "?%s", buf_text(&s->query));
}

void s3_sign(const struct s3_keys *keys, const struct s3_request *request, int64_t time_s, struct buf *target,
	     struct buf *headers)
{
	struct s3_signing s;
	s3_signing_begin(&s, keys, request, time_s);
	s.headers[s.header_count++] = (struct s3_pair){ "x-amz-content-sha256", request->sha256 };
	s.headers[s.header_count++] = (struct s3_pair){ "x-amz-date", s.date };
	if (keys->session)
		s.headers[s.header_count++] = (struct s3_pair){ "x-amz-security-token", keys->session };
	s3_sort_headers(&s);
	s3_query(request, &s.query);
	s3_target(&s, target);
	for (size_t i = 0; i < s.header_count; i++)
		if (strcmp(s.headers[i].name, "host") != 0)
			buf_printf(headers, "%s: %s\n", s.headers[i].name, s.headers[i].value);
	buf_printf(headers, "Authorization: " S3_ALGORITHM " Credential=%s/%s,SignedHeaders=%s,Signature=%s\n",
		   keys->id, s.scope, buf_text(&s.names), s3_signature(&s, request->sha256).text);
	s3_signing_done(&s);
}

void s3_presign(const struct s3_keys *keys, const struct s3_request *request, int64_t time_s, int64_t expires_s,
		struct buf *target)
{
	struct s3_signing s;
	struct s3_request with = *request;
	char expires[24];
	s3_signing_begin(&s, keys, &with, time_s);
	s3_sort_headers(&s);
	CLEANUP(free_p) char *credential = mem_printf("%s/%s", keys->id, s.scope);
	str_format(expires, sizeof expires, "%" PRId64, expires_s);
	const struct s3_pair more[] = { { "X-Amz-Algorithm", S3_ALGORITHM },
					{ "X-Amz-Credential", credential },
					{ "X-Amz-Date", s.date },
					{ "X-Amz-Expires", expires },
					{ "X-Amz-SignedHeaders", buf_text(&s.names) },
					{ "X-Amz-Security-Token", keys->session } };
	for (size_t i = 0; i < ARRAY_LEN(more) && with.query_count < S3_PAIRS_MAX; i++)
		if (more[i].value)
			with.query[with.query_count++] = more[i];
	s3_query(&with, &s.query);
	s3_target(&s, target);
	buf_printf(target, "&X-Amz-Signature=%s", s3_signature(&s, S3_UNSIGNED).text);
	s3_signing_done(&s);
}
