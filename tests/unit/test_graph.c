/* queue/graph: the whole is checked, and parents stand before their children. What is wrong with bad ones is in
 * tests/specs/bad_graphs.yaml. */
#include "queue/graph.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"

static struct graph read_graph(const char *text)
{
	struct graph graph;
	struct error err = { 0 };
	if (!graph_read(text, strlen(text), "g.yaml", &graph, &err))
		fail_msg("%s", err.message);
	return graph;
}

static void test_parents_come_first(void **state)
{
	(void)state;
	CLEANUP(graph)
	struct graph g = read_graph("jobs:\n"
				    "- {name: d, command: x, after: [b, c]}\n"
				    "- {name: b, command: x, after: {a: finished, gpu-3: failed}}\n"
				    "- {command: alone, queue: gpu}\n"
				    "- {name: c, command: x, after: [a]}\n"
				    "- {name: a, command: x}\n");
	static const size_t order[] = { 4, 1, 3, 0, 2 };
	assert_int_equal(g.count, 5);
	assert_memory_equal(g.order, order, sizeof order);
	assert_string_equal(g.queue, "gpu");
	assert_null(g.names[2]);
	CLEANUP(free_p) char *json = graph_json(&g);
	assert_string_equal(g.specs[3], "{\"after\":[\"a\"],\"command\":\"x\",\"name\":\"c\"}");
	assert_memory_equal(json, "{\"jobs\":[{\"after\":[\"b\",\"c\"],", 28);
}

static void test_what_is_a_graph(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool is_one;
	} cases[] = {
		{ "jobs: []", true },        { "{\"jobs\": 3}", true },
		{ "jobs:", true },           { "command: jobs", false },
		{ "env: {jobs: x}", false }, { "jobs", false },
		{ "jobs: [", false },        { "", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(graph_is_one(cases[i].text, strlen(cases[i].text)), cases[i].is_one);
}

static void test_where_it_is_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "jobs:\n- command: x\n- command: x\n  priority: 10",
		  "g.yaml:4: jobs[1]: priority: expected an integer from 0 to 9, got 10" },
		{ "jobs:\n- command: x\n- name: y", "g.yaml:3: jobs[1]: command: required when backend is command" },
		{ "jobs:\n- name: x\n  command: x\n- command: y\n  after:\n  - z",
		  "g.yaml:5: jobs[1]: after: \"z\" is no job of this graph, and no job id" },
		{ "jobs: [", "g.yaml:2: not valid YAML: did not find expected node content while parsing a flow node" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct graph graph;
		struct error err = { 0 };
		assert_false(graph_read(cases[i].text, strlen(cases[i].text), "g.yaml", &graph, &err));
		assert_string_equal(err.message, cases[i].says);
		assert_int_equal(graph.count, 0);
	}
}

static void test_a_chain_of_ten_thousand(void **state)
{
	(void)state;
	CLEANUP(buf) struct buf text;
	buf_init(&text, 2000000);
	buf_str(&text, "{\"jobs\":[");
	for (int i = 0; i < GRAPH_MAX_JOBS; i++)
		buf_printf(&text, "%s{\"name\":\"j%d\",\"command\":\"x\",\"after\":[%s%.0d%s]}", i ? "," : "", i,
			   i + 1 < GRAPH_MAX_JOBS ? "\"j" : "", i + 1 < GRAPH_MAX_JOBS ? i + 1 : 0,
			   i + 1 < GRAPH_MAX_JOBS ? "\"" : "");
	buf_str(&text, "]}");
	CLEANUP(graph) struct graph g = read_graph(buf_text(&text));
	for (size_t i = 0; i < g.count; i++)
		assert_int_equal(g.order[i], GRAPH_MAX_JOBS - 1 - i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parents_come_first),
		cmocka_unit_test(test_what_is_a_graph),
		cmocka_unit_test(test_where_it_is_wrong),
		cmocka_unit_test(test_a_chain_of_ten_thousand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
