#include "lib/http_route.h"

#include <stdlib.h>

static bool http_statuses_have(const char *list, int status)
{
	char *end;
	for (const char *at = list; at && *at; at = end)
		if (strtol(at, &end, 10) == status)
			return true;
		else if (end == at)
			break;
	return false;
}

bool http_route_has(const struct http_route *route, int status)
{
	for (size_t i = 0; i < HTTP_OUTCOMES_MAX && route->answers[i].status; i++)
		if (route->answers[i].status == status)
			return true;
	return http_statuses_have(HTTP_ERRORS_ANY, status) || http_statuses_have(route->errors, status) ||
	       (!route->is_open && http_statuses_have(HTTP_ERRORS_TOKEN, status)) ||
	       (route->body && http_statuses_have(HTTP_ERRORS_BODY, status));
}
