#include "lib/nearest.h"

#include <stdint.h>
#include <string.h>

#define NEAREST_MAX 64

static size_t nearest_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t nearest_distance(const char *a, const char *b)
{
	size_t rows[3][NEAREST_MAX + 1]; /* the last three rows of the table, used in turn */
	size_t la = strlen(a), lb = strlen(b);

	if (la > NEAREST_MAX || lb > NEAREST_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t same = above[j - 1] + (a[i - 1] != b[j - 1]);
			row[j] = nearest_min(same, nearest_min(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = nearest_min(row[j], above2[j - 2] + 1);
		}
	}
	return rows[la % 3][lb];
}

void nearest_offer(struct nearest *n, const char *candidate)
{
	size_t distance = nearest_distance(n->name, candidate);
	size_t shorter = nearest_min(strlen(n->name), strlen(candidate));
	/* one mistake in three letters is a guess, more is noise */
	if (distance > 1 + shorter / 4 || distance >= shorter)
		return;
	if (n->best && distance >= n->distance)
		return;
	n->best = candidate;
	n->distance = distance;
}
