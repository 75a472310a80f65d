#include "lib/openapi.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"

/* ---- parameters ---- */

static const struct shape_row *openapi_row(const struct openapi *api, const char *name, size_t len)
{
	for (size_t i = 0; i < api->shape_count; i++)
		if (strlen(api->shapes[i].name) == len && strncmp(api->shapes[i].name, name, len) == 0)
			return &api->shapes[i];
	return NULL;
}

static bool openapi_path_parameters(const struct openapi *api, const char *pattern, json_t *parameters,
				    struct error *err)
{
	for (const char *at = strchr(pattern, '{'); at; at = strchr(at, '{')) {
		size_t len = strcspn(++at, "}");
		if (!openapi_row(api, at, len))
			return error_set(err, ERR_INTERNAL, NULL, "%s: there is no shape for what is in braces",
					 pattern);
		json_array_append_new(parameters, json_pack("{s:s%, s:s, s:b, s:{s:o}}", "name", at, len, "in", "path",
							    "required", true, "schema", "$ref",
							    json_sprintf("#/components/schemas/%.*s", (int)len, at)));
	}
	return true;
}

/* shape: of an object, a field a parameter. */
static bool openapi_parameters(const char *shape, const char *in, json_t *parameters, struct error *err)
{
	struct shape_field field;
	if (!shape)
		return true;
	while (shape_next_field(&shape, &field, err))
		json_array_append_new(parameters, json_pack("{s:s, s:s, s:b, s:o}", "name", field.name, "in", in,
							    "required", field.is_required, "schema", field.schema));
	return err->kind == ERR_NONE;
}

/* ---- bodies and answers ---- */

/* {type: {schema}} for each type in the list; shape NULL: anything. */
static bool openapi_content(const char *types, const char *shape, bool is_open, json_t *into, struct error *err)
{
	for (const char *at = types; *at; at += strspn(at, " ")) {
		size_t len = strcspn(at, " ");
		CLEANUP(free_p) char *type = mem_strndup(at, len);
		json_t *media = json_object();
		json_object_set_new(into, type, media);
		at += len;
		/* Lines are not one document, and what is no JSON has no schema. */
		bool is_json = strcmp(type, "application/json") == 0;
		json_t *schema = is_json && shape ? shape_schema(shape, is_open, err) : NULL;
		if (is_json && shape && !schema)
			return false;
		if (schema)
			json_object_set_new(media, "schema", schema);
	}
	return true;
}

static const char *openapi_says(int status)
{
	static const struct {
		int status;
		const char *means;
	} rows[] = {
		{ 200, "done" },
		{ 201, "made" },
		{ 202, "accepted" },
		{ 204, "there is nothing more: do not ask again" },
		{ 206, "the range that was asked for" },
		{ 303, "it is at the address in Location" },
		{ 304, "it is as it was: If-None-Match names it" },
		{ 400, "the request is not valid; nothing was changed" },
		{ 401, "the token is missing or wrong" },
		{ 403, "this host or origin is not served" },
		{ 404, "the named object does not exist" },
		{ 405, "the path is not answered with this method: Allow has those that it is" },
		{ 406, "Accept allows nothing that is answered here" },
		{ 409, "the object's state does not allow this" },
		{ 413, "the body is larger than 8 MiB" },
		{ 415, "the body's Content-Type is not one that is read here" },
		{ 416, "there is no such range" },
		{ 429, "a stated bound is reached: try again later" },
		{ 500, "a defect, or stored data that does not verify" },
		{ 503, "Redis or the store cannot be reached, or the outcome is unknown: try again" },
		{ 504, "not done in time" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].status == status)
			return rows[i].means;
	return NULL;
}

static bool openapi_answers(const struct http_route *route, json_t *responses, struct error *err)
{
	for (size_t i = 0; i < HTTP_OUTCOMES_MAX && route->answers[i].status; i++) {
		const struct http_outcome *answer = &route->answers[i];
		const char *says = answer->help ? answer->help : openapi_says(answer->status);
		CLEANUP(free_p) char *status = mem_printf("%d", answer->status);
		json_t *response = json_object_get(responses, status);
		if (!response) {
			response = json_pack("{s:s}", "description", says ? says : "");
			json_object_set_new(responses, status, response);
		}
		if (answer->status == 304 || answer->status == 204)
			continue;
		json_t *content = json_object_get(response, "content");
		if (!content) {
			content = json_object();
			json_object_set_new(response, "content", content);
		}
		if (!openapi_content(answer->type ? answer->type : "application/json", answer->shape, true, content,
				     err))
			return false;
	}
	return true;
}

static void openapi_errors(const char *statuses, json_t *responses)
{
	while (statuses && *statuses) {
		char *end;
		CLEANUP(free_p) char *status = mem_printf("%ld", strtol(statuses, &end, 10));
		statuses = end + strspn(end, " ");
		json_t *known = json_object_get(responses, status);
		if (!known)
			json_object_set_new(
				responses, status,
				json_pack("{s:o}", "$ref", json_sprintf("#/components/responses/%s", status)));
		else
			json_object_set_new(json_object_get(known, "content"), "application/problem+json",
					    json_pack("{s:{s:s}}", "schema", "$ref", "#/components/schemas/Problem"));
	}
}

/* Every problem is the same document; what breaks HTTP itself is answered by the layer below, in HTML. */
static json_t *openapi_problems(void)
{
	static const int statuses[] = { 400, 401, 403, 404, 405, 406, 409, 413, 415, 416, 429, 500, 503, 504 };
	json_t *responses = json_object();
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		CLEANUP(free_p) char *status = mem_printf("%d", statuses[i]);
		json_t *content = json_pack("{s:{s:{s:s}}}", "application/problem+json", "schema", "$ref",
					    "#/components/schemas/Problem");
		if (statuses[i] == 400 || statuses[i] == 413)
			json_object_set_new(content, "text/html", json_object());
		json_t *response =
			json_pack("{s:s, s:o}", "description", openapi_says(statuses[i]), "content", content);
		if (statuses[i] == 429 || statuses[i] == 503)
			json_object_set_new(response, "headers",
					    json_pack("{s:{s:s, s:{s:s}}}", "Retry-After", "description",
						      "seconds to wait", "schema", "type", "integer"));
		json_object_set_new(responses, status, response);
	}
	return responses;
}

/* ---- operations ---- */

/* "post /api/v1/jobs/{job}/cancel" as one word: post_jobs_job_cancel */
static json_t *openapi_operation_id(const struct http_route *route)
{
	CLEANUP(buf) struct buf id;
	buf_init(&id, 512);
	const char *path = route->pattern;
	if (strncmp(path, "/api/v1", 7) == 0)
		path += 7;
	for (const char *c = route->method; *c; c++)
		buf_byte(&id, (char)tolower((unsigned char)*c));
	for (; *path; path++)
		if (isalnum((unsigned char)*path))
			buf_byte(&id, *path);
		else if (*path != '}' && buf_text(&id)[id.len - 1] != '_')
			buf_byte(&id, '_');
	return json_string(buf_text(&id));
}

static json_t *openapi_operation(const struct openapi *api, const struct http_group *group,
				 const struct http_route *route, struct error *err)
{
	json_t *parameters = json_array(), *responses = json_object();
	json_auto_t *operation = json_pack("{s:[s], s:o, s:s, s:o, s:o}", "tags", group->name, "operationId",
					   openapi_operation_id(route), "summary", route->summary, "parameters",
					   parameters, "responses", responses);
	if (route->help)
		json_object_set_new(operation, "description", json_string(route->help));
	if (route->is_open)
		json_object_set_new(operation, "security", json_array());
	if (!openapi_path_parameters(api, route->pattern, parameters, err) ||
	    !openapi_parameters(route->query, "query", parameters, err) ||
	    !openapi_parameters(route->headers, "header", parameters, err) || !openapi_answers(route, responses, err))
		return NULL;
	openapi_errors(HTTP_ERRORS_ANY, responses);
	openapi_errors(route->errors, responses);
	if (!route->is_open)
		openapi_errors(HTTP_ERRORS_TOKEN, responses);
	if (route->body) {
		json_t *content = json_object();
		json_object_set_new(operation, "requestBody", json_pack("{s:o}", "content", content));
		openapi_errors(HTTP_ERRORS_BODY, responses);
		if (!openapi_content(route->body_types ? route->body_types : "application/json", route->body, false,
				     content, err))
			return NULL;
	}
	return json_incref(operation);
}

static json_t *openapi_paths(const struct openapi *api, struct error *err)
{
	json_auto_t *paths = json_object();
	for (size_t g = 0; g < api->group_count; g++)
		for (size_t i = 0; i < api->groups[g]->count; i++) {
			const struct http_route *route = &api->groups[g]->routes[i];
			json_t *operation = openapi_operation(api, api->groups[g], route, err);
			if (!operation) {
				error_wrap(err, "%s %s", route->method, route->pattern);
				return NULL;
			}
			json_t *path = json_object_get(paths, route->pattern);
			if (!path) {
				path = json_object();
				json_object_set_new(paths, route->pattern, path);
			}
			CLEANUP(free_p) char *method = mem_strdup(route->method);
			for (char *c = method; *c; c++)
				*c = (char)tolower((unsigned char)*c);
			json_object_set_new(path, method, operation);
		}
	return json_incref(paths);
}

static json_t *openapi_shapes(const struct openapi *api, struct error *err)
{
	json_auto_t *schemas = json_object();
	for (size_t i = 0; i < api->shape_count; i++) {
		const struct shape_row *row = &api->shapes[i];
		json_t *schema = row->schema ? row->schema() : shape_schema(row->shape, true, err);
		if (!schema) {
			error_wrap(err, "%s", row->name);
			return NULL;
		}
		if (row->pattern)
			json_object_set_new(schema, "pattern", json_string(row->pattern));
		if (row->example)
			json_object_set_new(schema, "examples", json_pack("[s]", row->example));
		if (row->help)
			json_object_set_new(schema, "description", json_string(row->help));
		json_object_set_new(schemas, row->name, schema);
	}
	return json_incref(schemas);
}

json_t *openapi_document(const struct openapi *api, struct error *err)
{
	json_auto_t *paths = openapi_paths(api, err);
	json_auto_t *shapes = paths ? openapi_shapes(api, err) : NULL;
	if (!shapes)
		return NULL;
	json_t *tags = json_array();
	for (size_t g = 0; g < api->group_count; g++)
		json_array_append_new(tags, json_pack("{s:s, s:s}", "name", api->groups[g]->name, "description",
						      api->groups[g]->help));
	return json_pack("{s:s, s:{s:s, s:s, s:s}, s:o, s:[{s:[]}], s:O, s:{s:O, s:o, s:{s:{s:s, s:s}}}}", "openapi",
			 "3.1.0", "info", "title", api->title, "version", api->version, "description", api->help,
			 "tags", tags, "security", "token", "paths", paths, "components", "schemas", shapes,
			 "responses", openapi_problems(), "securitySchemes", "token", "type", "http", "scheme",
			 "bearer");
}

/* ---- for people ---- */

static void openapi_print_route(const struct http_route *route, FILE *out)
{
	fprintf(out, "\n### `%s %s`\n\n%c%s.", route->method, route->pattern, toupper((unsigned char)*route->summary),
		route->summary + 1);
	if (route->help)
		fprintf(out, " %s%s", route->help, route->help[strlen(route->help) - 1] == '.' ? "" : ".");
	fputs("\n\n", out);
	if (route->is_open)
		fputs("- token: none is needed\n", out);
	if (route->query)
		fprintf(out, "- query: `%s`\n", route->query);
	if (route->headers)
		fprintf(out, "- headers: `%s`\n", route->headers);
	if (route->body)
		fprintf(out, "- body: `%s`%s%s\n", route->body, route->body_types ? " as " : "",
			route->body_types ? route->body_types : "");
	for (size_t i = 0; i < HTTP_OUTCOMES_MAX && route->answers[i].status; i++) {
		const struct http_outcome *answer = &route->answers[i];
		fprintf(out, "- %d", answer->status);
		if (answer->type)
			fprintf(out, " %s", answer->type);
		if (answer->shape)
			fprintf(out, " `%s`", answer->shape);
		if (answer->help || !answer->shape)
			fprintf(out, ": %s", answer->help ? answer->help : openapi_says(answer->status));
		fputc('\n', out);
	}
	if (route->errors)
		fprintf(out, "- problems: %s\n", route->errors);
}

void openapi_print_markdown(const struct openapi *api, FILE *out)
{
	fprintf(out,
		"# %s\n\nPrinted from the table of routes (`scheduler/routes*.c`) by `make docs`; do not edit.\n\n%s\n",
		api->title, api->help);
	for (size_t g = 0; g < api->group_count; g++) {
		fprintf(out, "\n## %s\n\n%s\n", api->groups[g]->name, api->groups[g]->help);
		for (size_t i = 0; i < api->groups[g]->count; i++)
			openapi_print_route(&api->groups[g]->routes[i], out);
	}
	fputs("\n## Shapes\n\n| name | is | what it is |\n|---|---|---|\n", out);
	for (size_t i = 0; i < api->shape_count; i++) {
		const struct shape_row *row = &api->shapes[i];
		CLEANUP(buf) struct buf shape;
		buf_init(&shape, 4096);
		for (const char *c = row->shape; *c; c++)
			buf_printf(&shape, "%s%c", *c == '|' ? "\\" : "", *c);
		fprintf(out, "| `%s` | `%s` | %s |\n", row->name, buf_text(&shape), row->help ? row->help : "");
	}
}
