/*
 * The directory of a ZIP file, which its writer writes last: where each entry lies, and whether all of it fits the
 * file. Reads the directory and the local headers, never the entries. Nothing is allocated by a number in the
 * file but the directory, which lies in the file.
 */
#ifndef STOKER_WORKER_ZIP_H
#define STOKER_WORKER_ZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum zip_state {
	ZIP_RIGHT,
	ZIP_NO_END,    /* the end record is not the last thing in the file */
	ZIP_UNFIT,     /* the directory does not fit the file */
	ZIP_TOO_LARGE, /* a directory of more than 64 MiB is not looked at */
};

struct zip_entry {
	const char *name;
	int64_t at;     /* its bytes */
	int64_t size;   /* as they lie there */
	int64_t whole;  /* of what they unpack to */
	uint32_t crc;   /* likewise */
	bool is_stored; /* not compressed */
	bool is_deflated;
};

typedef void zip_entry_fn(void *arg, const struct zip_entry *entry);

/* fn is told of each entry until one does not fit. */
enum zip_state zip_walk(int fd, int64_t size, zip_entry_fn *fn, void *arg);

#endif
