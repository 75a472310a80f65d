/*
 * How a daemon says that it is ready, and that it stops: to whoever started it
 * with --ready-fd N, and to systemd (or anything that speaks its protocol) over
 * NOTIFY_SOCKET. Written by hand: one datagram does not earn a library.
 *
 *	ready_fd_keep(config.ready_fd);            // early: no child may inherit it
 *	…
 *	ready_say(config.ready_fd, "URL=http://127.0.0.1:8700\n");
 *
 * The reader of the fd sees `READY=1`, then the lines given, then end of file. End
 * of file without READY=1 means that the daemon died before it was ready.
 */
#ifndef STOKER_LIB_READY_H
#define STOKER_LIB_READY_H

#include <stdint.h>

/* Marks the fd close-on-exec, so that a child does not hold it open. -1: none. */
void ready_fd_keep(int64_t fd);

/* Says READY=1 and the lines (each `NAME=value` with its newline, or "") on the
 * fd, closes it, and tells NOTIFY_SOCKET. Call it once. That nobody listens any
 * more is no reason to stop serving: failures are logged. */
void ready_say(int64_t fd, const char *lines);

/* Tells NOTIFY_SOCKET that the daemon has begun to stop. */
void ready_say_stopping(void);

#endif
