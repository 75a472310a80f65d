#include "lib/compress.h"

#include <stdlib.h>
#include <zstd.h>

#include "lib/buf.h"

enum {
	COMPRESS_LEVEL = 1,
	COMPRESS_WINDOW_LOG = 23,
	COMPRESS_CHUNK = 256 * 1024,
};

struct compress {
	ZSTD_CCtx *context;
	compress_write_fn *fn;
	void *arg;
	char *chunk;
};

struct compress *compress_new(compress_write_fn *fn, void *arg)
{
	struct compress *c = mem_alloc(sizeof *c);
	c->fn = fn;
	c->arg = arg;
	c->chunk = mem_alloc(COMPRESS_CHUNK);
	c->context = ZSTD_createCCtx();
	if (!c->context || ZSTD_isError(ZSTD_CCtx_setParameter(c->context, ZSTD_c_compressionLevel, COMPRESS_LEVEL)))
		mem_exhausted();
	return c;
}

void compress_free(struct compress *c)
{
	if (!c)
		return;
	ZSTD_freeCCtx(c->context);
	free(c->chunk);
	free(c);
}

static bool compress_feed(struct compress *c, ZSTD_inBuffer *in, ZSTD_EndDirective how, struct error *err)
{
	for (size_t left = 1; left > 0 || in->pos < in->size;) {
		ZSTD_outBuffer out = { c->chunk, COMPRESS_CHUNK, 0 };
		left = ZSTD_compressStream2(c->context, &out, in, how);
		if (ZSTD_isError(left))
			return error_set(err, ERR_INTERNAL, NULL, "cannot compress: %s", ZSTD_getErrorName(left));
		if (out.pos && !c->fn(c->arg, c->chunk, out.pos, err))
			return false;
		if (how == ZSTD_e_continue)
			left = 0; /* what it holds back comes with the next */
	}
	return true;
}

bool compress_write(struct compress *c, const void *data, size_t len, struct error *err)
{
	ZSTD_inBuffer in = { data, len, 0 };
	return compress_feed(c, &in, ZSTD_e_continue, err);
}

bool compress_finish(struct compress *c, struct error *err)
{
	ZSTD_inBuffer in = { NULL, 0, 0 };
	return compress_feed(c, &in, ZSTD_e_end, err);
}

size_t compress_sample(const void *data, size_t len)
{
	size_t room = ZSTD_compressBound(len);
	CLEANUP(free_p) char *into = mem_alloc(room);
	size_t got = ZSTD_compress(into, room, data, len, COMPRESS_LEVEL);
	return ZSTD_isError(got) ? len : got;
}

/* ---- reading ---- */

struct decompress {
	ZSTD_DCtx *context;
	compress_read_fn *fn;
	void *arg;
	char *chunk;
	ZSTD_inBuffer in;
	bool is_over; /* the frame is */
};

struct decompress *decompress_new(compress_read_fn *fn, void *arg)
{
	struct decompress *d = mem_alloc(sizeof *d);
	d->fn = fn;
	d->arg = arg;
	d->chunk = mem_alloc(COMPRESS_CHUNK);
	d->in.src = d->chunk;
	d->context = ZSTD_createDCtx();
	if (!d->context || ZSTD_isError(ZSTD_DCtx_setParameter(d->context, ZSTD_d_windowLogMax, COMPRESS_WINDOW_LOG)))
		mem_exhausted();
	return d;
}

void decompress_free(struct decompress *d)
{
	if (!d)
		return;
	ZSTD_freeDCtx(d->context);
	free(d->chunk);
	free(d);
}

static bool decompress_more(struct decompress *d, struct error *err)
{
	d->in.pos = 0;
	return d->fn(d->arg, d->chunk, COMPRESS_CHUNK, &d->in.size, err);
}

static bool decompress_end(struct decompress *d, struct error *err)
{
	if (d->in.pos == d->in.size && !decompress_more(d, err))
		return false;
	return d->in.size == 0 || error_set(err, ERR_DAMAGED, NULL, "there is something behind the compressed data");
}

bool decompress_read(void *arg, void *data, size_t size, size_t *len, struct error *err)
{
	struct decompress *d = arg;
	ZSTD_outBuffer out = { data, size, 0 };
	while (out.pos == 0 && !d->is_over) {
		if (d->in.pos == d->in.size && !decompress_more(d, err))
			return false;
		if (d->in.size == 0)
			return error_set(err, ERR_DAMAGED, NULL, "the compressed data end too soon");
		size_t left = ZSTD_decompressStream(d->context, &out, &d->in);
		if (ZSTD_isError(left))
			return error_set(err, ERR_DAMAGED, NULL, "the compressed data cannot be read: %s",
					 ZSTD_getErrorName(left));
		d->is_over = left == 0;
	}
	*len = out.pos;
	return out.pos > 0 || decompress_end(d, err);
}
