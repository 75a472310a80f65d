#include "worker/sent.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/clock.h"

enum {
	SENT_SETTLED_MS = 100,          /* longer than the step of any clock that file systems use */
	SENT_SETTLED_SECONDS_MS = 2000, /* but for those that know whole seconds only */
	SENT_NUMBERS = 7,
};

/* device, inode, size, seconds and nanoseconds of mtime and of ctime; device -1: its times were too young to tell */
struct sent_id {
	json_int_t numbers[SENT_NUMBERS];
};

struct sent {
	char *path;
	struct manifest *now;
	struct sent_id *ids; /* one a file, in the order of the members */
	size_t count;
	size_t known;

	struct manifest last;
	struct sent_id *last_ids;
	size_t next; /* where the next one is probably found: the order is the same */
};

static struct sent_id sent_id_of(const struct stat *st)
{
	struct sent_id id = { { (json_int_t)st->st_dev, (json_int_t)st->st_ino, st->st_size, st->st_mtim.tv_sec,
				st->st_mtim.tv_nsec, st->st_ctim.tv_sec, st->st_ctim.tv_nsec } };
	return id;
}

/* Would a change from now on show in the times? */
static bool sent_is_settled(const struct stat *st)
{
	int64_t changed_ms = (int64_t)st->st_ctim.tv_sec * 1000 + st->st_ctim.tv_nsec / 1000000;
	bool is_coarse = st->st_ctim.tv_nsec == 0 && st->st_mtim.tv_nsec == 0;
	return clock_wall_ms() - changed_ms >= (is_coarse ? SENT_SETTLED_SECONDS_MS : SENT_SETTLED_MS);
}

static char *sent_path(const char *run_dir)
{
	return mem_printf("%s/sent.json", run_dir);
}

/* ---- reading the last one ---- */

static bool sent_read_ids(struct sent *sent, const json_t *files)
{
	size_t i, k, count = sent->last.contents.count;
	const json_t *one, *number;
	if (json_array_size(files) != count)
		return false;
	sent->last_ids = mem_alloc(count * sizeof *sent->last_ids);
	json_array_foreach(files, i, one)
	{
		sent->last_ids[i].numbers[0] = -1;
		json_array_foreach(one, k, number)
		{
			if (k < SENT_NUMBERS)
				sent->last_ids[i].numbers[k] = json_integer_value(number);
		}
	}
	return true;
}

static void sent_read(struct sent *sent)
{
	json_auto_t *root = json_load_file(sent->path, JSON_REJECT_DUPLICATES, NULL);
	CLEANUP(free_p) char *text = json_dumps(json_object_get(root, "manifest"), JSON_COMPACT);
	bool ok = text && manifest_from_json(text, strlen(text), &sent->last, NULL) &&
		  strcmp(sent->last.token, sent->now->token) == 0 &&
		  sent_read_ids(sent, json_object_get(root, "files"));
	if (!ok)
		manifest_done(&sent->last);
}

struct sent *sent_open(const char *run_dir, struct manifest *now)
{
	struct sent *sent = mem_alloc(sizeof *sent);
	sent->path = sent_path(run_dir);
	sent->now = now;
	manifest_init(&sent->last);
	sent_read(sent);
	return sent;
}

void sent_free(struct sent *sent)
{
	if (!sent)
		return;
	manifest_done(&sent->last);
	free(sent->last_ids);
	free(sent->ids);
	free(sent->path);
	free(sent);
}

/* ---- while it is packed ---- */

static const struct tarball_member *sent_find(struct sent *sent, const struct stat *st, const char *path)
{
	struct sent_id id = sent_id_of(st);
	size_t count = sent->last.contents.count;
	for (size_t i = 0; i < count; i++) {
		size_t at = (sent->next + i) % count;
		const struct tarball_member *member = &sent->last.contents.members[at];
		if (strcmp(member->path, path) != 0)
			continue;
		sent->next = at + 1;
		return memcmp(&sent->last_ids[at], &id, sizeof id) == 0 ? member : NULL;
	}
	return NULL;
}

/* Of what is compressed no file can be used alone. */
static const struct tarball_member *sent_unchanged(struct sent *sent, const struct stat *st, const char *path)
{
	const struct tarball_member *last = st->st_size >= SENT_LEAST ? sent_find(sent, st, path) : NULL;
	return last && !manifest_object_of(&sent->last, last)->is_compressed ? last : NULL;
}

bool sent_has(struct sent *sent, const struct stat *st, const char *path)
{
	return sent_unchanged(sent, st, path) != NULL;
}

bool sent_known(void *arg, const struct stat *st, struct tarball_member *member)
{
	struct sent *sent = arg;
	sent->ids = mem_realloc(sent->ids, (sent->count + 1) * sizeof *sent->ids);
	struct sent_id *id = &sent->ids[sent->count++];
	*id = sent_id_of(st);
	if (!sent_is_settled(st))
		id->numbers[0] = -1;
	const struct tarball_member *last = sent_unchanged(sent, st, member->path);
	size_t other = last ? manifest_other(sent->now, manifest_object_of(&sent->last, last)) : 0;
	if (!other)
		return false;
	member->elsewhere = other;
	member->offset = last->offset;
	sent->known++;
	return true;
}

size_t sent_known_count(const struct sent *sent)
{
	return sent->known;
}

/* ---- afterwards ---- */

void sent_keep(const struct sent *sent)
{
	/* Of files that were read without asking here (a hash of each was wanted) the times are not known. */
	if (sent->count != tarball_file_count(&sent->now->contents)) {
		unlink(sent->path);
		return;
	}
	CLEANUP(free_p) char *text = manifest_to_json(sent->now);
	json_auto_t *root = json_object();
	json_t *files = json_array();
	const struct sent_id *id = sent->ids;
	for (size_t i = 0; i < sent->now->contents.count; i++) {
		json_t *one = json_array();
		if (!sent->now->contents.members[i].is_folder) {
			for (size_t k = 0; k < SENT_NUMBERS; k++)
				json_array_append_new(one, json_integer(id->numbers[k]));
			id++;
		}
		json_array_append_new(files, one);
	}
	json_object_set_new(root, "manifest", json_loads(text, 0, NULL));
	json_object_set_new(root, "files", files);
	if (json_dump_file(root, sent->path, JSON_COMPACT) < 0)
		unlink(sent->path);
}

bool sent_forget(const char *run_dir)
{
	CLEANUP(free_p) char *path = sent_path(run_dir);
	return unlink(path) == 0;
}
