#include "worker/room.h"

#include <sys/statvfs.h>
#include "lib/buf.h"
#include "lib/child.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/size.h"
#include "worker/code_cache.h"

enum {
	ROOM_LOOK_MS = 5000,
	ROOM_LOOK_BRISK_MS = 1000,   /* while there is too little */
	ROOM_EMPTY_AGAIN_MS = 60000, /* what was in use then may be unused now */
	ROOM_SMALL_DISK = 20,        /* the share of a disk that is enough */
};

struct room {
	struct room_options o;
	struct event *timer;
	struct child_watch *watch; /* the process that makes room; NULL: none does */
	int64_t missing;           /* bytes that it is to make */
	int64_t emptied_at;        /* when it ended last; 0: not in this want */
	bool is_short;             /* said */
};

struct room_state {
	int64_t free_bytes;
	int64_t least_bytes;
};

static bool room_look(const struct room *room, struct room_state *state)
{
	struct statvfs fs;
	if (statvfs(room->o.state_dir, &fs) < 0)
		return false;
	int64_t enough = (int64_t)(fs.f_blocks * fs.f_frsize) / ROOM_SMALL_DISK;
	state->free_bytes = (int64_t)(fs.f_bavail * fs.f_frsize);
	state->least_bytes = enough < room->o.least_bytes ? enough : room->o.least_bytes;
	return true;
}

static int room_empty(struct event_base *base, void *arg)
{
	const struct room *room = arg;
	struct room_state state;
	(void)base;
	cache_give_way(&room->o.checkpoints, room->missing);
	if (room_look(room, &state) && state.free_bytes < state.least_bytes)
		code_cache_give_way(room->o.code_dir, state.least_bytes - state.free_bytes);
	return 0;
}

static void room_again(struct room *room, int64_t ms)
{
	struct timeval wait = clock_timeval(ms);
	event_add(room->timer, &wait);
}

static void room_emptied(void *arg, const struct child_exit *how)
{
	struct room *room = arg;
	(void)how;
	child_watch_free(room->watch);
	room->watch = NULL;
	room->emptied_at = clock_boot_ms();
	room_again(room, 0);
}

/* True: a process does, and there may be room when it ends. */
static bool room_make(struct room *room, int64_t missing)
{
	struct error err;
	pid_t pid;
	struct child_fork_options o = { .name = "stoker-room", .run = room_empty, .arg = room };
	if (room->emptied_at && clock_boot_ms() - room->emptied_at < ROOM_EMPTY_AGAIN_MS)
		return false;
	room->missing = missing;
	if (child_fork(&o, &pid, &err))
		room->watch = child_watch_new(room->o.base, pid, room_emptied, room, &err);
	if (!room->watch)
		log_failure(LOG_WARN, "what is cached does not make room", &err);
	return room->watch != NULL;
}

static void room_say(struct room *room, const struct room_state *state)
{
	char why[ROOM_WHY_MAX], left[32], least[32];
	size_human(state->free_bytes, left, sizeof left);
	size_human(state->least_bytes, least, sizeof least);
	if (!str_format(why, sizeof why, "disk full: %s has %s left of the %s that a worker needs (--disk-least)",
			room->o.state_dir, left, least))
		str_copy(why, sizeof why, "the disk of the state folder is full (--disk-least)");
	room->is_short = true;
	room->o.changed(room->o.arg, why);
}

static void room_tick(evutil_socket_t fd, short what, void *arg)
{
	struct room *room = arg;
	struct room_state state;
	(void)fd;
	(void)what;
	if (room->watch)
		return; /* its end comes here */
	if (!room_look(room, &state) || state.free_bytes >= state.least_bytes) {
		room->emptied_at = 0;
		if (room->is_short)
			room->o.changed(room->o.arg, NULL);
		room->is_short = false;
		room_again(room, ROOM_LOOK_MS);
		return;
	}
	if (room_make(room, state.least_bytes - state.free_bytes))
		return;
	if (!room->is_short)
		room_say(room, &state);
	room_again(room, ROOM_LOOK_BRISK_MS);
}

struct room *room_new(const struct room_options *options)
{
	if (!options->least_bytes)
		return NULL;
	struct room *room = mem_alloc(sizeof *room);
	room->o = *options;
	room->timer = evtimer_new(options->base, room_tick, room);
	room_again(room, 0);
	return room;
}

void room_free(struct room *room)
{
	if (!room)
		return;
	child_watch_free(room->watch);
	event_free(room->timer);
	free(room);
}
