#include "queue/redis_lookup.h"

#include <netinet/in.h>
#include <event2/dns.h>
#include "lib/buf.h"
#include "lib/clock.h"

struct redis_lookup {
	struct event_base *base;
	const char *resolv_conf;
	int server; /* of resolv_conf: the one that is asked */
	int servers;
	struct evdns_base *dns;
	struct evdns_getaddrinfo_request *request; /* NULL: answered */
	struct evutil_addrinfo *addresses;
	struct event *event; /* runs when evdns has let go of us */
	char *host, *port;
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
	free(lookup->port);
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

/*
 * evdns spreads its questions over all the servers of resolv.conf, where the C library asks them in order. The order
 * matters: the first may know names that the others deny, as in a network of containers. So each look-up has a base
 * with one server, and goes on to the next when that one gave no answer. A base is made anew each time: what the files
 * say may have changed since.
 */
static bool redis_lookup_ask(struct redis_lookup *lookup)
{
	struct evutil_addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_protocol = IPPROTO_TCP,
	};
	struct sockaddr_storage address;
	struct evdns_base *all = evdns_base_new(lookup->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	lookup->dns = evdns_base_new(lookup->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (!all || !lookup->dns) {
		if (all)
			evdns_base_free(all, 0);
		return false;
	}
	evdns_base_load_hosts(lookup->dns, "/etc/hosts");
	evdns_base_resolv_conf_parse(all, DNS_OPTIONS_ALL, lookup->resolv_conf);
	evdns_base_resolv_conf_parse(lookup->dns, DNS_OPTION_SEARCH, lookup->resolv_conf);
	lookup->servers = evdns_base_count_nameservers(all);
	int len = evdns_base_get_nameserver_addr(all, lookup->server, (struct sockaddr *)&address, sizeof address);
	if (len > 0)
		evdns_base_nameserver_sockaddr_add(lookup->dns, (struct sockaddr *)&address, (ev_socklen_t)len, 0);
	/* The case of letters drawn at random makes answers harder to forge, and there are servers (of containers'
	 * networks) that know a name in one case only. The C library does not draw either. */
	evdns_base_set_option(lookup->dns, "randomize-case:", "0");
	/* The dial has 5 s for all of it: a lost packet, or a server that is gone, must not take them. */
	evdns_base_set_option(lookup->dns, "timeout:", "1");
	evdns_base_set_option(lookup->dns, "attempts:", lookup->server + 1 < lookup->servers ? "1" : "3");
	evdns_base_free(all, 0);
	/* NULL: it was answered on the spot. */
	struct evdns_getaddrinfo_request *request =
		evdns_getaddrinfo(lookup->dns, lookup->host, lookup->port, &hints, redis_lookup_answered, lookup);
	if (request)
		lookup->request = request;
	return true;
}

/* A server said yes or no, or none is left to ask. */
static bool redis_lookup_is_over(const struct redis_lookup *lookup)
{
	return !lookup->result || lookup->result == EVUTIL_EAI_NONAME || lookup->result == EVUTIL_EAI_NODATA ||
	       lookup->server + 1 >= lookup->servers;
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
	if (!redis_lookup_is_over(lookup)) {
		evdns_base_free(STEAL(lookup->dns), 0);
		lookup->server++;
		if (redis_lookup_ask(lookup))
			return;
	}
	if (lookup->result || !lookup->addresses)
		error_set(&err, ERR_UNAVAILABLE, "check the host name in the redis URL", "cannot resolve %s: %s",
			  lookup->host, evutil_gai_strerror(lookup->result ? lookup->result : EVUTIL_EAI_NONAME));
	lookup->fn(lookup->arg, lookup->addresses, err.kind ? &err : NULL);
}

struct redis_lookup *redis_lookup_new(struct event_base *base, const char *resolv_conf, const char *host,
				      const char *port, redis_lookup_fn *fn, void *arg, struct error *err)
{
	struct redis_lookup *lookup = mem_alloc(sizeof *lookup);
	lookup->base = base;
	lookup->resolv_conf = resolv_conf;
	lookup->fn = fn;
	lookup->arg = arg;
	lookup->host = mem_strdup(host);
	lookup->port = mem_strdup(port);
	lookup->event = evtimer_new(base, redis_lookup_finish, lookup);
	if (lookup->event && redis_lookup_ask(lookup))
		return lookup;
	error_set(err, ERR_SYSTEM, NULL, "cannot set up name resolution");
	redis_lookup_destroy(lookup);
	return NULL;
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
