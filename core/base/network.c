/* SPDX-License-Identifier: Apache-2.0 */
/* Networks, parsed and asked. */
#include "base/network.h"

#include <postern/network.h>
#include <postern/text.h>

#include <arpa/inet.h>
#include <string.h>

static bool parse_address(const char *text, bool *is_ipv6_out, uint8_t address[16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	memset(address, 0, 16);
	*is_ipv6_out = false;
	if (inet_pton(AF_INET, text, address) == 1)
		return true;
	if (inet_pton(AF_INET6, text, address) != 1)
		return false;
	*is_ipv6_out = memcmp(address, mapped, sizeof(mapped)) != 0;
	if (!*is_ipv6_out) {
		memmove(address, address + 12, 4);
		memset(address + 4, 0, 12);
	}
	return true;
}

static bool bit(const uint8_t *address, unsigned index)
{
	return (address[index / 8] >> (7 - index % 8) & 1) != 0;
}

enum pn_status pn_network_parse(const char *text, struct pn_network *network_out,
                                struct pn_error *error)
{
	const char *slash = strchr(text, '/');
	size_t size = slash == NULL ? strlen(text) : (size_t)(slash - text);
	char address[INET6_ADDRSTRLEN];
	unsigned most;
	uint64_t bits;

	if (size >= sizeof(address))
		return pn_fail(error, "\"%s\" is no network: write \"192.0.2.0/24\"", text);
	memcpy(address, text, size);
	address[size] = '\0';
	if (!parse_address(address, &network_out->is_ipv6, network_out->address))
		return pn_fail(error, "\"%s\" is no network: write \"192.0.2.0/24\"", text);
	most = network_out->is_ipv6 ? 128 : 32;
	bits = most;
	if (slash != NULL &&
	    (pn_parse_count(pn_slice_of(slash + 1), &bits) != PN_OK || bits > most))
		return pn_fail(error, "\"%s\": a prefix has 0 to %u bits", text, most);
	network_out->bits = (uint8_t)bits;
	for (unsigned i = (unsigned)bits; i < most; i++) {
		if (bit(network_out->address, i))
			return pn_fail(error, "\"%s\": bits behind the prefix of %u are set", text,
			               (unsigned)bits);
	}
	return PN_OK;
}

bool pn_network_has(const struct pn_network *network, const char *address)
{
	uint8_t bytes[16];
	bool is_ipv6;

	if (!parse_address(address, &is_ipv6, bytes) || is_ipv6 != network->is_ipv6)
		return false;
	for (unsigned i = 0; i < network->bits; i++) {
		if (bit(bytes, i) != bit(network->address, i))
			return false;
	}
	return true;
}

enum pn_status pn_networks_check(const struct pn_text_list *networks, struct pn_error *error)
{
	struct pn_network network;
	enum pn_status status = PN_OK;

	for (size_t i = 0; i < networks->count && status == PN_OK; i++) {
		if (strcmp(networks->items[i], "unix") != 0)
			status = pn_network_parse(networks->items[i], &network, error);
	}
	return status;
}

bool pn_networks_have(const struct pn_text_list *networks, const char *address)
{
	struct pn_network network;
	struct pn_error error;

	for (size_t i = 0; i < networks->count; i++) {
		if (strcmp(networks->items[i], "unix") == 0) {
			if (strcmp(address, "unix") == 0)
				return true;
		} else if (pn_network_parse(networks->items[i], &network, &error) == PN_OK &&
		           pn_network_has(&network, address)) {
			return true;
		}
	}
	return false;
}
