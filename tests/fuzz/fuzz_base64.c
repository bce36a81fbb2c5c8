/* SPDX-License-Identifier: Apache-2.0 */
/* Base64, both ways; and bytes as a JSON string, which must stay one clean line. */
#include "fuzz.h"

#include <postern/text.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice text = rest_of(data, size);
	struct pn_buffer first, second;

	pn_buffer_init(&first, SIZE_MAX / 2);
	pn_buffer_init(&second, SIZE_MAX / 2);
	if (pn_base64_decode(&first, text) == PN_OK) {
		require(pn_base64_encode(&second, pn_buffer_slice(&first)) == PN_OK);
		require(pn_slice_equal(pn_buffer_slice(&second), text));
	}
	pn_buffer_clear(&first);
	pn_buffer_clear(&second);
	require(pn_base64_encode(&first, text) == PN_OK);
	require(pn_base64_decode(&second, pn_buffer_slice(&first)) == PN_OK);
	require(pn_slice_equal(pn_buffer_slice(&second), text));
	pn_buffer_clear(&first);
	require(pn_json_append_string(&first, text) == PN_OK);
	for (size_t index = 0; index < first.size; index++)
		require((unsigned char)first.data[index] >= ' ' && first.data[index] != 0x7f);
	pn_buffer_clear(&first);
	pn_buffer_clear(&second);
	return 0;
}
