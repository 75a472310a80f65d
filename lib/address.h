/*
 * Which addresses a program of ours may call for others. What a user names in a URL may
 * stand for anything by the time it is resolved, so the address itself is judged, between
 * resolving and connecting (lib/http_post.h).
 *
 * Public is what is left without loopback, private, link-local, shared, reserved,
 * documentation and multicast addresses, and without IPv6 forms that carry such an IPv4
 * address (mapped, NAT64, 6to4).
 */
#ifndef STOKER_LIB_ADDRESS_H
#define STOKER_LIB_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include "lib/error.h"

bool address_is_public(const struct sockaddr *address);

struct address_range {
	unsigned char bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
	int bits;
};

struct address_ranges {
	struct address_range *items; /* NULL when count is 0 */
	size_t count;
};

/* "10.0.0.0/8,fd00::/8,127.0.0.1"; NULL and "": none. To be freed by address_ranges_done. */
bool address_ranges_parse(const char *text, struct address_ranges *ranges, struct error *err) MUST_CHECK;
void address_ranges_done(struct address_ranges *ranges);
bool address_ranges_have(const struct address_ranges *ranges, const struct sockaddr *address);

/* "127.0.0.1", "::1"; "?" for what is no IP address. */
#define ADDRESS_TEXT_MAX 64
void address_print(const struct sockaddr *address, char text[ADDRESS_TEXT_MAX]);

#endif
