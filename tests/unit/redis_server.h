/*
 * A real redis-server for a test: its own folder, a Unix socket, the durable
 * settings of `stoker up` (append-only, fsync always), dead with the test.
 *
 *	struct redis_server server;
 *	redis_server_start(&server, NULL);      // fails the test if it does not answer
 *	redis_server_kill(&server);             // kill -9
 *	redis_server_restart(&server);          // the same data
 *	redis_server_stop(&server);             // and remove the folder
 *
 * Also a loop to wait in: UNTIL(loop, condition) turns the loop until the condition
 * holds, and fails the test if it does not within a minute.
 */
#ifndef STOKER_TESTS_REDIS_SERVER_H
#define STOKER_TESTS_REDIS_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <event2/event.h>

#define REDIS_SERVER_ARGS 24

struct redis_server {
	char dir[64];
	char socket[96];
	char url[128];                              /* unix://… */
	const char *options[REDIS_SERVER_ARGS + 1]; /* more arguments; not copied */
	pid_t pid;
};

/* options: NULL-terminated, or NULL. */
void redis_server_start(struct redis_server *server, const char *const *options);
void redis_server_restart(struct redis_server *server);
void redis_server_kill(struct redis_server *server);
void redis_server_signal(struct redis_server *server, int number); /* SIGSTOP returns once it is stopped */
void redis_server_stop(struct redis_server *server);

/* A folder with nothing running in it yet, for certificates and the like. */
void redis_server_folder(struct redis_server *server);

/* A TCP port of 127.0.0.1 that was free a moment ago. */
int redis_server_free_port(void);

/* One command over a blocking connection of its own; the reply as text ("(nil)", a list as "a,b"). Freed by the caller.
 */
char *redis_server_ask(const struct redis_server *server, ...) __attribute__((sentinel));
int64_t redis_server_ask_number(const struct redis_server *server, const char *command, const char *key);

struct test_loop {
	struct event_base *base;
	struct event *beat; /* so that a turn always ends */
};
void test_loop_start(struct test_loop *loop);
void test_loop_stop(struct test_loop *loop);
/* One turn; false when the time since start_ms is over. */
bool test_loop_turn(struct test_loop *loop, int64_t start_ms);

#define UNTIL(loop, condition)                                                                                         \
	do {                                                                                                           \
		int64_t started_ms_ = clock_boot_ms();                                                                 \
		while (!(condition))                                                                                   \
			if (!test_loop_turn(loop, started_ms_))                                                        \
				fail_msg("not within a minute: %s", #condition);                                       \
	} while (0)

#endif
