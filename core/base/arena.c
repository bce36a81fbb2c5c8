/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arenas: a list of chunks, the newest first; a chunk is filled from its
 * beginning and given back with all the others. Everybody who handles a session,
 * a transaction or a store call allocates here. One thread at a time.
 *
 * Under AddressSanitizer each allocation is a chunk of its own and of its exact
 * size, so that reading past it, or after a reset, is seen.
 */
#include <postern/arena.h>

#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define ONE_CHUNK_EACH 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ONE_CHUNK_EACH 1
#endif
#endif
#ifndef ONE_CHUNK_EACH
#define ONE_CHUNK_EACH 0
#endif

enum { FIRST_CHUNK_SIZE = 512, LARGEST_CHUNK_SIZE = 65536 };

struct chunk {
	struct chunk *older;
	size_t size; /* bytes behind this struct */
	size_t used;
	_Alignas(max_align_t) char bytes[];
};

struct pn_arena {
	struct chunk *newest;
	size_t used;
};

struct pn_arena *pn_arena_new(void)
{
	struct pn_arena *arena = calloc(1, sizeof(*arena));

	if (arena == NULL)
		pn_assert_failed(__FILE__, __LINE__, "out of memory");
	return arena;
}

void pn_arena_reset(struct pn_arena *arena)
{
	while (arena->newest != NULL) {
		struct chunk *older = arena->newest->older;

		free(arena->newest);
		arena->newest = older;
	}
	arena->used = 0;
}

void pn_arena_free(struct pn_arena **arena)
{
	if (*arena == NULL)
		return;
	pn_arena_reset(*arena);
	free(*arena);
	*arena = NULL;
}

size_t pn_arena_used(const struct pn_arena *arena)
{
	return arena->used;
}

/* A chunk with room for `size` bytes. A large request gets one of its own, behind the newest, whose
 * room stays in use. */
static struct chunk *add_chunk(struct pn_arena *arena, size_t size)
{
	size_t chunk_size = FIRST_CHUNK_SIZE;
	struct chunk *chunk;
	bool is_large;

	if (arena->newest != NULL && arena->newest->size < LARGEST_CHUNK_SIZE)
		chunk_size = 2 * arena->newest->size;
	else if (arena->newest != NULL)
		chunk_size = LARGEST_CHUNK_SIZE;
	is_large = ONE_CHUNK_EACH || size > chunk_size / 2;
	if (is_large)
		chunk_size = size;
	if (chunk_size > PTRDIFF_MAX - sizeof(*chunk))
		pn_assert_failed(__FILE__, __LINE__, "allocation too large");
	chunk = malloc(sizeof(*chunk) + chunk_size);
	if (chunk == NULL)
		pn_assert_failed(__FILE__, __LINE__, "out of memory");
	chunk->size = chunk_size;
	chunk->used = 0;
	if (is_large && arena->newest != NULL) {
		chunk->older = arena->newest->older;
		arena->newest->older = chunk;
	} else {
		chunk->older = arena->newest;
		arena->newest = chunk;
	}
	return chunk;
}

/* Memory that is not zeroed yet. */
static void *allocate(struct pn_arena *arena, size_t size)
{
	const size_t alignment = _Alignof(max_align_t);
	struct chunk *chunk = arena->newest;
	size_t start = 0;

	if (chunk != NULL) {
		start = (chunk->used + alignment - 1) / alignment * alignment;
		if (ONE_CHUNK_EACH || start > chunk->size || size > chunk->size - start)
			chunk = NULL;
	}
	if (chunk == NULL) {
		chunk = add_chunk(arena, size);
		start = 0;
	}
	chunk->used = start + size;
	arena->used += size;
	return chunk->bytes + start;
}

void *pn_arena_allocate(struct pn_arena *arena, size_t size)
{
	return memset(allocate(arena, size), 0, size);
}

void *pn_arena_allocate_array(struct pn_arena *arena, size_t count, size_t element_size)
{
	size_t size;

	if (__builtin_mul_overflow(count, element_size, &size))
		pn_assert_failed(__FILE__, __LINE__, "array too large");
	return pn_arena_allocate(arena, size);
}

struct pn_slice pn_arena_keep(struct pn_arena *arena, struct pn_slice slice)
{
	char *copy;

	pn_assert(slice.size < PTRDIFF_MAX);
	copy = allocate(arena, slice.size + 1);
	if (slice.size > 0)
		memcpy(copy, slice.data, slice.size);
	copy[slice.size] = '\0';
	return pn_slice_make(copy, slice.size);
}

char *pn_arena_keep_text(struct pn_arena *arena, struct pn_slice slice)
{
	return (char *)pn_arena_keep(arena, slice).data;
}

char *pn_arena_print(struct pn_arena *arena, const char *format, ...)
{
	va_list arguments;
	int length;
	char *text;

	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	pn_assert(length >= 0);
	text = allocate(arena, (size_t)length + 1);
	va_start(arguments, format);
	vsnprintf(text, (size_t)length + 1, format, arguments);
	va_end(arguments);
	return text;
}
