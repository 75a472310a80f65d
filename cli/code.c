#include "cli/bar.h"
#include "cli/code.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "cli/client.h"
#include "cli/code_pack.h"
#include "cli/git.h"
#include "cli/lineage.h"
#include "cli/text.h"
#include "lib/buf.h"
#include "lib/size.h"

enum { CODE_SHOWN = 12, CODE_TRIES = 3, CODE_DEADLINE_MS = 120 * 1000 };

void code_folders_done(struct code_folders *folders)
{
	json_decref(folders->packed);
	folders->packed = NULL;
}

/* ---- the specs of a document: the jobs of a graph, or the one that it is ---- */

static size_t code_spec_count(const json_t *document)
{
	const json_t *jobs = json_object_get(document, "jobs");
	return json_is_array(jobs) ? json_array_size(jobs) : 1;
}

static json_t *code_spec(json_t *document, size_t i)
{
	json_t *jobs = json_object_get(document, "jobs");
	return json_is_array(jobs) ? json_array_get(jobs, i) : document;
}

static bool code_is_relative(const json_t *spec)
{
	const char *path = json_string_value(json_object_get(spec, "workdir"));
	return path && *path && path[0] != '/';
}

bool code_is_wanted(const struct code_folders *folders, const json_t *spec)
{
	if (!folders || !json_is_object(spec))
		return false;
	return code_is_relative(spec) || (folders->workdir && !json_object_get(spec, "workdir"));
}

bool code_is_in(const struct code_folders *folders, const json_t *document)
{
	for (size_t i = 0; i < code_spec_count(document); i++)
		if (code_is_wanted(folders, code_spec((json_t *)document, i)))
			return true;
	return false;
}

static char *code_folder_of(const struct code_folders *folders, const json_t *spec, const char *folder,
			    struct error *err)
{
	const char *path = json_string_value(json_object_get(spec, "workdir"));
	CLEANUP(free_p) char *joined = path ? mem_printf("%s/%s", folder, path) : mem_strdup(folders->workdir);
	char *real = realpath(joined, NULL);
	if (!real)
		error_errno(err, ERR_INPUT, "a relative one counts from the folder of the spec file",
			    "workdir: cannot open the folder %s", joined);
	return real;
}

bool code_take(const struct code_folders *folders, json_t *document, const char *folder, json_t **taken,
	       struct error *err)
{
	*taken = json_array();
	for (size_t i = 0; i < code_spec_count(document); i++) {
		json_t *spec = code_spec(document, i);
		if (!code_is_wanted(folders, spec)) {
			json_array_append_new(*taken, json_null());
			continue;
		}
		if (json_object_get(spec, "code"))
			return error_set(err, ERR_INPUT, NULL, "code: not together with workdir");
		CLEANUP(free_p) char *path = code_folder_of(folders, spec, folder, err);
		if (!path)
			return false;
		json_t *text = json_string(path);
		if (!text)
			return error_set(err, ERR_INPUT, NULL, "workdir: the path %s is not UTF-8", path);
		json_array_append_new(*taken, text);
		json_object_del(spec, "workdir");
	}
	return true;
}

/* ---- sending ---- */

static bool code_post(struct cli *cli, const char *path, const void *data, size_t len, struct error *err)
{
	for (int tries = 1;; tries++) { /* the same again does no harm */
		json_auto_t *answer = NULL;
		const struct client_data body = { .content_type = "application/octet-stream",
						  .data = data,
						  .len = len,
						  .deadline_ms = CODE_DEADLINE_MS };
		if (client_post_data(cli, path, &body, &answer, err))
			return true;
		if (tries == CODE_TRIES || !error_kind_of(err->kind)->can_retry)
			return false;
	}
}

static bool code_upload(struct cli *cli, const struct code_pack *pack, struct error *err)
{
	CLEANUP(free_p) char *block = mem_alloc(BLOCK_BYTES);
	CLEANUP(free_p) char *title = mem_printf("code %.12s…", pack->hash.text);
	struct bar bar = bar_begin(cli, title, pack->code.contents.size, 0);
	int64_t sent = 0;
	for (size_t i = 0; i < pack->code.blocks.count; i++) {
		size_t len;
		CLEANUP(free_p)
		char *path = mem_printf("/api/v1/code/%s/%s", pack->hash.text, pack->code.blocks.hashes[i].text);
		if (!code_pack_block(pack, i, block, &len, err) || !code_post(cli, path, block, len, err))
			return false;
		sent += (int64_t)len;
		bar_draw(&bar, sent);
	}
	bar_end(&bar, sent);
	CLEANUP(free_p) char *manifest = code_to_json(&pack->code);
	CLEANUP(free_p) char *path = mem_printf("/api/v1/code/%s", pack->hash.text);
	return code_post(cli, path, manifest, strlen(manifest), err);
}

/* Asked first, so that what is there is not sent again; it is kept for a while longer by being asked for. */
static bool code_send(const struct code_folders *folders, const struct code_pack *pack, bool *was_there,
		      struct error *err)
{
	struct cli *cli = folders->cli;
	json_auto_t *answer = NULL;
	if (folders->is_sent_anyway)
		return code_upload(cli, pack, err);
	CLEANUP(free_p) char *path = mem_printf("/api/v1/code/%s?summary=1", pack->hash.text);
	*was_there = client_get(cli, path, &answer, err);
	if (*was_there)
		return true;
	/* Damaged: what is sent again is written again. */
	return (err->kind == ERR_NOT_FOUND || err->kind == ERR_DAMAGED) && !strstr(err->message, "has no store") &&
	       code_upload(cli, pack, err);
}

static void code_say(const struct code_folders *folders, const struct code_pack *pack, bool was_there)
{
	char size[32];
	size_human(pack->files_size, size, sizeof size);
	if (was_there)
		fprintf(stderr, "code %.*s… is there already (%zu files, %s)\n", CODE_SHOWN, pack->hash.text,
			pack->code.contents.count, size);
	else
		fprintf(stderr, "packed %zu files, %s (code %.*s…)%s\n", pack->code.contents.count, size, CODE_SHOWN,
			pack->hash.text, folders->is_dry ? "; nothing was uploaded" : "");
}

/* The uncommitted changes as code of one file: what keeps one keeps the other. NULL: there are none, or they were not
 * sent, which is no reason not to submit. */
static char *code_send_diff(const struct code_folders *folders, const char *folder)
{
	CLEANUP(buf) struct buf diff;
	buf_init(&diff, GIT_DIFF_MAX);
	if (!git_diff(folder, &diff)) {
		if (diff.overflow)
			fputs("the uncommitted changes are more than 256 KiB: no patch of them is kept\n", stderr);
		return NULL;
	}
	CLEANUP(code_pack) struct code_pack pack = { .fd = -1 };
	bool was_there = false;
	struct error err;
	if (!code_pack_text("changes.diff", buf_text(&diff), diff.len, &pack, &err) ||
	    (!folders->is_dry && !code_send(folders, &pack, &was_there, &err))) {
		fprintf(stderr, "stoker: the uncommitted changes are not kept: %s\n", err.message);
		return NULL;
	}
	return mem_strdup(pack.hash.text);
}

static json_t *code_pack_folder(struct code_folders *folders, const char *folder, struct error *err)
{
	CLEANUP(code_files) struct code_files files = { .folder = NULL };
	CLEANUP(code_pack) struct code_pack pack = { .fd = -1 };
	bool was_there = false;
	if (!code_walk(folder, folders->size_max, &files, err) || !code_pack(&files, &pack, err))
		return NULL;
	if (!folders->is_dry && !code_send(folders, &pack, &was_there, err)) {
		error_wrap(err, "the code of %s", folder);
		return NULL;
	}
	code_say(folders, &pack, was_there);
	json_t *lineage = lineage_of(folder);
	CLEANUP(free_p) char *diff = json_object_get(lineage, "git_dirty") ? code_send_diff(folders, folder) : NULL;
	if (diff)
		json_object_set_new(lineage, "git_diff", json_string(diff));
	return json_pack("{s:s, s:o}", "code", pack.hash.text, "lineage", lineage);
}

/* What the spec says itself about where it comes from stands. */
static void code_set(json_t *spec, const json_t *found)
{
	json_t *lineage = json_deep_copy(json_object_get(found, "lineage"));
	json_t *given = json_object_get(spec, "lineage");
	if (json_is_object(given))
		json_object_update(lineage, given);
	json_object_set_new(spec, "lineage", lineage);
	json_object_set(spec, "code", json_object_get(found, "code"));
}

bool code_put(struct code_folders *folders, json_t *document, const json_t *taken, struct error *err)
{
	size_t i;
	const json_t *path;
	if (!folders->packed)
		folders->packed = json_object();
	json_array_foreach(taken, i, path)
	{
		const char *folder = json_string_value(path);
		if (!folder)
			continue;
		json_t *found = json_object_get(folders->packed, folder);
		if (!found) {
			found = code_pack_folder(folders, folder, err);
			if (!found)
				return false;
			json_object_set_new(folders->packed, folder, found);
		}
		code_set(code_spec(document, i), found);
	}
	return true;
}
