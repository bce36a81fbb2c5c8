/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which multipart a line belongs to, at a cost that grows with the line and not with
 * the number of multiparts that are open: prefixes of the line are hashed once, and
 * those as long as some boundary are looked up. Used by mime_parser.c alone.
 */
#include "mail/mime.h"

static uint64_t hash_step(uint64_t hash, char byte)
{
	return (hash ^ (uint8_t)byte) * 0x100000001b3u;
}

static const uint64_t hash_of_nothing = 0xcbf29ce484222325u;

static int8_t *chain_of(struct pn_mime_boundaries *boundaries, uint64_t hash)
{
	return &boundaries->chains[(hash >> 32) % PN_MIME_CHAINS];
}

void pn_mime_boundaries_reset(struct pn_mime_boundaries *boundaries)
{
	boundaries->count = 0;
	boundaries->longest = 0;
	memset(boundaries->chains, -1, sizeof(boundaries->chains));
	memset(boundaries->lengths, 0, sizeof(boundaries->lengths));
}

void pn_mime_boundary_push(struct pn_mime_boundaries *boundaries, const struct pn_buffer *text,
                           struct pn_mime_span span, uint32_t level)
{
	struct pn_mime_boundary *boundary = &boundaries->open[boundaries->count];
	uint64_t hash = hash_of_nothing;
	int8_t *chain;

	for (uint32_t index = 0; index < span.size; index++)
		hash = hash_step(hash, text->data[span.offset + index]);
	chain = chain_of(boundaries, hash);
	*boundary = (struct pn_mime_boundary){hash, span, level, *chain};
	*chain = (int8_t)boundaries->count++;
	boundaries->lengths[span.size]++;
	if (span.size > boundaries->longest)
		boundaries->longest = span.size;
}

void pn_mime_boundary_pop(struct pn_mime_boundaries *boundaries, uint32_t level)
{
	while (boundaries->count > 0 && boundaries->open[boundaries->count - 1].level >= level) {
		const struct pn_mime_boundary *last = &boundaries->open[--boundaries->count];

		/* The newest of all is the newest of its chain. */
		*chain_of(boundaries, last->hash) = (int8_t)last->next;
		boundaries->lengths[last->span.size]--;
	}
	while (boundaries->longest > 0 && boundaries->lengths[boundaries->longest] == 0)
		boundaries->longest--;
}

static int look_up(const struct pn_mime_boundaries *boundaries, const struct pn_buffer *text,
                   uint64_t hash, struct pn_slice prefix)
{
	int index = boundaries->chains[(hash >> 32) % PN_MIME_CHAINS];

	while (index >= 0) {
		const struct pn_mime_boundary *boundary = &boundaries->open[index];

		if (boundary->hash == hash && boundary->span.size == prefix.size &&
		    memcmp(text->data + boundary->span.offset, prefix.data, prefix.size) == 0)
			return (int)boundary->level;
		index = boundary->next;
	}
	return -1;
}

int pn_mime_boundary_match(const struct pn_mime_boundaries *boundaries,
                           const struct pn_buffer *text, struct pn_slice line, bool *is_end_out)
{
	struct pn_slice rest;
	uint64_t hash = hash_of_nothing;
	int found = -1;

	if (line.size < 2 || line.data[0] != '-' || line.data[1] != '-')
		return -1;
	rest = pn_slice_make(line.data + 2, line.size - 2);
	/* RFC 2046 section 5.1.1: it is enough that the boundary stands at the beginning. Of
	 * several the longest is meant: one may begin with another. */
	for (size_t size = 1; size <= rest.size && size <= boundaries->longest; size++) {
		int level;

		hash = hash_step(hash, rest.data[size - 1]);
		if (boundaries->lengths[size] == 0)
			continue;
		level = look_up(boundaries, text, hash, pn_slice_make(rest.data, size));
		if (level < 0)
			continue;
		found = level;
		*is_end_out = rest.size >= size + 2 && rest.data[size] == '-' &&
		              rest.data[size + 1] == '-';
	}
	return found;
}
