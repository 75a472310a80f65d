/* submit SPEC KEY: a job through hiredis alone. Prints its log, then how it ended.
 *
 *	cc -o submit submit.c -lhiredis
 */
#include <err.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Puts a new reply in the place of the last one. Ends the program on an error. */
static void call(redisContext *redis, redisReply **reply, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	freeReplyObject(*reply);
	*reply = redisvCommand(redis, format, args);
	va_end(args);
	if (!*reply || (*reply)->type == REDIS_REPLY_ERROR)
		errx(1, "%s", *reply ? (*reply)->str : redis->errstr);
}

int main(int argc, char **argv)
{
	const char *url = getenv("REDIS_URL") ?: "", *queue = getenv("STOKER_QUEUE") ?: "default";
	if (argc != 3 || strncmp(url, "unix://", 7) != 0)
		errx(2, "usage: REDIS_URL=unix:///path/to/redis.sock submit SPEC KEY");
	redisContext *r = redisConnectUnix(url + 7); /* or redisConnect(host, port) */
	redisReply *job = NULL, *seen = NULL, *log = NULL;
	call(r, &job, "FCALL stoker_submit 1 stoker:{%s}:meta %s %s", queue, argv[1], argv[2]);
	char *n = strrchr(job->str, '-') + 1, *state, *error, last[64] = "0";
	do { /* The state is read before the log: once it is final, no line is still to come. */
		call(r, &seen, "HMGET stoker:{%s}:job:%s state error", queue, n);
		call(r, &log, "XREAD COUNT 1 BLOCK 500 STREAMS stoker:{%s}:log:%s %s", queue, n, last);
		state = seen->element[0]->str ?: "gone", error = seen->element[1]->str;
		if (log->type == REDIS_REPLY_ARRAY) {
			redisReply *entry = log->element[0]->element[1]->element[0];
			snprintf(last, sizeof last, "%s", entry->element[0]->str);
			dprintf(1, "%s\n", entry->element[1]->element[3]->str); /* time_ms, ms, stdout, text, … */
		}
	} while (log->type == REDIS_REPLY_ARRAY || strstr("waiting queued running", state));
	dprintf(1, "%s %s%s%s\n", job->str, state, error ? ": " : "", error ?: "");
	return strcmp(state, "succeeded") != 0;
}
