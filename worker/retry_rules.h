/*
 * Whether the end of a program is worth another attempt: retry.on_exit,
 * never_on_exit, on_output and never_on_output of the spec. Pure.
 *
 * A death by a signal counts as 128 and its number, as a shell says it. What never
 * wins over what on says. With any rule that says on, what matches none of them is
 * not tried again.
 */
#ifndef STOKER_WORKER_RETRY_RULES_H
#define STOKER_WORKER_RETRY_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include "lib/child.h"
#include "queue/spec.h"

#define RETRY_RULES_LINES 100          /* of the output that are looked at */
#define RETRY_RULES_BYTES (256 * 1024) /* in which they must stand */

enum retry_verdict {
	RETRY_AS_USUAL,
	RETRY_WANTED, /* on_exit names this end: also when it is 65 or 78 */
	RETRY_NEVER,  /* why says which rule */
};

/* tail: the last records of a stamped spool (worker/spool.h), whole lines; what the runner said does not count. */
enum retry_verdict retry_rules_judge(const struct spec *spec, const struct child_exit *how, const char *tail,
				     size_t len, char *why, size_t size);

/* Whether text stands in the line: large and small letters of ASCII alike, * is anything. Time: their product. */
bool retry_rules_find(const char *text, const char *line, size_t len);

#endif
