#include "lib/http_private.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <event2/buffer.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/log.h"

static void http_connection_forget(struct http_connection *c)
{
	struct http_server *server = c->server;
	TAILQ_REMOVE(&server->connections, c, next);
	server->connection_count--;
	event_free(c->timer);
	free(c);
}

/* The end of every connection: closed by either side, or on a deadline. */
static void http_connection_closed(struct evhttp_connection *evcon, void *arg)
{
	(void)evcon;
	struct http_connection *c = arg;
	struct http_reply *reply = STEAL(c->reply);
	if (reply)
		http_reply_lose_client(reply);
	http_connection_rest(c);
	http_connection_forget(c);
}

void http_connection_rest(struct http_connection *c)
{
	struct http_server *server = c->server;
	if (c->is_busy && --server->busy_count == 0 && server->is_stopping)
		event_active(server->idle_event, EV_TIMEOUT, 1);
	c->is_busy = false;
	struct timeval wait = clock_timeval(c->server->options.request_ms);
	event_add(c->timer, &wait);
}

/* Who is at the other end: an IPv4 address, or the network of an IPv6 one, of which a host has as many as it likes. */
static void http_connection_peer(struct http_connection *c, int fd)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof address;
	getpeername(fd, (struct sockaddr *)&address, &len);
	const struct in6_addr *v6 = &((struct sockaddr_in6 *)&address)->sin6_addr;
	if (address.ss_family == AF_INET)
		memcpy(c->peer, &((struct sockaddr_in *)&address)->sin_addr, 4);
	else if (address.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(v6))
		memcpy(c->peer, v6->s6_addr + 12, 4);
	else if (address.ss_family == AF_INET6)
		memcpy(c->peer, v6->s6_addr, 8);
}

/* What a socket is asked for once it is known: small lines leave at once, and a peer
 * that vanished is noticed within two minutes, whether or not something is to be sent. */
static void http_connection_tune(struct http_connection *c)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof address;
	int fd = bufferevent_getfd(c->bev);
	int on = 1, idle_s = 60, every_s = 15, times = 4, unheard_ms = 120 * 1000;
	getsockname(fd, (struct sockaddr *)&address, &len);
	c->is_local = address.ss_family == AF_UNIX;
	if (c->is_local)
		return;
	http_connection_peer(c, fd);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard_ms, sizeof unheard_ms);
}

/* Is it one more than the server takes, of all or of this address? */
static bool http_connection_is_too_many(const struct http_connection *c)
{
	const struct http_server *server = c->server;
	const struct http_connection *other;
	size_t of_peer = 0;
	if (!c->is_local && server->options.max_connections_each)
		TAILQ_FOREACH(other, &server->connections, next)
	of_peer += !other->is_local && memcmp(other->peer, c->peer, sizeof c->peer) == 0;
	if (server->connection_count <= server->options.max_connections &&
	    of_peer <= server->options.max_connections_each)
		return false;
	log_warn("too many connections: one was closed", "all=%zu max=%zu of_this_address=%zu max=%zu",
		 server->connection_count, server->options.max_connections, of_peer,
		 server->options.max_connections_each);
	return true;
}

/* libevent 2.1 tells of a new connection only while it asks for the bufferevent to
 * put under it, before its socket is set. So this runs right after the accept
 * callback, and before anything can be read: the callbacks' argument is the
 * evhttp_connection then, or NULL if the accept failed half way. */
void http_connection_settle(struct http_connection *c)
{
	void *evcon = NULL;
	bufferevent_getcb(c->bev, NULL, NULL, NULL, &evcon);
	bufferevent_decref(c->bev);
	if (!evcon) {
		http_connection_forget(c);
		return;
	}
	c->evcon = evcon;
	http_connection_tune(c);
	evhttp_connection_set_closecb(evcon, http_connection_closed, c);
	if (http_connection_is_too_many(c) || c->server->is_stopping)
		evhttp_connection_free(evcon);
	else
		http_connection_rest(c);
}

static void http_connection_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct http_connection *c = arg;
	if (!c->evcon)
		http_connection_settle(c);
	else
		evhttp_connection_free(c->evcon); /* no whole request in time */
}

struct bufferevent *http_connection_new(struct event_base *base, void *arg)
{
	struct http_server *server = arg;
	struct http_connection *c = mem_alloc(sizeof *c);
	c->server = server;
	c->bev = bufferevent_socket_new(base, -1, 0);
	c->timer = event_new(base, -1, 0, http_connection_timer, c);
	if (!c->bev || !c->timer)
		abort();
	/* A client that sends while it is being answered is not read without bound. */
	bufferevent_setwatermark(c->bev, EV_READ, 0, HTTP_MAX_BODY + 2 * HTTP_MAX_HEADERS);
	bufferevent_incref(c->bev);
	TAILQ_INSERT_TAIL(&server->connections, c, next);
	server->connection_count++;
	event_active(c->timer, EV_TIMEOUT, 1);
	return c->bev;
}

struct http_connection *http_connection_of(struct http_server *server, const struct evhttp_connection *evcon)
{
	struct http_connection *c;
	TAILQ_FOREACH(c, &server->connections, next)
	if (c->evcon == evcon)
		return c;
	abort(); /* every connection is settled before its first byte is read */
}
