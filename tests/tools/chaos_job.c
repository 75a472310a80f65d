/*
 * The job of tests/chaos/: a program that costs next to nothing and tells on everybody.
 *
 *   chaos_job LEDGER STEPS STEP_MS EVERY PLAN
 *
 * It prints a numbered line a step and saves a checkpoint every EVERY steps (0: none), whose bytes follow from the job
 * and the step. It says in the file LEDGER/ledger when it began and when it came to its end, whether what it was to
 * resume from is not what was saved there (`wrong`), and whether another copy of the job was alive beside it
 * (`overlap`): both by a lock on LEDGER/jobs/<job>, in which it also counts the steps of all attempts.
 * PLAN: ok; retry (exit 1 in the first attempt); refuse (exit 65); tear (leaves half a checkpoint under its final name
 * in the first two attempts and is killed over it).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINES = 200, LINE = 128 };

struct job {
	const char *id, *attempt, *folder, *plan;
	int ledger, lock;
	int64_t executed;
};

static _Noreturn void stop(const char *what)
{
	fprintf(stderr, "chaos_job: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* On the clock of Python's time.monotonic(), which no test turns. */
static void job_tell(struct job *job, const char *what, int64_t step)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (dprintf(job->ledger,
		    "{\"type\":\"ledger\",\"f\":\"%s\",\"job\":\"%s\",\"attempt\":%s,\"step\":%" PRId64
		    ",\"at\":%lld.%06ld,\"folder\":\"%s\"}\n",
		    what, job->id, job->attempt, step, (long long)now.tv_sec, now.tv_nsec / 1000, job->folder) < 0)
		stop("the ledger");
}

static void job_open(struct job *job, const char *ledger)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/ledger", ledger);
	job->ledger = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	snprintf(path, sizeof path, "%s/jobs/%s", ledger, job->id);
	job->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (job->ledger < 0 || job->lock < 0)
		stop(path);
	if (flock(job->lock, LOCK_EX | LOCK_NB) != 0)
		job_tell(job, "overlap", 0);
	if (pread(job->lock, &job->executed, sizeof job->executed, 0) < 0)
		stop(path);
}

static void job_count(struct job *job)
{
	job->executed++;
	if (pwrite(job->lock, &job->executed, sizeof job->executed, 0) < 0)
		stop("the count of steps");
}

static void checkpoint_line(const struct job *job, int64_t step, int i, char line[LINE])
{
	snprintf(line, LINE, "%s %" PRId64 " %d\n", job->id, step, i);
}

/* The step that it resumes from; -1: this is not what was saved. */
static int64_t job_resume(const struct job *job, const char *path)
{
	char wanted[LINE], found[LINE];
	int64_t step = -1;
	FILE *f = fopen(path, "r");
	if (!f || !fgets(found, sizeof found, f) || sscanf(found, "%*s %" SCNd64, &step) != 1)
		return -1;
	for (int i = 0; i < LINES; i++) {
		checkpoint_line(job, step, i, wanted);
		if (strcmp(found, wanted) != 0)
			return -1;
		if ((i < LINES - 1) != (fgets(found, sizeof found, f) != NULL))
			return -1;
	}
	fclose(f);
	return step;
}

static void job_save(const struct job *job, int64_t step, bool is_torn)
{
	char path[4096 + 64], whole[4096], line[LINE];
	snprintf(whole, sizeof whole, "%s/step-%" PRId64 ".bin", job->folder, step);
	snprintf(path, sizeof path, "%s%s", whole, is_torn ? "" : ".tmp");
	FILE *f = fopen(path, "w");
	if (!f)
		stop(path);
	for (int i = 0; i < (is_torn ? LINES / 2 : LINES); i++) {
		checkpoint_line(job, step, i, line);
		fputs(line, f);
	}
	if (fclose(f) != 0)
		stop(path);
	if (is_torn)
		raise(SIGKILL);
	if (rename(path, whole) != 0)
		stop(whole);
}

static void job_step(struct job *job, int64_t step, int every)
{
	job_count(job);
	printf("step=%" PRId64 " loss=%.4f\n", step, 1.0 / (double)step);
	fflush(stdout);
	if (every && step % every == 0)
		job_save(job, step, strcmp(job->plan, "tear") == 0 && atoll(job->attempt) <= 2);
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	struct job job = {
		getenv("STOKER_JOB"), getenv("STOKER_ATTEMPT"), getenv("STOKER_CHECKPOINT_DIR"), argv[5], -1, -1, 0
	};
	const char *resume = getenv("STOKER_RESUME");
	int64_t steps = atoll(argv[2]), step_ms = atoll(argv[3]), step = 0;
	if (!job.id || !job.attempt || !job.folder)
		return 2;
	job_open(&job, argv[1]);
	if (resume && (step = job_resume(&job, resume)) < 0) {
		job_tell(&job, "wrong", 0);
		step = 0;
	}
	job_tell(&job, "begin", step);
	while (++step <= steps) {
		const struct timespec pause = { step_ms / 1000, step_ms % 1000 * 1000000 };
		nanosleep(&pause, NULL);
		job_step(&job, step, (int)atoll(argv[4]));
	}
	if (strcmp(job.plan, "retry") == 0 && strcmp(job.attempt, "1") == 0)
		return 1;
	job_tell(&job, "end", steps);
	return strcmp(job.plan, "refuse") == 0 ? 65 : 0;
}
