/*
 * The program that the latency benchmark submits: its first act is to read the
 * clock; it then appends that time, in nanoseconds of CLOCK_MONOTONIC, to the file
 * named by its argument, in one write, and ends.
 */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec now;
	char line[64];
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (argc < 2)
		return 78;
	int fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
	int len = snprintf(line, sizeof line, "%lld\n", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
	if (fd < 0 || write(fd, line, (size_t)len) != len)
		return 1;
	return 0;
}
