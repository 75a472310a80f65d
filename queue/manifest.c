#include "queue/manifest.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "lib/beneath.h"
#include "lib/buf.h"

#define MANIFEST_VERSION 2

void manifest_init(struct manifest *m)
{
	*m = (struct manifest){ .step = -1, .epoch = -1, .optimizer = -1 };
}

void manifest_done(struct manifest *m)
{
	char *texts[] = { m->job, m->uid, m->token, m->framework, m->verified, m->resume, m->key };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	tarball_done(&m->contents);
	blocks_done(&m->blocks);
	manifest_init(m);
}

static json_t *manifest_file_json(const struct tarball_member *member)
{
	char mode[8];
	str_format(mode, sizeof mode, "%04o", (unsigned)member->mode & 0777);
	if (member->is_folder)
		return json_pack("{s:s, s:b, s:s}", "path", member->path, "folder", 1, "mode", mode);
	return json_pack("{s:s, s:I, s:I, s:s*, s:s}", "path", member->path, "size", (json_int_t)member->size, "offset",
			 (json_int_t)member->offset, "sha256", member->sha256.text[0] ? member->sha256.text : NULL,
			 "mode", mode);
}

static void manifest_set_number(json_t *root, const char *key, int64_t value)
{
	if (value >= 0)
		json_object_set_new(root, key, json_integer(value));
}

/* Those that are known, by name; NULL: none is. */
static json_t *manifest_metrics_json(const struct marks *marks)
{
	json_t *metrics = json_object();
	for (size_t i = 0; i < marks->count; i++)
		if (isfinite(marks->all[i].value))
			json_object_set_new(metrics, marks->all[i].name, json_real(marks->all[i].value));
	if (json_object_size(metrics))
		return metrics;
	json_decref(metrics);
	return NULL;
}

char *manifest_to_json(const struct manifest *m)
{
	json_t *files = json_array();
	for (size_t i = 0; i < m->contents.count; i++)
		json_array_append_new(files, manifest_file_json(&m->contents.members[i]));
	json_t *blocks = json_array();
	for (size_t i = 0; i < m->blocks.count; i++)
		json_array_append_new(blocks, json_string(m->blocks.hashes[i].text));
	json_t *root = json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:{s:s, s:I, s:I, s:o}, s:o}",
				 "version", MANIFEST_VERSION, "job", m->job, "uid", m->uid, "token", m->token,
				 "attempt", (json_int_t)m->attempt, "seq", (json_int_t)m->seq, "time_ms",
				 (json_int_t)m->time_ms, "framework", m->framework, "verified", m->verified, "resume",
				 m->resume, "object", "key", m->key, "size", (json_int_t)m->contents.size,
				 "block_bytes", (json_int_t)BLOCK_BYTES, "blocks", blocks, "files", files);
	if (!root)
		abort(); /* a text that is not UTF-8: paths were checked before they were packed */
	manifest_set_number(root, "step", m->step);
	manifest_set_number(root, "epoch", m->epoch);
	if (m->optimizer >= 0)
		json_object_set_new(root, "optimizer", json_boolean(m->optimizer));
	json_object_set_new(root, "metrics", manifest_metrics_json(&m->marks));
	char *text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	return text;
}

char *manifest_summary_json(const struct manifest *m, const char *uri, const char *manifest_sha256)
{
	json_t *root = json_pack("{s:I, s:I, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:s}", "attempt",
				 (json_int_t)m->attempt, "seq", (json_int_t)m->seq, "token", m->token, "time_ms",
				 (json_int_t)m->time_ms, "size", (json_int_t)m->contents.size, "files",
				 (json_int_t)tarball_file_count(&m->contents), "sha256", blocks_hash(&m->blocks).text,
				 "manifest_sha256", manifest_sha256, "uri", uri, "verified", m->verified);
	if (!root)
		abort();
	manifest_set_number(root, "step", m->step);
	if (m->optimizer >= 0)
		json_object_set_new(root, "optimizer", json_boolean(m->optimizer));
	if (m->marks.count && isfinite(m->marks.all[0].value))
		json_object_set_new(root, "loss", json_real(m->marks.all[0].value));
	json_object_set_new(root, "metrics", manifest_metrics_json(&m->marks));
	char *text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	return text;
}

static bool manifest_bad(struct error *err, const char *what)
{
	return error_set(err, ERR_DAMAGED, NULL, "the manifest: %s", what);
}

static int64_t manifest_number(const json_t *root, const char *key)
{
	const json_t *value = json_object_get(root, key);
	return json_is_integer(value) && json_integer_value(value) >= 0 ? json_integer_value(value) : -1;
}

static bool manifest_is_member_path(const char *path)
{
	static const char *const roots[] = { MANIFEST_CHECKPOINT, MANIFEST_WORK };
	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		size_t len = strlen(roots[i]);
		if (strncmp(path, roots[i], len) == 0 && (path[len] == '/' || path[len] == '\0'))
			return beneath_is_path(path);
	}
	return false;
}

static bool manifest_file(const json_t *file, struct tarball *contents, struct error *err)
{
	const char *path = json_string_value(json_object_get(file, "path"));
	const char *mode = json_string_value(json_object_get(file, "mode"));
	const char *hash = json_string_value(json_object_get(file, "sha256"));
	if (!path || !manifest_is_member_path(path) || !strchr(path, '/'))
		return manifest_bad(err, "files: a path that is not below checkpoint/ or work/");
	if (!mode || strlen(mode) != 4 || strspn(mode, "01234567") != 4)
		return manifest_bad(err, "files: a mode that is not four octal digits");
	struct tarball_member *member = tarball_member_add(contents, path);
	member->mode = (mode_t)strtoul(mode, NULL, 8) & 0777;
	member->is_folder = json_is_true(json_object_get(file, "folder"));
	if (member->is_folder)
		return true;
	member->size = manifest_number(file, "size");
	member->offset = manifest_number(file, "offset");
	if (member->size < 0 || (hash && !digest_is_hex(hash)))
		return manifest_bad(err, "files: a size is missing, or a hash is none");
	str_copy(member->sha256.text, sizeof member->sha256.text, hash ? hash : "");
	return true;
}

static bool manifest_files(const json_t *root, struct manifest *m, struct error *err)
{
	const json_t *files = json_object_get(root, "files");
	if (!json_is_array(files) || json_array_size(files) == 0 || json_array_size(files) > TARBALL_MEMBERS_MAX)
		return manifest_bad(err, "files: expected 1 to 100000 of them");
	size_t i;
	const json_t *file;
	json_array_foreach(files, i, file)
	{
		if (!manifest_file(file, &m->contents, err))
			return false;
	}
	return true;
}

static bool manifest_object(const json_t *root, struct manifest *m, struct error *err)
{
	const json_t *object = json_object_get(root, "object");
	const char *key = json_string_value(json_object_get(object, "key"));
	const json_t *blocks = json_object_get(object, "blocks"), *block;
	int64_t size = manifest_number(object, "size");
	if (!key || size < 0 || manifest_number(object, "block_bytes") != BLOCK_BYTES ||
	    json_array_size(blocks) != blocks_count_of(size))
		return manifest_bad(err, "object: expected key, size, block_bytes and a hash of each block");
	m->key = mem_strdup(key);
	m->contents.size = size;
	size_t i;
	json_array_foreach(blocks, i, block)
	{
		struct digest_hex hash;
		const char *text = json_string_value(block);
		if (!text || !digest_is_hex(text))
			return manifest_bad(err, "object: the hash of a block is none");
		str_copy(hash.text, sizeof hash.text, text);
		blocks_add(&m->blocks, &hash);
	}
	return true;
}

static bool manifest_decode(const json_t *root, struct manifest *m, struct error *err)
{
	if (manifest_number(root, "version") != MANIFEST_VERSION)
		return manifest_bad(err, "version: expected 2");
	const struct {
		const char *key;
		char **text;
	} texts[] = { { "job", &m->job },           { "uid", &m->uid },
		      { "token", &m->token },       { "framework", &m->framework },
		      { "verified", &m->verified }, { "resume", &m->resume } };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const char *value = json_string_value(json_object_get(root, texts[i].key));
		if (!value)
			return error_set(err, ERR_DAMAGED, NULL, "the manifest: %s: expected a text", texts[i].key);
		*texts[i].text = mem_strdup(value);
	}
	m->attempt = manifest_number(root, "attempt");
	m->seq = manifest_number(root, "seq");
	m->step = manifest_number(root, "step");
	m->epoch = manifest_number(root, "epoch");
	m->time_ms = manifest_number(root, "time_ms");
	const json_t *optimizer = json_object_get(root, "optimizer");
	m->optimizer = json_is_boolean(optimizer) ? json_is_true(optimizer) : -1;
	const char *name;
	const json_t *value;
	json_object_foreach(json_object_get(root, "metrics"), name, value)
	{
		marks_add(&m->marks, name, json_is_number(value) ? json_number_value(value) : NAN);
	}
	if (!manifest_is_member_path(m->resume))
		return manifest_bad(err, "resume: not a path below checkpoint/ or work/");
	return manifest_object(root, m, err) && manifest_files(root, m, err);
}

bool manifest_from_json(const char *text, size_t len, struct manifest *m, struct error *err)
{
	manifest_init(m);
	json_error_t at;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &at);
	if (!json_is_object(root)) {
		json_decref(root);
		return error_set(err, ERR_DAMAGED, NULL, "the manifest is not a JSON object: %s", at.text);
	}
	bool ok = manifest_decode(root, m, err);
	json_decref(root);
	return ok;
}

static char *summary_text(const json_t *root, const char *key)
{
	return mem_strdup(json_string_value(json_object_get(root, key)));
}

bool summary_from_json(const char *text, struct summary *s, struct error *err)
{
	*s = (struct summary){ .step = -1 };
	json_error_t at;
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &at);
	s->uri = summary_text(root, "uri");
	s->sha256 = summary_text(root, "sha256");
	s->manifest_sha256 = summary_text(root, "manifest_sha256");
	s->token = summary_text(root, "token");
	s->attempt = manifest_number(root, "attempt");
	s->seq = manifest_number(root, "seq");
	s->size = manifest_number(root, "size");
	s->step = manifest_number(root, "step");
	json_decref(root);
	if (s->uri && s->sha256 && s->token && s->attempt >= 0 && s->seq >= 0 && s->size >= 0)
		return true;
	summary_done(s);
	return error_set(err, ERR_DAMAGED, NULL,
			 "the checkpoint's summary lacks uri, sha256, size, token, attempt or seq");
}

void summary_done(struct summary *s)
{
	char *texts[] = { s->uri, s->sha256, s->manifest_sha256, s->token };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	*s = (struct summary){ .step = -1 };
}
