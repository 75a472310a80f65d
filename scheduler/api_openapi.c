/* The document that describes the API, made of its table. */
#include <string.h>
#include "lib/buf.h"
#include "scheduler/api.h"
#include "scheduler/routes.h"

void api_openapi(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	(void)arg;
	(void)request;
	json_auto_t *document = openapi_document(&routes_api, &err);
	CLEANUP(free_p) char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
	if (text)
		http_reply_json(reply, 200, text, strlen(text));
	else
		http_reply_error(reply, 0, &err);
}
