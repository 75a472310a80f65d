/*
 * From text to a spec: both doors of queue/spec.h. json_t does not leave the
 * spec*.c files.
 */
#include "queue/spec.h"

#include <string.h>
#include "lib/json.h"
#include "lib/utf8.h"
#include "lib/yaml.h"
#include "queue/spec_check.h"
#include "queue/spec_decode.h"

/* What holds for the text as such; the same sentences are in lua/spec.lua. */
static bool spec_check_text(const char *text, size_t len, struct error *err)
{
	if (len > SPEC_MAX_BYTES)
		return error_set(err, ERR_INPUT, "put large data into files, and name them in the spec",
				 "spec: expected at most %d bytes, got %zu", SPEC_MAX_BYTES, len);
	if (!utf8_is_valid(text, len))
		return error_set(err, ERR_INPUT, "save it as UTF-8", "spec: expected UTF-8 text");
	return true;
}

/* The line of what path names, or of what would contain it: what is missing is reported where it
 * belongs. 0: nowhere. Cuts path down. */
static int spec_line_of(const char *text, size_t len, char *path)
{
	int line = 0;
	while (*path && (line = yaml_line_of(text, len, path)) == 0) {
		size_t cut = strlen(path) - 1;
		while (cut > 0 && path[cut] != '.' && path[cut] != '[')
			cut--;
		path[cut] = '\0';
	}
	return line;
}

bool spec_place(const char *text, size_t len, const char *origin, char *path, struct error *err)
{
	if (!origin)
		return false;
	int line = spec_line_of(text, len, path);
	return line ? error_wrap(err, "%s:%d", origin, line) : error_wrap(err, "%s", origin);
}

bool spec_from_json(const char *text, size_t len, struct spec *spec, struct error *err)
{
	char path[SPEC_PATH_MAX] = "";
	json_error_t at;
	if (!spec_check_text(text, len, err))
		return false;
	json_auto_t *root = json_read(text, len, JSON_REJECT_DUPLICATES, &at);
	if (!root)
		return error_set(err, ERR_INPUT, NULL, "spec: not valid JSON: line %d: %s", at.line, at.text);
	if (!spec_check(root, path, err))
		return false;
	spec_decode(root, spec);
	return true;
}

bool spec_normalize(const char *text, size_t len, const char *origin, char **json, struct error *err)
{
	char path[SPEC_PATH_MAX] = "";
	if (!spec_check_text(text, len, err))
		return spec_place(text, len, origin, path, err);
	json_auto_t *root = yaml_decode(text, len, origin, err);
	if (!root)
		return false;
	if (!spec_check(root, path, err))
		return spec_place(text, len, origin, path, err);
	CLEANUP(buf) struct buf out;
	buf_init(&out, SPEC_MAX_BYTES);
	if (!json_canonical(root, &out)) {
		error_set(err, ERR_INPUT, NULL, "spec: expected at most %d bytes as JSON", SPEC_MAX_BYTES);
		return spec_place(text, len, origin, path, err);
	}
	*json = buf_take(&out);
	return true;
}
