/* See the header. */
#include "cli/programs.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>
#include "lib/buf.h"

char *program_path(const char *name)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
	if (len <= 0)
		return mem_strdup(name);
	self[len] = '\0';
	char *slash = strrchr(self, '/');
	if (!slash)
		return mem_strdup(name);
	*slash = '\0';
	CLEANUP(free_p) char *beside = mem_printf("%s/%s", self, name);
	return access(beside, X_OK) == 0 ? STEAL(beside) : mem_strdup(name);
}
