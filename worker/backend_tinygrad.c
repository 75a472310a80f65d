/*
 * The backend `tinygrad`: the trainer that stoker ships (worker/trainer/train.py), run by a
 * Python that has tinygrad. What it is to train stands in <run folder>/train.json; the rest
 * it learns like every other program, from its environment.
 */
#include "worker/backend.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/buf.h"

#define TINYGRAD_SYSTEM_PYTHON "/var/lib/stoker/venv/bin/python"

/* When the spec says nothing: so much of a run is lost at most. */
#define TINYGRAD_EVERY_MS 30000

char *backend_find_python(void)
{
	CLEANUP(free_p) char *own = NULL;
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	if (geteuid() == 0)
		own = mem_strdup(TINYGRAD_SYSTEM_PYTHON);
	else if (data && *data == '/')
		own = mem_printf("%s/stoker/venv/bin/python", data);
	else
		own = mem_printf("%s/.local/share/stoker/venv/bin/python", home ? home : "");
	if (access(own, X_OK) != 0 && access(TINYGRAD_SYSTEM_PYTHON, X_OK) == 0)
		return mem_strdup(TINYGRAD_SYSTEM_PYTHON);
	return STEAL(own);
}

char *backend_find_trainer(void)
{
	char program[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
	program[len > 0 ? len : 0] = '\0';
	char *slash = strrchr(program, '/');
	int folder = slash ? (int)(slash - program) : 0;

	CLEANUP(free_p) char *built = mem_printf("%.*s/trainer/train.py", folder, program);
	if (access(built, R_OK) == 0)
		return STEAL(built);
	return mem_printf("%.*s/../share/stoker/trainer/train.py", folder, program);
}

static bool tinygrad_validate(const struct backend_run *run, struct error *err)
{
	if (!run->spec->train_json)
		return error_set(err, ERR_INPUT, "docs/spec.md lists what it may say",
				 "the spec has no section train, which the backend tinygrad needs");
	if (access(run->settings->python, X_OK) != 0)
		return error_errno(err, ERR_SYSTEM, "scripts/bootstrap.sh makes it; --python names another one",
				   "cannot run the Python of the trainer, %s", run->settings->python);
	if (access(run->settings->trainer, R_OK) != 0)
		return error_errno(err, ERR_SYSTEM, "--trainer says where it is", "cannot read the trainer, %s",
				   run->settings->trainer);
	return true;
}

static bool tinygrad_write(const char *path, const struct buf *text, struct error *err)
{
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot create %s", path);
	for (size_t done = 0; done < text->len;) {
		ssize_t n = write(fd, text->data + done, text->len - done);
		if (n < 0)
			return error_errno(err, ERR_SYSTEM, NULL, "cannot write %s", path);
		done += (size_t)n;
	}
	return true;
}

static bool tinygrad_launch(const struct backend_run *run, struct launch *launch, struct error *err)
{
	const struct spec *spec = run->spec;
	bool is_stated = spec->checkpoint.every.steps || spec->checkpoint.every.ms;
	CLEANUP(buf) struct buf text;
	buf_init(&text, SPEC_MAX_BYTES + 256);
	buf_printf(&text, "{\"train\":%s,\"checkpoint\":{\"every_steps\":%" PRId64 ",\"every_ms\":%" PRId64 "}}\n",
		   spec->train_json, spec->checkpoint.every.steps,
		   is_stated ? spec->checkpoint.every.ms : TINYGRAD_EVERY_MS);
	CLEANUP(free_p) char *path = mem_printf("%s/train.json", run->run_dir);
	if (!tinygrad_write(path, &text, err))
		return false;

	launch_arg(launch, run->settings->python);
	launch_arg(launch, run->settings->trainer);
	launch_arg(launch, path);
	launch_env(launch, "PYTHONHASHSEED", "0"); /* nothing may depend on the order of a set */
	if (run->settings->cache_dir) {
		CLEANUP(free_p) char *cache = mem_printf("%s/tinygrad.db", run->settings->cache_dir);
		launch_env(launch, "CACHEDB", cache); /* a resumed run finds its kernels compiled */
	}
	return true;
}

const struct backend backend_tinygrad = {
	.name = "tinygrad",
	.validate = tinygrad_validate,
	.launch = tinygrad_launch,
};
