/*
 * A row of numbers as a row of blocks: "▇▆▅▄▃▃▂▂▁▁". Each block is the mean of its
 * share of the points; one that holds a value which is not finite is a "!".
 */
#ifndef STOKER_CLI_SPARK_H
#define STOKER_CLI_SPARK_H

#include <stddef.h>
#include "lib/buf.h"

void spark_print(const double *values, size_t count, size_t width, struct buf *into);

#endif
