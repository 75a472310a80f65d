/*
 * Word that this machine will be taken away, as spot machines get it: a file that appears, a command that
 * succeeds, or a URL that answers. All that are given are asked at the same pace; the first that says so counts. It
 * holds until none of them says so any more.
 *
 * The command and the URL are asked in a helper process: nothing here blocks. What fails, or takes
 * longer than five seconds, is said once, and what held before goes on to hold.
 */
#ifndef STOKER_WORKER_NOTICE_H
#define STOKER_WORKER_NOTICE_H

#include <stdint.h>
#include <event2/event.h>

#define NOTICE_MAX 200 /* bytes of what it says, its first line */

struct notice;

struct notice_options { /* texts: owned by the caller; NULL: not given */
	struct event_base *base;
	const char *file;    /* there is notice while it is there */
	const char *command; /* of /bin/sh: exit 0 is notice */
	const char *url;     /* http(s): an answer 200 is notice, unless its body is empty, or says none or false */
	int64_t interval_ms;
	void (*changed)(void *arg, const char *why); /* NULL: there is no notice any more */
	void *arg;
};

/* NULL: nothing is to be asked. */
struct notice *notice_new(const struct notice_options *options);
void notice_free(struct notice *notice); /* NULL is fine */

#endif
