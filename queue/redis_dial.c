#include "queue/redis_dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <event2/bufferevent_ssl.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "queue/redis_lookup.h"
#include "queue/redis_tls.h"

struct redis_dial {
	struct event_base *base;
	const struct redis_url *url;
	SSL_CTX *tls;
	redis_dial_fn *fn;
	void *arg;
	struct redis_lookup *lookup;
	const struct evutil_addrinfo *next; /* the address to try next */
	struct event *event;                /* start, then: the socket is writable */
	int fd;                             /* -1: none, or given to bev */
	struct bufferevent *bev;            /* during the TLS handshake */
	struct error error;                 /* of the last address that was tried */
	char doing[300];
};

static void redis_dial_next(struct redis_dial *dial);

static void redis_dial_fail(struct redis_dial *dial)
{
	dial->fn(dial->arg, NULL, &dial->error);
}

/* An address did not work out: the next one may. */
static void redis_dial_again(struct redis_dial *dial)
{
	if (dial->event)
		event_free(STEAL(dial->event));
	if (dial->bev)
		bufferevent_free(STEAL(dial->bev));
	if (dial->fd >= 0)
		close(dial->fd);
	dial->fd = -1;
	redis_dial_next(dial);
}

static void redis_dial_tls_event(struct bufferevent *bev, short what, void *arg)
{
	struct redis_dial *dial = arg;
	if (what & BEV_EVENT_CONNECTED) {
		bufferevent_setcb(bev, NULL, NULL, NULL, NULL);
		dial->fn(dial->arg, STEAL(dial->bev), NULL);
		return;
	}
	redis_tls_error(bufferevent_openssl_get_ssl(bev), bufferevent_get_openssl_error(bev), &dial->error);
	redis_dial_again(dial);
}

static void redis_dial_handshake(struct redis_dial *dial)
{
	SSL *ssl = redis_tls_new(dial->tls, dial->url->host, &dial->error);
	if (!ssl) {
		redis_dial_again(dial);
		return;
	}
	str_copy(dial->doing, sizeof dial->doing, "TLS handshake");
	dial->bev = bufferevent_openssl_socket_new(dial->base, dial->fd, ssl, BUFFEREVENT_SSL_CONNECTING,
						   BEV_OPT_CLOSE_ON_FREE);
	if (!dial->bev) {
		SSL_free(ssl);
		error_set(&dial->error, ERR_SYSTEM, NULL, "cannot make a TLS connection");
		redis_dial_again(dial);
		return;
	}
	dial->fd = -1; /* the bufferevent closes it */
	bufferevent_openssl_set_allow_dirty_shutdown(dial->bev, 1);
	bufferevent_setcb(dial->bev, NULL, NULL, redis_dial_tls_event, dial);
	bufferevent_enable(dial->bev, EV_READ | EV_WRITE);
}

static void redis_dial_open(struct redis_dial *dial)
{
	if (dial->tls) {
		redis_dial_handshake(dial);
		return;
	}
	struct bufferevent *bev = bufferevent_socket_new(dial->base, dial->fd, BEV_OPT_CLOSE_ON_FREE);
	if (!bev) {
		error_set(&dial->error, ERR_SYSTEM, NULL, "cannot make a bufferevent");
		redis_dial_again(dial);
		return;
	}
	dial->fd = -1;
	dial->fn(dial->arg, bev, NULL);
}

static void redis_dial_writable(evutil_socket_t fd, short what, void *arg)
{
	struct redis_dial *dial = arg;
	int failed = 0;
	socklen_t len = sizeof failed;
	(void)what;
	event_free(STEAL(dial->event));
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len) < 0)
		failed = errno;
	if (!failed) {
		redis_dial_open(dial);
		return;
	}
	error_set(&dial->error, ERR_UNAVAILABLE, "is Redis running there?", "cannot connect: %s", strerror(failed));
	redis_dial_again(dial);
}

/* Small commands go out at once; a peer that vanished is noticed while idle, too. */
static void redis_dial_tune(int fd)
{
	int on = 1, idle_s = 30, interval_s = 10, probes = 3;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static void redis_dial_connect(struct redis_dial *dial, int family, const struct sockaddr *address, socklen_t len)
{
	dial->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (dial->fd >= 0 && family != AF_UNIX)
		redis_dial_tune(dial->fd);
	if (dial->fd < 0 || (connect(dial->fd, address, len) < 0 && errno != EINPROGRESS)) {
		error_errno(&dial->error, ERR_UNAVAILABLE, "is Redis running there?", "cannot connect");
		redis_dial_again(dial);
		return;
	}
	str_copy(dial->doing, sizeof dial->doing, "connecting");
	dial->event = event_new(dial->base, dial->fd, EV_WRITE, redis_dial_writable, dial);
	event_add(dial->event, NULL);
}

static void redis_dial_next(struct redis_dial *dial)
{
	const struct evutil_addrinfo *address = dial->next;
	if (!address) {
		redis_dial_fail(dial);
		return;
	}
	dial->next = address->ai_next;
	redis_dial_connect(dial, address->ai_family, address->ai_addr, (socklen_t)address->ai_addrlen);
}

static void redis_dial_resolved(void *arg, const struct evutil_addrinfo *addresses, const struct error *err)
{
	struct redis_dial *dial = arg;
	dial->next = addresses;
	if (err)
		dial->error = *err;
	redis_dial_next(dial);
}

static void redis_dial_resolve(struct redis_dial *dial)
{
	str_format(dial->doing, sizeof dial->doing, "resolving %s", dial->url->host);
	dial->lookup = redis_lookup_new(dial->base, "/etc/resolv.conf", dial->url->host, dial->url->port,
					redis_dial_resolved, dial, &dial->error);
	if (!dial->lookup)
		redis_dial_fail(dial);
}

static void redis_dial_start(evutil_socket_t fd, short what, void *arg)
{
	struct redis_dial *dial = arg;
	(void)fd;
	(void)what;
	event_free(STEAL(dial->event));
	if (!dial->url->path) {
		redis_dial_resolve(dial);
		return;
	}
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	str_copy(address.sun_path, sizeof address.sun_path, dial->url->path);
	redis_dial_connect(dial, AF_UNIX, (struct sockaddr *)&address, sizeof address);
}

struct redis_dial *redis_dial_new(struct event_base *base, const struct redis_url *url, SSL_CTX *tls, redis_dial_fn *fn,
				  void *arg)
{
	struct redis_dial *dial = mem_alloc(sizeof *dial);
	struct timeval now = clock_timeval(0);
	dial->base = base;
	dial->url = url;
	dial->tls = tls;
	dial->fn = fn;
	dial->arg = arg;
	dial->fd = -1;
	dial->event = evtimer_new(base, redis_dial_start, dial);
	event_add(dial->event, &now);
	return dial;
}

void redis_dial_free(struct redis_dial *dial)
{
	if (!dial)
		return;
	redis_lookup_free(dial->lookup);
	if (dial->event)
		event_free(dial->event);
	if (dial->bev)
		bufferevent_free(dial->bev);
	if (dial->fd >= 0)
		close(dial->fd);
	free(dial);
}

const char *redis_dial_doing(const struct redis_dial *dial)
{
	return dial->doing;
}
