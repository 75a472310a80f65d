#include "lib/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"

static const unsigned char address_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* RFC 6890 and what was registered since, the addresses that are not for everybody to reach. */
static const char address_special[] =
	"0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,172.16.0.0/12,192.0.0.0/24,192.0.2.0/24,"
	"192.88.99.0/24,192.168.0.0/16,198.18.0.0/15,198.51.100.0/24,203.0.113.0/24,224.0.0.0/3,"
	"::/96,64:ff9b:1::/48,100::/64,2001::/23,2001:db8::/32,3fff::/20,5f00::/16,fc00::/7,fe80::/10,fec0::/10,ff00::/"
	"8";

static bool address_bytes(const struct sockaddr *address, unsigned char bytes[16])
{
	if (address->sa_family == AF_INET6) {
		memcpy(bytes, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
		return true;
	}
	if (address->sa_family != AF_INET)
		return false;
	memcpy(bytes, address_mapped, sizeof address_mapped);
	memcpy(bytes + 12, &((const struct sockaddr_in *)address)->sin_addr, 4);
	return true;
}

static bool address_is_in(const unsigned char bytes[16], const struct address_range *range)
{
	int whole = range->bits / 8, rest = range->bits % 8;
	if (memcmp(bytes, range->bytes, (size_t)whole) != 0)
		return false;
	return rest == 0 || (bytes[whole] ^ range->bytes[whole]) >> (8 - rest) == 0;
}

static bool address_parse_range(const char *text, size_t len, struct address_range *range)
{
	char name[ADDRESS_TEXT_MAX];
	const char *slash = memchr(text, '/', len);
	size_t name_len = slash ? (size_t)(slash - text) : len;
	if (name_len >= sizeof name)
		return false;
	memcpy(name, text, name_len);
	name[name_len] = '\0';
	memcpy(range->bytes, address_mapped, sizeof address_mapped);
	bool is_v4 = inet_pton(AF_INET, name, range->bytes + 12) == 1;
	if (!is_v4 && inet_pton(AF_INET6, name, range->bytes) != 1)
		return false;
	int most = is_v4 ? 32 : 128;
	int bits = most;
	if (slash) {
		const char *end = text + len;
		bits = 0;
		if (slash + 1 == end || end - slash > 4)
			return false;
		for (const char *c = slash + 1; c < end; c++) {
			if (*c < '0' || *c > '9')
				return false;
			bits = bits * 10 + (*c - '0');
		}
	}
	range->bits = bits + (is_v4 ? 96 : 0);
	return bits <= most;
}

bool address_ranges_parse(const char *text, struct address_ranges *ranges, struct error *err)
{
	*ranges = (struct address_ranges){ 0 };
	for (const char *at = text ? text : ""; *at; at += *at == ',') {
		size_t len = strcspn(at, ",");
		struct address_range range;
		if (!address_parse_range(at, len, &range)) {
			error_set(err, ERR_INPUT, "for example 10.0.0.0/8,fd00::/8,127.0.0.1",
				  "\"%.*s\" is no address and no range of addresses", (int)(len < 80 ? len : 80), at);
			address_ranges_done(ranges);
			return false;
		}
		ranges->items = mem_realloc(ranges->items, (ranges->count + 1) * sizeof *ranges->items);
		ranges->items[ranges->count++] = range;
		at += len;
	}
	return true;
}

void address_ranges_done(struct address_ranges *ranges)
{
	free(ranges->items);
	*ranges = (struct address_ranges){ 0 };
}

static bool address_ranges_have_bytes(const struct address_ranges *ranges, const unsigned char bytes[16])
{
	for (size_t i = 0; i < ranges->count; i++)
		if (address_is_in(bytes, &ranges->items[i]))
			return true;
	return false;
}

bool address_ranges_have(const struct address_ranges *ranges, const struct sockaddr *address)
{
	unsigned char bytes[16];
	return address_bytes(address, bytes) && address_ranges_have_bytes(ranges, bytes);
}

/* The IPv4 address inside, for the forms in which a gateway would take it out again. */
static bool address_unwrap(const unsigned char bytes[16], unsigned char inner[16])
{
	static const unsigned char nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	size_t at = memcmp(bytes, nat64, sizeof nat64) == 0 ? 12 : bytes[0] == 0x20 && bytes[1] == 0x02 ? 2 : 0;
	memcpy(inner, address_mapped, sizeof address_mapped);
	memcpy(inner + 12, bytes + at, 4);
	return at > 0;
}

bool address_is_public(const struct sockaddr *address)
{
	unsigned char bytes[16], inner[16];
	struct address_ranges special;
	struct error err;
	if (!address_bytes(address, bytes) || !address_ranges_parse(address_special, &special, &err))
		return false;
	bool is_special = address_ranges_have_bytes(&special, bytes) ||
			  (address_unwrap(bytes, inner) && address_ranges_have_bytes(&special, inner));
	address_ranges_done(&special);
	return !is_special;
}

void address_print(const struct sockaddr *address, char text[ADDRESS_TEXT_MAX])
{
	unsigned char bytes[16];
	bool is_v4 = address_bytes(address, bytes) && memcmp(bytes, address_mapped, sizeof address_mapped) == 0;
	str_copy(text, ADDRESS_TEXT_MAX, "?");
	if (is_v4)
		inet_ntop(AF_INET, bytes + 12, text, ADDRESS_TEXT_MAX);
	else if (address->sa_family == AF_INET6)
		inet_ntop(AF_INET6, bytes, text, ADDRESS_TEXT_MAX);
}
