#include "worker/backend.h"

#include "lib/buf.h"

const struct backend *backend_of(enum spec_backend which)
{
	static const struct backend *const all[] = {
		[BACKEND_COMMAND] = &backend_command,
		[BACKEND_TINYGRAD] = &backend_tinygrad,
	};
	return all[which];
}

void launch_arg(struct launch *launch, const char *text)
{
	launch->argv.items = mem_realloc(launch->argv.items, (launch->argv.count + 2) * sizeof *launch->argv.items);
	launch->argv.items[launch->argv.count++] = mem_strdup(text);
	launch->argv.items[launch->argv.count] = NULL; /* as exec wants it */
}

void launch_env(struct launch *launch, const char *key, const char *value)
{
	launch->env.items = mem_realloc(launch->env.items, (launch->env.count + 1) * sizeof *launch->env.items);
	launch->env.items[launch->env.count++] = (struct spec_pair){ mem_strdup(key), mem_strdup(value) };
}

void launch_done(struct launch *launch)
{
	for (size_t i = 0; i < launch->argv.count; i++)
		free(launch->argv.items[i]);
	for (size_t i = 0; i < launch->env.count; i++) {
		free(launch->env.items[i].key);
		free(launch->env.items[i].value);
	}
	free(launch->argv.items);
	free(launch->env.items);
	*launch = (struct launch){ 0 };
}
