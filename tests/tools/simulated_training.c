/*
 * A training that is real in all but the mathematics, for who kills it (tests/training.py).
 *
 *   simulated_training RECORD STEP_MS SAVE_EVERY BYTES UNTIL
 *
 * A step lasts STEP_MS and prints a line. Every SAVE_EVERY steps it saves a checkpoint of BYTES, and says so on the
 * control fd. Its first act is to read the clock; it goes on from the step that STOKER_RESUME has, and ends after the
 * first step at which the file UNTIL is there. To RECORD, a line each, it appends what it did and when, in nanoseconds
 * since 1970, each in one write that a kill cannot take back: begin, step, save, end, and of which step.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct training {
	const char *folder;
	int record, control;
	char *bytes;
	size_t size;
	long long step;
};

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

static long long now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void training_note(const struct training *t, const char *what, long long at_ns)
{
	char line[96];
	int len = snprintf(line, sizeof line, "%s %lld %lld %s\n", what, at_ns, t->step, getenv("STOKER_ATTEMPT"));
	if (write(t->record, line, (size_t)len) != len)
		fail("the record");
}

/* The whole of it is read, as a program reads its weights. */
static void training_resume(struct training *t, const char *path)
{
	int fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, t->bytes, t->size) != (ssize_t)t->size)
		fail(path);
	close(fd);
	t->step = strtoll(t->bytes, NULL, 10);
}

static void training_save(struct training *t)
{
	char path[4096], whole[4096];
	snprintf(whole, sizeof whole, "%s/step-%lld.bin", t->folder, t->step);
	snprintf(path, sizeof path, "%s/.saving", t->folder);
	snprintf(t->bytes, 32, "%lld", t->step);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, t->bytes, t->size) != (ssize_t)t->size || close(fd) != 0 || rename(path, whole) != 0)
		fail(path);
	training_note(t, "save", now_ns());
	dprintf(t->control, "{\"t\":\"checkpoint\",\"path\":\"%s\",\"step\":%lld}\n", whole, t->step);
}

int main(int argc, char **argv)
{
	long long began_ns = now_ns();
	const char *control = getenv("STOKER_CONTROL_FD"), *resume = getenv("STOKER_RESUME");
	struct training t = { .folder = getenv("STOKER_CHECKPOINT_DIR") };
	if (argc != 6 || !control || !t.folder)
		return 78;
	long long step_ms = strtoll(argv[2], NULL, 10), every = strtoll(argv[3], NULL, 10);
	t.size = (size_t)strtoll(argv[4], NULL, 10);
	t.bytes = malloc(t.size);
	t.control = (int)strtol(control, NULL, 10);
	t.record = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (t.size < 64 || !t.bytes || t.record < 0)
		fail(argv[1]);
	for (size_t i = 0; i < t.size; i += 256) /* noise: nothing to compress, no two the same */
		if (getrandom(t.bytes + i, t.size - i < 256 ? t.size - i : 256, 0) < 0)
			fail("random bytes");
	if (resume)
		training_resume(&t, resume);
	training_note(&t, "begin", began_ns);
	while (access(argv[5], F_OK) != 0) {
		const struct timespec pause = { step_ms / 1000, step_ms % 1000 * 1000000 };
		nanosleep(&pause, NULL);
		t.step++;
		training_note(&t, "step", now_ns());
		printf("step=%lld loss=%.4f\n", t.step, 1.0 / (double)t.step);
		fflush(stdout);
		if (t.step % every == 0)
			training_save(&t);
	}
	training_note(&t, "end", now_ns());
	return 0;
}
