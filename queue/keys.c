#include "queue/keys.h"

#include <stdarg.h>
#include <string.h>
#include "lib/buf.h"

static bool key_is_made_of(const char *text, size_t max, const char *first, const char *rest)
{
	size_t len = text ? strlen(text) : 0;
	return len >= 1 && len <= max && strchr(first, text[0]) && strspn(text + 1, rest) == len - 1;
}

#define KEY_LOWER  "abcdefghijklmnopqrstuvwxyz0123456789"
#define KEY_LETTER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" KEY_LOWER

bool key_prefix_is_valid(const char *prefix)
{
	return key_is_made_of(prefix, KEY_PREFIX_MAX, KEY_LETTER "_.-", KEY_LETTER "_.-");
}

bool key_queue_is_valid(const char *queue)
{
	return key_is_made_of(queue, 63, KEY_LOWER, KEY_LOWER "-");
}

bool key_worker_is_valid(const char *worker)
{
	return key_is_made_of(worker, 128, KEY_LETTER, KEY_LETTER "._-");
}

bool key_class_is_valid(const char *class_name)
{
	return key_is_made_of(class_name, 96, KEY_LOWER "-", KEY_LOWER "-");
}

/* "<prefix>:{<queue>}:<rest>": it fits, since the parts were checked. */
static struct key PRINTF_LIKE(3, 4) key_of(const char *prefix, const char *queue, const char *fmt, ...)
{
	struct key key;
	char rest[192];
	va_list args;
	va_start(args, fmt);
	if (vsnprintf(rest, sizeof rest, fmt, args) < 0)
		rest[0] = '\0';
	va_end(args);
	str_format(key.s, sizeof key.s, "%s:{%s}:%s", prefix, queue, rest);
	return key;
}

struct key key_queues(const char *prefix)
{
	struct key key;
	str_format(key.s, sizeof key.s, "%s:queues", prefix);
	return key;
}

struct key key_library(const char *prefix)
{
	struct key key;
	str_format(key.s, sizeof key.s, "%s:library", prefix);
	return key;
}

struct key key_installation(const char *prefix)
{
	struct key key;
	str_format(key.s, sizeof key.s, "%s:installation", prefix);
	return key;
}

struct key key_meta(const char *prefix, const char *queue)
{
	return key_of(prefix, queue, "meta");
}

struct key key_classes(const char *prefix, const char *queue)
{
	return key_of(prefix, queue, "classes");
}

struct key key_workers(const char *prefix, const char *queue)
{
	return key_of(prefix, queue, "workers");
}

struct key key_worker(const char *prefix, const char *queue, const char *worker)
{
	return key_of(prefix, queue, "worker:%s", worker);
}

struct key key_wake(const char *prefix, const char *queue, const char *class_name)
{
	return key_of(prefix, queue, "wake:%s", class_name);
}

bool key_submitter_is_valid(const char *submitter)
{
	return key_is_made_of(submitter, 64, KEY_LETTER, KEY_LETTER "_-");
}

struct key key_submitters(const char *prefix, const char *queue)
{
	return key_of(prefix, queue, "submitters");
}

struct key key_inbox(const char *prefix, const char *queue, const char *submitter)
{
	return key_of(prefix, queue, "inbox:%s", submitter);
}

struct key key_reply(const char *prefix, const char *queue, const char *submitter)
{
	return key_of(prefix, queue, "reply:%s", submitter);
}

struct key key_log(const char *prefix, const char *queue, int64_t n)
{
	return key_of(prefix, queue, "log:%lld", (long long)n);
}

struct key key_result(const char *prefix, const char *queue, int64_t n)
{
	return key_of(prefix, queue, "result:%lld", (long long)n);
}

struct key key_metrics(const char *prefix, const char *queue, int64_t n)
{
	return key_of(prefix, queue, "metrics:%lld", (long long)n);
}

struct key key_events(const char *prefix, const char *queue)
{
	return key_of(prefix, queue, "events");
}

struct key key_control(const char *prefix, const char *queue)
{
	return key_of(prefix, queue, "control");
}

struct key key_given(const char *prefix, const char *queue, const char *channel)
{
	return key_of(prefix, queue, "given:%s", channel);
}
