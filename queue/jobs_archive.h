/* What leaves Redis for the archive, and the index of it. */
#ifndef STOKER_QUEUE_JOBS_ARCHIVE_H
#define STOKER_QUEUE_JOBS_ARCHIVE_H

#include "queue/jobs.h"

struct archive_record {
	int64_t n;
	const char *version; /* of what was read */
	const char *json; /* {"job":{fields},"spec":"…","history":["…"],"checkpoints":{},"result":"…","parents":{}},
			   * each value as the text that it is in Redis; "": the index has a number without a job */
	size_t len;
};
struct archive_taken {
	int64_t now_ms; /* of Redis */
	int64_t due;    /* how many are to be archived, these included */
	size_t count;
	const struct archive_record *records;
};
typedef void jobs_taken_fn(void *arg, const struct archive_taken *taken, const struct error *err);
/* The oldest of what has ended beyond max_finished, at most 100; none while somebody else than who archives. */
void jobs_archive_take(struct jobs *jobs, const char *queue, const char *who, jobs_taken_fn *fn, void *arg);
/* They are in the archive: those that have not changed since leave Redis. text: how many. Only n and version are read.
 */
void jobs_archive(struct jobs *jobs, const char *queue, const struct archive_record *records, size_t count,
		  jobs_text_fn *fn, void *arg);

/* Makes the index of what is archived anew: verb begin, then add (at most 100; only n and json are read, the job's
 * fields), then end, all by the same who. text: how many were added, or are there. ERR_CONFLICT: somebody else began.
 */
void jobs_reindex(struct jobs *jobs, const char *queue, const char *who, const char *verb,
		  const struct archive_record *records, size_t count, jobs_text_fn *fn, void *arg);

#endif
