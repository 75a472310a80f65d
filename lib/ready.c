#include "lib/ready.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/log.h"

void ready_fd_keep(int64_t fd)
{
	if (fd >= 0 && fcntl((int)fd, F_SETFD, FD_CLOEXEC) != 0)
		log_warn("the --ready-fd is not open", "fd=%d error=\"%s\"", (int)fd, strerror(errno));
}

/* One datagram to the socket that NOTIFY_SOCKET names: a path, or @name for the
 * abstract namespace. Not set: nobody asked. */
static void ready_notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	if (!path || !*path)
		return;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (!str_copy(address.sun_path, sizeof address.sun_path, path)) {
		log_warn("NOTIFY_SOCKET is too long", "path=%s", path);
		return;
	}
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (address.sun_path[0] == '@')
		address.sun_path[0] = '\0';
	CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, len) < 0)
		log_warn("cannot tell NOTIFY_SOCKET", "path=%s error=\"%s\"", path, strerror(errno));
}

static bool ready_write(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t written = write(fd, text, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		text += written;
		len -= (size_t)written;
	}
	return true;
}

void ready_say(int64_t fd, const char *lines)
{
	ready_notify("READY=1");
	if (fd < 0)
		return;
	CLEANUP(buf) struct buf b;
	buf_init(&b, 64 * 1024);
	buf_printf(&b, "READY=1\n%s", lines);
	if (b.overflow || !ready_write((int)fd, buf_text(&b), b.len))
		log_warn("cannot write to the --ready-fd", "fd=%d error=\"%s\"", (int)fd, strerror(errno));
	close((int)fd);
}

void ready_say_stopping(void)
{
	ready_notify("STOPPING=1");
}
