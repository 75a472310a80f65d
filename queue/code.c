#include "queue/code.h"

#include <jansson.h>
#include <string.h>

#include "lib/beneath.h"
#include "lib/buf.h"

#define CODE_VERSION 1

void code_done(struct code *code)
{
	blocks_done(&code->blocks);
	tarball_done(&code->contents);
	*code = (struct code){ .contents.members = NULL };
}

char *code_to_json(const struct code *code)
{
	json_t *files = json_array(), *blocks = json_array();
	for (size_t i = 0; i < code->contents.count; i++) {
		const struct tarball_member *file = &code->contents.members[i];
		json_array_append_new(files,
				      json_pack("{s:s, s:I, s:I, s:s, s:b}", "path", file->path, "size",
						(json_int_t)file->size, "offset", (json_int_t)file->offset, "sha256",
						file->sha256.text, "executable", (file->mode & 0100) != 0));
	}
	for (size_t i = 0; i < code->blocks.count; i++)
		json_array_append_new(blocks, json_string(code->blocks.hashes[i].text));
	json_t *root =
		json_pack("{s:i, s:I, s:I, s:o, s:o}", "version", CODE_VERSION, "size", (json_int_t)code->contents.size,
			  "block_bytes", (json_int_t)BLOCK_BYTES, "blocks", blocks, "files", files);
	char *text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	return text ? text : mem_strdup("{}");
}

static bool code_bad(struct error *err, const char *what)
{
	return error_set(err, ERR_DAMAGED, NULL, "the manifest of the code: %s", what);
}

static int64_t code_number(const json_t *root, const char *key)
{
	const json_t *value = json_object_get(root, key);
	return json_is_integer(value) && json_integer_value(value) >= 0 ? json_integer_value(value) : -1;
}

static bool code_file(const json_t *file, struct tarball *contents, struct error *err)
{
	const char *path = json_string_value(json_object_get(file, "path"));
	const char *hash = json_string_value(json_object_get(file, "sha256"));
	const json_t *executable = json_object_get(file, "executable");
	if (!path || !beneath_is_path(path))
		return code_bad(err, "files: a path that is not a clean relative one");
	if (contents->count && strcmp(contents->members[contents->count - 1].path, path) >= 0)
		return code_bad(err, "files: they are not in order");
	struct tarball_member *member = tarball_member_add(contents, path);
	member->size = code_number(file, "size");
	member->offset = code_number(file, "offset");
	member->mode = json_is_true(executable) ? 0755 : 0644;
	if (member->size < 0 || member->offset < 0 || member->size > contents->size ||
	    member->offset > contents->size - member->size || !json_is_boolean(executable) || !hash ||
	    !digest_is_hex(hash))
		return code_bad(err, "files: expected path, size, offset (inside of the tar), sha256 and executable");
	str_copy(member->sha256.text, sizeof member->sha256.text, hash);
	return true;
}

static bool code_files(const json_t *root, struct code *code, struct error *err)
{
	const json_t *files = json_object_get(root, "files"), *file;
	size_t i;
	if (!json_is_array(files) || json_array_size(files) == 0 || json_array_size(files) > CODE_FILES_MAX)
		return code_bad(err, "files: expected 1 to 10000 of them");
	json_array_foreach(files, i, file)
	{
		if (!code_file(file, &code->contents, err))
			return false;
	}
	return true;
}

static bool code_blocks(const json_t *root, struct code *code, struct error *err)
{
	const json_t *blocks = json_object_get(root, "blocks"), *block;
	int64_t size = code_number(root, "size");
	size_t i;
	if (size < 0 || size > CODE_BYTES_MAX || code_number(root, "block_bytes") != BLOCK_BYTES ||
	    json_array_size(blocks) != blocks_count_of(size))
		return code_bad(err, "expected size, block_bytes and a hash of each block");
	code->contents.size = size;
	json_array_foreach(blocks, i, block)
	{
		struct digest_hex hash = { "" };
		const char *text = json_string_value(block);
		if (!text || !digest_is_hex(text))
			return code_bad(err, "blocks: a hash that is none");
		str_copy(hash.text, sizeof hash.text, text);
		blocks_add(&code->blocks, &hash);
	}
	return true;
}

bool code_from_json(const char *text, size_t len, const char *hash, struct code *code, struct error *err)
{
	json_error_t at;
	*code = (struct code){ .contents.members = NULL };
	json_auto_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &at);
	if (!json_is_object(root) || code_number(root, "version") != CODE_VERSION)
		return code_bad(err, "expected a JSON object of version 1");
	if (!code_blocks(root, code, err) || !code_files(root, code, err))
		return false;
	if (strcmp(blocks_hash(&code->blocks).text, hash) != 0)
		return code_bad(err, "its blocks do not make up this hash");
	return true;
}

char *code_named(const char *spec)
{
	json_auto_t *tree = json_loads(spec, 0, NULL);
	const char *code = json_string_value(json_object_get(tree, "code"));
	const char *diff = json_string_value(json_object_get(json_object_get(tree, "lineage"), "git_diff"));
	bool has_code = code && digest_is_hex(code), has_diff = diff && digest_is_hex(diff);
	return mem_printf("%s%s%s", has_code ? code : "", has_code && has_diff ? " " : "", has_diff ? diff : "");
}

char *code_key(const char *installation, const char *hash, const char *name)
{
	return mem_printf("%s/code/%s/%s", installation, hash, name);
}

int64_t code_block_size(const struct code *code, size_t i)
{
	int64_t left = code->contents.size - (int64_t)i * BLOCK_BYTES;
	return left < BLOCK_BYTES ? left : BLOCK_BYTES;
}
