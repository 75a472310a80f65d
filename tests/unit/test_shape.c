/* Shapes as JSON Schemas, and an OpenAPI document made of rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "lib/openapi.h"

static void test_schemas(void **state)
{
	(void)state;
	static const struct {
		const char *shape;
		bool is_open;
		const char *schema; /* NULL: it is none */
	} rows[] = {
		{ "text", false, "{\"type\":\"string\"}" },
		{ "text 1..64", false, "{\"maxLength\":64,\"minLength\":1,\"type\":\"string\"}" },
		{ "int 0..", false, "{\"minimum\":0,\"type\":\"integer\"}" },
		{ "any", false, "{}" },
		{ "Job", false, "{\"$ref\":\"#/components/schemas/Job\"}" },
		{ "\"a\"|\"b\"", false, "{\"enum\":[\"a\",\"b\"]}" },
		{ "\"a\"|int", false, "{\"anyOf\":[{\"type\":\"integer\"},{\"enum\":[\"a\"]}]}" },
		{ "[int] 1..9", false,
		  "{\"items\":{\"type\":\"integer\"},\"maxItems\":9,\"minItems\":1,\"type\":\"array\"}" },
		{ "{}", true, "{\"properties\":{},\"type\":\"object\"}" },
		{ "{a: text, b?: int}", false,
		  "{\"additionalProperties\":false,\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":"
		  "\"integer\"}},\"required\":[\"a\"],\"type\":\"object\"}" },
		{ "{*: bool}", false,
		  "{\"additionalProperties\":{\"type\":\"boolean\"},\"properties\":{},\"type\":\"object\"}" },
		{ "{a: text", false, NULL },
		{ "{a text}", false, NULL },
		{ "[int", false, NULL },
		{ "\"a", false, NULL },
		{ "int int", false, NULL },
		{ "", false, NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct error err;
		json_auto_t *schema = shape_schema(rows[i].shape, rows[i].is_open, &err);
		CLEANUP(free_p) char *text = schema ? json_dumps(schema, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
		if (!text != !rows[i].schema)
			fail_msg("%s: %s", rows[i].shape, text ? text : err.message);
		if (text)
			assert_string_equal(text, rows[i].schema);
	}
}

static const struct shape_row shapes[] = { { .name = "job", .shape = "text", .pattern = "^j$", .example = "j" },
					   { .name = "Problem", .shape = "object" } };

static json_t *document_of(const struct http_route *route, struct error *err)
{
	const struct http_group group = { "G", "g", route, 1 };
	const struct http_group *const groups[] = { &group };
	const struct openapi api = { "t", "1", "h", groups, 1, shapes, ARRAY_LEN(shapes) };
	return openapi_document(&api, err);
}

static void test_document(void **state)
{
	(void)state;
	static const struct http_route route = { .method = "POST",
						 .pattern = "/api/v1/jobs/{job}/cancel",
						 .summary = "s",
						 .query = "{queue?: text}",
						 .body = "{reason: text}",
						 .answers = { { .status = 201, .shape = "{id: job}" } },
						 .errors = "404" };
	struct error err;
	json_auto_t *document = document_of(&route, &err);
	assert_non_null(document);
	json_t *operation = json_object_get(
		json_object_get(json_object_get(document, "paths"), "/api/v1/jobs/{job}/cancel"), "post");
	assert_string_equal(json_string_value(json_object_get(operation, "operationId")), "post_jobs_job_cancel");
	json_t *parameters = json_object_get(operation, "parameters");
	assert_int_equal(json_array_size(parameters), 2);
	static const char *const statuses[] = { "201", "400", "401", "404", "413", "415", "503" };
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (!json_object_get(json_object_get(operation, "responses"), statuses[i]))
			fail_msg("no %s", statuses[i]);
	assert_null(json_object_get(json_object_get(operation, "responses"), "409"));
	assert_true(http_route_has(&route, 201) && http_route_has(&route, 404) && http_route_has(&route, 503));
	assert_false(http_route_has(&route, 200) || http_route_has(&route, 409) || http_route_has(&route, 40));
}

static void test_bad_rows(void **state)
{
	(void)state;
	static const struct http_route rows[] = {
		{ .method = "GET", .pattern = "/x/{nothing}", .summary = "s" },
		{ .method = "GET", .pattern = "/x", .summary = "s", .query = "{a}" },
		{ .method = "GET", .pattern = "/x", .summary = "s", .query = "a: text" },
		{ .method = "POST", .pattern = "/x", .summary = "s", .body = "{a: }" },
		{ .method = "POST", .pattern = "/x", .summary = "s", .answers = { { .status = 200, .shape = "[" } } },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct error err;
		json_auto_t *document = document_of(&rows[i], &err);
		if (document || !strstr(err.message, "/x"))
			fail_msg("row %zu is taken", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schemas),
		cmocka_unit_test(test_document),
		cmocka_unit_test(test_bad_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
