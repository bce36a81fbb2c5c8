/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: the n-th call that makes a descriptor, in one process, fails as if
 * there were none left. Process and n are in the file DESCRIPTORS_FILE, which a test changes while
 * the program runs, and where it finds how many calls there were.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
	_Atomic int process;
	_Atomic int fails_at; /* 0: none */
	_Atomic int calls;
} * told;

__attribute__((constructor)) static void map_file(void)
{
	const char *path = getenv("DESCRIPTORS_FILE");
	int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	void *memory;

	if (file < 0)
		return;
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (memory != MAP_FAILED)
		told = memory;
}

/* Whether this call is the one. */
static bool fails(void)
{
	int call;

	if (told == NULL || atomic_load(&told->process) != getpid())
		return false;
	call = atomic_fetch_add(&told->calls, 1) + 1;
	if (call != atomic_load(&told->fails_at))
		return false;
	errno = EMFILE;
	return true;
}

#define REAL(type, name)                                                                           \
	static __typeof__(type) *real;                                                             \
	if (real == NULL)                                                                          \
		*(void **)&real = dlsym(RTLD_NEXT, name);

static mode_t mode_of(int flags, va_list arguments)
{
	return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(name)                                                                                 \
	int name(const char *path, int flags, ...)                                                 \
	{                                                                                          \
		va_list arguments;                                                                 \
		mode_t mode;                                                                       \
		REAL(int(const char *, int, ...), #name)                                           \
		va_start(arguments, flags);                                                        \
		mode = mode_of(flags, arguments);                                                  \
		va_end(arguments);                                                                 \
		return fails() ? -1 : real(path, flags, mode);                                     \
	}

#define OPENAT(name)                                                                               \
	int name(int directory, const char *path, int flags, ...)                                  \
	{                                                                                          \
		va_list arguments;                                                                 \
		mode_t mode;                                                                       \
		REAL(int(int, const char *, int, ...), #name)                                      \
		va_start(arguments, flags);                                                        \
		mode = mode_of(flags, arguments);                                                  \
		va_end(arguments);                                                                 \
		return fails() ? -1 : real(directory, path, flags, mode);                          \
	}

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int __open_2(const char *path, int flags)
{
	return open(path, flags);
}

int __open64_2(const char *path, int flags)
{
	return open(path, flags);
}

int __openat_2(int directory, const char *path, int flags)
{
	return openat(directory, path, flags);
}

int __openat64_2(int directory, const char *path, int flags)
{
	return openat(directory, path, flags);
}

FILE *fopen(const char *path, const char *mode)
{
	REAL(FILE * (const char *, const char *), "fopen")
	return fails() ? NULL : real(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
	REAL(FILE * (const char *, const char *), "fopen64")
	return fails() ? NULL : real(path, mode);
}

DIR *opendir(const char *path)
{
	REAL(DIR * (const char *), "opendir")
	return fails() ? NULL : real(path);
}

int socket(int domain, int type, int protocol)
{
	REAL(int(int, int, int), "socket")
	return fails() ? -1 : real(domain, type, protocol);
}

int accept4(int descriptor, struct sockaddr *address, socklen_t *size, int flags)
{
	REAL(int(int, struct sockaddr *, socklen_t *, int), "accept4")
	return fails() ? -1 : real(descriptor, address, size, flags);
}

int dup(int descriptor)
{
	REAL(int(int), "dup")
	return fails() ? -1 : real(descriptor);
}

int pipe2(int ends[2], int flags)
{
	REAL(int(int *, int), "pipe2")
	return fails() ? -1 : real(ends, flags);
}

int eventfd(unsigned value, int flags)
{
	REAL(int(unsigned, int), "eventfd")
	return fails() ? -1 : real(value, flags);
}

int epoll_create1(int flags)
{
	REAL(int(int), "epoll_create1")
	return fails() ? -1 : real(flags);
}

int memfd_create(const char *name, unsigned flags)
{
	REAL(int(const char *, unsigned), "memfd_create")
	return fails() ? -1 : real(name, flags);
}
