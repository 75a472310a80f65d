/*
 * beanstalkd's load, for scripts/bench/queue_bench.py:  bench-beanstalk SOCKET JOBS
 *
 * Puts the jobs, then reserves and deletes them, 64 commands at a time on one connection; prints one JSON object. Every
 * answer is checked.
 */
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BATCH = 64, BODY = 150 };

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "bench-beanstalk: %s\n", what);
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Two streams on one socket: what is written goes out with flush. */
static void dial(const char *path, FILE **in, FILE **out)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (strlen(path) >= sizeof to.sun_path)
		fail("the path is too long");
	memcpy(to.sun_path, path, strlen(path));
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to))
		fail("cannot connect");
	*in = fdopen(fd, "r");
	*out = fdopen(dup(fd), "w");
	if (!*in || !*out)
		fail("no streams");
}

static void expect(FILE *in, char *line, int size, const char *start)
{
	if (!fgets(line, size, in) || strncmp(line, start, strlen(start)))
		fail(start);
}

static void put_all(FILE *in, FILE *out, long jobs)
{
	char line[64];
	for (long first = 0; first < jobs; first += BATCH) {
		for (long i = first; i < first + BATCH && i < jobs; i++)
			fprintf(out, "put 0 0 60 %d\r\n%-*ld\r\n", BODY, BODY, i);
		fflush(out);
		for (long i = first; i < first + BATCH && i < jobs; i++)
			expect(in, line, sizeof line, "INSERTED ");
	}
}

static void drain_all(FILE *in, FILE *out, long jobs)
{
	char line[64], body[BODY + 3];
	uint64_t ids[BATCH];
	for (long first = 0; first < jobs; first += BATCH) {
		long count = jobs - first < BATCH ? jobs - first : BATCH;
		for (long i = 0; i < count; i++)
			fputs("reserve\r\n", out);
		fflush(out);
		for (long i = 0; i < count; i++) {
			expect(in, line, sizeof line, "RESERVED ");
			ids[i] = strtoull(line + strlen("RESERVED "), NULL, 10);
			if (fread(body, 1, BODY + 2, in) != BODY + 2)
				fail("a short body");
		}
		for (long i = 0; i < count; i++)
			fprintf(out, "delete %ju\r\n", (uintmax_t)ids[i]);
		fflush(out);
		for (long i = 0; i < count; i++)
			expect(in, line, sizeof line, "DELETED");
	}
}

int main(int argc, char **argv)
{
	FILE *in, *out;
	if (argc != 3)
		fail("usage: bench-beanstalk SOCKET JOBS");
	dial(argv[1], &in, &out);
	long jobs = strtol(argv[2], NULL, 10);
	double start = now();
	put_all(in, out, jobs);
	double middle = now();
	drain_all(in, out, jobs);
	printf("{\"bulk\": %.1f, \"drain\": %.1f}\n", (double)jobs / (middle - start), (double)jobs / (now() - middle));
	return 0;
}
