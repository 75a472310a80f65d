/*
 * The ship and the restore helper, run once, as the runner runs them:
 *
 *   bench-ship ship STORE FOLDER NAME           NAME in FOLDER is a checkpoint; prints its summary
 *   bench-ship restore STORE FOLDER <summary    into FOLDER, which has run/, checkpoints/ and work/
 *
 * Prints one JSON object: {"wall":…,"cpu":…,"peak_mib":…}; seconds, of this process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "worker/restore.h"
#include "worker/ship.h"

static double now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static _Noreturn void stop(const struct error *err)
{
	fprintf(stderr, "bench-ship: %s\n", err->message);
	exit(1);
}

static void print_cost(double began_s)
{
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	printf("{\"wall\":%.4f,\"cpu\":%.4f,\"peak_mib\":%.1f}\n", now_s() - began_s,
	       (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
		       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6,
	       (double)used.ru_maxrss / 1024);
}

static void ship(char *store, const char *folder, char *name)
{
	char installation[] = "bench", job[] = "bench-1", uid[] = "u1", token[] = "100";
	struct ship_place place = { store, installation, job, uid, token, 1 };
	struct unit unit = { .name = name,
			     .is_folder = true,
			     .files = &name,
			     .file_count = 1,
			     .said_step = 1,
			     .said_optimizer = -1,
			     .step = -1 };
	struct ship_request request = {
		.place = &place, .unit = &unit, .root = folder, .seq = 1, .trust = SHIP_ANNOUNCED
	};
	CLEANUP(buf) struct buf text;
	struct error err;
	double began_s = now_s();
	buf_init(&text, 65536);
	if (!ship_run(&request, &text, &err))
		stop(&err);
	puts(buf_text(&text));
	print_cost(began_s);
}

static void restore(const char *store, const char *folder)
{
	static char summary[65536];
	if (!fgets(summary, sizeof summary, stdin))
		exit(2);
	CLEANUP(free_p) char *run = mem_printf("%s/run", folder);
	CLEANUP(free_p) char *checkpoints = mem_printf("%s/checkpoints", folder);
	CLEANUP(free_p) char *work = mem_printf("%s/work", folder);
	struct restore_request request = { .store = store,
					   .id = "1-1",
					   .summary = summary,
					   .run_dir = run,
					   .checkpoint_dir = checkpoints,
					   .work_dir = work };
	CLEANUP(buf) struct buf text;
	struct error err;
	double began_s = now_s();
	buf_init(&text, 65536);
	if (!restore_run(&request, &text, &err))
		stop(&err);
	print_cost(began_s);
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "ship"))
		ship(argv[2], argv[3], argv[4]);
	else if (argc == 4 && !strcmp(argv[1], "restore"))
		restore(argv[2], argv[3]);
	else
		return 2;
	return 0;
}
