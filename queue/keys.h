/*
 * The names of all keys and channels (docs/protocol.md). They are built only here,
 * from parts that were checked here: the rule is that no name given from outside
 * can reach out of its queue's hash tag.
 */
#ifndef STOKER_QUEUE_KEYS_H
#define STOKER_QUEUE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#define KEY_PREFIX_MAX 64

struct key {
	char s[320]; /* the longest: prefix, queue and worker id at their maximum */
};

bool key_prefix_is_valid(const char *prefix);    /* [A-Za-z0-9_.-]{1,64} */
bool key_queue_is_valid(const char *queue);      /* [a-z0-9][a-z0-9-]{0,62} */
bool key_worker_is_valid(const char *worker);    /* [A-Za-z0-9][A-Za-z0-9._-]{0,127} */
bool key_class_is_valid(const char *class_name); /* [a-z0-9-]{1,96} */

struct key key_queues(const char *prefix);
struct key key_library(const char *prefix);
struct key key_installation(const char *prefix);

struct key key_meta(const char *prefix, const char *queue);
struct key key_classes(const char *prefix, const char *queue);
struct key key_workers(const char *prefix, const char *queue);
struct key key_worker(const char *prefix, const char *queue, const char *worker);
struct key key_wake(const char *prefix, const char *queue, const char *class_name);

bool key_submitter_is_valid(const char *submitter); /* [A-Za-z0-9][A-Za-z0-9_-]{0,63} */
struct key key_submitters(const char *prefix, const char *queue);
/* Of a submitter that was let in. */
struct key key_inbox(const char *prefix, const char *queue, const char *submitter);
struct key key_reply(const char *prefix, const char *queue, const char *submitter);

/* Streams; the channel that mirrors one live has the same name. */
struct key key_log(const char *prefix, const char *queue, int64_t n);
struct key key_result(const char *prefix, const char *queue, int64_t n);
struct key key_metrics(const char *prefix, const char *queue, int64_t n);
struct key key_events(const char *prefix, const char *queue);

/* A channel only. */
struct key key_control(const char *prefix, const char *queue);
struct key key_given(const char *prefix, const char *queue, const char *channel);

#endif
