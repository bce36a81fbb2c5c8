/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one growing buffer. Its owner appends at the end and consumes at the front;
 * pointers into it die at each append. Built with -DPN_BUFFER_ALWAYS_MOVES every
 * append moves the bytes, so that a sanitizer finds whoever kept one. One thread.
 */
#include <postern/buffer.h>

#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef PN_BUFFER_ALWAYS_MOVES
enum { ALWAYS_MOVES = 1 };
#else
enum { ALWAYS_MOVES = 0 };
#endif

enum { SMALLEST_CAPACITY = 256 };

void pn_buffer_init(struct pn_buffer *buffer, size_t limit)
{
	pn_assert(limit > 0);
	*buffer = (struct pn_buffer){.limit = limit};
}

void pn_buffer_clear(struct pn_buffer *buffer)
{
	free(buffer->data);
	buffer->data = NULL;
	buffer->size = 0;
	buffer->capacity = 0;
}

/* Moves the bytes to a block of `capacity` bytes. */
static void move(struct pn_buffer *buffer, size_t capacity)
{
	char *bytes;

	if (ALWAYS_MOVES) {
		bytes = malloc(capacity);
		if (bytes != NULL && buffer->size > 0)
			memcpy(bytes, buffer->data, buffer->size);
		if (bytes != NULL)
			free(buffer->data);
	} else {
		bytes = realloc(buffer->data, capacity);
	}
	if (bytes == NULL)
		pn_assert_failed(__FILE__, __LINE__, "out of memory");
	buffer->data = bytes;
	buffer->capacity = capacity;
}

enum pn_status pn_buffer_reserve(struct pn_buffer *buffer, size_t size, char **room_out)
{
	size_t needed;
	size_t capacity = buffer->capacity;

	pn_assert(buffer->limit > 0);
	if (buffer->size > buffer->limit || size > buffer->limit - buffer->size)
		return PN_LIMIT;
	needed = buffer->size + size;
	if (needed > capacity) {
		capacity = capacity > buffer->limit / 2 ? buffer->limit : 2 * capacity;
		if (capacity < SMALLEST_CAPACITY)
			capacity = SMALLEST_CAPACITY;
		if (capacity < needed)
			capacity = needed;
	}
	if (ALWAYS_MOVES)
		capacity = needed > 0 ? needed : 1;
	if (capacity != buffer->capacity || (ALWAYS_MOVES && size > 0) || buffer->data == NULL)
		move(buffer, capacity > 0 ? capacity : SMALLEST_CAPACITY);
	*room_out = buffer->data + buffer->size;
	return PN_OK;
}

enum pn_status pn_buffer_append(struct pn_buffer *buffer, struct pn_slice bytes)
{
	char *room;

	if (bytes.size == 0)
		return PN_OK;
	if (pn_buffer_reserve(buffer, bytes.size, &room) != PN_OK)
		return PN_LIMIT;
	memcpy(room, bytes.data, bytes.size);
	buffer->size += bytes.size;
	return PN_OK;
}

enum pn_status pn_buffer_print(struct pn_buffer *buffer, const char *format, ...)
{
	const size_t limit = buffer->limit;
	va_list arguments;
	int length;
	char *room;

	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	pn_assert(length >= 0);
	/* vsnprintf wants room for a NUL that is not part of the contents. */
	if (buffer->size > limit || (size_t)length > limit - buffer->size)
		return PN_LIMIT;
	buffer->limit = limit < SIZE_MAX ? limit + 1 : limit;
	if (pn_buffer_reserve(buffer, (size_t)length + 1, &room) != PN_OK)
		pn_assert_failed(__FILE__, __LINE__, "room was checked");
	buffer->limit = limit;
	va_start(arguments, format);
	vsnprintf(room, (size_t)length + 1, format, arguments);
	va_end(arguments);
	buffer->size += (size_t)length;
	return PN_OK;
}

void pn_buffer_consume(struct pn_buffer *buffer, size_t size)
{
	pn_assert(size <= buffer->size);
	buffer->size -= size;
	if (size > 0 && buffer->size > 0)
		memmove(buffer->data, buffer->data + size, buffer->size);
}
