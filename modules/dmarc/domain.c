/* SPDX-License-Identifier: Apache-2.0 */
/* Domains and their organizations, RFC 7489 section 3.2, with the list of public suffixes. Pure. */
#include <postern/text.h>

#include "dmarc.h"

#include <libpsl.h>

struct pn_slice dmarc_domain(struct pn_slice text, struct pn_arena *arena)
{
	char *room;
	size_t label = 0;

	if (text.size > 0 && text.data[text.size - 1] == '.')
		text.size--;
	if (text.size == 0 || text.size > 253)
		return PN_SLICE_NONE;
	room = pn_arena_allocate(arena, text.size + 1);
	for (size_t i = 0; i < text.size; i++) {
		char byte = text.data[i];

		if (byte >= 'A' && byte <= 'Z')
			byte = (char)(byte + 32);
		room[i] = byte;
		if (byte == '.' && label > 0) {
			label = 0;
			continue;
		}
		if (!((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' ||
		      byte == '_') ||
		    ++label > 63)
			return PN_SLICE_NONE;
	}
	return label == 0 ? PN_SLICE_NONE : pn_slice_make(room, text.size);
}

struct pn_slice dmarc_organization(struct pn_slice domain, struct pn_arena *arena)
{
	const char *found =
		psl_registrable_domain(psl_builtin(), pn_arena_keep_text(arena, domain));

	return found == NULL ? domain : pn_arena_keep(arena, pn_slice_of(found));
}
