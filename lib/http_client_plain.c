/*
 * Plain http on a socket of our own, one connection a request: connect, send, read.
 * Every wait has a deadline and ends early for interrupt_fd.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "lib/clock.h"
#include "lib/http_exchange.h"
#include "lib/http_response.h"

struct http_plain {
	struct http_exchange *x;
	int fd;
	char *host; /* without brackets */
	char *port;
	char *authority;  /* for Host */
	const char *base; /* the url's own path */
};

/* "http://host:port/base" taken apart; [::1] as a host, too. */
static bool http_plain_target(struct http_plain *p)
{
	const char *start = p->x->client->url + strlen("http://");
	size_t len = strcspn(start, "/");
	bool is_bracketed = start[0] == '[';
	size_t host_len = is_bracketed ? strcspn(start, "]") + 1 : strcspn(start, ":/");
	if (host_len > len || host_len <= (is_bracketed ? 2U : 0U) || memchr(start, '@', len))
		return false;
	p->base = start + len;
	p->authority = mem_strndup(start, len);
	p->host = is_bracketed ? mem_strndup(start + 1, host_len - 2) : mem_strndup(start, host_len);
	p->port = start[host_len] == ':' ? mem_strndup(start + host_len + 1, len - host_len - 1) : mem_strdup("80");
	return true;
}

static void http_plain_done(struct http_plain *p)
{
	if (p->fd >= 0)
		close(p->fd);
	free(p->host);
	free(p->port);
	free(p->authority);
}

enum http_wait { HTTP_WAIT_READY, HTTP_WAIT_LATE, HTTP_WAIT_INTERRUPTED };

static enum http_wait http_plain_wait(const struct http_plain *p, short events, int64_t end_ms)
{
	int interrupt_fd = p->x->call->interrupt_fd > 0 ? p->x->call->interrupt_fd : -1;
	for (;;) {
		struct pollfd fds[] = { { .fd = p->fd, .events = events }, { .fd = interrupt_fd, .events = POLLIN } };
		int64_t left_ms = end_ms - clock_boot_ms();
		int ready = poll(fds, 2, (int)(left_ms > 0 ? left_ms : 0));
		if (ready > 0)
			return fds[1].revents ? HTTP_WAIT_INTERRUPTED : HTTP_WAIT_READY;
		if (ready == 0)
			return HTTP_WAIT_LATE;
		if (errno != EINTR)
			return HTTP_WAIT_READY; /* the call that follows says what is wrong */
	}
}

/* "connection refused": lower case, as all our sentences. */
static void http_plain_reason(struct http_exchange *x, const char *reason)
{
	str_copy(x->reason, sizeof x->reason, reason);
	if (x->reason[0] >= 'A' && x->reason[0] <= 'Z')
		x->reason[0] = (char)(x->reason[0] - 'A' + 'a');
}

static enum http_end http_plain_unreachable(struct http_exchange *x, const char *reason)
{
	http_plain_reason(x, reason);
	return HTTP_END_UNREACHABLE;
}

static enum http_end http_plain_lost(struct http_exchange *x, const char *reason)
{
	http_plain_reason(x, reason);
	return HTTP_END_LOST;
}

/* One address. HTTP_END_ANSWER: connected. */
static enum http_end http_plain_connect_to(struct http_plain *p, const struct sockaddr *address, socklen_t len)
{
	char reason[64];
	int number = 0;
	socklen_t size = sizeof number;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return http_plain_unreachable(p->x, strerror(errno));
	if (connect(p->fd, address, len) == 0)
		return HTTP_END_ANSWER;
	if (errno != EINPROGRESS)
		return http_plain_unreachable(p->x, strerror(errno));
	switch (http_plain_wait(p, POLLOUT, clock_boot_ms() + p->x->client->connect_ms)) {
	case HTTP_WAIT_INTERRUPTED:
		return HTTP_END_INTERRUPTED;
	case HTTP_WAIT_LATE:
		str_format(reason, sizeof reason, "no answer within %lld s",
			   (long long)p->x->client->connect_ms / 1000);
		return http_plain_unreachable(p->x, reason);
	case HTTP_WAIT_READY:
		break;
	}
	if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0)
		number = errno;
	return number ? http_plain_unreachable(p->x, strerror(number)) : HTTP_END_ANSWER;
}

static enum http_end http_plain_connect_unix(struct http_plain *p)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (!str_copy(address.sun_path, sizeof address.sun_path, p->x->client->unix_socket))
		return http_plain_unreachable(p->x, "the path is too long for a Unix socket");
	return http_plain_connect_to(p, (const struct sockaddr *)&address, sizeof address);
}

/* Each address of the name, until one answers. */
static enum http_end http_plain_connect(struct http_plain *p)
{
	if (p->x->client->unix_socket)
		return http_plain_connect_unix(p);
	const struct addrinfo wish = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int failed = getaddrinfo(p->host, p->port, &wish, &found);
	if (failed)
		return http_plain_unreachable(p->x, failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
	enum http_end end = http_plain_unreachable(p->x, "its host name has no address");
	for (const struct addrinfo *a = found; a && end == HTTP_END_UNREACHABLE; a = a->ai_next)
		end = http_plain_connect_to(p, a->ai_addr, a->ai_addrlen);
	freeaddrinfo(found);
	return end;
}

static void http_plain_head(const struct http_plain *p, struct buf *head)
{
	const struct http_call *call = p->x->call;
	const struct http_client *client = p->x->client;
	buf_printf(head, "%s %s%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nAccept: */*\r\n",
		   call->method ? call->method : "GET", p->base, call->path, p->authority);
	if (client->user_agent)
		buf_printf(head, "User-Agent: %s\r\n", client->user_agent);
	if (client->token)
		buf_printf(head, "Authorization: Bearer %s\r\n", client->token);
	if (call->content_type)
		buf_printf(head, "Content-Type: %s\r\n", call->content_type);
	if (client->header)
		buf_printf(head, "%s\r\n", client->header);
	if (call->header)
		buf_printf(head, "%s\r\n", call->header);
	if (call->body || call->method)
		buf_printf(head, "Content-Length: %zu\r\n", call->body_len);
	buf_str(head, "\r\n");
}

/* HTTP_END_ANSWER: all of it was sent, or the server hung up early: it may still have answered. */
static enum http_end http_plain_send(struct http_plain *p, const char *data, size_t len, int64_t end_ms)
{
	while (len) {
		ssize_t sent = send(p->fd, data, len, MSG_NOSIGNAL);
		if (sent >= 0) {
			data += sent;
			len -= (size_t)sent;
			continue;
		}
		if (errno == EPIPE || errno == ECONNRESET)
			return HTTP_END_ANSWER;
		if (errno != EAGAIN && errno != EINTR)
			return http_plain_lost(p->x, strerror(errno));
		enum http_wait wait = http_plain_wait(p, POLLOUT, end_ms);
		if (wait != HTTP_WAIT_READY)
			return wait == HTTP_WAIT_LATE ? HTTP_END_LATE : HTTP_END_INTERRUPTED;
	}
	return HTTP_END_ANSWER;
}

static bool http_plain_body(void *arg, int status, const char *data, size_t len)
{
	return http_exchange_body(arg, status, data, len);
}

static enum http_end http_plain_receive(struct http_plain *p, int64_t end_ms)
{
	char data[65536];
	enum http_response_state state = HTTP_RESPONSE_MORE;
	CLEANUP(http_response) struct http_response response;
	http_response_init(&response, http_plain_body, p->x);
	while (state == HTTP_RESPONSE_MORE) {
		ssize_t len = recv(p->fd, data, sizeof data, 0);
		if (len > 0) {
			state = http_response_feed(&response, data, (size_t)len);
			if (http_exchange_is_stream(p->x)) /* a stream may last: only its silence is bounded */
				end_ms = clock_boot_ms() + http_exchange_deadline_ms(p->x);
			continue;
		}
		if (len == 0) {
			state = http_response_end(&response);
			if (state == HTTP_RESPONSE_BROKEN)
				return http_plain_lost(p->x, "it hung up");
			break;
		}
		if (errno != EAGAIN && errno != EINTR)
			return http_plain_lost(p->x, strerror(errno));
		enum http_wait wait = http_plain_wait(p, POLLIN, end_ms);
		if (wait != HTTP_WAIT_READY)
			return wait == HTTP_WAIT_LATE ? HTTP_END_LATE : HTTP_END_INTERRUPTED;
	}
	p->x->status = response.status;
	return state == HTTP_RESPONSE_BROKEN ? http_plain_lost(p->x, "what came is not HTTP") : HTTP_END_ANSWER;
}

static enum http_end http_plain_exchange(struct http_plain *p)
{
	enum http_end end = http_plain_connect(p);
	if (end != HTTP_END_ANSWER)
		return end;
	const struct http_call *call = p->x->call;
	int64_t end_ms = clock_boot_ms() + http_exchange_deadline_ms(p->x);
	CLEANUP(buf) struct buf request;
	buf_init(&request, 1U << 20);
	http_plain_head(p, &request);
	end = http_plain_send(p, buf_text(&request), request.len, end_ms);
	if (end == HTTP_END_ANSWER && call->body)
		end = http_plain_send(p, call->body, call->body_len, end_ms);
	return end == HTTP_END_ANSWER ? http_plain_receive(p, end_ms) : end;
}

enum http_end http_plain_run(struct http_exchange *x, struct error *err)
{
	struct http_plain p = { .x = x, .fd = -1 };
	enum http_end end = HTTP_END_FAILED;
	if (http_plain_target(&p))
		end = http_plain_exchange(&p);
	else
		error_set(err, ERR_INPUT, "write it as http://127.0.0.1:8700", "\"%s\" is not an http url",
			  x->client->url);
	http_plain_done(&p);
	return end;
}
