#include "queue/following.h"

#include <stdlib.h>
#include <string.h>
#include "lib/json.h"
#include "queue/spec.h"
#include "queue/spec_check.h"

/* path: inside of the key, as spec_check left it. Says where in the document it is wrong. */
static bool following_fail(const struct following_document *document, const char *path, struct error *err)
{
	char place[SPEC_PATH_MAX + 32];
	str_format(place, sizeof place, "%s%s%s", document->within, *document->within ? "." : "", path);
	return spec_place(document->text, document->len, document->origin, place, err);
}

static bool following_read_then(const json_t *then, const struct following_document *document,
				struct following *following, struct error *err)
{
	char path[SPEC_PATH_MAX] = "", place[SPEC_PATH_MAX + 8];
	CLEANUP(buf) struct buf text;
	buf_init(&text, SPEC_MAX_BYTES);
	if (!spec_check(then, path, err)) {
		error_wrap(err, "%s%sthen", document->within, *document->within ? "." : "");
		str_format(place, sizeof place, "then%s%s", *path ? "." : "", path);
		return following_fail(document, place, err);
	}
	json_canonical(then, &text);
	following->then_json = buf_take(&text);
	return true;
}

/* The URL is judged as that of a job's webhook; the event is given. */
static bool following_check_webhook(const json_t *webhook, char *path, struct error *err)
{
	const char *name;
	json_t *value;
	json_auto_t *spec = json_pack("{s:s, s:O}", "command", "x", "webhook", webhook);
	json_object_foreach((json_t *)webhook, name, value) if (strcmp(name, "url") != 0)
	{
		str_copy(path, SPEC_PATH_MAX, "webhook");
		return error_set(err, ERR_INPUT, NULL, "webhook: \"%.60s\": unknown key; known here: url", name);
	}
	return spec_check(spec, path, err);
}

static bool following_read_webhook(const json_t *webhook, const struct following_document *document,
				   struct following *following, struct error *err)
{
	char path[SPEC_PATH_MAX] = "";
	CLEANUP(buf) struct buf text;
	buf_init(&text, SPEC_MAX_BYTES);
	if (!following_check_webhook(webhook, path, err)) {
		if (*document->within)
			error_wrap(err, "%s", document->within);
		return following_fail(document, path, err);
	}
	json_canonical(webhook, &text);
	following->webhook_json = buf_take(&text);
	return true;
}

bool following_read(const json_t *object, const struct following_document *document, struct following *following,
		    struct error *err)
{
	const json_t *then = json_object_get(object, "then"), *webhook = json_object_get(object, "webhook");
	return (!then || following_read_then(then, document, following, err)) &&
	       (!webhook || json_is_null(webhook) || following_read_webhook(webhook, document, following, err));
}

void following_done(struct following *following)
{
	free(following->then_json);
	free(following->webhook_json);
	*following = (struct following){ 0 };
}

void following_write(const struct following *following, struct buf *into)
{
	if (following->then_json)
		buf_printf(into, ",\"then\":%s", following->then_json);
	if (following->webhook_json)
		buf_printf(into, ",\"webhook\":%s", following->webhook_json);
}
