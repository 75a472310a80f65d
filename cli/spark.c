/* See the header. */
#include "cli/spark.h"

#include <math.h>
#include <stdbool.h>

#define SPARK_BLOCKS 8
static const char *const spark_blocks[SPARK_BLOCKS] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };

/* The mean of the points that fall into block i of width; NaN if one of them is not finite. */
static double spark_mean(const double *values, size_t count, size_t i, size_t width)
{
	size_t first = i * count / width;
	size_t end = (i + 1) * count / width;
	double sum = 0;
	for (size_t k = first; k < end; k++)
		sum += values[k];
	return isfinite(sum) ? sum / (double)(end - first) : NAN;
}

void spark_print(const double *values, size_t count, size_t width, struct buf *into)
{
	if (width > count)
		width = count;
	if (!width)
		return;
	double *means = mem_alloc(width * sizeof *means);
	double low = INFINITY;
	double high = -INFINITY;
	for (size_t i = 0; i < width; i++) {
		means[i] = spark_mean(values, count, i, width);
		if (isnan(means[i]))
			continue;
		low = fmin(low, means[i]);
		high = fmax(high, means[i]);
	}
	for (size_t i = 0; i < width; i++) {
		if (isnan(means[i])) {
			buf_byte(into, '!');
			continue;
		}
		double part = high > low ? (means[i] - low) / (high - low) : 0.5;
		size_t block = (size_t)(part * SPARK_BLOCKS);
		buf_str(into, spark_blocks[block < SPARK_BLOCKS ? block : SPARK_BLOCKS - 1]);
	}
	free(means);
}
