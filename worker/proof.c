#include "worker/proof.h"

#include <string.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "queue/manifest.h"

#define QUIET_OPAQUE_MS 5000 /* for formats that prove nothing */

void proof_done(struct proof *proof)
{
	checksums_free(proof->sums);
	proof->sums = NULL;
}

/* What the bytes prove, together with what is known besides, must be enough to resume from it one day. */
static bool proof_believe(const struct ship_request *request, const struct format_verdict *verdict, struct error *err)
{
	if (verdict->proof == FORMAT_TORN)
		return error_set(err, ERR_DAMAGED, NULL, "it is not complete: %s", verdict->words);
	if (request->trust == SHIP_FEWER)
		return error_set(err, ERR_DAMAGED, "put the files of each checkpoint into a folder of their own",
				 "the program was killed, perhaps between two files of it: the save before had more "
				 "than %zu",
				 request->unit->file_count);
	if (request->trust == SHIP_SUSPECT && verdict->proof != FORMAT_WHOLE)
		return error_set(err, ERR_DAMAGED, "save to another name and rename, or announce it on the control fd",
				 "the program was killed while it may have been writing it, and its format cannot "
				 "prove that it is complete");
	if (request->trust == SHIP_SUSPECT && request->unit->file_count > 1)
		return error_set(err, ERR_DAMAGED, "put the files of each checkpoint into a folder of their own",
				 "the program was killed while it may have been writing it, and each of its %zu files "
				 "may be of another save",
				 request->unit->file_count);
	if (request->trust == SHIP_QUIET && verdict->proof == FORMAT_OPAQUE && request->quiet_ms < QUIET_OPAQUE_MS)
		return error_set(err, ERR_CONFLICT, NULL, "its format proves nothing: it must be quiet for %d s",
				 QUIET_OPAQUE_MS / 1000);
	return true;
}

static bool proof_look(const struct ship_request *request, int root, struct checksums *sums,
		       struct format_verdict *verdict, struct error *err)
{
	const struct unit *unit = request->unit;
	*verdict = format_verdict_of(FORMAT_WHOLE, "files", "");
	for (size_t i = 0; i < unit->file_count; i++) {
		struct stat st;
		if (!beneath_stat(root, unit->files[i], &st))
			return error_set(err, ERR_NOT_FOUND, NULL, "%s is not there any more", unit->files[i]);
		struct format_verdict one = format_check(root, unit->files[i], sums);
		format_join(verdict, &one);
	}
	return proof_believe(request, verdict, err);
}

bool proof_take(struct proof *proof, const struct ship_request *request, int root, struct error *err)
{
	*proof = (struct proof){ .sums = checksums_new() };
	if (request->unit->has_too_many)
		return error_set(err, ERR_INPUT, "put the files of each checkpoint into a folder of their own",
				 "more than %d files form one checkpoint", UNIT_FILES_MAX);
	return proof_look(request, root, proof->sums, &proof->verdict, err);
}

const char *proof_member_root(const struct unit *unit)
{
	return unit->root == UNIT_IN_CHECKPOINTS ? MANIFEST_CHECKPOINT : MANIFEST_WORK;
}

/* The file beside a folder says which folder is meant; when it is another one by now, it is no part of this one. */
static bool proof_pack_beside(const struct proof *proof, const struct ship_request *request, int root,
			      struct tarball_writer *w, struct error *err)
{
	const struct unit *unit = request->unit;
	const char *beside = proof->verdict.beside, *slash = strrchr(unit->files[0], '/');
	size_t above = slash ? (size_t)(slash + 1 - unit->files[0]) : 0;
	CLEANUP(free_p) char *path = mem_printf("%.*s%s", (int)above, unit->files[0], beside);
	CLEANUP(free_p) char *name = mem_printf("%s/%s", proof_member_root(unit), path);
	struct format_verdict now;
	if (!tarball_add(w, root, path, name, err) || !proof_look(request, root, NULL, &now, err))
		return false;
	return now.beside[0] || error_set(err, ERR_CONFLICT, NULL, "%s changed while it was read", path);
}

static bool proof_pack_all(const struct proof *proof, const struct ship_request *request, int root,
			   struct tarball_writer *w, struct error *err)
{
	const struct unit *unit = request->unit;
	for (size_t i = 0; i < unit->file_count; i++) {
		CLEANUP(free_p) char *name = mem_printf("%s/%s", proof_member_root(unit), unit->files[i]);
		bool ok = unit->is_folder ? tarball_add_tree(w, root, unit->files[i], name, err)
					  : tarball_add(w, root, unit->files[i], name, err);
		if (!ok)
			return false;
	}
	return !proof->verdict.beside[0] || proof_pack_beside(proof, request, root, w, err);
}

struct proof_packing {
	struct proof *proof;
	struct sent *sent;
};

/* What an earlier checkpoint has was checked when it passed. */
static bool proof_known(void *arg, const struct stat *st, struct tarball_member *member)
{
	const struct proof_packing *packing = arg;
	if (!sent_known(packing->sent, st, member))
		return false;
	checksums_known(packing->proof->sums, strchr(member->path, '/') + 1);
	return true;
}

bool proof_pack(struct proof *proof, const struct ship_request *request, const struct proof_pack *pack,
		struct tarball *contents, struct error *err)
{
	const struct unit *unit = request->unit;
	struct proof_packing packing = { .proof = proof, .sent = pack->sent };
	CLEANUP(tarball_writer) struct tarball_writer *w = tarball_writer_new(pack->sink, pack->sink_arg);
	if (unit->sha256)
		tarball_writer_hash_files(w);
	else if (pack->sent)
		tarball_writer_known(w, proof_known, &packing);
	tarball_writer_tap(w, checksums_pass, proof->sums);
	if (!proof_pack_all(proof, request, pack->root, w, err) || !tarball_finish(w, contents, err))
		return false;
	proof->known = pack->sent ? sent_known_count(pack->sent) : 0;
	if (tarball_file_count(contents) == 0)
		return error_set(err, ERR_DAMAGED, NULL, "it is empty");
	if (unit->sha256 && !unit->is_folder && strcmp(unit->sha256, contents->members[0].sha256.text) != 0)
		return error_set(err, ERR_DAMAGED, NULL, "its SHA-256 is not the one that the program announced");
	return checksums_finish(proof->sums, &proof->crc_right, &proof->crc_unknown, err);
}

char *proof_words(const struct proof *proof, const struct ship_request *request)
{
	CLEANUP(free_p) char *right = mem_printf("; CRC of %zu entries", proof->crc_right);
	CLEANUP(free_p) char *unknown = mem_printf("; %zu entries unchecked, their CRCs are none", proof->crc_unknown);
	CLEANUP(free_p) char *known = mem_printf("; %zu of the files as in an earlier checkpoint", proof->known);
	return mem_printf("%s%s%s%s%s", request->trust == SHIP_ANNOUNCED ? "announced by the program; " : "",
			  proof->verdict.words, proof->crc_right ? right : "", proof->crc_unknown ? unknown : "",
			  proof->known ? known : "");
}
