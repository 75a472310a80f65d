/*
 * The archive: what has ended, in the object store. Its calls block: they belong
 * into helper processes.
 *
 * An object holds up to a hundred jobs, so that many short ones cost few writes:
 *
 *	<installation>/archive/<queue>/<block>/<least n>-<most n>-<ms>.<8 hex digits>
 *
 * <block> is n / 10000, the same for all jobs in it. Its first line is a JSON
 * object, the index: {"stoker":"archive","jobs":[{"job":{fields},"code":"<hashes>",
 * "record":[at,len,sha256],"log":[…],"metrics":[…]}]}; places count from behind that line. A record
 * is that of struct archive_record (queue/jobs.h), a log and metrics are JSON lists of
 * the entries of the streams.
 *
 * An object is never changed. A job that two of them have (a scheduler died between
 * the two) is that of the later.
 */
#ifndef STOKER_SCHEDULER_ARCHIVE_STORE_H
#define STOKER_SCHEDULER_ARCHIVE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/buf.h"
#include "lib/error.h"

enum { ARCHIVE_BLOCK = 10000, ARCHIVE_JOBS_MAX = 100 };
enum { ARCHIVE_PART_MAX = 64 * 1024 * 1024 }; /* bytes of a record, a log, or metrics: JSON takes up to six a byte */

struct archive_place {
	const char *store; /* URL */
	const char *installation;
	const char *queue;
};

enum archive_part { ARCHIVE_RECORD, ARCHIVE_LOG, ARCHIVE_METRICS, ARCHIVE_PARTS };
extern const char *const archive_part_names[ARCHIVE_PARTS];

struct archive_job {
	int64_t n;
	char *parts[ARCHIVE_PARTS]; /* JSON; NULL: there is none */
};

/* All of one block; now_ms tells it from what is written of the same jobs later. */
bool archive_put(const struct archive_place *place, int64_t now_ms, const struct archive_job *jobs, size_t count,
		 struct error *err) MUST_CHECK;

/* Adds the part to text, "" if there is none. ERR_NOT_FOUND: the job is not in the archive; ERR_DAMAGED: an object
 * there is not what it should be. */
bool archive_get(const struct archive_place *place, int64_t n, enum archive_part part, struct buf *text,
		 struct error *err) MUST_CHECK;

/* Jobs with numbers below before, the largest first: adds {"jobs":[{fields}],"cursor":"<where the next page begins>"}.
 * A page may have fewer than limit, even none, and go on. */
struct archive_query {
	int64_t before;
	int limit;
	int64_t ended_before_ms; /* only those that ended earlier; 0: all */
};
bool archive_list(const struct archive_place *place, const struct archive_query *query, struct buf *text,
		  struct error *err) MUST_CHECK;
/* Jobs of the next objects behind the cursor, some hundred, each once or more, what counts first: adds
 * {"jobs":[{fields, n and code}],"damaged":["<key>"],"cursor":"<where it goes on; empty: that was all>"}. */
bool archive_scan(const struct archive_place *place, const char *cursor, struct buf *text,
		  struct error *err) MUST_CHECK;

#endif
