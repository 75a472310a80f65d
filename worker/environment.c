#include "worker/environment.h"

#include <stdbool.h>
#include <string.h>
#include "lib/buf.h"

/* Of the service manager and of ourselves: a program must not take them for its own. */
static const char *const environment_private[] = { "STOKER_",         "NOTIFY_SOCKET=",  "LISTEN_FDS=",
						   "LISTEN_PID=",     "LISTEN_FDNAMES=", "INVOCATION_ID=",
						   "JOURNAL_STREAM=", "WATCHDOG_" };

static bool environment_is_private(const char *item)
{
	for (size_t i = 0; i < ARRAY_LEN(environment_private); i++)
		if (!strncmp(item, environment_private[i], strlen(environment_private[i])))
			return true;
	return false;
}

static char **environment_find(const struct environment *e, const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < e->count; i++)
		if (!strncmp(e->items[i], name, len) && e->items[i][len] == '=')
			return &e->items[i];
	return NULL;
}

static void environment_add(struct environment *e, char *item)
{
	e->items = mem_realloc(e->items, (e->count + 2) * sizeof *e->items);
	e->items[e->count++] = item;
	e->items[e->count] = NULL;
}

void environment_inherit(struct environment *e, const char *const *from)
{
	for (; *from; from++)
		if (!environment_is_private(*from))
			environment_add(e, mem_strdup(*from));
}

void environment_set(struct environment *e, const char *name, const char *value)
{
	char **known = environment_find(e, name);
	char *item = mem_printf("%s=%s", name, value);
	if (!known) {
		environment_add(e, item);
		return;
	}
	free(*known);
	*known = item;
}

void environment_set_default(struct environment *e, const char *name, const char *value)
{
	if (!environment_find(e, name))
		environment_set(e, name, value);
}

void environment_done(struct environment *e)
{
	for (size_t i = 0; i < e->count; i++)
		free(e->items[i]);
	free(e->items);
	*e = (struct environment){ 0 };
}
