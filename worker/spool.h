/*
 * The spool of a run: a file that holds every record for good, and the only queue
 * between a program and Redis. A record is one line; records are numbered from 1.
 *
 * With stamps (the log) a line is "<wall ms> <stream> <text>", where stream is one
 * letter: o stdout, e stderr, s what the runner says, g a gap. The text of a gap
 * starts with the number of records it stands for, so that the numbers stay dense
 * even when the disk was full. Without stamps (metrics) a line is the record itself;
 * what a full disk refused has no number.
 *
 * Additions are gathered and written once a turn by spool_flush: the size tells how far readers may read.
 */
#ifndef STOKER_WORKER_SPOOL_H
#define STOKER_WORKER_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/buf.h"
#include "lib/error.h"

#define SPOOL_RECORD_MAX (64 * 1024) /* bytes of text; longer lines are cut into several records */
#define SPOOL_STAMP_MAX  32

struct spool_stamp {
	int64_t wall_ms;
	char stream;
	char text[SPOOL_STAMP_MAX]; /* "": none yet */
	size_t len;
};

struct spool {
	int fd;
	bool stamped;
	int64_t size; /* bytes in the file, whole records only */
	int64_t next; /* number of the next record after those in the file */
	struct buf pending;
	int64_t pending_count;
	struct spool_stamp stamp; /* of the record added last */
	int64_t lost;             /* records that could not be written and stand in no gap yet */
};

/* Starts it new: what an earlier file held is gone. */
bool spool_open(struct spool *spool, const char *path, bool stamped, struct error *err) MUST_CHECK;
/* One that another process has written and left: for reading. A torn last record does not count. */
bool spool_open_left(struct spool *spool, const char *path, struct error *err) MUST_CHECK;
void spool_done(struct spool *spool);

/* text holds no newline; what is past SPOOL_RECORD_MAX is dropped (callers cut). stream is ignored without stamps. */
void spool_add(struct spool *spool, char stream, int64_t wall_ms, const char *text, size_t len);

/* Writes what was added. false, once for each time it starts: the disk refuses. */
bool spool_flush(struct spool *spool, struct error *err);

/* The last whole records of the file, at most max bytes of them, added to into. */
void spool_tail(const struct spool *spool, size_t max, struct buf *into);

/* One record of a stamped spool, as it stands in the file. */
struct spool_record {
	int64_t time_ms;
	char stream;
	int64_t count; /* 1, or what a gap stands for */
	const char *text;
	size_t len;
	size_t stamp_len; /* what stands before text; 0: no record was read yet */
};
/* line is without its newline. false: it is no record. */
bool spool_parse(const char *line, size_t len, struct spool_record *record);
/* Takes the last record off a text of whole lines: *len is what is before it. false: there is none. */
bool spool_take_last(const char *text, size_t *len, struct spool_record *record);
/* As spool_parse, of a line behind that of *record, whose memory is still there: most have the same stamp. */
bool spool_parse_next(const char *line, size_t len, struct spool_record *record);
/* What a letter stands for in the entries of a log. */
const char *spool_stream_name(char stream);

#endif
