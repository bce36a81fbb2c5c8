/* SPDX-License-Identifier: Apache-2.0 */
/* U-labels to A-labels, by libidn2. */
#include <postern/address.h>

#include <postern/address.h>

#include <idn2.h>

struct pn_slice pn_domain_to_ascii(struct pn_arena *arena, struct pn_slice domain)
{
	char *ascii = NULL;
	struct pn_slice result = PN_SLICE_NONE;

	if (pn_domain_is_valid(domain, false))
		return pn_arena_keep(arena, domain);
	if (!pn_domain_is_valid(domain, true))
		return PN_SLICE_NONE;
	if (idn2_to_ascii_8z(pn_arena_keep_text(arena, domain), &ascii,
	                     IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK &&
	    pn_domain_is_valid(pn_slice_make(ascii, strlen(ascii)), false))
		result =
			pn_slice_of(pn_arena_keep_text(arena, pn_slice_make(ascii, strlen(ascii))));
	idn2_free(ascii);
	return result;
}
