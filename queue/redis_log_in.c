#include "queue/redis_internal.h"

#include "lib/buf.h"
#include "lib/clock.h"
#include "queue/redis_error.h"

/*
 * The log-in: AUTH, SELECT, CLIENT SETNAME and PING go out together. What AUTH or
 * SELECT refuse gives the connection up, and so does an error to the others that
 * would meet every command (NOAUTH, LOADING, too many clients). Then the owner's
 * setup runs.
 */

static void redis_log_in_failed(struct redis *redis, const struct error *err)
{
	struct error copy = *err;
	redis_lose(redis, &copy);
}

/* The answers come in order; the last one ends the log-in. */
static void redis_log_in_next(struct redis *redis)
{
	if (--redis->log_in_left == 0)
		redis_setup(redis, false);
}

static void redis_log_in_must(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct redis *redis = arg;
	(void)reply;
	if (redis->state != REDIS_SETUP)
		return; /* it ended with its connection */
	if (!err) {
		redis_log_in_next(redis);
		return;
	}
	struct error refused = *err;
	if (refused.kind == ERR_INTERNAL)
		refused.kind = ERR_AUTH; /* "ERR …": no password is set there, or no such database */
	redis_log_in_failed(redis, &refused);
}

/* About this command only, or about writing: everything else is still possible. */
static bool redis_log_in_is_harmless(const struct error *err)
{
	return err->kind == ERR_INTERNAL || strstr(err->message, ": NOPERM") || strstr(err->message, ": MISCONF");
}

static void redis_log_in_may(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct redis *redis = arg;
	(void)reply;
	if (redis->state != REDIS_SETUP)
		return;
	if (err && !redis_log_in_is_harmless(err))
		redis_log_in_failed(redis, err);
	else
		redis_log_in_next(redis);
}

static void redis_log_in_call(struct redis *redis, redis_reply_fn *fn, int argc, const char *const *argv)
{
	redis->log_in_left++;
	redis_call_bound(redis, fn, redis, argc, argv, NULL);
}

void redis_log_in(struct redis *redis)
{
	const struct redis_url *url = &redis->url;
	redis->log_in_left = 0;
	if (url->user)
		redis_log_in_call(redis, redis_log_in_must, 3,
				  (const char *const[]){ "AUTH", url->user, url->password });
	else if (url->password)
		redis_log_in_call(redis, redis_log_in_must, 2, (const char *const[]){ "AUTH", url->password });
	if (url->db) {
		char db[8];
		str_format(db, sizeof db, "%d", url->db);
		redis_log_in_call(redis, redis_log_in_must, 2, (const char *const[]){ "SELECT", db });
	}
	if (redis->name)
		redis_log_in_call(redis, redis_log_in_may, 3,
				  (const char *const[]){ "CLIENT", "SETNAME", redis->name });
	redis_log_in_call(redis, redis_log_in_may, 1, (const char *const[]){ "PING" });
}

void redis_setup(struct redis *redis, bool is_missing)
{
	redis->state = REDIS_SETUP;
	if (is_missing)
		redis->phase_due_ms = clock_boot_ms() + redis->connect_ms;
	redis_wake(redis, redis->phase_due_ms);
	if (redis->on_setup)
		redis->on_setup(redis->on_setup_arg, is_missing);
	else
		redis_ready(redis);
}

void redis_on_setup(struct redis *redis, redis_setup_fn *fn, void *arg)
{
	redis->on_setup = fn;
	redis->on_setup_arg = arg;
}

void redis_setup_done(struct redis *redis, const struct error *err)
{
	if (redis->state != REDIS_SETUP)
		return;
	if (err)
		redis_log_in_failed(redis, err);
	else
		redis_ready(redis);
}
