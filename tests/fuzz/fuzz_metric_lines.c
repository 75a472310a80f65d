/* A line of a program's output: names and positions are what the header says. */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "worker/metric_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct metric_point point;
	double number;
	metric_point_init(&point);
	bool says = metric_lines_parse((const char *)data, size, &point);
	FUZZ_CHECK(point.count <= METRIC_VALUES_MAX && point.step >= -1 && point.total >= -1);
	FUZZ_CHECK(!says || point.count || point.step >= 0 || point.total >= 0 || point.epoch == point.epoch);
	for (size_t i = 0; i < point.count; i++) {
		size_t len = strnlen(point.values[i].name, METRIC_NAME_MAX + 1);
		FUZZ_CHECK(len > 0 && len <= METRIC_NAME_MAX);
		FUZZ_CHECK(metric_point_find(&point, point.values[i].name) == &point.values[i]);
	}
	metric_point_settle(&point);
	metric_lines_number((const char *)data, size, &number);
	return 0;
}
