#include "scheduler/archive_index.h"

#include <inttypes.h>
#include <string.h>
#include "lib/digest.h"
#include "lib/fields.h"
#include "queue/code.h"

static json_t *index_row(const struct archive_job *job, int64_t *at)
{
	json_auto_t *record = fields_parse(job->parts[ARCHIVE_RECORD], strlen(job->parts[ARCHIVE_RECORD]));
	json_t *fields = json_object_get(record, "job");
	if (!fields)
		return NULL;
	json_object_set_new(fields, "n", json_integer(job->n));
	CLEANUP(free_p) char *code = code_named(fields_text(record, "spec"));
	json_t *row = json_pack("{s:O, s:s}", "job", fields, "code", code);
	for (int part = 0; part < ARCHIVE_PARTS; part++) {
		if (!job->parts[part])
			continue;
		int64_t len = (int64_t)strlen(job->parts[part]);
		json_object_set_new(row, archive_part_names[part],
				    json_pack("[IIs]", (json_int_t)*at, (json_int_t)len,
					      digest_of(job->parts[part], (size_t)len).text));
		*at += len + 1;
	}
	return row;
}

char *archive_index_make(const struct archive_job *jobs, size_t count, struct error *err)
{
	json_t *rows = json_array();
	json_auto_t *index = json_pack("{s:s, s:o}", "stoker", "archive", "jobs", rows);
	int64_t at = 0;
	for (size_t i = 0; i < count; i++) {
		json_t *row = index_row(&jobs[i], &at);
		if (!row) {
			error_set(err, ERR_INTERNAL, NULL, "the record of job %" PRId64 " is no JSON", jobs[i].n);
			return NULL;
		}
		json_array_append_new(rows, row);
	}
	return json_dumps(index, JSON_COMPACT);
}

/* A place is a pair of numbers whose sum is one, too. */
static bool index_has_places(const json_t *row)
{
	for (int part = 0; part < ARCHIVE_PARTS; part++) {
		const json_t *place = json_object_get(row, archive_part_names[part]);
		int64_t at = json_integer_value(json_array_get(place, 0));
		int64_t len = json_integer_value(json_array_get(place, 1));
		if (place && (!json_is_array(place) || at < 0 || len < 0 || at > INT64_MAX - len))
			return false;
	}
	return true;
}

bool archive_index_is_right(const json_t *index)
{
	const json_t *jobs = json_object_get(index, "jobs"), *row;
	size_t i;
	if (!fields_is(index, "stoker", "archive") || !json_is_array(jobs))
		return false;
	json_array_foreach(jobs, i, row)
	{
		if (!json_is_object(json_object_get(row, "job")) || !index_has_places(row))
			return false;
	}
	return true;
}

const json_t *archive_index_find(const json_t *index, int64_t n)
{
	size_t i;
	json_t *row;
	json_array_foreach(json_object_get(index, "jobs"), i, row)
	{
		if (fields_int(json_object_get(row, "job"), "n", 0) == n)
			return row;
	}
	return NULL;
}
