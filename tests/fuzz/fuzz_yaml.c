/* YAML and specs: what is read is a JSON value; a spec that was normalized is taken as it is the second time. */
#include <string.h>

#include "lib/buf.h"
#include "lib/yaml.h"
#include "queue/spec.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_yaml_spec(const char *text, size_t size)
{
	struct error err = { .kind = ERR_NONE };
	CLEANUP(free_p) char *json = NULL;
	if (!spec_normalize(text, size, "fuzz", &json, &err)) {
		FUZZ_CHECK(err.kind != ERR_NONE && err.message[0]);
		return;
	}
	CLEANUP(free_p) char *again = NULL;
	FUZZ_CHECK(spec_normalize(json, strlen(json), "fuzz", &again, &err));
	FUZZ_CHECK(strcmp(json, again) == 0);
	CLEANUP(spec) struct spec spec = { .name = NULL };
	FUZZ_CHECK(spec_from_json(json, strlen(json), &spec, &err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = { .kind = ERR_NONE };
	const char *text = (const char *)data;
	json_t *value = yaml_decode(text, size, NULL, &err);
	FUZZ_CHECK(value || err.message[0]);
	if (value) {
		CLEANUP(free_p) char *json = json_dumps(value, JSON_ENCODE_ANY);
		FUZZ_CHECK(json);
	}
	json_decref(value);
	FUZZ_CHECK(yaml_line_of(text, size, "resources.gpus") >= 0);
	FUZZ_CHECK(yaml_line_of(text, size, "command[0]") >= 0);
	fuzz_yaml_spec(text, size);
	return 0;
}
