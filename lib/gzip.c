#include "lib/gzip.h"

#define ZLIB_CONST
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16 /* with the frame of gzip */, GZIP_LEVEL = 6, GZIP_MEMORY = 8, GUNZIP_PIECE = 65536 };

bool gzip_add(struct buf *out, const void *data, size_t len, struct error *err)
{
	z_stream z = { 0 };
	if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
		return error_set(err, ERR_SYSTEM, NULL, "zlib has no memory to pack %zu bytes", len);
	size_t most = deflateBound(&z, len);
	CLEANUP(free_p) unsigned char *packed = mem_alloc(most);
	z.next_in = data;
	z.avail_in = (uInt)len;
	z.next_out = packed;
	z.avail_out = (uInt)most;
	int end = deflate(&z, Z_FINISH);
	size_t got = z.total_out;
	deflateEnd(&z);
	return (end == Z_STREAM_END && buf_add(out, packed, got)) ||
	       error_set(err, ERR_INTERNAL, NULL, "%zu bytes could not be packed", len);
}

struct gunzip {
	z_stream z;
	bool is_begun; /* a member that has not ended */
	char piece[GUNZIP_PIECE];
};

struct gunzip *gunzip_new(void)
{
	struct gunzip *g = mem_alloc(sizeof *g);
	if (inflateInit2(&g->z, GZIP_WINDOW) != Z_OK)
		mem_exhausted();
	return g;
}

void gunzip_free(struct gunzip *g)
{
	if (!g)
		return;
	inflateEnd(&g->z);
	free(g);
}

bool gunzip_next(struct gunzip *g, const void *data, size_t len, gunzip_fn *fn, void *arg, struct error *err)
{
	g->z.next_in = data;
	g->z.avail_in = (uInt)len;
	while (g->z.avail_in > 0 || g->z.avail_out == 0) {
		g->z.next_out = (unsigned char *)g->piece;
		g->z.avail_out = sizeof g->piece;
		g->is_begun = g->is_begun || g->z.avail_in > 0;
		int end = inflate(&g->z, Z_NO_FLUSH);
		if (end != Z_OK && end != Z_STREAM_END && end != Z_BUF_ERROR)
			return error_set(err, ERR_DAMAGED, NULL, "it is not what was packed: %s",
					 g->z.msg ? g->z.msg : "no gzip");
		size_t got = sizeof g->piece - g->z.avail_out;
		if (got && !fn(arg, g->piece, got, err))
			return false;
		if (end != Z_STREAM_END)
			continue;
		g->is_begun = false;
		g->z.avail_out = 1; /* nothing of it is left */
		inflateReset(&g->z);
	}
	return true;
}

bool gunzip_is_whole(const struct gunzip *g)
{
	return !g->is_begun;
}
