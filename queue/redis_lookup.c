#include "queue/redis_lookup.h"

#include <netinet/in.h>
#include <event2/dns.h>
#include "lib/buf.h"
#include "lib/clock.h"

struct redis_lookup {
	struct evdns_base *dns;
	struct evdns_getaddrinfo_request *request; /* NULL: answered */
	struct evutil_addrinfo *addresses;
	struct event *event; /* runs when evdns has let go of us */
	char *host;
	int result;
	bool is_orphan; /* its owner has freed it */
	redis_lookup_fn *fn;
	void *arg;
};

static void redis_lookup_destroy(struct redis_lookup *lookup)
{
	if (lookup->dns)
		evdns_base_free(lookup->dns, 0);
	if (lookup->addresses)
		evutil_freeaddrinfo(lookup->addresses);
	if (lookup->event)
		event_free(lookup->event);
	free(lookup->host);
	free(lookup);
}

/* evdns may call this from inside evdns_getaddrinfo, and uses its base afterwards. */
static void redis_lookup_answered(int result, struct evutil_addrinfo *addresses, void *arg)
{
	struct redis_lookup *lookup = arg;
	struct timeval now = clock_timeval(0);
	lookup->request = NULL;
	lookup->result = result;
	lookup->addresses = addresses;
	event_add(lookup->event, &now);
}

static void redis_lookup_finish(evutil_socket_t fd, short what, void *arg)
{
	struct redis_lookup *lookup = arg;
	struct error err = { 0 };
	(void)fd;
	(void)what;
	if (lookup->is_orphan) {
		redis_lookup_destroy(lookup);
		return;
	}
	if (lookup->result || !lookup->addresses)
		error_set(&err, ERR_UNAVAILABLE, "check the host name in the redis URL", "cannot resolve %s: %s",
			  lookup->host, evutil_gai_strerror(lookup->result ? lookup->result : EVUTIL_EAI_NONAME));
	lookup->fn(lookup->arg, lookup->addresses, err.kind ? &err : NULL);
}

struct redis_lookup *redis_lookup_new(struct event_base *base, const char *host, const char *port, redis_lookup_fn *fn,
				      void *arg, struct error *err)
{
	struct evutil_addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_protocol = IPPROTO_TCP,
	};
	struct redis_lookup *lookup = mem_alloc(sizeof *lookup);
	lookup->fn = fn;
	lookup->arg = arg;
	lookup->host = mem_strdup(host);
	lookup->event = evtimer_new(base, redis_lookup_finish, lookup);
	/* A new base each time: what the files say may have changed since the last attempt. */
	lookup->dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (!lookup->dns || !lookup->event) {
		error_set(err, ERR_SYSTEM, NULL, "cannot set up name resolution");
		redis_lookup_destroy(lookup);
		return NULL;
	}
	evdns_base_load_hosts(lookup->dns, "/etc/hosts");
	evdns_base_resolv_conf_parse(lookup->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf");
	/* NULL: it was answered on the spot. */
	struct evdns_getaddrinfo_request *request =
		evdns_getaddrinfo(lookup->dns, host, port, &hints, redis_lookup_answered, lookup);
	if (request)
		lookup->request = request;
	return lookup;
}

void redis_lookup_free(struct redis_lookup *lookup)
{
	if (!lookup)
		return;
	if (!lookup->request) { /* answered, and perhaps not told: evdns is done with it */
		redis_lookup_destroy(lookup);
		return;
	}
	lookup->is_orphan = true;
	evdns_getaddrinfo_cancel(lookup->request);
}
