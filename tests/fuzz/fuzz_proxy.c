/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of the PROXY protocol, read as a connection is: no more than was asked for. What is asked
 * for grows, and is never more than a header has; the same bytes say the same, however they come.
 */
#include "fuzz.h"

#include "../../core/io/proxy_header.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice text = exact_copy(rest_of(data, size));
	struct pn_socket_address client = {.size = 0};
	enum pn_proxy_state state = PN_PROXY_MORE;
	size_t need = 0;
	size_t had = 0;

	while (state == PN_PROXY_MORE && had <= text.size) {
		struct pn_slice begun = exact_copy(pn_slice_make(text.data, had));

		state = pn_proxy_take(begun, &need, &client);
		free((void *)(uintptr_t)begun.data);
		if (state != PN_PROXY_MORE)
			break;
		require(need > had && need <= PN_PROXY_MAX);
		had = need;
	}
	if (state == PN_PROXY_CLIENT || state == PN_PROXY_ITSELF) {
		require(had <= text.size && had >= 15);
		require(state == PN_PROXY_ITSELF || client.storage.ss_family == AF_INET ||
		        client.storage.ss_family == AF_INET6);
	}
	free((void *)(uintptr_t)text.data);
	return 0;
}
