/*
 * A store by hand, for tests of real servers: tests/integration/test_s3.py.
 *
 *   store URL put KEY <data   get KEY >data   stat KEY   remove KEY   list PREFIX   sweep PREFIX   leave KEY <data
 *             put-new KEY <data   leftovers PREFIX   link KEY SECONDS   range KEY OFFSET LEN >data
 *
 * `leave` dies after it has written all, as a writer that is killed does.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/store.h"

static char chunk[256 * 1024];

static _Noreturn void stop(const struct error *err)
{
	fprintf(stderr, "%s: %s | %s\n", error_kind_of(err->kind)->name, err->message, err->hint);
	exit(1);
}

static void put(struct store *store, const char *key, bool is_left)
{
	struct store_put *to;
	struct error err;
	ssize_t len;
	if (!store_begin(store, key, &to, &err))
		stop(&err);
	while ((len = read(0, chunk, sizeof chunk)) > 0)
		if (!store_write(to, chunk, (size_t)len, &err)) {
			store_abort(to);
			stop(&err);
		}
	if (is_left)
		_exit(0);
	if (!store_finish(to, NULL, &err))
		stop(&err);
}

static void get(struct store *store, const char *key, int64_t offset, int64_t size)
{
	struct store_get *from;
	struct error err;
	size_t len;
	if (!store_get_range(store, key, offset, size, &from, &err))
		stop(&err);
	do {
		if (!store_read(from, chunk, sizeof chunk, &len, &err))
			stop(&err);
		fwrite(chunk, 1, len, stdout);
	} while (len);
	store_get_close(from);
}

static bool print(void *arg, const char *key, const struct store_stat *st, struct error *err)
{
	(void)arg;
	(void)err;
	printf("%s %" PRId64 " %" PRId64 "\n", key, st->size, st->modified_ms);
	return true;
}

static bool print_leftover(void *arg, const char *key, int64_t modified_ms)
{
	if (arg)
		printf("%s %" PRId64 "\n", key, modified_ms);
	else
		printf("%s\n", key);
	return true;
}

static bool put_new(struct store *store, const char *key, struct error *err)
{
	static char text[10 * 1024 * 1024];
	size_t len = fread(text, 1, sizeof text, stdin);
	return store_put_new(store, key, text, len, err);
}

static bool print_link(struct store *store, const char *key, const char *seconds, struct error *err)
{
	CLEANUP(free_p) char *url = NULL;
	if (!store_link(store, key, strtoll(seconds, NULL, 10), &url, err))
		return false;
	puts(url ? url : "none");
	return true;
}

int main(int argc, char **argv)
{
	struct store *store;
	struct error err = { 0 };
	struct store_stat st;
	bool ok = true;
	if (argc < 4)
		return 2;
	const char *verb = argv[2], *key = argv[3];
	if (!store_open(argv[1], &store, &err))
		stop(&err);
	if (!strcmp(verb, "put") || !strcmp(verb, "leave"))
		put(store, key, !strcmp(verb, "leave"));
	else if (!strcmp(verb, "get"))
		get(store, key, 0, -1);
	else if (!strcmp(verb, "range") && argc == 6)
		get(store, key, strtoll(argv[4], NULL, 10), strtoll(argv[5], NULL, 10));
	else if (!strcmp(verb, "link") && argc == 5)
		ok = print_link(store, key, argv[4], &err);
	else if (!strcmp(verb, "put-new"))
		ok = put_new(store, key, &err);
	else if (!strcmp(verb, "leftovers"))
		ok = store_leftovers(store, key, print_leftover, store, &err);
	else if (!strcmp(verb, "stat"))
		ok = store_stat(store, key, &st, &err) && print(NULL, key, &st, NULL);
	else if (!strcmp(verb, "remove"))
		ok = store_remove(store, key, &err);
	else if (!strcmp(verb, "list"))
		ok = store_list(store, key, print, NULL, &err);
	else if (!strcmp(verb, "sweep"))
		ok = store_sweep(store, key, print_leftover, NULL, &err);
	else
		return 2;
	if (!ok)
		stop(&err);
	store_close(store);
	return 0;
}
