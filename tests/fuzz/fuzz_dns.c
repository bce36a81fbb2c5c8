/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data of DNS records as they come off the wire: the first byte picks the type. Names that come
 * out are clean, and texts are no longer than what came in.
 */
#include "fuzz.h"

#include "../../core/io/resolver.c"

static const enum pn_dns_type types[] = {PN_DNS_A,   PN_DNS_AAAA, PN_DNS_MX,   PN_DNS_NS,
                                         PN_DNS_TXT, PN_DNS_SRV,  PN_DNS_TLSA, PN_DNS_PTR};

static void check_name(struct pn_slice name)
{
	require(name.size < 256);
	for (size_t i = 0; i < name.size; i++)
		require(name.data[i] > ' ' && name.data[i] < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum pn_dns_type type = types[take_byte(&data, &size) % (sizeof(types) / sizeof(types[0]))];
	struct pn_slice wire = exact_copy(rest_of(data, size));
	struct pn_arena *arena = pn_arena_new();
	struct pn_dns_record record = {.priority = 0};

	if (read_record(arena, type, wire, &record)) {
		require(record.value.size <= wire.size || type == PN_DNS_A || type == PN_DNS_AAAA);
		if (type != PN_DNS_TXT && type != PN_DNS_TLSA)
			check_name(record.value);
	}
	pn_arena_free(&arena);
	free((void *)(uintptr_t)wire.data);
	return 0;
}
