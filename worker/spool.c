#include "worker/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SPOOL_PENDING_MAX = 4 * 1024 * 1024 }; /* flushed long before: this many bytes are one very busy turn */

bool spool_open(struct spool *spool, const char *path, bool stamped, struct error *err)
{
	*spool = (struct spool){ .stamped = stamped, .next = 1 };
	buf_init(&spool->pending, SPOOL_PENDING_MAX);
	spool->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (spool->fd < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make the spool %s", path);
	return true;
}

/* The end of the last whole record. */
static int64_t spool_whole_size(int fd, int64_t size)
{
	char chunk[SPOOL_RECORD_MAX + SPOOL_STAMP_MAX];
	int64_t from = size > (int64_t)sizeof chunk ? size - (int64_t)sizeof chunk : 0;
	ssize_t got = pread(fd, chunk, sizeof chunk, from);
	const char *newline = got > 0 ? memrchr(chunk, '\n', (size_t)got) : NULL;
	return newline ? from + (newline - chunk) + 1 : 0;
}

bool spool_open_left(struct spool *spool, const char *path, struct error *err)
{
	struct stat st;
	*spool = (struct spool){ .stamped = true, .next = 1 };
	buf_init(&spool->pending, 0);
	spool->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (spool->fd < 0 || fstat(spool->fd, &st) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot read the spool %s", path);
	spool->size = spool_whole_size(spool->fd, st.st_size);
	return true;
}

void spool_done(struct spool *spool)
{
	if (spool->fd >= 0)
		close(spool->fd);
	spool->fd = -1;
	buf_done(&spool->pending);
}

/* That of many lines is the same: those of one reading have one time. */
static void spool_add_stamp(struct spool *spool, char stream, int64_t wall_ms)
{
	struct spool_stamp *stamp = &spool->stamp;
	if (!stamp->text[0] || stamp->wall_ms != wall_ms || stamp->stream != stream) {
		*stamp = (struct spool_stamp){ .wall_ms = wall_ms, .stream = stream };
		str_format(stamp->text, sizeof stamp->text, "%" PRId64 " %c ", wall_ms, stream);
		stamp->len = strlen(stamp->text);
	}
	buf_add(&spool->pending, stamp->text, stamp->len);
}

void spool_add(struct spool *spool, char stream, int64_t wall_ms, const char *text, size_t len)
{
	size_t before = spool->pending.len;
	if (len > SPOOL_RECORD_MAX)
		len = SPOOL_RECORD_MAX;
	if (spool->pending.len + len + SPOOL_STAMP_MAX > SPOOL_PENDING_MAX)
		spool_flush(spool, NULL);
	if (spool->stamped)
		spool_add_stamp(spool, stream, wall_ms);
	buf_add(&spool->pending, text, len);
	buf_byte(&spool->pending, '\n');
	spool->pending_count += spool->pending.len > before;
}

/* All of it or nothing: a torn record would shift the numbers of all that follow. */
static bool spool_write(struct spool *spool, const char *data, size_t len)
{
	size_t done = 0;
	while (done < len) {
		ssize_t wrote = pwrite(spool->fd, data + done, len - done, spool->size + (int64_t)done);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0) {
			int error_number = errno;
			if (ftruncate(spool->fd, spool->size) < 0)
				error_number = errno;
			errno = error_number;
			return false;
		}
		done += (size_t)wrote;
	}
	spool->size += (int64_t)len;
	return true;
}

static bool spool_write_gap(struct spool *spool, int64_t wall_ms)
{
	char line[160];
	if (!spool->lost)
		return true;
	str_format(line, sizeof line, "%" PRId64 " g %" PRId64 " lines are missing: the disk of the spool was full\n",
		   wall_ms, spool->lost);
	if (!spool_write(spool, line, strlen(line)))
		return false;
	spool->next += spool->lost;
	spool->lost = 0;
	return true;
}

bool spool_flush(struct spool *spool, struct error *err)
{
	bool was_refused = spool->lost > 0;
	int64_t stamp = 0;
	if (!spool->pending.len)
		return true;
	if (spool->stamped)
		stamp = strtoll(buf_text(&spool->pending), NULL, 10);
	bool ok = spool_write_gap(spool, stamp) && spool_write(spool, spool->pending.data, spool->pending.len);
	if (ok)
		spool->next += spool->pending_count;
	else if (spool->stamped)
		spool->lost += spool->pending_count;
	int64_t count = spool->pending_count;
	buf_clear(&spool->pending);
	spool->pending_count = 0;
	if (ok || was_refused)
		return true;
	return error_errno(err, ERR_SYSTEM, "make room on the disk of the state folder",
			   "cannot write %" PRId64 " records to the spool", count);
}

void spool_tail(const struct spool *spool, size_t max, struct buf *into)
{
	size_t len = spool->size > (int64_t)max ? max : (size_t)spool->size;
	int64_t from = spool->size - (int64_t)len;
	CLEANUP(free_p) char *text = mem_alloc(len + 1);
	ssize_t got = pread(spool->fd, text, len, from);
	const char *first = text;
	if (from > 0 && got > 0) { /* it may begin inside a record */
		const char *newline = memchr(text, '\n', (size_t)got);
		first = newline ? newline + 1 : text + got;
	}
	if (got > 0)
		buf_add(into, first, (size_t)(text + got - first));
}

bool spool_parse_next(const char *line, size_t len, struct spool_record *record)
{
	size_t stamp = record->stamp_len;
	if (!stamp || len < stamp || record->stream == 'g' || memcmp(record->text - stamp, line, stamp) != 0)
		return spool_parse(line, len, record);
	record->text = line + stamp;
	record->len = len - stamp;
	return true;
}

bool spool_take_last(const char *text, size_t *len, struct spool_record *record)
{
	while (*len) {
		const char *stop = text + *len - (text[*len - 1] == '\n');
		const char *newline = memrchr(text, '\n', (size_t)(stop - text));
		const char *line = newline ? newline + 1 : text;
		*len = (size_t)(line - text);
		if (spool_parse(line, (size_t)(stop - line), record))
			return true;
	}
	return false;
}

bool spool_parse(const char *line, size_t len, struct spool_record *record)
{
	const char *end = line + len;
	int64_t time_ms = 0;
	const char *p = line;
	for (; p < end && *p >= '0' && *p <= '9' && p - line < 18; p++)
		time_ms = time_ms * 10 + (*p - '0');
	if (p == line || end - p < 3 || p[0] != ' ' || p[2] != ' ')
		return false;
	*record = (struct spool_record){
		.time_ms = time_ms, .stream = p[1], .count = 1, .text = p + 3, .stamp_len = (size_t)(p + 3 - line)
	};
	record->len = (size_t)(end - record->text);
	if (record->stream != 'g')
		return true;
	record->count = 0;
	for (p = record->text; p < end && *p >= '0' && *p <= '9' && p - record->text < 18; p++)
		record->count = record->count * 10 + (*p - '0');
	return record->count > 0;
}

const char *spool_stream_name(char stream)
{
	switch (stream) {
	case 'o':
		return "stdout";
	case 'e':
		return "stderr";
	case 'g':
		return "gap";
	default:
		return "stoker";
	}
}
