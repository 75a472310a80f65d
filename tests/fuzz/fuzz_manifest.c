/* The manifest and the summary: what is accepted names no path that could lead anywhere else, and says the same
 * when it is written and read once more. */
#include <string.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "queue/manifest.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_manifest_again(const struct manifest *m)
{
	CLEANUP(free_p) char *text = manifest_to_json(m);
	CLEANUP(manifest) struct manifest again;
	struct error err;
	FUZZ_CHECK(manifest_from_json(text, strlen(text), &again, &err));
	CLEANUP(free_p) char *twice = manifest_to_json(&again);
	FUZZ_CHECK(strcmp(text, twice) == 0);
	CLEANUP(free_p) char *summary = manifest_summary_json(m, "file:///s/k", "00");
	FUZZ_CHECK(summary);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = { .kind = ERR_NONE };
	CLEANUP(manifest) struct manifest m;
	manifest_init(&m);
	if (manifest_from_json((const char *)data, size, &m, &err)) {
		FUZZ_CHECK(m.contents.count > 0 && m.contents.count <= TARBALL_MEMBERS_MAX);
		FUZZ_CHECK(beneath_is_path(m.resume) && m.contents.size >= 0);
		for (size_t i = 0; i < m.contents.count; i++) {
			const struct tarball_member *member = &m.contents.members[i];
			FUZZ_CHECK(beneath_is_path(member->path) && member->mode <= 0777);
			FUZZ_CHECK(member->elsewhere <= m.other_count && member->offset >= 0 && member->size >= 0);
			FUZZ_CHECK(member->is_folder ||
				   member->size <= manifest_object_of(&m, member)->size - member->offset);
		}
		FUZZ_CHECK(tarball_content_size(&m.contents) >= 0);
		fuzz_manifest_again(&m);
	} else {
		FUZZ_CHECK(err.kind == ERR_DAMAGED || err.kind == ERR_UNAVAILABLE); /* of a newer version */
	}
	CLEANUP(free_p) char *text = mem_strndup(data, size);
	CLEANUP(summary) struct summary s;
	if (summary_from_json(text, &s, &err))
		FUZZ_CHECK(s.uri && s.sha256 && s.token && s.size >= 0 && s.seq >= 0 && s.attempt >= 0);
	return 0;
}
