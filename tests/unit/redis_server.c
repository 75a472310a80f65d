#include "tests/unit/redis_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <ftw.h>
#include <hiredis/hiredis.h>
#include "lib/buf.h"
#include "lib/clock.h"

#define PATIENCE_MS 60000 /* machines that run tests are busy */

static void redis_server_exec(const struct redis_server *server)
{
	const char *argv[20 + REDIS_SERVER_ARGS] = { "redis-server",
						     "--port",
						     "0",
						     "--unixsocket",
						     server->socket,
						     "--dir",
						     server->dir,
						     "--appendonly",
						     "yes",
						     "--appendfsync",
						     "always",
						     "--save",
						     "" };
	size_t argc = 13;
	for (size_t i = 0; server->options[i]; i++)
		argv[argc++] = server->options[i];
	char *log = mem_printf("%s/redis.log", server->dir);
	int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(out, 1);
	dup2(out, 2);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves nothing behind */
	execvp(argv[0], (char **)argv);
	_exit(127);
}

static void redis_server_show_log(const struct redis_server *server)
{
	char text[4096];
	char *path = mem_printf("%s/redis.log", server->dir);
	FILE *log = fopen(path, "r");
	free(path);
	while (log && fgets(text, sizeof text, log))
		print_error("%s", text);
	if (log)
		fclose(log);
}

static bool redis_server_answers(const struct redis_server *server)
{
	struct timeval patience = { .tv_sec = 1 };
	redisContext *context = redisConnectUnixWithTimeout(server->socket, patience);
	bool answers = false;
	if (context && !context->err) {
		redisReply *reply = redisCommand(context, "PING");
		/* An error is an answer, too (a password is wanted), except while it loads. */
		answers = reply && !(reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "LOADING", 7) == 0);
		freeReplyObject(reply);
	}
	redisFree(context);
	return answers;
}

void redis_server_restart(struct redis_server *server)
{
	int64_t end_ms = clock_boot_ms() + PATIENCE_MS;
	struct timespec pace = { .tv_nsec = 5000000 };
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (server->pid == 0)
		redis_server_exec(server);
	while (!redis_server_answers(server)) {
		if (waitpid(server->pid, NULL, WNOHANG) == 0 && clock_boot_ms() < end_ms) {
			nanosleep(&pace, NULL); /* the pace of asking */
			continue;
		}
		redis_server_show_log(server);
		fail_msg("redis-server does not answer on %s", server->socket);
	}
}

void redis_server_folder(struct redis_server *server)
{
	*server = (struct redis_server){ .dir = "/tmp/stoker-redis-XXXXXX" };
	assert_non_null(mkdtemp(server->dir));
	str_format(server->socket, sizeof server->socket, "%s/redis.sock", server->dir);
	str_format(server->url, sizeof server->url, "unix://%s", server->socket);
}

void redis_server_start(struct redis_server *server, const char *const *options)
{
	if (!server->dir[0])
		redis_server_folder(server);
	for (size_t i = 0; options && options[i]; i++) {
		assert_true(i < REDIS_SERVER_ARGS);
		server->options[i] = options[i];
	}
	redis_server_restart(server);
}

void redis_server_kill(struct redis_server *server)
{
	if (server->pid <= 0)
		return;
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	server->pid = 0;
}

void redis_server_signal(struct redis_server *server, int number)
{
	siginfo_t info;
	assert_int_equal(kill(server->pid, number), 0);
	if (number == SIGSTOP)
		assert_int_equal(waitid(P_PID, (id_t)server->pid, &info, WSTOPPED | WNOWAIT), 0);
}

static int redis_server_remove(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

void redis_server_stop(struct redis_server *server)
{
	redis_server_kill(server);
	nftw(server->dir, redis_server_remove, 8, FTW_DEPTH | FTW_PHYS);
	server->dir[0] = '\0';
}

int redis_server_free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	close(fd);
	return ntohs(address.sin_port);
}

static void redis_server_write(struct buf *text, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_INTEGER)
		buf_printf(text, "%lld", reply->integer);
	else if (reply->type == REDIS_REPLY_NIL)
		buf_str(text, "(nil)");
	else if (reply->type != REDIS_REPLY_ARRAY)
		buf_add(text, reply->str, reply->len);
	for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
		buf_str(text, i ? "," : "");
		redis_server_write(text, reply->element[i]);
	}
}

char *redis_server_ask(const struct redis_server *server, ...)
{
	const char *argv[32];
	int argc = 0;
	va_list words;
	struct buf text;
	va_start(words, server);
	for (const char *word = va_arg(words, const char *); word && argc < 32; word = va_arg(words, const char *))
		argv[argc++] = word;
	va_end(words);
	redisContext *context = redisConnectUnix(server->socket);
	assert_true(context && !context->err);
	redisReply *reply = redisCommandArgv(context, argc, argv, NULL);
	assert_non_null(reply);
	buf_init(&text, 64 * 1024 * 1024);
	redis_server_write(&text, reply);
	freeReplyObject(reply);
	redisFree(context);
	return buf_take(&text);
}

int64_t redis_server_ask_number(const struct redis_server *server, const char *command, const char *key)
{
	char *text = redis_server_ask(server, command, key, NULL);
	int64_t n = strtoll(text, NULL, 10);
	free(text);
	return n;
}

static void test_loop_on_beat(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

void test_loop_start(struct test_loop *loop)
{
	struct timeval pace = { .tv_usec = 10000 };
	signal(SIGPIPE, SIG_IGN);
	loop->base = event_base_new();
	loop->beat = event_new(loop->base, -1, EV_PERSIST, test_loop_on_beat, NULL);
	event_add(loop->beat, &pace);
}

void test_loop_stop(struct test_loop *loop)
{
	event_free(loop->beat);
	event_base_free(loop->base);
}

bool test_loop_turn(struct test_loop *loop, int64_t start_ms)
{
	event_base_loop(loop->base, EVLOOP_ONCE);
	return clock_boot_ms() - start_ms < PATIENCE_MS;
}
