/* See the header. */
#include "cli/up.h"

#include <signal.h>
#include <string.h>
#include "cli/programs.h"
#include "cli/text.h"
#include "cli/up_child.h"
#include "cli/up_folder.h"
#include "lib/clock.h"
#include "lib/size.h"

#define UP_SCHEDULER_MS 10000 /* to answer what is under way */
#define UP_REDIS_MS     30000 /* to close its file */
#define UP_HURRY_MS     5000  /* the same, at the second Ctrl-C */
#define UP_LOG_LINES    8

enum up_stage { UP_STARTING, UP_RUNNING, UP_DRAINING, UP_HURRYING };

struct up {
	struct cli *cli;
	const struct up_options *options;
	struct up_folder folder;
	struct event_base *base;
	struct up_child *redis;
	struct up_child *scheduler;
	struct up_child *worker;
	struct event *signals[3];
	enum up_stage stage;
	bool has_ended;
	int64_t began_ms;
	struct error error; /* why it stops; ERR_NONE: it was asked to */
	char *url;
};

static void up_step(struct up *up);

/* ---- saying ---- */

/* The path as the user would write it: ~ for his home. */
static char *up_short_path(const char *path)
{
	const char *home = getenv("HOME");
	size_t len = home ? strlen(home) : 0;
	if (len > 1 && strncmp(path, home, len) == 0 && path[len] == '/')
		return mem_printf("~%s", path + len);
	return mem_strdup(path);
}

static void up_say_begin(const struct up *up)
{
	if (up->cli->common.json)
		return;
	CLEANUP(free_p) char *dir = up_short_path(up->folder.dir);
	printf("stoker %s · data in %s · Ctrl-C drains\n", STOKER_VERSION, dir);
	fflush(stdout);
}

/* "host-a   2 cpus · 22.8 GiB · no GPU", of what the worker said. */
static void up_say_worker(const struct up *up)
{
	char size[32] = "";
	int64_t number = 0;
	CLEANUP(free_p) char *id = up_child_said(up->worker, "WORKER");
	CLEANUP(free_p) char *cpus = up_child_said(up->worker, "CPUS");
	CLEANUP(free_p) char *memory = up_child_said(up->worker, "MEMORY");
	CLEANUP(free_p) char *gpus = up_child_said(up->worker, "GPUS");
	printf("  worker     %s", *id ? id : "up");
	if (*cpus)
		printf("   %s cpu%s", cpus, strcmp(cpus, "1") == 0 ? "" : "s");
	if (config_parse_int(memory, &number)) {
		size_human(number, size, sizeof size);
		printf(" · %s", size);
	}
	if (strcmp(gpus, "0") == 0)
		printf(" · no GPU");
	else if (*gpus)
		printf(" · %s GPU%s", gpus, strcmp(gpus, "1") == 0 ? "" : "s");
	printf("\n");
}

static void up_say_ready(const struct up *up)
{
	if (up->cli->common.json) {
		json_auto_t *state = json_load_file(up->folder.state, 0, NULL);
		cli_print_json_line(state);
	} else {
		CLEANUP(free_p) char *socket = up_short_path(up->folder.redis_socket);
		int64_t took_ms = clock_boot_ms() - up->began_ms;
		printf("  redis      %s   append-only, fsync always\n", socket);
		printf("  scheduler  %s\n", up->url);
		up_say_worker(up);
		printf("ready in %lld.%lld s\n", (long long)took_ms / 1000, (long long)(took_ms % 1000) / 100);
	}
	fflush(stdout);
}

static bool up_is_disk_full(const char *lines)
{
	return strstr(lines, "No space left on device") || strstr(lines, "Disk quota exceeded");
}

static void up_say_died(const struct up_child *child)
{
	CLEANUP(free_p) char *lines = up_child_last_lines(child, UP_LOG_LINES);
	if (up_is_disk_full(lines))
		fprintf(stderr,
			"stoker: %s stopped because the disk is full; it is started again until there is room\n",
			up_child_name(child));
	else
		fprintf(stderr, "stoker: %s ended (%s); it is started again\n", up_child_name(child),
			up_child_ended(child));
}

static void up_say_log(const struct up_child *child)
{
	CLEANUP(free_p) char *lines = up_child_last_lines(child, UP_LOG_LINES);
	for (const char *line = lines; *line;) {
		size_t len = strcspn(line, "\n");
		fprintf(stderr, "  | %.*s\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

/* ---- the three programs ---- */

static void up_redis_args(struct up *up)
{
	const char *argv[] = { "redis-server", up->folder.redis_conf };
	up_child_args(up->redis, argv, ARRAY_LEN(argv));
}

/* port is the one in use once it is known, so that a restart keeps the url. */
static void up_scheduler_args(struct up *up, int64_t port)
{
	CLEANUP(free_p) char *program = program_path("stoker-scheduler");
	CLEANUP(free_p) char *listen = mem_printf("unix:%s,127.0.0.1:%lld", up->folder.socket, (long long)port);
	CLEANUP(free_p) char *ready_fd = mem_printf("%d", UP_CHILD_READY_FD);
	const char *argv[] = { program,          "--redis-url", up->folder.redis_url,
			       "--listen",       listen,        "--token-file",
			       up->folder.token, "--store",     up->folder.store_url,
			       "--ready-fd",     ready_fd };
	up_child_args(up->scheduler, argv, ARRAY_LEN(argv));
}

static void up_worker_option(struct arg_list *args, const char *name, const char *value)
{
	if (!value)
		return;
	arg_list_add(args, name);
	arg_list_add(args, value);
}

static void up_worker_args(struct up *up)
{
	const struct up_options *o = up->options;
	CLEANUP(arg_list) struct arg_list args = { 0 };
	CLEANUP(free_p) char *program = program_path("stoker-worker");
	CLEANUP(free_p) char *ready_fd = mem_printf("%d", UP_CHILD_READY_FD);
	arg_list_add(&args, program);
	up_worker_option(&args, "--redis-url", up->folder.redis_url);
	up_worker_option(&args, "--state-dir", up->folder.worker_dir);
	up_worker_option(&args, "--store", up->folder.store_url);
	up_worker_option(&args, "--ready-fd", ready_fd);
	up_worker_option(&args, "--cpus", o->cpus);
	up_worker_option(&args, "--memory", o->memory);
	up_worker_option(&args, "--gpus", o->gpus);
	up_worker_option(&args, "--queues", o->queues);
	up_worker_option(&args, "--breaker", "0"); /* there is no other worker that its jobs could be left to */
	for (size_t i = 0; i < o->worker_args.count; i++)
		arg_list_add(&args, o->worker_args.items[i]);
	up_child_args(up->worker, args.items, args.count);
}

static void up_on_change(void *arg, struct up_child *child)
{
	struct up *up = arg;
	if (up_child_state(child) == UP_CHILD_WAITING)
		up_say_died(child);
	up_step(up);
}

static void up_make_children(struct up *up)
{
	struct up_child_options options = { .base = up->base, .on_change = up_on_change, .arg = up };
	options.name = "Redis";
	options.log = up->folder.redis_log;
	options.probe_socket = up->folder.redis_socket;
	options.lock_fd = up->folder.lock_fd;
	options.death_signal = SIGTERM;
	up->redis = up_child_new(&options);
	options.name = "the scheduler";
	options.log = up->folder.scheduler_log;
	options.probe_socket = NULL;
	up->scheduler = up_child_new(&options);
	/* The worker's runs go on without it, and keep whatever they inherit: not the lock. */
	options.name = "the worker";
	options.log = up->folder.worker_log;
	options.lock_fd = -1;
	options.death_signal = SIGKILL;
	up->worker = up_child_new(&options);
	up_redis_args(up);
	up_scheduler_args(up, up->options->port);
	up_worker_args(up);
}

/* ---- steps ---- */

static void up_fail(struct up *up, const struct error *err)
{
	up->error = *err;
	up->stage = UP_DRAINING;
	up_step(up);
}

static bool up_is_down(const struct up_child *child)
{
	return up_child_state(child) == UP_CHILD_DOWN;
}

static const char *up_start_hint(const struct up *up, const struct up_child *child, const char *lines)
{
	if (child == up->scheduler && strstr(lines, "in use"))
		return "--port 0 takes any free port";
	if (up_is_disk_full(lines))
		return "make room on the disk";
	return NULL;
}

/* True once the child is ready; starts it when it is down, and fails when it ended before. */
static bool up_bring(struct up *up, struct up_child *child)
{
	struct error err = { 0 };
	if (up_child_was_ready(child))
		return true;
	if (!up_is_down(child))
		return false;
	if (up_child_was_started(child)) {
		CLEANUP(free_p) char *lines = up_child_last_lines(child, UP_LOG_LINES);
		up_say_log(child);
		error_set(&err, ERR_UNAVAILABLE, up_start_hint(up, child, lines), "%s did not start: %s",
			  up_child_name(child), up_child_ended(child));
		up_fail(up, &err);
	} else if (!up_child_start(child, &err)) {
		if (child == up->redis)
			str_copy(err.hint, sizeof err.hint, "install it (Debian: apt-get install redis-server)");
		up_fail(up, &err);
	}
	return false;
}

/* The port that the scheduler got, from its url. */
static int64_t up_port(const struct up *up)
{
	const char *colon = strrchr(up->url, ':');
	int64_t port = 0;
	return colon && config_parse_int(colon + 1, &port) ? port : up->options->port;
}

static void up_announce(struct up *up)
{
	struct error err = { 0 };
	up->url = up_child_said(up->scheduler, "URL");
	up_scheduler_args(up, up_port(up));
	if (!up_folder_write_state(&up->folder, up->url, &err)) {
		up_fail(up, &err);
		return;
	}
	up->stage = UP_RUNNING;
	up_say_ready(up);
}

/* True once the child is gone; asks it to stop when it was not asked yet. */
static bool up_end(struct up *up, struct up_child *child, int signal_number, int64_t patience_ms)
{
	if (up_is_down(child))
		return true;
	if (up_child_state(child) != UP_CHILD_STOPPING)
		up_child_stop(child, signal_number, up->stage == UP_HURRYING ? UP_HURRY_MS : patience_ms);
	return up_is_down(child);
}

static void up_step(struct up *up)
{
	if (up->stage == UP_STARTING && up_bring(up, up->redis) && up_bring(up, up->scheduler) &&
	    up_bring(up, up->worker))
		up_announce(up);
	if (up->stage != UP_DRAINING && up->stage != UP_HURRYING)
		return;
	/* The worker first: until it is gone it reports to the others. */
	if (up_end(up, up->worker, SIGTERM, 0) && up_end(up, up->scheduler, SIGTERM, UP_SCHEDULER_MS) &&
	    up_end(up, up->redis, SIGTERM, UP_REDIS_MS)) {
		up->has_ended = true;
		event_base_loopbreak(up->base);
	}
}

static void up_on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)number, (void)what;
	struct up *up = arg;
	if (up->stage == UP_DRAINING || up->stage == UP_HURRYING) {
		fprintf(stderr, "stoker: stopping at once; runs go on, and the next stoker up finds them\n");
		up->stage = UP_HURRYING;
		up_child_stop(up->worker, SIGKILL, 0);
	} else {
		fprintf(stderr, "stoker: draining: runs stop and save; Ctrl-C again stops at once\n");
		up->stage = UP_DRAINING;
	}
	up_step(up);
}

static void up_listen_signals(struct up *up)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	_Static_assert(ARRAY_LEN(numbers) == ARRAY_LEN(((struct up *)NULL)->signals), "one event each");
	signal(SIGPIPE, SIG_IGN); /* whoever read the picture may be gone; the jobs are not */
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		up->signals[i] = evsignal_new(up->base, numbers[i], up_on_signal, up);
		event_add(up->signals[i], NULL);
	}
}

static void up_done(struct up *up)
{
	for (size_t i = 0; i < ARRAY_LEN(up->signals); i++)
		if (up->signals[i])
			event_free(up->signals[i]);
	up_child_free(up->worker);
	up_child_free(up->scheduler);
	up_child_free(up->redis);
	if (up->base)
		event_base_free(up->base);
	free(up->url);
	up_folder_done(&up->folder);
}

bool up_run(struct cli *cli, const struct up_options *options, struct error *err)
{
	struct up up = { .cli = cli, .options = options, .began_ms = clock_boot_ms() };
	CLEANUP(free_p) char *dir = cli_dir(cli, err);
	if (!dir || !up_folder_open(&up.folder, dir, err)) {
		up_folder_done(&up.folder);
		return false;
	}
	up_folder_remove_state(&up.folder); /* of one that was killed */
	up.base = event_base_new();
	up_say_begin(&up);
	up_make_children(&up);
	up_listen_signals(&up);
	up_step(&up);
	if (!up.has_ended)
		event_base_dispatch(up.base);
	up_folder_remove_state(&up.folder);
	bool ok = up.error.kind == ERR_NONE;
	if (ok)
		fprintf(stderr, "stoker: stopped; the next stoker up on this folder goes on\n");
	*err = up.error;
	up_done(&up);
	return ok;
}
