/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted: this file is not compiled like those that it counts. */
#include "steps.h"

#include <malloc.h>
#include <string.h>

uint64_t steps;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
	steps++;
}

/* Functions of the library take no branch of ours: what they look at counts. */
void *__real_memcpy(void *to, const void *from, size_t size);
void *__real_memmove(void *to, const void *from, size_t size);
void *__real_memset(void *to, int byte, size_t size);
void *__real_memchr(const void *from, int byte, size_t size);
int __real_memcmp(const void *one, const void *other, size_t size);
void *__real_memmem(const void *hay, size_t size, const void *needle, size_t needle_size);
size_t __real_strlen(const char *text);
void *__real_realloc(void *old, size_t size);
void *__real_calloc(size_t count, size_t size);

void *__wrap_memcpy(void *to, const void *from, size_t size);
void *__wrap_memmove(void *to, const void *from, size_t size);
void *__wrap_memset(void *to, int byte, size_t size);
void *__wrap_memchr(const void *from, int byte, size_t size);
int __wrap_memcmp(const void *one, const void *other, size_t size);
void *__wrap_memmem(const void *hay, size_t size, const void *needle, size_t needle_size);
size_t __wrap_strlen(const char *text);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_memcpy(void *to, const void *from, size_t size)
{
	steps += size / 8;
	return __real_memcpy(to, from, size);
}

void *__wrap_memmove(void *to, const void *from, size_t size)
{
	steps += size / 8;
	return __real_memmove(to, from, size);
}

void *__wrap_memset(void *to, int byte, size_t size)
{
	steps += size / 8;
	return __real_memset(to, byte, size);
}

void *__wrap_memchr(const void *from, int byte, size_t size)
{
	const char *found = __real_memchr(from, byte, size);

	steps += (found == NULL ? size : (size_t)(found - (const char *)from)) / 8;
	return (void *)(uintptr_t)found;
}

int __wrap_memcmp(const void *one, const void *other, size_t size)
{
	const unsigned char *left = one, *right = other;
	size_t same = 0;

	while (same < size && left[same] == right[same])
		same++;
	steps += same / 8;
	return same == size ? 0 : left[same] - right[same];
}

void *__wrap_memmem(const void *hay, size_t size, const void *needle, size_t needle_size)
{
	const char *found = __real_memmem(hay, size, needle, needle_size);

	steps += (found == NULL ? size : (size_t)(found - (const char *)hay)) / 8;
	return (void *)(uintptr_t)found;
}

size_t __wrap_strlen(const char *text)
{
	size_t size = __real_strlen(text);

	steps += size / 8;
	return size;
}

void *__wrap_realloc(void *old, size_t size)
{
	steps += old == NULL ? 0 : malloc_usable_size(old) / 8;
	return __real_realloc(old, size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	steps += count * size / 8;
	return __real_calloc(count, size);
}
