#include "lib/s3.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/s3_internal.h"

enum { S3_ANSWER_MAX = 32 * 1024 * 1024 };

void s3_call_init(struct s3_call *call, const char *method, const char *key)
{
	*call = (struct s3_call){ .method = method, .key = key, .size = -1 };
	buf_init(&call->text, S3_ANSWER_MAX);
}

void s3_call_query(struct s3_call *call, const char *name, const char *value)
{
	call->query[call->query_count++] = (struct s3_pair){ name, value };
}

void s3_call_header(struct s3_call *call, const char *name, const char *value)
{
	call->headers[call->header_count++] = (struct s3_pair){ name, value };
}

void s3_call_done(struct s3_call *call)
{
	buf_done(&call->text);
}

/* "/bucket/prefix/key", encoded nowhere. */
char *s3_path(const struct s3_settings *settings, const char *key)
{
	return mem_printf("%s%s/%s%s", settings->is_path_style ? "/" : "",
			  settings->is_path_style ? settings->bucket : "", key ? settings->prefix : "", key ? key : "");
}

bool s3_run(struct s3 *s3, struct s3_call *call, struct error *err)
{
	s3_begin(s3, call);
	s3_wait_for(s3, call);
	if (call->error.kind == ERR_NONE)
		return true;
	if (err)
		*err = call->error;
	return false;
}

bool s3_head(struct s3 *s3, struct s3_call *call, struct error *err)
{
	char byte;
	struct error why;
	if (s3_run(s3, call, &why))
		return call->size >= 0 || error_set(err, ERR_UNAVAILABLE, NULL, "store %s: HEAD %s: no size was said",
						    s3->settings.url, call->key);
	if (why.kind == ERR_NOT_FOUND) {
		CLEANUP(s3_call) struct s3_call get;
		s3_call_init(&get, "GET", call->key);
		get.is_range = true;
		get.into = &byte;
		get.into_size = 1;
		if (s3_run(s3, &get, &why)) /* it is there after all */
			error_set(&why, ERR_UNAVAILABLE, NULL, "store %s: HEAD %s: status 404, but it is there",
				  s3->settings.url, call->key);
	}
	if (err)
		*err = why;
	return false;
}

bool s3_link(struct s3 *s3, const char *key, const char *name, int64_t seconds, char **url, struct error *err)
{
	CLEANUP(free_p) char *path = s3_path(&s3->settings, key);
	CLEANUP(free_p) char *as = mem_printf("attachment; filename=\"%s\"", name);
	CLEANUP(buf) struct buf target;
	const struct s3_request request = { .method = "GET",
					    .host = s3->settings.host,
					    .path = path,
					    .query = { { "response-content-disposition", as } },
					    .query_count = 1 };
	int64_t now_s = clock_wall_ms() / 1000 + s3->skew_s;
	if (!s3_settings_renew(&s3->settings, now_s, err))
		return false;
	const struct s3_keys keys = s3_settings_keys(&s3->settings);
	buf_init(&target, S3_HEADERS_MAX);
	s3_presign(&keys, &request, now_s, seconds, &target);
	*url = mem_printf("%s%s", s3->settings.base, buf_text(&target));
	return true;
}

bool s3_open(const char *url, struct s3 **into, struct error *err)
{
	struct s3 *s3 = mem_alloc(sizeof *s3);
	s3->noise = (unsigned)clock_boot_ms();
	bool ok = s3_settings_read(url, &s3->settings, err) && curl_api_load(&s3->api, err);
	if (ok) {
		s3->multi = s3->api.multi_init();
		ok = s3->multi || error_set(err, ERR_SYSTEM, NULL, "libcurl does not start");
	}
	if (!ok)
		s3_close(STEAL(s3));
	*into = s3;
	return ok;
}

void s3_close(struct s3 *s3)
{
	if (!s3)
		return;
	s3_thread_stop(s3);
	for (struct s3_transfer *t = s3->all, *next; t; t = next) {
		next = t->next;
		s3_drop_easy(t);
		t->call->transfer = NULL;
		free(t);
	}
	if (s3->multi)
		s3->api.multi_cleanup(s3->multi);
	s3_settings_done(&s3->settings);
	free(s3);
}

const struct s3_settings *s3_settings_of(const struct s3 *s3)
{
	return &s3->settings;
}
