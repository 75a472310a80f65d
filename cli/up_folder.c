/* See the header. */
#include "cli/up_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/clock.h"

#define UP_WAIT_MS    30000 /* for an old Redis to close its file */
#define UP_TOKEN_SIZE 24

static bool up_mkdir(const char *path, struct error *err)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return true;
	return error_errno(err, ERR_SYSTEM, "name a folder that can be written with --dir", "cannot make %s", path);
}

/* path and its parents. */
static bool up_mkdirs(const char *path, struct error *err)
{
	CLEANUP(free_p) char *part = mem_strdup(path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(part, 0700); /* only the last one tells */
		*slash = '/';
	}
	return up_mkdir(path, err);
}

static bool up_write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t written = write(fd, text, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return false;
		text += written;
		len -= (size_t)written;
	}
	return true;
}

/* A whole new file or none: written beside it, synced, renamed. */
static bool up_write_file(const char *path, const char *text, struct error *err)
{
	CLEANUP(free_p) char *beside = mem_printf("%s.new", path);
	CLEANUP(close_fd) int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || !up_write_all(fd, text, strlen(text)) || fsync(fd) != 0 || rename(beside, path) != 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot write %s", path);
	return true;
}

static bool up_make_token(const char *path, struct error *err)
{
	unsigned char random[UP_TOKEN_SIZE];
	char text[2 * UP_TOKEN_SIZE + 2] = "";
	struct stat st;
	if (stat(path, &st) == 0 && st.st_size > 0)
		return true;
	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make a token");
	for (size_t i = 0; i < sizeof random; i++)
		str_format(text + 2 * i, 3, "%02x", random[i]);
	text[2 * UP_TOKEN_SIZE] = '\n';
	return up_write_file(path, text, err);
}

/* A word of redis.conf, quoted. */
static void up_conf_word(struct buf *conf, const char *key, const char *value)
{
	buf_printf(conf, "%s \"", key);
	for (const char *p = value; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_byte(conf, '\\');
		buf_byte(conf, *p);
	}
	buf_str(conf, "\"\n");
}

static bool up_write_conf(const struct up_folder *folder, const char *redis_dir, struct error *err)
{
	CLEANUP(buf) struct buf conf;
	buf_init(&conf, 64 * 1024);
	buf_str(&conf, "# Written by stoker up at every start.\n"
		       "port 0\n"
		       "unixsocketperm 700\n"
		       "daemonize no\n"
		       "logfile \"\"\n"
		       "save \"\"\n"
		       "appendonly yes\n"
		       "appendfsync always\n"
		       "maxmemory-policy noeviction\n"
		       /* An entry that goes is looked for from the start of its node: small ones drain faster. */
		       "stream-node-max-entries 32\n");
	up_conf_word(&conf, "unixsocket", folder->redis_socket);
	up_conf_word(&conf, "dir", redis_dir);
	return up_write_file(folder->redis_conf, buf_text(&conf), err);
}

/* Who wrote his number into the lock file, 0 if nobody. */
static pid_t up_lock_holder(int fd)
{
	char text[32];
	ssize_t len = pread(fd, text, sizeof text - 1, 0);
	text[len > 0 ? len : 0] = '\0';
	return (pid_t)strtol(text, NULL, 10);
}

/* The lock may outlive its holder: a Redis that is still closing. It is waited for. */
static bool up_take_lock(struct up_folder *folder, struct error *err)
{
	char text[32];
	int64_t end_ms = clock_boot_ms() + UP_WAIT_MS;
	folder->lock_fd = open(folder->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (folder->lock_fd < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open %s", folder->lock);
	while (flock(folder->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		pid_t holder = up_lock_holder(folder->lock_fd);
		if (errno != EWOULDBLOCK)
			return error_errno(err, ERR_SYSTEM, NULL, "cannot lock %s", folder->lock);
		if (holder > 0 && kill(holder, 0) == 0)
			return error_set(err, ERR_CONFLICT,
					 "stoker ls talks to it; Ctrl-C there stops it; --dir names another folder",
					 "stoker up (pid %d) runs on %s already", (int)holder, folder->dir);
		if (clock_boot_ms() > end_ms)
			return error_set(err, ERR_CONFLICT, "see who holds it with: fuser -v lock",
					 "%s is still held by what an earlier stoker up started", folder->lock);
		poll(NULL, 0, 20);
	}
	str_format(text, sizeof text, "%d\n", (int)getpid());
	if (ftruncate(folder->lock_fd, 0) != 0 || pwrite(folder->lock_fd, text, strlen(text), 0) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot write %s", folder->lock);
	return true;
}

static bool up_check_sockets(const struct up_folder *folder, struct error *err)
{
	size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	if (strlen(folder->redis_socket) <= max && strlen(folder->socket) <= max)
		return true;
	return error_set(err, ERR_INPUT, "name a shorter one with --dir",
			 "the path of the folder is too long for a Unix socket: %s has more than %zu bytes",
			 folder->redis_socket, max);
}

static void up_folder_names(struct up_folder *folder, const char *dir)
{
	*folder = (struct up_folder){
		.dir = mem_strdup(dir),
		.lock = mem_printf("%s/lock", dir),
		.state = mem_printf("%s/stoker.json", dir),
		.token = mem_printf("%s/token", dir),
		.socket = mem_printf("%s/scheduler.sock", dir),
		.redis_conf = mem_printf("%s/redis/redis.conf", dir),
		.redis_socket = mem_printf("%s/redis/redis.sock", dir),
		.redis_url = mem_printf("unix://%s/redis/redis.sock", dir),
		.redis_log = mem_printf("%s/redis.log", dir),
		.scheduler_log = mem_printf("%s/scheduler.log", dir),
		.worker_dir = mem_printf("%s/worker", dir),
		.worker_log = mem_printf("%s/worker.log", dir),
		.store_url = mem_printf("file://%s/store", dir),
		.lock_fd = -1,
	};
}

bool up_folder_open(struct up_folder *folder, const char *dir, struct error *err)
{
	up_folder_names(folder, dir);
	CLEANUP(free_p) char *redis_dir = mem_printf("%s/redis", dir);
	CLEANUP(free_p) char *store_dir = mem_printf("%s/store", dir);
	return up_check_sockets(folder, err) && up_mkdirs(dir, err) && up_take_lock(folder, err) &&
	       up_mkdir(redis_dir, err) && up_mkdir(folder->worker_dir, err) && up_mkdir(store_dir, err) &&
	       up_make_token(folder->token, err) && up_write_conf(folder, redis_dir, err);
}

void up_folder_done(struct up_folder *folder)
{
	char *const texts[] = { folder->dir,       folder->lock,          folder->state,        folder->token,
				folder->socket,    folder->redis_conf,    folder->redis_socket, folder->redis_url,
				folder->redis_log, folder->scheduler_log, folder->worker_dir,   folder->worker_log,
				folder->store_url };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	if (folder->lock_fd >= 0)
		close(folder->lock_fd);
	*folder = (struct up_folder){ .lock_fd = -1 };
}

bool up_folder_write_state(const struct up_folder *folder, const char *url, struct error *err)
{
	json_auto_t *state = json_pack("{s:s, s:s, s:s, s:i, s:s}", "url", url, "socket", folder->socket, "token_file",
				       folder->token, "pid", (int)getpid(), "redis", folder->redis_url);
	if (!state)
		return error_set(err, ERR_INPUT, NULL, "the path of %s is not valid UTF-8", folder->dir);
	CLEANUP(free_p) char *text = json_dumps(state, JSON_INDENT(2));
	return up_write_file(folder->state, text, err);
}

void up_folder_remove_state(const struct up_folder *folder)
{
	unlink(folder->state);
}
