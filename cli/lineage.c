#include "cli/lineage.h"

#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "cli/git.h"
#include "lib/fields.h"
#include "lib/utf8.h"

enum { LINEAGE_FACT_MAX = 256, LINEAGE_CODE_SHOWN = 12, LINEAGE_COMMIT_SHOWN = 7 };

/* Only what the spec takes: what cannot be said is left out. */
static void lineage_set(json_t *facts, const char *name, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	bool is_plain = len > 0 && len <= LINEAGE_FACT_MAX && utf8_is_valid(text, len);
	for (size_t i = 0; i < len && is_plain; i++)
		is_plain = (unsigned char)text[i] >= ' ' && text[i] != 127;
	if (is_plain)
		json_object_set_new(facts, name, json_string(text));
}

json_t *lineage_of(const char *folder)
{
	json_t *facts = json_object();
	char host[256] = "";
	const struct passwd *user = getpwuid(getuid());
	gethostname(host, sizeof host - 1);
	lineage_set(facts, "host", host);
	lineage_set(facts, "user", user ? user->pw_name : NULL);
	lineage_set(facts, "folder", folder);
	git_describe(folder, facts);
	return facts;
}

void lineage_line(const json_t *spec, struct buf *into)
{
	const char *code = fields_text(spec, "code");
	const json_t *facts = json_object_get(spec, "lineage");
	const char *commit = fields_text(facts, "git_commit"), *branch = fields_text(facts, "git_branch");
	const char *dirty = fields_text(facts, "git_dirty");
	if (*code)
		buf_printf(into, "%.*s…", LINEAGE_CODE_SHOWN, code);
	if (*commit)
		buf_printf(into, "%sgit %.*s", into->len ? " · " : "", LINEAGE_COMMIT_SHOWN, commit);
	if (*commit && *branch && strcmp(branch, "HEAD") != 0)
		buf_printf(into, " on %s", branch);
	if (*commit && *dirty)
		buf_printf(into, " (dirty, %s)", dirty);
}
