/*
 * A growing byte buffer with a stated maximum: no buffer grows without a bound.
 *
 * data is always NUL-terminated once anything was added (the NUL is not counted
 * in len), so that text can be used as a C string. An append that would pass
 * max changes nothing, returns false and sets overflow, which stays set: a chain
 * of appends can be checked once at its end.
 */
#ifndef STOKER_LIB_BUF_H
#define STOKER_LIB_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include "lib/cleanup.h"

struct buf {
	char *data;
	size_t len;      /* bytes used */
	size_t capacity; /* bytes allocated, the NUL included */
	size_t max;      /* len never passes this */
	bool overflow;   /* an append was refused */
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);
void buf_clear(struct buf *b); /* empties it, keeps the memory, clears overflow */

bool buf_add(struct buf *b, const void *data, size_t len);
bool buf_str(struct buf *b, const char *text);
bool buf_byte(struct buf *b, char c);
bool buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool buf_vprintf(struct buf *b, const char *fmt, va_list args) PRINTF_LIKE(2, 0);

/* Removes the first len bytes (at most all). */
void buf_eat(struct buf *b, size_t len);

/* The text, "" if nothing was added: never NULL, owned by b. */
const char *buf_text(const struct buf *b);

/* The text, to be freed by the caller; b is empty afterwards. */
char *buf_take(struct buf *b);

static inline void cleanup_buf(struct buf *b)
{
	buf_done(b);
}

/* Memory that cannot be had ends the process, with a message: these never return NULL. Sizes
 * that come from outside are bounded before they get here. */
void *mem_alloc(size_t size); /* zeroed */
void *mem_realloc(void *p, size_t size);
char *mem_strdup(const char *text);              /* NULL gives NULL */
char *mem_strndup(const void *text, size_t len); /* exactly len bytes and a NUL */
char *mem_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* On standard error, without memory: what nobody can go on from. */
_Noreturn void abort_saying(const char *why);

/* For what a library answers NULL to only without memory. */
_Noreturn void mem_exhausted(void);
void *mem_must(void *p);

/* Makes jansson and libevent do the same: what they make is then never NULL for want of memory. Before their first use.
 */
void mem_for_libraries(void);

/* For a process that moves much text: a few megabytes that were freed are kept, instead of being given back to the
 * kernel and had again page by page. Inherited by what it forks. */
void mem_keep_freed(void);

/* Writes into a fixed array; false (and "" in it) if the text does not fit. */
bool str_format(char *into, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool str_copy(char *into, size_t size, const char *text);

#endif
