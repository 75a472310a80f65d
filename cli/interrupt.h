/*
 * Ctrl-C and SIGTERM as a descriptor that becomes readable, for commands that wait:
 * they end in good order, with exit code 130.
 */
#ifndef STOKER_CLI_INTERRUPT_H
#define STOKER_CLI_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/error.h"

/* From now on the signals no longer kill; -1 and err on failure. The caller closes it. */
int interrupt_open(struct error *err) MUST_CHECK;

/* From now on they kill again, also one that came meanwhile and was not seen. */
void interrupt_close(int fd);

/* Waits; true when interrupted. */
bool interrupt_wait(int fd, int64_t ms);

#endif
