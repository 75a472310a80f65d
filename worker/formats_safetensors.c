/*
 * safetensors: 8 bytes little-endian length N, N bytes of JSON header, then the tensors back to
 * back. A header is written first by some writers (tinygrad sets the final size, maps the file and
 * fills it), so even a right header and size prove nothing about the last tensor: holes show what
 * was never written, and the rest is for the caller to know (quiet, closed, a later step).
 */
#include "worker/formats_internal.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cleanup.h"

#define HEADER_MAX (100 * 1000 * 1000) /* the format's own limit */

struct tensor_span {
	int64_t begin;
	int64_t end;
};

struct safetensors_header {
	struct tensor_span *spans;
	size_t count;
	int64_t step, epoch;
	bool has_optimizer;
	char why[120]; /* what is wrong; "" nothing */
};

static const struct {
	const char *name;
	int bits;
} safetensors_types[] = {
	{ "BOOL", 8 },    { "U8", 8 },   { "I8", 8 },   { "F8_E5M2", 8 }, { "F8_E4M3", 8 },
	{ "F8_E8M0", 8 }, { "U16", 16 }, { "I16", 16 }, { "F16", 16 },    { "BF16", 16 },
	{ "U32", 32 },    { "I32", 32 }, { "F32", 32 }, { "U64", 64 },    { "I64", 64 },
	{ "F64", 64 },    { "C64", 64 }, { "F4", 4 },   { "F6_E2M3", 6 }, { "F6_E3M2", 6 },
};

/* 0: a type that is newer than this code. */
static int safetensors_bits(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(safetensors_types); i++)
		if (strcmp(type, safetensors_types[i].name) == 0)
			return safetensors_types[i].bits;
	return 0;
}

/* Bytes that the shape needs; -1 if it cannot be: negative, no number, overflow, or not whole bytes. */
static int64_t safetensors_size(const json_t *shape, int bits)
{
	int64_t size = bits;
	size_t i;
	const json_t *dimension;
	json_array_foreach(shape, i, dimension)
	{
		if (!json_is_integer(dimension) || json_integer_value(dimension) < 0 ||
		    __builtin_mul_overflow(size, json_integer_value(dimension), &size))
			return -1;
	}
	return size % 8 == 0 ? size / 8 : -1;
}

static bool safetensors_tensor(struct safetensors_header *h, const char *name, const json_t *tensor)
{
	const json_t *type = json_object_get(tensor, "dtype"), *shape = json_object_get(tensor, "shape");
	const json_t *offsets = json_object_get(tensor, "data_offsets");
	const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
	if (!json_is_string(type) || !json_is_array(shape) || json_array_size(offsets) != 2 ||
	    !json_is_integer(begin) || !json_is_integer(end))
		return str_format(h->why, sizeof h->why, "the header's entry %.60s is not a tensor", name), false;
	struct tensor_span span = { json_integer_value(begin), json_integer_value(end) };
	int bits = safetensors_bits(json_string_value(type));
	if (span.begin < 0 || span.end < span.begin || (bits && safetensors_size(shape, bits) != span.end - span.begin))
		return str_format(h->why, sizeof h->why, "tensor %.60s has another size than its shape", name), false;
	h->spans[h->count++] = span;
	return true;
}

static bool safetensors_is_optimizer_key(const char *name)
{
	static const char *const heads[] = { "opt.", "optim.", "optimizer." };
	static const char *const inside[] = { "exp_avg", "momentum_buffer", ".optimizer." };
	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		if (strncmp(name, heads[i], strlen(heads[i])) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(inside); i++)
		if (strstr(name, inside[i]))
			return true;
	return false;
}

/* Metadata values are strings: "200" is a number, "1" and "true" are yes. */
static int64_t safetensors_number(const json_t *metadata, const char *key)
{
	const char *text = json_string_value(json_object_get(metadata, key));
	if (!text || !*text)
		return -1;
	char *end;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	return *end || errno || value < 0 ? -1 : value;
}

static void safetensors_metadata(struct safetensors_header *h, const json_t *metadata)
{
	static const char *const steps[] = { "step", "global_step", "iteration" };
	for (size_t i = 0; i < ARRAY_LEN(steps) && h->step < 0; i++)
		h->step = safetensors_number(metadata, steps[i]);
	h->epoch = safetensors_number(metadata, "epoch");
	static const char *const flags[] = { "has_optimizer", "optimizer" };
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		const char *text = json_string_value(json_object_get(metadata, flags[i]));
		if (text && *text && strcmp(text, "0") != 0 && strcmp(text, "false") != 0 && strcmp(text, "none") != 0)
			h->has_optimizer = true;
	}
}

static int safetensors_by_begin(const void *a, const void *b)
{
	const struct tensor_span *x = a, *y = b;
	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

/* The spans must tile the data from 0 to its end: no gap, no overlap. */
static void safetensors_tile(struct safetensors_header *h, int64_t data_size)
{
	qsort(h->spans, h->count, sizeof *h->spans, safetensors_by_begin);
	int64_t at = 0;
	for (size_t i = 0; i < h->count; i++) {
		if (h->spans[i].begin != at) {
			str_copy(h->why, sizeof h->why, "the tensors do not lie back to back");
			return;
		}
		at = h->spans[i].end;
	}
	if (at != data_size)
		str_format(h->why, sizeof h->why, "%lld bytes of tensors, the header says %lld", (long long)data_size,
			   (long long)at);
}

static void safetensors_parse(struct safetensors_header *h, const char *text, size_t len, int64_t data_size)
{
	json_error_t at;
	json_t *root = text[0] == '{' ? json_loadb(text, len, JSON_REJECT_DUPLICATES, &at) : NULL;
	if (!root) {
		str_copy(h->why, sizeof h->why, "the header is not a JSON object");
		return;
	}
	h->spans = mem_alloc((json_object_size(root) + 1) * sizeof *h->spans);
	const char *name;
	json_t *value;
	json_object_foreach(root, name, value)
	{
		if (strcmp(name, "__metadata__") == 0)
			safetensors_metadata(h, value);
		else if (!safetensors_tensor(h, name, value))
			break;
		else if (safetensors_is_optimizer_key(name))
			h->has_optimizer = true;
	}
	json_decref(root);
	if (!h->why[0])
		safetensors_tile(h, data_size);
	free(h->spans);
	h->spans = NULL;
}

static struct format_verdict safetensors_torn(const char *why)
{
	return format_verdict_of(FORMAT_TORN, "safetensors", why);
}

static struct format_verdict safetensors_check(const struct format_file *file)
{
	const int64_t size = file->size;
	unsigned char prefix[8];
	if (size < 8 || !format_read(file->fd, prefix, sizeof prefix, 0))
		return safetensors_torn("shorter than its header");
	uint64_t len = 0;
	for (int i = 7; i >= 0; i--)
		len = len << 8 | prefix[i];
	if (len > HEADER_MAX || len < 2)
		return safetensors_torn("the length of its header cannot be");
	if ((int64_t)len > size - 8)
		return safetensors_torn("shorter than its header");
	CLEANUP(free_p) char *text = mem_alloc(len + 1);
	if (!format_read(file->fd, text, len, 8))
		return safetensors_torn("its header cannot be read");
	struct safetensors_header h = { .step = -1, .epoch = -1 };
	int64_t data = 8 + (int64_t)len;
	safetensors_parse(&h, text, len, size - data);
	if (h.why[0])
		return safetensors_torn(h.why);
	bool has_hole = format_has_hole(file, data);
	struct format_verdict verdict = format_verdict_of(
		has_hole ? FORMAT_OPAQUE : FORMAT_SOUND, "safetensors",
		has_hole ? "hash only: safetensors header and tensor spans fit, but the file has holes"
			 : "safetensors header and tensor spans; file hashes");
	verdict.optimizer = h.has_optimizer;
	verdict.step = h.step;
	verdict.epoch = h.epoch;
	return verdict;
}

static bool safetensors_is(const struct format_file *file)
{
	return format_has_suffix(file->path, ".safetensors");
}

const struct format_file_row format_row_safetensors = { "safetensors", safetensors_is, safetensors_check };
