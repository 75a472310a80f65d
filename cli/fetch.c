#include "cli/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/bar.h"
#include "cli/client.h"
#include "cli/interrupt.h"
#include "cli/text.h"
#include "cli/unpack.h"
#include "lib/fields.h"
#include "lib/size.h"

enum { FETCH_TRIES = 5, FETCH_SILENCE_MS = 30000 };

struct fetching {
	const struct fetch *fetch;
	int fd;
	int64_t at;       /* bytes in the file */
	int64_t begun_at; /* of this try */
	struct bar bar;
	struct error failed; /* writing */
};

/* A server that sends all of it although a part was asked for is right, too: then it begins again. */
static bool fetch_data(void *arg, int status, const char *data, size_t len)
{
	struct fetching *f = arg;
	if (status != 206 && f->at > 0 && f->at == f->begun_at) {
		f->at = f->begun_at = 0;
		if (ftruncate(f->fd, 0) < 0)
			return error_errno(&f->failed, ERR_SYSTEM, NULL, "cannot write %s", f->fetch->path);
	}
	while (len > 0) {
		ssize_t written = pwrite(f->fd, data, len, f->at);
		if (written < 0)
			return error_errno(&f->failed, errno == ENOSPC ? ERR_FULL : ERR_SYSTEM, NULL, "cannot write %s",
					   f->fetch->path);
		f->at += written;
		data += written;
		len -= (size_t)written;
	}
	bar_draw(&f->bar, f->at);
	return true;
}

/* Where to ask: the scheduler, or the store behind an absolute URL, which must not see our token. */
static struct http_client *fetch_client(struct cli *cli, const char *url, const char **path, struct error *err)
{
	*path = url;
	if (url[0] == '/')
		return client_find(cli, err) ? cli->client : NULL;
	const char *host = strstr(url, "://");
	const char *rest = host ? strchr(host + 3, '/') : NULL;
	if (!rest) {
		error_set(err, ERR_INTERNAL, NULL, "the scheduler gave no link");
		return NULL;
	}
	CLEANUP(free_p) char *base = mem_strndup(url, (size_t)(rest - url));
	const struct http_client_options options = {
		.url = base, .user_agent = "stoker/" STOKER_VERSION, .ca_file = cli->config.ca, .peer = "the store"
	};
	*path = rest;
	return http_client_new(&options, err);
}

static bool fetch_try(struct cli *cli, struct fetching *f, int interrupt_fd, bool *interrupted, struct error *err)
{
	const char *path;
	struct http_client *client = fetch_client(cli, f->fetch->url, &path, err);
	if (!client)
		return false;
	CLEANUP(free_p) char *range = f->at > 0 ? mem_printf("Range: bytes=%" PRId64 "-", f->at) : NULL;
	const struct http_call call = { .path = path,
					.header = range,
					.deadline_ms = FETCH_SILENCE_MS,
					.on_data = fetch_data,
					.arg = f,
					.interrupt_fd = interrupt_fd };
	CLEANUP(http_answer) struct http_answer answer;
	f->begun_at = f->at;
	f->bar = bar_begin(cli, f->fetch->title, f->fetch->size, f->at);
	bool ok = http_client_call(client, &call, &answer, err);
	*interrupted = answer.interrupted;
	if (client != cli->client)
		http_client_free(client);
	if (f->failed.kind) {
		*err = f->failed;
		return false;
	}
	return ok;
}

/* A wait between two tries, or a try, was interrupted: the command ends there, in good order. */
static bool fetch_interrupted(struct cli *cli)
{
	cli->exit_code = EXIT_INTERRUPTED;
	return true;
}

static bool fetch_rest(struct cli *cli, struct fetching *f, int interrupt_fd, struct error *err)
{
	bool interrupted = false;
	for (int tries = 0; f->at < f->fetch->size; tries++) {
		int64_t before = f->at;
		bool ok = fetch_try(cli, f, interrupt_fd, &interrupted, err);
		if (interrupted)
			return fetch_interrupted(cli);
		tries = f->at > before ? 0 : tries;
		if (!ok && (f->failed.kind || !error_kind_of(err->kind)->can_retry || tries >= FETCH_TRIES))
			return false;
		if (f->at < f->fetch->size && interrupt_wait(interrupt_fd, 500 * (tries + 1)))
			return fetch_interrupted(cli);
		if (ok && f->at < f->fetch->size && tries >= FETCH_TRIES)
			return error_set(err, ERR_DAMAGED, NULL, "%s ends at %" PRId64 " of %" PRId64 " bytes",
					 f->fetch->title, f->at, f->fetch->size);
	}
	return true;
}

/* What comes after it may be interrupted as anything. */
static bool fetch_all(struct cli *cli, struct fetching *f, struct error *err)
{
	int interrupt_fd = interrupt_open(err);
	bool ok = interrupt_fd >= 0 && fetch_rest(cli, f, interrupt_fd, err);
	if (cli->exit_code == EXIT_INTERRUPTED)
		close(interrupt_fd); /* it still waits to kill us: the command ends first, in good order */
	else
		interrupt_close(interrupt_fd);
	return ok;
}

bool fetch_file(struct cli *cli, const struct fetch *fetch, struct error *err)
{
	CLEANUP(free_p) char *part = mem_printf("%s.part", fetch->path);
	struct stat st;
	if (stat(fetch->path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == fetch->size)
		return true; /* an earlier try came so far; whether it is right is seen by whoever asked for it */
	CLEANUP(close_fd) int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot write %s", part);
	struct fetching f = { .fetch = fetch, .fd = fd };
	if (st.st_size <= fetch->size)
		f.at = st.st_size;
	else if (ftruncate(fd, 0) < 0) /* of something else */
		return error_errno(err, ERR_SYSTEM, NULL, "cannot write %s", part);
	bool ok = fetch_all(cli, &f, err);
	bar_end(&f.bar, f.at);
	if (ok && f.at < fetch->size) {
		fprintf(stderr, "  hint: the same command goes on where it stopped\n");
		return true;
	}
	if (ok && rename(part, fetch->path) < 0)
		ok = error_errno(err, ERR_SYSTEM, NULL, "cannot rename %s to %s", part, fetch->path);
	return ok;
}

/* ---- a checkpoint ---- */

static bool fetch_make_folder(const char *path, struct error *err)
{
	return mkdir(path, 0777) == 0 || errno == EEXIST ||
	       error_errno(err, ERR_SYSTEM, NULL, "cannot make the folder %s", path);
}

/* The tar itself (seq 0), or that of an earlier checkpoint which has files of it. */
static bool fetch_object(struct cli *cli, const char *job, const char *id, int64_t seq, const struct fetch *file,
			 struct error *err)
{
	json_auto_t *link = NULL;
	CLEANUP(free_p) char *object = seq ? mem_printf("?object=%" PRId64, seq) : mem_strdup("");
	/* By its id: what is the latest may be another one by now. */
	CLEANUP(free_p) char *where = mem_printf("/api/v1/jobs/%s/checkpoints/%s/link%s", job, id, object);
	if (!client_get(cli, where, &link, err))
		return false;
	struct fetch with = *file;
	with.url = fields_text(link, "url");
	return fetch_file(cli, &with, err);
}

static bool fetch_objects(struct cli *cli, const struct fetch_checkpoint *fetch, const json_t *checkpoint,
			  const struct fetch *file, const char *tar, struct error *err)
{
	const char *id = fields_text(checkpoint, "id");
	const json_t *other;
	size_t i;
	if (!fetch_object(cli, fetch->job, id, 0, file, err))
		return false;
	json_array_foreach(json_object_get(json_object_get(checkpoint, "manifest"), "others"), i, other)
	{
		int64_t seq = fields_int(other, "seq", 0);
		CLEANUP(free_p) char *path = unpack_object_path(tar, seq);
		const struct fetch of = { .path = path, .size = fields_int(other, "size", 0), .title = file->title };
		if (cli->exit_code != EXIT_INTERRUPTED && !fetch_object(cli, fetch->job, id, seq, &of, err))
			return false;
	}
	return true;
}

static bool fetch_remove_tars(const json_t *checkpoint, const char *tar, struct error *err)
{
	const json_t *other;
	size_t i;
	if (unlink(tar) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot remove %s", tar);
	json_array_foreach(json_object_get(json_object_get(checkpoint, "manifest"), "others"), i, other)
	{
		CLEANUP(free_p) char *path = unpack_object_path(tar, fields_int(other, "seq", 0));
		if (unlink(path) < 0)
			return error_errno(err, ERR_SYSTEM, NULL, "cannot remove %s", path);
	}
	return true;
}

/* What is unpacked is named by its id, so that another one is never taken for it. */
static bool fetch_into(struct cli *cli, const struct fetch_checkpoint *fetch, const json_t *checkpoint,
		       struct buf *said, struct error *err)
{
	const char *id = fields_text(checkpoint, "id");
	CLEANUP(free_p) char *named = mem_printf("%s-checkpoint-%s", fetch->job, id);
	const char *to = fetch->to ? fetch->to : fetch->as_tar ? "." : named;
	CLEANUP(free_p) char *tar = mem_printf("%s/%s.tar", to, named);
	CLEANUP(free_p) char *stored = mem_printf("%s%s", tar, *fields_text(checkpoint, "compression") ? ".zst" : "");
	const struct fetch file = { .path = stored, .size = fields_int(checkpoint, "size", 0), .title = named };
	struct unpack unpack = { .stored = stored, .tar = tar, .folder = to, .checkpoint = checkpoint };
	char size[32];
	if (!fetch_make_folder(to, err) || !fetch_objects(cli, fetch, checkpoint, &file, tar, err))
		return false;
	if (cli->exit_code == EXIT_INTERRUPTED)
		return true;
	if (!unpack_verify(&unpack, err) || !unpack_tar(&unpack, err))
		return false;
	size_human(file.size, size, sizeof size);
	if (fetch->as_tar)
		return buf_printf(said, "%s  %s, verified\n", tar, size) || true;
	if (!unpack_files(&unpack, err) || !fetch_remove_tars(checkpoint, tar, err))
		return false;
	buf_printf(said, "%s  checkpoint %s", to, id);
	if (fields_int(checkpoint, "step", -1) >= 0)
		buf_printf(said, ", step %" PRId64, fields_int(checkpoint, "step", -1));
	buf_printf(said, ", %zu files, %s, verified\n", unpack.file_count, size);
	return true;
}

bool fetch_checkpoint(struct cli *cli, const struct fetch_checkpoint *fetch, struct buf *said, struct error *err)
{
	json_auto_t *checkpoint = NULL;
	CLEANUP(buf) struct buf tail;
	buf_init(&tail, 1024);
	buf_str(&tail, "/checkpoints/");
	http_encode(&tail, fetch->which);
	CLEANUP(free_p) char *path = client_job_path(fetch->job, buf_text(&tail), err);
	return path && client_get(cli, path, &checkpoint, err) && fetch_into(cli, fetch, checkpoint, said, err);
}
