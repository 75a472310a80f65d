/*
 * A route of an HTTP server: all that is known of it, in one row. Requests are dispatched by it, answers are checked
 * against it, and lib/openapi.h makes the OpenAPI document and the page for people of it.
 */
#ifndef STOKER_LIB_HTTP_ROUTE_H
#define STOKER_LIB_HTTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

struct http_request;
struct http_reply;

typedef void http_handler_fn(void *arg, const struct http_request *request, struct http_reply *reply);

struct http_outcome {
	int status;        /* 0: there are no more */
	const char *shape; /* lib/shape.h; NULL: no JSON */
	const char *type;  /* NULL: application/json */
	const char *help;  /* NULL: as the status says */
};

enum { HTTP_OUTCOMES_MAX = 4 };

struct http_route {
	const char *method;  /* "GET" (serves HEAD, too), "POST" or "DELETE" */
	const char *pattern; /* "/api/v1/jobs/{job}": what stands in braces is the name of a shape, too */
	http_handler_fn *handler;
	const char *summary;
	bool is_open;           /* nobody needs a token; otherwise: over TCP, not over a Unix socket */
	const char *query;      /* the shape of an object; NULL: nothing is looked at */
	const char *headers;    /* likewise */
	const char *body;       /* NULL: none */
	const char *body_types; /* NULL: application/json; several with spaces */
	struct http_outcome answers[HTTP_OUTCOMES_MAX];
	const char *errors; /* statuses of problems beside those of every route: "404 409" */
	const char *help;   /* Markdown; NULL: nothing more is to be said */
};

struct http_group {
	const char *name;
	const char *help;
	const struct http_route *routes;
	size_t count;
};

/* Statuses of problems that any route may answer with. */
#define HTTP_ERRORS_ANY   "400 403 405 406 429 500 503 504"
#define HTTP_ERRORS_TOKEN "401"
#define HTTP_ERRORS_BODY  "413 415"

/* Is this status one that the route says it answers with? */
bool http_route_has(const struct http_route *route, int status);

#endif
