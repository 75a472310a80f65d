#include "lib/tarball.h"

#include <string.h>

#include "lib/buf.h"

void tarball_init(struct tarball *tarball)
{
	*tarball = (struct tarball){ .members = NULL };
}

void tarball_done(struct tarball *tarball)
{
	for (size_t i = 0; i < tarball->count; i++)
		free(tarball->members[i].path);
	free(tarball->members);
	tarball_init(tarball);
}

struct tarball_member *tarball_member_add(struct tarball *tarball, const char *path)
{
	/* Grows at each power of two: the count says the capacity. */
	if ((tarball->count & (tarball->count - 1)) == 0) {
		size_t capacity = tarball->count ? tarball->count * 2 : 1;
		tarball->members = mem_realloc(tarball->members, capacity * sizeof *tarball->members);
	}
	struct tarball_member *member = &tarball->members[tarball->count++];
	*member = (struct tarball_member){ .path = mem_strdup(path) };
	return member;
}

int64_t tarball_content_size(const struct tarball *tarball)
{
	int64_t size = 0;
	for (size_t i = 0; i < tarball->count; i++)
		size += tarball->members[i].size;
	return size;
}

size_t tarball_file_count(const struct tarball *tarball)
{
	size_t files = 0;
	for (size_t i = 0; i < tarball->count; i++)
		files += !tarball->members[i].is_folder;
	return files;
}
