/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arenas: memory that is given back all at once. A session has one, each
 * transaction has one, each store call has one; a module rarely needs its own.
 *
 * Small bounded requests never fail: out of memory ends the process, because
 * branches that nobody tests are worse. What a stranger can size is limited
 * before it comes here. An arena belongs to one thread at a time.
 */
#ifndef POSTERN_ARENA_H
#define POSTERN_ARENA_H

#include <postern/types.h>

PN_DECLARATIONS_BEGIN

/* A new, empty arena; takes no memory before the first allocation. Free with pn_arena_free. */
struct pn_arena *pn_arena_new(void);

/* Gives everything back and sets *arena to NULL. NULL inside is fine. */
void pn_arena_free(struct pn_arena **arena);

/* Gives everything back but keeps the arena. All pointers into it are dead. */
void pn_arena_reset(struct pn_arena *arena);

/* Bytes handed out since the last reset. */
size_t pn_arena_used(const struct pn_arena *arena);

/* Zeroed memory, aligned for any type. Size 0 gives a valid pointer. */
void *pn_arena_allocate(struct pn_arena *arena, size_t size);

/* Zeroed memory for count elements; a product that overflows ends the process. */
void *pn_arena_allocate_array(struct pn_arena *arena, size_t count, size_t element_size);

/* A copy of the bytes, with a NUL behind it that the slice does not count. */
struct pn_slice pn_arena_keep(struct pn_arena *arena, struct pn_slice slice);

/* The same, as a C string (bytes after an embedded NUL are not visible through it). */
char *pn_arena_keep_text(struct pn_arena *arena, struct pn_slice slice);

/* printf into the arena. */
char *pn_arena_print(struct pn_arena *arena, const char *format, ...) PN_PRINTF(2, 3);

PN_DECLARATIONS_END

#define PN_ARENA_NEW(arena, type) ((type *)pn_arena_allocate(arena, sizeof(type)))
#define PN_ARENA_ARRAY(arena, count, type)                                                         \
	((type *)pn_arena_allocate_array(arena, count, sizeof(type)))

#endif
