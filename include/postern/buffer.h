/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one growing buffer. No pointer into it survives a call that appends:
 * the bytes may move. Every buffer has a limit; appending past it fails with
 * PN_LIMIT and leaves the contents as they were.
 */
#ifndef POSTERN_BUFFER_H
#define POSTERN_BUFFER_H

#include <postern/types.h>

struct pn_buffer {
	char *data;
	size_t size;     /* bytes in use */
	size_t capacity; /* bytes allocated */
	size_t limit;    /* bytes it may ever hold; never 0 */
};

PN_DECLARATIONS_BEGIN

/* Prepares an empty buffer that may hold up to `limit` bytes; allocates nothing. */
void pn_buffer_init(struct pn_buffer *buffer, size_t limit);

/* Gives the memory back; the buffer is empty and may be used again. */
void pn_buffer_clear(struct pn_buffer *buffer);

/* Appends bytes. PN_OK or PN_LIMIT. `bytes` must not lie in the buffer. */
PN_MUST_CHECK enum pn_status pn_buffer_append(struct pn_buffer *buffer, struct pn_slice bytes);

/* printf at the end. PN_OK or PN_LIMIT. */
PN_MUST_CHECK enum pn_status pn_buffer_print(struct pn_buffer *buffer, const char *format, ...)
	PN_PRINTF(2, 3);

/*
 * Room for `size` more bytes at the end, to be filled by the caller, who then adds what it wrote
 * to buffer->size. PN_OK or PN_LIMIT.
 */
PN_MUST_CHECK enum pn_status pn_buffer_reserve(struct pn_buffer *buffer, size_t size,
					       char **room_out);

/* Takes `size` bytes (at most buffer->size) off the front. */
void pn_buffer_consume(struct pn_buffer *buffer, size_t size);

PN_DECLARATIONS_END

static inline struct pn_slice pn_buffer_slice(const struct pn_buffer *buffer)
{
	return pn_slice_make(buffer->data, buffer->size);
}

#endif
