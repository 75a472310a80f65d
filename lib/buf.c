#include "lib/buf.h"

#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void abort_saying(const char *why)
{
	dprintf(STDERR_FILENO, "%s: %s\n", program_invocation_short_name, why); /* takes no memory */
	abort();
}

void mem_exhausted(void)
{
	abort_saying("out of memory: the process ends here");
}

void *mem_must(void *p)
{
	if (!p)
		mem_exhausted();
	return p;
}

void *mem_alloc(size_t size)
{
	return mem_must(calloc(1, size ? size : 1));
}

void *mem_realloc(void *p, size_t size)
{
	return mem_must(realloc(p, size ? size : 1));
}

char *mem_strdup(const char *text)
{
	return text ? mem_strndup(text, strlen(text)) : NULL;
}

char *mem_strndup(const void *text, size_t len)
{
	char *copy = mem_alloc(len + 1);
	if (len)
		memcpy(copy, text, len);
	return copy;
}

char *mem_printf(const char *fmt, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, fmt);
	int len = vasprintf(&text, fmt, args);
	va_end(args);
	if (len < 0)
		mem_exhausted();
	return text;
}

/* As it is, where mem_alloc would clear it. */
static void *mem_take(size_t size)
{
	return mem_must(malloc(size ? size : 1));
}

void mem_for_libraries(void)
{
	json_set_alloc_funcs(mem_take, free);
	event_set_mem_functions(mem_take, mem_realloc, free);
}

void mem_keep_freed(void)
{
#ifdef __GLIBC__
	mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 8 * 1024 * 1024);
#endif
}

bool str_format(char *into, size_t size, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(into, size, fmt, args);
	va_end(args);
	if (len >= 0 && (size_t)len < size)
		return true;
	if (size)
		into[0] = '\0';
	return false;
}

bool str_copy(char *into, size_t size, const char *text)
{
	return str_format(into, size, "%s", text);
}

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ .max = b->max };
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->overflow = false;
	if (b->data)
		b->data[0] = '\0';
}

/* Makes room for len more bytes and a NUL; false past max. */
static bool buf_reserve(struct buf *b, size_t len)
{
	if (b->overflow || len > b->max - b->len) {
		b->overflow = true;
		return false;
	}
	size_t need = b->len + len + 1;
	if (need <= b->capacity)
		return true;
	size_t capacity = b->capacity ? b->capacity : 64;
	while (capacity < need)
		capacity *= 2;
	b->data = mem_realloc(b->data, capacity);
	b->capacity = capacity;
	return true;
}

bool buf_add(struct buf *b, const void *data, size_t len)
{
	if (!buf_reserve(b, len))
		return false;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return true;
}

bool buf_str(struct buf *b, const char *text)
{
	return buf_add(b, text, strlen(text));
}

bool buf_byte(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

bool buf_vprintf(struct buf *b, const char *fmt, va_list args)
{
	va_list again;
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, fmt, args);
	bool fits = len >= 0 && buf_reserve(b, (size_t)len);
	if (fits) {
		vsnprintf(b->data + b->len, (size_t)len + 1, fmt, again);
		b->len += (size_t)len;
	}
	va_end(again);
	return fits;
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	bool fits = buf_vprintf(b, fmt, args);
	va_end(args);
	return fits;
}

void buf_eat(struct buf *b, size_t len)
{
	if (len >= b->len) {
		buf_clear(b);
		return;
	}
	memmove(b->data, b->data + len, b->len - len + 1);
	b->len -= len;
}

const char *buf_text(const struct buf *b)
{
	return b->data ? b->data : "";
}

char *buf_take(struct buf *b)
{
	char *text = b->data ? b->data : mem_strdup("");
	*b = (struct buf){ .max = b->max };
	return text;
}
