/* See the header. */
#include "cli/up_probe.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "lib/buf.h"
#include "lib/clock.h"

#define PROBE_FIRST_MS 2
#define PROBE_LAST_MS  100

struct up_probe {
	struct event_base *base;
	struct sockaddr_un address;
	up_probe_fn *fn;
	void *arg;
	struct event *timer;      /* the next try */
	struct bufferevent *link; /* of this try; freed by the next, never in its own callback */
	int64_t wait_ms;
};

static void up_probe_again(struct up_probe *probe)
{
	struct timeval wait = clock_timeval(probe->wait_ms);
	event_add(probe->timer, &wait);
	probe->wait_ms = probe->wait_ms * 2 > PROBE_LAST_MS ? PROBE_LAST_MS : probe->wait_ms * 2;
}

static void up_probe_on_read(struct bufferevent *link, void *arg)
{
	struct up_probe *probe = arg;
	char answer[8] = "";
	if (evbuffer_get_length(bufferevent_get_input(link)) < 5)
		return;
	bufferevent_read(link, answer, 5);
	bufferevent_disable(link, EV_READ);
	shutdown(bufferevent_getfd(link), SHUT_RDWR);
	if (memcmp(answer, "+PONG", 5) == 0)
		probe->fn(probe->arg);
	else
		up_probe_again(probe);
}

static void up_probe_on_event(struct bufferevent *link, short what, void *arg)
{
	(void)link;
	if (what & (BEV_EVENT_ERROR | BEV_EVENT_EOF | BEV_EVENT_TIMEOUT))
		up_probe_again(arg);
}

static void up_probe_try(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct up_probe *probe = arg;
	const struct timeval patience = { .tv_sec = 2 };
	if (probe->link)
		bufferevent_free(probe->link);
	probe->link = bufferevent_socket_new(probe->base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	bufferevent_setcb(probe->link, up_probe_on_read, NULL, up_probe_on_event, probe);
	bufferevent_set_timeouts(probe->link, &patience, &patience);
	bufferevent_write(probe->link, "PING\r\n", 6);
	bufferevent_enable(probe->link, EV_READ);
	/* A socket that is not there yet is refused here, without an event. */
	if (bufferevent_socket_connect(probe->link, (struct sockaddr *)&probe->address, sizeof probe->address) != 0)
		up_probe_again(probe);
}

struct up_probe *up_probe_new(struct event_base *base, const char *socket_path, up_probe_fn *fn, void *arg)
{
	struct up_probe *probe = mem_alloc(sizeof *probe);
	probe->base = base;
	probe->fn = fn;
	probe->arg = arg;
	probe->wait_ms = PROBE_FIRST_MS;
	probe->address.sun_family = AF_UNIX;
	str_copy(probe->address.sun_path, sizeof probe->address.sun_path, socket_path);
	probe->timer = evtimer_new(base, up_probe_try, probe);
	up_probe_again(probe);
	return probe;
}

void up_probe_free(struct up_probe *probe)
{
	if (!probe)
		return;
	event_free(probe->timer);
	if (probe->link)
		bufferevent_free(probe->link);
	free(probe);
}
