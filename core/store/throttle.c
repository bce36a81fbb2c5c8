/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting failed logins: see throttle.h. For each key one moment is kept, which each
 * attempt moves into the future (the generic cell rate algorithm). A limit of ten in a
 * minute is five at once and one more every twelve seconds: never more than ten.
 */
#include "store/throttle.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "io/digest.h"
#include "store/login.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { MINUTE_MS = 60 * 1000, ADDRESS_ROOM = 64 };

static const uint64_t known_for_ms = UINT64_C(30) * 24 * 3600 * 1000;

struct pn_throttle_table *pn_throttle_table;

/* Nobody can choose names that meet in one place: the key is secret. */
static uint64_t key_of(const char *kind, struct pn_slice account, const char *address)
{
	char text[1024];
	uint8_t digest[PN_DIGEST_MAX];
	uint64_t key;
	int size =
		snprintf(text, sizeof(text), "%s %s %.*s", kind, address, PN_SLICE_ARGS(account));

	if (size < 0 || (size_t)size >= sizeof(text))
		size = (int)sizeof(text) - 1;
	pn_hmac(PN_DIGEST_SHA256, pn_slice_make((const char *)pn_login_key, PN_LOGIN_KEY_SIZE),
	        pn_slice_make(text, (size_t)size), digest);
	memcpy(&key, digest, sizeof(key));
	return key == 0 ? 1 : key;
}

/* An IPv6 customer has a /64 at least, and all of it is one. */
static const char *shortened(const char *address, char room[ADDRESS_ROOM])
{
	struct in6_addr bytes;

	if (inet_pton(AF_INET6, address, &bytes) != 1 || IN6_IS_ADDR_V4MAPPED(&bytes))
		return address;
	memset(bytes.s6_addr + 8, 0, 8);
	return inet_ntop(AF_INET6, &bytes, room, ADDRESS_ROOM);
}

/* The place of a key: its own; else one whose time is over, or would be first. NULL: not there, and
 * `is_made` is false. */
static struct pn_throttle_entry *place_of(struct pn_throttle_entry *entries, size_t sets,
                                          uint64_t key, bool is_made)
{
	struct pn_throttle_entry *set = &entries[key % sets * PN_THROTTLE_WAYS];
	struct pn_throttle_entry *oldest = set;

	for (size_t i = 0; i < PN_THROTTLE_WAYS; i++) {
		if (atomic_load(&set[i].key) == key)
			return &set[i];
		if (atomic_load(&set[i].until_ms) < atomic_load(&oldest->until_ms))
			oldest = &set[i];
	}
	if (!is_made)
		return NULL;
	atomic_store(&oldest->until_ms, 0);
	atomic_store(&oldest->key, key);
	return oldest;
}

static bool take(uint64_t key, uint32_t limit, uint64_t interval_ms)
{
	struct pn_throttle_entry *entry =
		place_of(pn_throttle_table->taken, PN_THROTTLE_SETS, key, true);
	uint64_t at_once = limit - limit / 2;
	uint64_t now = pn_clock_monotonic_ms();
	uint64_t until = atomic_load(&entry->until_ms);
	uint64_t begin;

	do {
		begin = until > now ? until : now;
		if (begin - now > (at_once - 1) * interval_ms)
			return false;
	} while (!atomic_compare_exchange_weak(&entry->until_ms, &until, begin + interval_ms));
	return true;
}

static void give_back(uint64_t key, uint64_t interval_ms)
{
	struct pn_throttle_entry *entry =
		place_of(pn_throttle_table->taken, PN_THROTTLE_SETS, key, false);
	uint64_t until;

	if (entry == NULL)
		return;
	until = atomic_load(&entry->until_ms);
	while (until >= interval_ms &&
	       !atomic_compare_exchange_weak(&entry->until_ms, &until, until - interval_ms))
		;
}

static bool is_known(uint64_t key)
{
	const struct pn_throttle_entry *entry =
		place_of(pn_throttle_table->known, PN_THROTTLE_KNOWN_SETS, key, false);

	return entry != NULL && atomic_load(&entry->until_ms) > pn_clock_monotonic_ms();
}

const char *pn_throttle_take(const struct pn_login_limits *limits, struct pn_slice account,
                             const char *address, struct pn_throttle_claim *claim_out)
{
	struct pn_throttle_claim claim = {.known_key = 0};
	const uint32_t rates[] = {limits->per_address, limits->per_login, limits->per_account};
	char room[ADDRESS_ROOM];
	size_t taken = 0;

	*claim_out = claim;
	if (pn_throttle_table == NULL)
		return NULL;
	address = shortened(address, room);
	claim.known_key = key_of("known", account, address);
	claim.keys[0] = key_of("address", PN_SLICE_NONE, address);
	claim.keys[1] = key_of("login", account, address);
	claim.keys[2] = is_known(claim.known_key) ? 0 : key_of("account", account, "");
	for (; taken < 3; taken++) {
		claim.intervals_ms[taken] = MINUTE_MS / (rates[taken] / 2);
		if (claim.keys[taken] != 0 &&
		    !take(claim.keys[taken], rates[taken], claim.intervals_ms[taken]))
			break;
	}
	if (taken == 3) {
		*claim_out = claim;
		return NULL;
	}
	/* What was not judged was no guess. */
	while (taken-- > 0)
		give_back(claim.keys[taken], claim.intervals_ms[taken]);
	return "too many failed logins, come again in a minute";
}

void pn_throttle_give_back(const struct pn_throttle_claim *claim, bool has_succeeded)
{
	struct pn_throttle_entry *known;

	if (pn_throttle_table == NULL || claim->known_key == 0)
		return;
	for (size_t i = 0; i < 3; i++) {
		if (claim->keys[i] != 0)
			give_back(claim->keys[i], claim->intervals_ms[i]);
	}
	if (!has_succeeded)
		return;
	known = place_of(pn_throttle_table->known, PN_THROTTLE_KNOWN_SETS, claim->known_key, true);
	atomic_store(&known->until_ms, pn_clock_monotonic_ms() + known_for_ms);
}
