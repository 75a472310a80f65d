#include "scheduler/points.h"

#include <stdint.h>
#include <stdlib.h>
#include "lib/buf.h"
#include "lib/fields.h"

json_t *points_merge(const json_t *entries)
{
	/* From the newest back: `past` is the lowest step at which a later attempt resumed. A
	 * marker stands before its attempt's points, so that it is met after them. */
	size_t count = json_array_size(entries);
	bool *holds = mem_alloc(count * sizeof *holds);
	int64_t past = INT64_MAX;
	for (size_t i = count; i > 0; i--) {
		const json_t *entry = json_array_get(entries, i - 1);
		int64_t resumed_at = fields_int(entry, "resumed_at", -1);
		holds[i - 1] = resumed_at < 0 && fields_int(entry, "step", -1) <= past;
		if (resumed_at >= 0 && resumed_at < past)
			past = resumed_at;
	}
	json_t *merged = json_array();
	for (size_t i = 0; i < count; i++)
		if (holds[i])
			json_array_append(merged, json_array_get(entries, i));
	free(holds);
	return merged;
}
