#include "lib/http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "lib/buf.h"

enum { HTTP_LISTEN_BACKLOG = 256 };

/* Makes room for a socket file at path: true if there is none now. */
static bool http_listen_vacate(const struct sockaddr_un *address, struct error *err)
{
	const char *path = address->sun_path;
	struct stat st;
	if (lstat(path, &st) != 0)
		return errno == ENOENT || error_errno(err, ERR_SYSTEM, NULL, "cannot look at the socket path %s", path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, ERR_CONFLICT, "choose another path", "%s exists and is no socket", path);
	CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make a socket");
	/* Only "refused" proves that nobody listens: a full backlog answers EAGAIN. */
	if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno != ECONNREFUSED)
		return error_set(err, ERR_CONFLICT, "is another one running with the same settings?",
				 "somebody listens on %s", path);
	if (unlink(path) != 0 && errno != ENOENT)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot remove the stale socket %s", path);
	return true;
}

static bool http_listen_local(const char *path, struct http_listen *l, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (path[0] != '/' || !str_copy(address.sun_path, sizeof address.sun_path, path) ||
	    !str_copy(l->path, sizeof l->path, path))
		return error_set(err, ERR_INPUT, NULL, "a socket path must be absolute and at most %zu bytes long: %s",
				 sizeof address.sun_path - 1, path);
	if (!http_listen_vacate(&address, err)) {
		l->path[0] = '\0'; /* not ours to remove */
		return false;
	}
	l->is_local = true;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t before = umask(0177); /* there is no moment at which others could connect */
	bool bound = l->fd >= 0 && bind(l->fd, (struct sockaddr *)&address, sizeof address) == 0;
	umask(before);
	struct stat st;
	if (!bound || lstat(path, &st) != 0 || listen(l->fd, HTTP_LISTEN_BACKLOG) != 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot listen on %s", path);
	l->device = st.st_dev;
	l->inode = st.st_ino;
	return true;
}

/* The address as it stands in a URL, with the port that was really bound. */
static bool http_listen_name(struct http_listen *l)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof address;
	char host[INET6_ADDRSTRLEN], port[8];
	if (getsockname(l->fd, (struct sockaddr *)&address, &len) != 0 ||
	    getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return false;
	return str_format(l->authority, sizeof l->authority, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static bool http_listen_tcp(const char *where, struct http_listen *l, struct error *err)
{
	static const char hint[] = "for example 127.0.0.1:8700, [::1]:8700 or unix:/run/stoker/scheduler.sock";
	char host[64];
	const char *colon = strrchr(where, ':');
	if (!colon || !str_format(host, sizeof host, "%.*s", (int)(colon - where), where) || !host[0])
		return error_set(err, ERR_INPUT, hint, "cannot listen on %s: it is no address:port", where);
	const char *name = host;
	size_t len = strlen(host);
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		name = host + 1;
	}
	/* Numeric: a name could stand for several addresses, and asking would block. */
	struct addrinfo *found = NULL;
	const struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
					.ai_socktype = SOCK_STREAM };
	if (strcmp(name, "localhost") == 0)
		name = "127.0.0.1";
	if (getaddrinfo(name, colon + 1, &hints, &found) != 0)
		return error_set(err, ERR_INPUT, hint, "cannot listen on %s: it is no numeric address and port", where);
	int on = 1;
	l->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool listens = l->fd >= 0 && setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
		       bind(l->fd, found->ai_addr, found->ai_addrlen) == 0 && listen(l->fd, HTTP_LISTEN_BACKLOG) == 0 &&
		       http_listen_name(l);
	int why = errno;
	freeaddrinfo(found);
	errno = why;
	return listens || error_errno(err, ERR_SYSTEM, NULL, "cannot listen on %s", where);
}

bool http_listen_open(const char *where, struct http_listen *l, struct error *err)
{
	static const char local[] = "unix:";
	*l = (struct http_listen){ .fd = -1 };
	bool is_local = strncmp(where, local, sizeof local - 1) == 0;
	if (is_local ? http_listen_local(where + sizeof local - 1, l, err) : http_listen_tcp(where, l, err))
		return true;
	http_listen_close(l);
	return false;
}

void http_listen_close(struct http_listen *l)
{
	struct stat st;
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	if (l->inode && lstat(l->path, &st) == 0 && st.st_dev == l->device && st.st_ino == l->inode)
		unlink(l->path);
	l->inode = 0;
}
