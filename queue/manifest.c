#include "queue/manifest.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "lib/clock.h"

enum {
	MANIFEST_VERSION = 2,
	MANIFEST_VERSION_NEWER = 3, /* compressed, or some files are in other objects */
};

void manifest_init(struct manifest *m)
{
	*m = (struct manifest){ .step = -1, .seen = -1, .epoch = -1, .optimizer = -1 };
}

static void manifest_object_done(struct manifest_object *object)
{
	free(object->key);
	blocks_done(&object->blocks);
}

void manifest_done(struct manifest *m)
{
	char *texts[] = { m->job, m->uid, m->token, m->framework, m->verified, m->resume };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	tarball_done(&m->contents);
	manifest_object_done(&m->own);
	for (size_t i = 0; i < m->other_count; i++)
		manifest_object_done(&m->others[i]);
	free(m->others);
	manifest_init(m);
}

const struct manifest_object *manifest_object_of(const struct manifest *m, const struct tarball_member *member)
{
	return member->elsewhere ? &m->others[member->elsewhere - 1] : &m->own;
}

/* A place for it: the caller fills it. */
static struct manifest_object *manifest_add_other(struct manifest *m)
{
	m->others = mem_realloc(m->others, (m->other_count + 1) * sizeof *m->others);
	struct manifest_object *other = &m->others[m->other_count++];
	*other = (struct manifest_object){ .seq = -1 };
	return other;
}

size_t manifest_other(struct manifest *m, const struct manifest_object *object)
{
	for (size_t i = 0; i < m->other_count; i++)
		if (m->others[i].seq == object->seq)
			return i + 1;
	if (m->other_count == MANIFEST_OTHERS_MAX)
		return 0;
	struct manifest_object *other = manifest_add_other(m);
	other->seq = object->seq;
	other->key = mem_strdup(object->key);
	other->size = object->size;
	for (size_t i = 0; i < object->blocks.count; i++)
		blocks_add(&other->blocks, &object->blocks.hashes[i]);
	return m->other_count;
}

static json_t *manifest_file_json(const struct tarball_member *member)
{
	char mode[8];
	str_format(mode, sizeof mode, "%04o", (unsigned)member->mode & 0777);
	if (member->is_folder)
		return json_pack("{s:s, s:b, s:s}", "path", member->path, "folder", 1, "mode", mode);
	json_t *file = json_pack("{s:s, s:I, s:I, s:s*, s:s}", "path", member->path, "size", (json_int_t)member->size,
				 "offset", (json_int_t)member->offset, "sha256",
				 member->sha256.text[0] ? member->sha256.text : NULL, "mode", mode);
	if (member->elsewhere)
		json_object_set_new(file, "elsewhere", json_integer((json_int_t)member->elsewhere));
	return file;
}

static json_t *manifest_object_json(const struct manifest_object *object)
{
	json_t *blocks = json_array();
	for (size_t i = 0; i < object->blocks.count; i++)
		json_array_append_new(blocks, json_string(object->blocks.hashes[i].text));
	return json_pack("{s:I, s:I, s:o}", "size", (json_int_t)object->size, "block_bytes", (json_int_t)BLOCK_BYTES,
			 "blocks", blocks);
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
	json_t *object = manifest_object_json(&m->own), *others = json_array();
	json_object_set_new(object, "key", json_string(m->own.key));
	if (m->own.is_compressed)
		json_object_update_new(object, json_pack("{s:s, s:I}", "compression", "zstd", "tar_size",
							 (json_int_t)m->contents.size));
	for (size_t i = 0; i < m->other_count; i++) {
		json_t *other = manifest_object_json(&m->others[i]);
		json_object_set_new(other, "seq", json_integer((json_int_t)m->others[i].seq));
		json_array_append_new(others, other);
	}
	json_t *root =
		json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:o, s:o, s:o}", "version",
			  m->other_count || m->own.is_compressed ? MANIFEST_VERSION_NEWER : MANIFEST_VERSION, "job",
			  m->job, "uid", m->uid, "token", m->token, "attempt", (json_int_t)m->attempt, "seq",
			  (json_int_t)m->seq, "time_ms", (json_int_t)m->time_ms, "framework", m->framework, "verified",
			  m->verified, "resume", m->resume, "object", object, "others", others, "files", files);
	if (!root)
		abort(); /* a text that is not UTF-8: paths were checked before they were packed */
	if (!m->other_count)
		json_object_del(root, "others");
	manifest_set_number(root, "step", m->step);
	manifest_set_number(root, "epoch", m->epoch);
	if (m->optimizer >= 0)
		json_object_set_new(root, "optimizer", json_boolean(m->optimizer));
	json_object_set_new(root, "metrics", manifest_metrics_json(&m->marks));
	char *text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	return text;
}

/* Checkpoints of the attempt that must stay as long as this one does. */
static json_t *manifest_uses_json(const struct manifest *m)
{
	json_t *uses = json_array();
	for (size_t i = 0; i < m->other_count; i++)
		json_array_append_new(uses, json_integer((json_int_t)m->others[i].seq));
	return uses;
}

char *manifest_summary_json(const struct manifest *m, const char *uri, const char *manifest_sha256)
{
	json_t *root =
		json_pack("{s:I, s:I, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:s}", "attempt", (json_int_t)m->attempt,
			  "seq", (json_int_t)m->seq, "token", m->token, "time_ms", (json_int_t)m->time_ms, "size",
			  (json_int_t)m->own.size, "files", (json_int_t)tarball_file_count(&m->contents), "sha256",
			  blocks_hash(&m->own.blocks).text, "manifest_sha256", manifest_sha256, "uri", uri, "verified",
			  m->verified);
	if (!root)
		abort();
	manifest_set_number(root, "step", m->step);
	if (m->seen > m->step)
		manifest_set_number(root, "seen", m->seen);
	if (m->begun_boot_ms)
		json_object_set_new(root, "save_ms", json_integer(clock_boot_ms() - m->begun_boot_ms));
	if (m->optimizer >= 0)
		json_object_set_new(root, "optimizer", json_boolean(m->optimizer));
	if (m->marks.count && isfinite(m->marks.all[0].value))
		json_object_set_new(root, "loss", json_real(m->marks.all[0].value));
	json_object_set_new(root, "metrics", manifest_metrics_json(&m->marks));
	if (m->other_count)
		json_object_set_new(root, "uses", manifest_uses_json(m));
	if (m->own.is_compressed)
		json_object_set_new(root, "compression", json_string("zstd"));
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

static bool manifest_place(const json_t *file, const struct manifest *m, struct tarball_member *member,
			   struct error *err)
{
	int64_t elsewhere = json_object_get(file, "elsewhere") ? manifest_number(file, "elsewhere") : 0;
	member->size = manifest_number(file, "size");
	member->offset = manifest_number(file, "offset");
	if (member->size < 0 || elsewhere < 0 || (size_t)elsewhere > m->other_count)
		return manifest_bad(err, "files: a size is missing, or an object");
	member->elsewhere = (size_t)elsewhere;
	int64_t whole = elsewhere ? manifest_object_of(m, member)->size : m->contents.size;
	return (member->offset >= 0 && member->size <= whole && member->offset <= whole - member->size) ||
	       manifest_bad(err, "files: one is not within its object");
}

static bool manifest_file(const json_t *file, struct manifest *m, struct error *err)
{
	const char *path = json_string_value(json_object_get(file, "path"));
	const char *mode = json_string_value(json_object_get(file, "mode"));
	const char *hash = json_string_value(json_object_get(file, "sha256"));
	if (!path || !manifest_is_member_path(path) || !strchr(path, '/'))
		return manifest_bad(err, "files: a path that is not below checkpoint/ or work/");
	if (!mode || strlen(mode) != 4 || strspn(mode, "01234567") != 4)
		return manifest_bad(err, "files: a mode that is not four octal digits");
	struct tarball_member *member = tarball_member_add(&m->contents, path);
	member->mode = (mode_t)strtoul(mode, NULL, 8) & 0777;
	member->is_folder = json_is_true(json_object_get(file, "folder"));
	if (member->is_folder)
		return true;
	if (hash && !digest_is_hex(hash))
		return manifest_bad(err, "files: a hash is none");
	str_copy(member->sha256.text, sizeof member->sha256.text, hash ? hash : "");
	return manifest_place(file, m, member, err);
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
		if (!manifest_file(file, m, err))
			return false;
	}
	return true;
}

static bool manifest_object(const json_t *json, struct manifest_object *object, struct error *err)
{
	const json_t *blocks = json_object_get(json, "blocks"), *block;
	object->size = manifest_number(json, "size");
	if (object->size < 0 || manifest_number(json, "block_bytes") != BLOCK_BYTES ||
	    json_array_size(blocks) != blocks_count_of(object->size))
		return manifest_bad(err, "object: expected size, block_bytes and a hash of each block");
	size_t i;
	json_array_foreach(blocks, i, block)
	{
		struct digest_hex hash;
		const char *text = json_string_value(block);
		if (!text || !digest_is_hex(text))
			return manifest_bad(err, "object: the hash of a block is none");
		str_copy(hash.text, sizeof hash.text, text);
		blocks_add(&object->blocks, &hash);
	}
	return true;
}

/* "a/7/data.tar" → "a/<seq>/data.tar"; NULL: it does not look like that. */
static char *manifest_key_beside(const char *key, int64_t seq)
{
	const char *name = strrchr(key, '/'), *end = name;
	if (!name)
		return NULL;
	while (end > key && end[-1] != '/')
		end--;
	return end > key ? mem_printf("%.*s%" PRId64 "%s", (int)(end - key), key, seq, name) : NULL;
}

static bool manifest_others(const json_t *root, struct manifest *m, struct error *err)
{
	const json_t *others = json_object_get(root, "others"), *one;
	size_t i;
	if (others && (!json_is_array(others) || json_array_size(others) > MANIFEST_OTHERS_MAX))
		return manifest_bad(err, "others: expected a list of up to 8 objects");
	json_array_foreach(others, i, one)
	{
		struct manifest_object *other = manifest_add_other(m);
		other->seq = manifest_number(one, "seq");
		other->key = manifest_key_beside(m->own.key, other->seq);
		if (other->seq < 0 || other->seq >= m->seq || !other->key)
			return manifest_bad(err, "others: one is not of an earlier checkpoint");
		if (!manifest_object(one, other, err))
			return false;
	}
	return true;
}

static bool manifest_own(const json_t *root, struct manifest *m, struct error *err)
{
	const json_t *object = json_object_get(root, "object");
	m->own.key = mem_strdup(json_string_value(json_object_get(object, "key")));
	m->own.seq = m->seq;
	if (!m->own.key)
		return manifest_bad(err, "object: a key is missing");
	if (!manifest_object(object, &m->own, err))
		return false;
	const json_t *compression = json_object_get(object, "compression");
	m->own.is_compressed = compression != NULL;
	if (compression && strcmp(json_is_string(compression) ? json_string_value(compression) : "", "zstd") != 0)
		return manifest_bad(err, "object: compression: expected zstd");
	m->contents.size = compression ? manifest_number(object, "tar_size") : m->own.size;
	return m->contents.size >= 0 || manifest_bad(err, "object: tar_size is missing");
}

static bool manifest_decode(const json_t *root, struct manifest *m, struct error *err)
{
	int64_t version = manifest_number(root, "version");
	if (version > MANIFEST_VERSION_NEWER)
		return error_set(err, ERR_UNAVAILABLE, "start a newer version of stoker here",
				 "the manifest has version %" PRId64 ", this program knows up to %d", version,
				 MANIFEST_VERSION_NEWER);
	if (version < MANIFEST_VERSION)
		return manifest_bad(err, "version: expected 2 or 3");
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
	return manifest_own(root, m, err) && manifest_others(root, m, err) && manifest_files(root, m, err);
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
