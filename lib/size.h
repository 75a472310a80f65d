/* Amounts of bytes, for people. */
#ifndef STOKER_LIB_SIZE_H
#define STOKER_LIB_SIZE_H

#include <stddef.h>
#include <stdint.h>

/* "512 B", "1.1 MiB", "22.8 GiB". */
void size_human(int64_t bytes, char *into, size_t size);

#endif
