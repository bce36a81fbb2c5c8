/* SPDX-License-Identifier: Apache-2.0 */
/* Envelope paths and xtext: what comes out is canonical, and parses to itself. */
#include "fuzz.h"

#include <postern/address.h>
#include <postern/text.h>

static void check_address(const struct pn_address *address, struct pn_arena *arena)
{
	struct pn_address again;

	for (size_t index = 0; index < address->text.size; index++)
		require((unsigned char)address->text.data[index] >= ' ' &&
		        address->text.data[index] != 0x7f);
	require(address->local_part.size <= PN_LOCAL_PART_MAX);
	if (address->domain.size == 0)
		return;
	require(pn_address_parse(address->text, address->is_utf8, arena, &again) == PN_OK);
	require(pn_slice_equal(again.text, address->text));
	require(pn_slice_equal(again.local_part, address->local_part));
	require(pn_slice_equal(again.domain, address->domain));
	require(address->domain.data[0] == '[' ||
	        pn_domain_is_valid(address->domain, address->is_utf8));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool allow_utf8 = take_byte(&data, &size) % 2 == 1;
	struct pn_slice text = rest_of(data, size);
	struct pn_slice rest = text;
	struct pn_arena *arena = pn_arena_new();
	struct pn_address address;
	struct pn_slice decoded;

	if (pn_path_parse(&rest, allow_utf8, arena, &address) == PN_OK) {
		require(text.size - rest.size <= PN_PATH_MAX);
		check_address(&address, arena);
	}
	if (pn_address_parse(text, allow_utf8, arena, &address) == PN_OK)
		check_address(&address, arena);
	if (pn_xtext_decode(arena, text, &decoded) == PN_OK)
		require(decoded.size <= text.size);
	require(pn_xtext_decode(arena, pn_xtext_encode(arena, text), &decoded) == PN_OK);
	require(pn_slice_equal(decoded, text));
	pn_arena_free(&arena);
	return 0;
}
