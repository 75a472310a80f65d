/*
 * One job (or the events of one queue) as one client follows it.
 *
 * The rule this file protects: nothing is missed and nothing is sent twice. A published message is only a hint to
 * look; what is sent is read from the streams, after the id that was sent last. So a late joiner, a client that comes
 * back, a reconnect of Redis and a slow reader (who is simply read for later) are all the same case. What has left
 * Redis is read from the archive, from the same place on. The end is sent when the job is final, a read that began
 * after that was known found nothing more, and the job was still where it was read from after that.
 */
#ifndef STOKER_SCHEDULER_FOLLOWER_H
#define STOKER_SCHEDULER_FOLLOWER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "queue/jobs.h"
#include "scheduler/follow_channels.h"
#include "scheduler/follow_lines.h"

struct archive;
struct follow_client;

enum { FOLLOW_SOURCES = 3 };

/* What all followers use. */
struct follow_shared {
	struct jobs *jobs;
	struct archive *archive; /* NULL: there is none */
	struct follow_channels *channels;
};

struct follow_topic {
	char queue[64];
	int64_t n; /* 0: the events of the queue, without an end */
};

/* One stream that a follower is sent. */
struct follow_source {
	enum jobs_stream stream;
	const char *kind; /* of its lines */
	const char *name;
	struct follow_channel *channel;
	char after[64]; /* id of the entry sent last */
	int page;       /* entries to read next */
	bool is_wanted;
	bool is_dirty; /* there may be more */
	bool is_reading;
	bool is_resumed;   /* after is what the client said: is it still there? */
	bool is_last_read; /* the read under way began after the job was known to be final */
	bool is_drained;   /* … and found nothing more */
};

struct follower {
	struct follow_client *client;
	const struct follow_shared *shared;
	struct follow_topic topic;
	char id[96]; /* of the job, or the queue */
	bool wants_history;
	bool is_seen; /* something is known of the job: the stream may begin */
	bool is_final;
	bool is_archived;
	bool is_confirmed; /* after all was read it was still there */
	bool is_over;
	bool is_looking; /* an answer about the job is awaited */
	bool must_look;  /* … and another has to be asked for */
	json_t *show;    /* of the last look */
	char *tail_seen; /* how far its streams were then */
	struct follow_lines lines;
	struct follow_source sources[FOLLOW_SOURCES];
};

struct follower_options {
	struct follow_topic topic;
	const char *after; /* of the events of a queue: the last that was seen; "": from the first */
	bool wants_logs;
	bool wants_metrics;
	bool wants_history; /* of the job: retries, losses, … */
};

/* In place, in the client's list. Nothing is asked yet. */
void follower_init(struct follower *f, struct follow_client *client, const struct follow_shared *shared,
		   const struct follower_options *options);
/* Listens no more; calls may be pending. */
void follower_leave(struct follower *f);
void follower_done(struct follower *f);

/* How far it is, as text without ';'; and to go on from there. False: it is no such text. */
void follower_position(const struct follower *f, struct buf *into);
bool follower_resume(struct follower *f, const char *position);

/* Asks what is known of the job. */
void follower_look(struct follower *f);
/* The client's stream has begun: says what it knows. */
void follower_begin(struct follower *f);
/* There may be more of everything. */
void follower_touch(struct follower *f);
/* Is this message about what it is sent? Then it looks there. */
bool follower_hears(struct follower *f, const struct follow_channel *channel, const char *text);
/* Reads what may be new while the client keeps up. */
void follower_pump(struct follower *f);

#endif
