/* SPDX-License-Identifier: Apache-2.0 */
/* Lines and bytes from the connection to the server. */
#include "source_imap.h"

#include <string.h>

static enum pn_status fill(struct link *link, struct pn_error *error)
{
	size_t size = 0;

	if (link->at < link->end)
		return PN_OK;
	if (pn_link_read(link->connection, link->in, sizeof(link->in), &size, error) != PN_OK)
		return PN_FAILED;
	link->at = 0;
	link->end = size;
	return PN_OK;
}

enum pn_status link_read_line(struct link *link, struct pn_buffer *line, struct pn_error *error)
{
	size_t start = line->size;

	for (;;) {
		struct pn_slice there;
		const char *end;

		if (fill(link, error) != PN_OK)
			return PN_FAILED;
		there = pn_slice_make(link->in + link->at, link->end - link->at);
		end = memchr(there.data, '\n', there.size);
		if (end != NULL)
			there.size = (size_t)(end - there.data) + 1;
		link->at += there.size;
		if (pn_buffer_append(line, there) != PN_OK)
			return pn_fail(error, "%s sent a line that is too long", link->host);
		if (end == NULL)
			continue;
		line->size--;
		if (line->size > start && line->data[line->size - 1] == '\r')
			line->size--;
		return PN_OK;
	}
}

enum pn_status link_read(struct link *link, struct pn_buffer *bytes, size_t size,
                         struct pn_error *error)
{
	size_t there;

	if (fill(link, error) != PN_OK)
		return PN_FAILED;
	there = link->end - link->at;
	if (there > size)
		there = size;
	if (pn_buffer_append(bytes, pn_slice_make(link->in + link->at, there)) != PN_OK)
		return pn_fail(error, "%s sent more than it said", link->host);
	link->at += there;
	return PN_OK;
}
