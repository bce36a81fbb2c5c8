/* SPDX-License-Identifier: Apache-2.0 */
/* Large bodies, gathered in memory. */
#include "store_memory.h"

#include <stdlib.h>
#include <string.h>

struct pn_body_writer {
	char *bytes;
	size_t size;
	size_t capacity;
};

struct pn_slice writer_bytes(const struct pn_body_writer *writer)
{
	return pn_slice_make(writer->bytes, writer->size);
}

enum pn_status memory_body_new(void *instance, struct pn_body_writer **writer_out,
                               struct pn_error *error)
{
	(void)instance;
	*writer_out = calloc(1, sizeof(**writer_out));
	return *writer_out != NULL ? PN_OK : pn_fail(error, "there is no memory for a large body");
}

enum pn_status memory_body_append(void *instance, struct pn_body_writer *writer,
                                  struct pn_slice bytes, struct pn_error *error)
{
	(void)instance;
	if (bytes.size > SIZE_MAX / 4 - writer->size)
		return pn_fail(error, "a body is too large");
	if (writer->size + bytes.size > writer->capacity) {
		size_t capacity = (writer->size + bytes.size) * 2;
		char *larger = realloc(writer->bytes, capacity);

		if (larger == NULL)
			return pn_fail(error, "there is no memory for a large body");
		writer->bytes = larger;
		writer->capacity = capacity;
	}
	if (bytes.size != 0)
		memcpy(writer->bytes + writer->size, bytes.data, bytes.size);
	writer->size += bytes.size;
	return PN_OK;
}

void memory_body_discard(void *instance, struct pn_body_writer *writer)
{
	(void)instance;
	if (writer == NULL)
		return;
	free(writer->bytes);
	free(writer);
}
