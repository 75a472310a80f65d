/*
 * Calls that fail where a test wants them to: a library that a test puts before the others (LD_PRELOAD); no program is
 * linked with it. tests/faults/inject.py is its other end.
 *
 * INJECT_FILE is mapped by the program that INJECT_PROGRAM names and by all that it forks: they count their calls of
 * each kind in there, and the at-th one of one kind fails, or that one and all after it. What a program logs
 * (descriptor 2) is let through. A short read or write is one of a single byte, where the kernel may do that: files,
 * pipes, streams. What the programs die of is noted as well.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum call { CALL_MALLOC, CALL_READ, CALL_WRITE, CALL_CONNECT, CALL_FSYNC, CALLS };

struct injection {
	uint64_t counts[CALLS]; /* made so far */
	uint64_t hits;          /* failed so far */
	uint64_t at;            /* the first that is to fail; 0: none */
	uint32_t call, how;     /* how: an errno, 0: short */
	uint32_t is_on;         /* all after it, too */
	uint32_t is_over;       /* no more */
	uint32_t died_of;       /* the signal */
	char died[32];          /* who that was */
	char first[216];        /* where the first hit was */
};

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);

static struct injection *injection;

static void inject_died(int number)
{
	char name[16] = "";
	prctl(PR_GET_NAME, name);
	injection->died_of = (uint32_t)number;
	snprintf(injection->died, sizeof injection->died, "%s[%d]", name, (int)getpid());
	signal(number, SIG_DFL);
	raise(number);
}

__attribute__((constructor)) static void inject_start(void)
{
	const int deadly[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	const char *path = getenv("INJECT_FILE"), *program = getenv("INJECT_PROGRAM");
	if (!path || !program || strcmp(program, program_invocation_short_name) != 0)
		return;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *at = mmap(NULL, sizeof *injection, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || at == MAP_FAILED)
		_exit(99);
	close(fd);
	for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
		signal(deadly[i], inject_died);
	injection = at;
}

static void inject_note(enum call call, int fd, const void *caller)
{
	static const char *const names[] = { "malloc", "read", "write", "connect", "fsync" };
	char name[16] = "", link[32], target[96] = "";
	Dl_info from = { 0 };
	prctl(PR_GET_NAME, name);
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	if (fd >= 0 && syscall(SYS_readlink, link, target, sizeof target - 1) < 0)
		target[0] = '\0';
	const char *library = dladdr(caller, &from) && from.dli_fname ? from.dli_fname : "?";
	const char *slash = strrchr(library, '/');
	snprintf(injection->first, sizeof injection->first, "%s: %s %s by %.40s+0x%zx", name, names[call], target,
		 slash ? slash + 1 : library, (size_t)((const char *)caller - (const char *)from.dli_fbase));
}

static bool inject_can_be_short(int fd)
{
	struct stat st;
	int type = 0;
	socklen_t len = sizeof type;
	if (fstat(fd, &st) != 0)
		return false;
	if (S_ISSOCK(st.st_mode))
		return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
	return S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode);
}

/* Whether this one fails; no disk is behind what is no file. */
static bool inject_hits(enum call call, int fd, const void *caller)
{
	struct stat st;
	if (!injection || fd == STDERR_FILENO)
		return false;
	uint64_t number = __atomic_add_fetch(&injection->counts[call], 1, __ATOMIC_SEQ_CST);
	if (injection->is_over || !injection->at || injection->call != (uint32_t)call || number < injection->at ||
	    (number > injection->at && !injection->is_on))
		return false;
	if (call != CALL_MALLOC && !injection->how && !inject_can_be_short(fd))
		return false;
	if (injection->how == ENOSPC && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)))
		return false;
	if (__atomic_add_fetch(&injection->hits, 1, __ATOMIC_SEQ_CST) == 1)
		inject_note(call, fd, caller);
	errno = (int)injection->how;
	return true;
}

#define HITS(call, fd) inject_hits(call, fd, __builtin_return_address(0))
#define IS_SHORT       (injection->how == 0)

void *malloc(size_t size)
{
	return HITS(CALL_MALLOC, -1) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return HITS(CALL_MALLOC, -1) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
	return HITS(CALL_MALLOC, -1) ? NULL : __libc_realloc(p, size);
}

/* One that fails, or is cut to a byte; FULL is the call as it is, ONE of a single byte. */
#define INJECT(call, fd, len, full, one)                                                                               \
	do {                                                                                                           \
		if (HITS(call, fd)) {                                                                                  \
			if (!IS_SHORT)                                                                                 \
				return -1;                                                                             \
			return (len) ? (ssize_t)(one) : (ssize_t)0;                                                    \
		}                                                                                                      \
		return (ssize_t)(full);                                                                                \
	} while (0)

#define READ(fd, data, n)  syscall(SYS_read, fd, data, n)
#define WRITE(fd, data, n) syscall(SYS_write, fd, data, n)

ssize_t read(int fd, void *data, size_t len)
{
	INJECT(CALL_READ, fd, len, READ(fd, data, len), READ(fd, data, 1));
}

ssize_t __read_chk(int fd, void *data, size_t len, size_t room);
ssize_t __read_chk(int fd, void *data, size_t len, size_t room)
{
	(void)room;
	INJECT(CALL_READ, fd, len, READ(fd, data, len), READ(fd, data, 1));
}

ssize_t pread(int fd, void *data, size_t len, off_t at)
{
	INJECT(CALL_READ, fd, len, syscall(SYS_pread64, fd, data, len, at), syscall(SYS_pread64, fd, data, 1, at));
}
ssize_t pread64(int fd, void *data, size_t len, off_t at) __attribute__((alias("pread")));

ssize_t __pread_chk(int fd, void *data, size_t len, off_t at, size_t room);
ssize_t __pread_chk(int fd, void *data, size_t len, off_t at, size_t room)
{
	(void)room;
	INJECT(CALL_READ, fd, len, syscall(SYS_pread64, fd, data, len, at), syscall(SYS_pread64, fd, data, 1, at));
}
ssize_t __pread64_chk(int fd, void *data, size_t len, off_t at, size_t room) __attribute__((alias("__pread_chk")));

ssize_t readv(int fd, const struct iovec *parts, int count)
{
	INJECT(CALL_READ, fd, count, syscall(SYS_readv, fd, parts, count), READ(fd, parts[0].iov_base, 1));
}

ssize_t recv(int fd, void *data, size_t len, int flags)
{
	INJECT(CALL_READ, fd, len, syscall(SYS_recvfrom, fd, data, len, flags, NULL, NULL),
	       syscall(SYS_recvfrom, fd, data, 1, flags, NULL, NULL));
}

ssize_t __recv_chk(int fd, void *data, size_t len, size_t room, int flags);
ssize_t __recv_chk(int fd, void *data, size_t len, size_t room, int flags)
{
	(void)room;
	INJECT(CALL_READ, fd, len, syscall(SYS_recvfrom, fd, data, len, flags, NULL, NULL),
	       syscall(SYS_recvfrom, fd, data, 1, flags, NULL, NULL));
}

ssize_t write(int fd, const void *data, size_t len)
{
	INJECT(CALL_WRITE, fd, len, WRITE(fd, data, len), WRITE(fd, data, 1));
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
	INJECT(CALL_WRITE, fd, len, syscall(SYS_pwrite64, fd, data, len, at), syscall(SYS_pwrite64, fd, data, 1, at));
}
ssize_t pwrite64(int fd, const void *data, size_t len, off_t at) __attribute__((alias("pwrite")));

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	INJECT(CALL_WRITE, fd, count, syscall(SYS_writev, fd, parts, count), WRITE(fd, parts[0].iov_base, 1));
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	INJECT(CALL_WRITE, fd, len, syscall(SYS_sendto, fd, data, len, flags, NULL, 0),
	       syscall(SYS_sendto, fd, data, 1, flags, NULL, 0));
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	return HITS(CALL_CONNECT, fd) ? -1 : (int)syscall(SYS_connect, fd, address, len);
}

int fsync(int fd)
{
	return HITS(CALL_FSYNC, fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return HITS(CALL_FSYNC, fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}
