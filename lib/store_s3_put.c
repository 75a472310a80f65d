/*
 * Putting into S3: parts are on their way while the next is filled. What a dead writer
 * leaves is an upload that no listing of objects shows; a sweep aborts it.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "lib/s3_xml.h"
#include "lib/store_s3.h"

enum {
	PART_GROWS_AFTER = 1500,        /* parts: then they are twice as large */
	PARTS_MAX = 10000,              /* that S3 takes */
	PARTS_BYTES = 64 * 1024 * 1024, /* of all that are on their way; but two parts always */
	HTTP_BAD_REQUEST = 400,
	HTTP_EXISTS = 412, /* what If-None-Match forbids */
	HTTP_NOT_IMPLEMENTED = 501,
	COMPLETE_TRIES = 6, /* with 1, 2, 4 … s between them: what was done is not seen everywhere at once */
};

struct s3_part {
	char *etag; /* NULL: it is on its way */
	struct digest_hex sha256;
};

struct s3_put {
	struct store_put base;
	char *key;
	char *upload; /* NULL: not begun, all of it may fit into one part */
	struct store_s3_slot slots[STORE_S3_SLOTS];
	struct store_s3_slot *filled; /* the one that is written into */
	size_t part_count;
	struct s3_part *parts;
	bool has_sums; /* the server keeps the hashes of what it gets */
	int64_t total;
};

static size_t s3_part_bytes(size_t part)
{
	return (size_t)STORE_S3_PART_BYTES << part / PART_GROWS_AFTER;
}

static size_t s3_slots_for(size_t bytes)
{
	size_t count = PARTS_BYTES / bytes;
	return count < 2 ? 2 : count > STORE_S3_SLOTS ? STORE_S3_SLOTS : count;
}

static void s3_put_free(struct s3_put *put)
{
	for (size_t i = 0; i < STORE_S3_SLOTS; i++) {
		if (put->slots[i].is_busy) {
			s3_cancel(store_s3_of(put->base.store), &put->slots[i].call);
			s3_call_done(&put->slots[i].call);
		}
		free(put->slots[i].data);
	}
	for (size_t i = 0; i < put->part_count; i++)
		free(put->parts[i].etag);
	free(put->parts);
	free(put->upload);
	free(put->key);
	free(put);
}

bool store_s3_begin(struct store *store, const char *key, struct store_put **into, struct error *err)
{
	struct s3_put *put = mem_alloc(sizeof *put);
	(void)err;
	*put = (struct s3_put){ .base.store = store, .key = mem_strdup(key), .has_sums = true };
	*into = &put->base;
	return true;
}

static void s3_find_upload(void *arg, const char *path, const char *text)
{
	char **upload = arg;
	if (!strcmp(path, "InitiateMultipartUploadResult/UploadId") && !*upload)
		*upload = mem_strdup(text);
}

/* A server that does not take them is asked without: the signature says what a part must be all the same. */
static bool s3_put_without_sums(struct s3_put *put, const struct s3_call *call)
{
	bool is_refused = put->has_sums && (call->status == HTTP_BAD_REQUEST || call->status == HTTP_NOT_IMPLEMENTED);
	put->has_sums = put->has_sums && !is_refused;
	return is_refused;
}

static bool s3_put_begin_parts(struct s3_put *put, struct error *err)
{
	CLEANUP(s3_call) struct s3_call call;
	s3_call_init(&call, "POST", put->key);
	s3_call_query(&call, "uploads", "");
	if (put->has_sums)
		s3_call_header(&call, "x-amz-checksum-algorithm", "SHA256");
	if (!s3_run(store_s3_of(put->base.store), &call, err))
		return s3_put_without_sums(put, &call) && s3_put_begin_parts(put, err);
	put->has_sums = call.keeps_sums; /* a server that does not say so may not take them at the end */
	s3_xml_read(buf_text(&call.text), call.text.len, s3_find_upload, &put->upload);
	return put->upload || error_set(err, ERR_UNAVAILABLE, NULL, "store %s: no upload was begun for %s",
					put->base.store->url, put->key);
}

/* A part that is over leaves its etag, or the error of the whole. */
static bool s3_put_settle(struct s3_put *put, struct store_s3_slot *slot, struct error *err)
{
	slot->is_busy = false;
	bool ok = slot->call.error.kind == ERR_NONE && slot->call.etag[0];
	if (ok)
		put->parts[slot->number].etag = mem_strdup(slot->call.etag);
	else if (slot->call.error.kind != ERR_NONE && err)
		*err = slot->call.error;
	else if (!ok)
		error_set(err, ERR_UNAVAILABLE, NULL, "store %s: a part of %s has no etag", put->base.store->url,
			  put->key);
	s3_call_done(&slot->call);
	return ok;
}

/* Waits until at most `most` parts are on their way. */
static bool s3_put_wait(struct s3_put *put, size_t most, struct error *err)
{
	struct s3 *s3 = store_s3_of(put->base.store);
	for (;;) {
		size_t busy = 0;
		for (size_t i = 0; i < STORE_S3_SLOTS; i++) {
			struct store_s3_slot *slot = &put->slots[i];
			if (slot->is_busy && s3_is_done(s3, &slot->call) && !s3_put_settle(put, slot, err))
				return false;
			busy += slot->is_busy;
		}
		if (busy <= most)
			return true;
		s3_wait(s3);
	}
}

static bool s3_put_send(struct s3_put *put, struct error *err)
{
	struct store_s3_slot *slot = STEAL(put->filled);
	if (put->part_count == PARTS_MAX)
		return error_set(err, ERR_FULL, NULL, "store %s: %s is larger than an object can be",
				 put->base.store->url, put->key);
	if (!put->upload && !s3_put_begin_parts(put, err))
		return false;
	slot->number = put->part_count++;
	put->parts = mem_realloc(put->parts, put->part_count * sizeof *put->parts);
	struct s3_part *part = &put->parts[slot->number];
	/* A part that is a block has its hash. */
	part->etag = NULL;
	part->sha256 = slot->number < PART_GROWS_AFTER ? put->base.blocks.hashes[slot->number]
						       : digest_of(slot->data, slot->len);
	str_format(slot->text, sizeof slot->text, "%zu", slot->number + 1);
	s3_call_init(&slot->call, "PUT", put->key);
	s3_call_query(&slot->call, "partNumber", slot->text);
	s3_call_query(&slot->call, "uploadId", put->upload);
	slot->call.body = slot->data;
	slot->call.body_len = slot->len;
	slot->sha256 = part->sha256;
	slot->call.sha256 = slot->sha256.text;
	slot->call.is_kept = put->has_sums;
	slot->is_busy = true;
	s3_begin(store_s3_of(put->base.store), &slot->call);
	return true;
}

/* An empty slot to write into, when there is none yet. */
static bool s3_put_slot(struct s3_put *put, struct error *err)
{
	size_t bytes = s3_part_bytes(put->part_count);
	size_t i = 0;
	if (put->filled)
		return true;
	if (!s3_put_wait(put, s3_slots_for(bytes) - 1, err))
		return false;
	while (put->slots[i].is_busy)
		i++;
	if (put->slots[i].room < bytes)
		put->slots[i].data = mem_realloc(put->slots[i].data, bytes);
	put->slots[i].room = bytes;
	put->slots[i].len = 0;
	put->filled = &put->slots[i];
	return true;
}

bool store_s3_write(struct store_put *base, const void *data, size_t len, struct error *err)
{
	struct s3_put *put = (struct s3_put *)base;
	const char *from = data;
	put->total += (int64_t)len;
	while (len) {
		if (!s3_put_slot(put, err))
			return false;
		size_t room = s3_part_bytes(put->part_count) - put->filled->len;
		size_t part = len < room ? len : room;
		memcpy(put->filled->data + put->filled->len, from, part);
		put->filled->len += part;
		from += part;
		len -= part;
		/* Not at once when it is full: what ends with the first part is no multipart upload. */
		if (len && part == room && !s3_put_send(put, err))
			return false;
	}
	return true;
}

static bool s3_put_whole(struct s3_put *put, struct error *err)
{
	CLEANUP(s3_call) struct s3_call call;
	s3_call_init(&call, "PUT", put->key);
	call.body = put->filled ? put->filled->data : NULL;
	call.body_len = put->filled ? put->filled->len : 0;
	call.sha256 = put->base.blocks.hashes[0].text;
	call.is_kept = put->has_sums;
	if (put->base.is_new)
		s3_call_header(&call, "if-none-match", "*");
	if (s3_run(store_s3_of(put->base.store), &call, err))
		return true;
	if (put->base.is_new && call.status == HTTP_NOT_IMPLEMENTED)
		put->base.is_new = false; /* a server that has no such thing is asked without it */
	else if (!s3_put_without_sums(put, &call))
		return false;
	return s3_put_whole(put, err);
}

static bool s3_put_is_there(struct s3_put *put, struct error *err)
{
	struct store_stat st;
	struct error why;
	if (!put->base.store->scheme->stat(put->base.store, put->key, &st, &why))
		return error_set(err, ERR_UNAVAILABLE, why.hint, "%s", why.message); /* also when it is not seen yet */
	return (st.size == put->total ||
		error_set(err, ERR_DAMAGED, NULL, "store %s: %s has %" PRId64 " bytes, %" PRId64 " were sent",
			  put->base.store->url, put->key, st.size, put->total));
}

struct s3_completion {
	bool is_complete;
	char code[96];
};

static void s3_read_completion(void *arg, const char *path, const char *text)
{
	struct s3_completion *completion = arg;
	if (!strcmp(path, "CompleteMultipartUploadResult"))
		completion->is_complete = true;
	else if (!strcmp(path, "Error/Code"))
		str_copy(completion->code, sizeof completion->code, text);
}

/* One try. The answer may be 200 with an error in it, and none at all may be a success: *is_unknown. */
static bool s3_put_complete_once(struct s3_put *put, const struct buf *xml, bool *is_unknown, struct error *err)
{
	CLEANUP(s3_call) struct s3_call call;
	struct s3_completion completion = { 0 };
	s3_call_init(&call, "POST", put->key);
	s3_call_query(&call, "uploadId", put->upload);
	call.body = xml->data;
	call.body_len = xml->len;
	call.again = S3_AGAIN_NOT;
	if (put->base.is_new)
		s3_call_header(&call, "if-none-match", "*");
	bool ok = s3_run(store_s3_of(put->base.store), &call, err);
	*is_unknown = !ok && call.status != HTTP_EXISTS && call.status != HTTP_NOT_IMPLEMENTED &&
		      (call.is_unknown || err->kind == ERR_CONFLICT); /* no such upload: an earlier try did it */
	if (put->base.is_new && call.status == HTTP_NOT_IMPLEMENTED) {
		put->base.is_new = false;
		return s3_put_complete_once(put, xml, is_unknown, err);
	}
	if (!ok)
		return false;
	s3_xml_read(buf_text(&call.text), call.text.len, s3_read_completion, &completion);
	*is_unknown = !completion.is_complete;
	return completion.is_complete ||
	       error_set(err, ERR_UNAVAILABLE, NULL, "store %s: the upload of %s was not completed: %s",
			 put->base.store->url, put->key, completion.code[0] ? completion.code : "an unknown answer");
}

static bool s3_put_complete(struct s3_put *put, struct error *err)
{
	CLEANUP(buf) struct buf xml;
	buf_init(&xml, 4 * 1024 * 1024);
	buf_str(&xml, "<CompleteMultipartUpload>");
	for (size_t i = 0; i < put->part_count; i++) {
		buf_printf(&xml, "<Part><PartNumber>%zu</PartNumber><ETag>%s</ETag>", i + 1, put->parts[i].etag);
		if (put->has_sums)
			buf_printf(&xml, "<ChecksumSHA256>%s</ChecksumSHA256>",
				   s3_checksum(put->parts[i].sha256.text).text);
		buf_str(&xml, "</Part>");
	}
	buf_str(&xml, "</CompleteMultipartUpload>");
	for (int tries = 1;; tries++) {
		bool is_unknown;
		struct error missing, why;
		if (s3_put_complete_once(put, &xml, &is_unknown, &why))
			return s3_put_is_there(put, err);
		if (is_unknown && s3_put_is_there(put, &missing))
			return true;
		if (!is_unknown || tries == COMPLETE_TRIES) {
			if (err)
				*err = why;
			return false;
		}
		const struct timespec pause = { .tv_sec = 1 << (tries - 1) };
		nanosleep(&pause, NULL);
	}
}

void store_s3_abort(struct store_put *base)
{
	struct s3_put *put = (struct s3_put *)base;
	for (size_t i = 0; i < STORE_S3_SLOTS; i++)
		if (put->slots[i].is_busy)
			s3_cancel(store_s3_of(put->base.store), &put->slots[i].call);
	if (put->upload) {
		struct error ignored; /* the sweep tries again */
		CLEANUP(s3_call) struct s3_call call;
		s3_call_init(&call, "DELETE", put->key);
		s3_call_query(&call, "uploadId", put->upload);
		(void)!s3_run(store_s3_of(base->store), &call, &ignored);
	}
	s3_put_free(put);
}

bool store_s3_finish(struct store_put *base, struct error *err)
{
	struct s3_put *put = (struct s3_put *)base;
	bool ok;
	if (!put->upload)
		ok = s3_put_whole(put, err);
	else
		ok = s3_put_send(put, err) && s3_put_wait(put, 0, err) && s3_put_complete(put, err);
	if (ok)
		s3_put_free(put);
	else
		store_s3_abort(base);
	return ok;
}
