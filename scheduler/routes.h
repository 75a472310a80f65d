/*
 * The table of the HTTP API's routes: its parts (routes_*.c) and the shapes that their rows name (routes.c).
 * Requests are dispatched by it; /api/openapi.json and docs/api.md are made of it.
 */
#ifndef STOKER_SCHEDULER_ROUTES_H
#define STOKER_SCHEDULER_ROUTES_H

#include "lib/http_route.h"
#include "lib/openapi.h"

#define API "/api/v1"

extern const struct http_group routes_jobs, routes_runs, routes_queues, routes_schedules, routes_told, routes_store,
	routes_service;

extern const struct openapi routes_api;

#endif
