/*
 * The two clocks. Decisions use clock_boot_ms (it does not jump and it counts
 * while the machine sleeps); clock_wall_ms is only shown to people. Times that
 * decide anything between machines come from Redis, never from here.
 */
#ifndef STOKER_LIB_CLOCK_H
#define STOKER_LIB_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

int64_t clock_boot_ms(void); /* CLOCK_BOOTTIME, milliseconds */
int64_t clock_wall_ms(void); /* CLOCK_REALTIME, milliseconds since 1970 */

/* For libevent timers; a negative time counts as 0. */
struct timeval clock_timeval(int64_t ms);

/* "2026-11-22T09:40:07.123Z" into text, which holds at least 32 bytes. */
void clock_rfc3339(int64_t wall_ms, char *text, size_t size);

/* A duration for people: "340 ms", "12 s", "3 min 05 s", "2 h 51 min", "3 d 4 h". */
void clock_human(int64_t ms, char *text, size_t size);

#endif
