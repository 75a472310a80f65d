/*
 * What the ship helper would say of a file or folder, for tests of real saves: tests/torch/.
 *
 *   verdict <questions >answers
 *
 * A question is a line `TRUST<tab>ROOT<tab>PATH`, TRUST being suspect (its writer was killed) or settled. The answer is
 * a line `ANSWER<tab>FRAMEWORK<tab>STEP<tab>EPOCH<tab>OPTIMIZER<tab>LOSS<tab>WORDS`, ANSWER being ignored (by its
 * name), refused or accepted; it is packed and its bytes are thrown away.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "worker/names.h"
#include "worker/proof.h"

static bool verdict_sink(void *arg, const void *data, size_t len, struct error *err)
{
	(void)arg;
	(void)data;
	(void)len;
	(void)err;
	return true;
}

static void verdict_answer(enum ship_trust trust, const char *folder, char *path)
{
	CLEANUP(close_fd) int root = beneath_root(folder);
	struct stat st;
	struct unit unit = { .name = path, .files = &path, .file_count = 1 };
	unit.is_folder = beneath_stat(root, path, &st) && S_ISDIR(st.st_mode);
	struct ship_request request = { .unit = &unit, .root = folder, .trust = trust };
	CLEANUP(proof) struct proof proof;
	CLEANUP(tarball) struct tarball contents;
	struct error err = { .kind = ERR_NONE };
	tarball_init(&contents);
	bool ok = proof_take(&proof, &request, root, &err) &&
		  proof_pack(&proof, &request, &(const struct proof_pack){ .root = root, .sink = verdict_sink },
			     &contents, &err);
	CLEANUP(free_p) char *words = ok ? proof_words(&proof, &request) : mem_strdup(err.message);
	const struct format_verdict *v = &proof.verdict;
	printf("%s\t%s\t%" PRId64 "\t%" PRId64 "\t%d\t%g\t%s\n", ok ? "accepted" : "refused", v->framework, v->step,
	       v->epoch, v->optimizer, v->loss, words);
}

int main(void)
{
	static char line[8192];
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = '\0';
		char *root = strchr(line, '\t'), *path = root ? strchr(root + 1, '\t') : NULL;
		if (!path)
			return 2;
		*root++ = *path++ = '\0';
		CLEANUP(free_p) char *whole = mem_printf("%s/%s", root, path);
		struct stat st;
		if (name_is_ignored(path, stat(whole, &st) == 0 && S_ISDIR(st.st_mode)))
			puts("ignored");
		else
			verdict_answer(strcmp(line, "suspect") == 0 ? SHIP_SUSPECT : SHIP_SETTLED, root, path);
		fflush(stdout);
	}
	return 0;
}
