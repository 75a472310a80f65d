/* Private to lib/s3*.c: the connections, and one call under way. */
#ifndef STOKER_LIB_S3_INTERNAL_H
#define STOKER_LIB_S3_INTERNAL_H

#include <pthread.h>
#include "lib/curl_api.h"
#include "lib/s3.h"

enum { S3_HEADERS_MAX = 64 * 1024 };

struct s3 {
	struct s3_settings settings;
	struct curl_api api;
	CURLM *multi;
	struct s3_transfer *all;
	int64_t skew_s; /* our clock is this much behind the server's */
	bool has_skew;
	unsigned noise;

	pthread_t thread; /* lib/s3_thread.c */
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	struct s3_transfer *inbox; /* begun, not taken by the thread yet */
	bool is_closing;
	uint64_t ended, seen; /* calls; those that s3_wait has told */
};

/* One call under way. */
struct s3_transfer {
	struct s3 *s3;
	struct s3_call *call;
	struct s3_transfer *next;
	CURL *easy; /* NULL: it waits for its next try */
	struct curl_slist *headers;
	struct digest_hex sha256;
	bool is_cancelled;
	int tries;
	int64_t due_ms;
	size_t sent;
	size_t kept;    /* bytes of a range that earlier tries have brought */
	int64_t date_s; /* of the answer; 0: not said */
};

/* "/bucket/prefix/key", encoded nowhere; the caller frees it. */
char *s3_path(const struct s3_settings *settings, const char *key);

/* lib/s3_thread.c; s3_end frees it. */
bool s3_thread_start(struct s3 *s3, struct error *err) MUST_CHECK;
void s3_thread_stop(struct s3 *s3);
void s3_end(struct s3_transfer *t);

/* lib/s3_try.c: begins the next try, hands over its result, and lets go of what curl has of it. */
void s3_try(struct s3_transfer *t);
void s3_tried(struct s3_transfer *t, CURLcode result);
void s3_drop_easy(struct s3_transfer *t);

/* curl's callbacks for an answer; arg is the transfer. */
size_t s3_receive(char *data, size_t size, size_t count, void *arg);
size_t s3_receive_header(char *data, size_t size, size_t count, void *arg);

/* Judge an answer that is no success, and what curl says of a request without a whole answer: the call's error. True:
 * another try may help. */
bool s3_judge_refusal(struct s3_transfer *t);
bool s3_judge_failure(struct s3_transfer *t, CURLcode result);

static inline bool s3_is_success(int status)
{
	return status >= 200 && status <= 299;
}

#endif
