#include "worker/given.h"

#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

bool given_channel(char into[GIVEN_CHANNEL_SIZE], struct error *err)
{
	unsigned char noise[(GIVEN_CHANNEL_SIZE - 1) / 2];
	if (getrandom(noise, sizeof noise, 0) != sizeof noise)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make the name of a channel");
	for (size_t i = 0; i < sizeof noise; i++)
		str_format(into + 2 * i, 3, "%02x", noise[i]);
	return true;
}

bool given_has(const struct given *given, const struct claim *claim)
{
	for (size_t i = 0; i < given->count; i++)
		if (given->all[i].n == claim->ref.n && !strcmp(given->all[i].token, claim->ref.token))
			return true;
	return false;
}

bool given_add(struct given *given, const struct claim *claim)
{
	if (given->count == GIVEN_MAX || given_has(given, claim))
		return false;
	given->all[given->count].request = claim->request;
	given->all[given->count].n = claim->ref.n;
	return str_copy(given->all[given->count++].token, sizeof given->all[0].token, claim->ref.token);
}

void given_forget(struct given *given, int64_t request)
{
	size_t kept = 0;
	for (size_t i = 0; i < given->count; i++)
		if (given->all[i].request >= request)
			given->all[kept++] = given->all[i];
	given->count = kept;
}

void given_json(const struct given *given, struct buf *into)
{
	char text[64];
	buf_byte(into, '[');
	for (size_t i = 0; i < given->count; i++) {
		str_format(text, sizeof text, "%s\"%" PRId64 ":%s\"", i ? "," : "", given->all[i].n,
			   given->all[i].token);
		buf_str(into, text);
	}
	buf_byte(into, ']');
}
