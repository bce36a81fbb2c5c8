/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting failed logins: see throttle.h. For each key one moment is kept, which each
 * attempt moves into the future (session/limits.h). A limit of ten in a minute is five at
 * once and one more every twelve seconds: never more than ten.
 */
#include "store/throttle.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "io/digest.h"
#include "store/login.h"

#include <stdio.h>

enum { MINUTE_MS = 60 * 1000 };

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

static struct pn_rate_entry *place_of(uint64_t key, bool is_made)
{
	return pn_rate_place(pn_throttle_table->taken, PN_THROTTLE_SETS, key, is_made);
}

static bool take(uint64_t key, uint32_t limit, uint64_t interval_ms)
{
	const struct pn_rate rate = {.interval = interval_ms, .at_once = limit - limit / 2};

	return pn_rate_take(place_of(key, true), &rate, pn_clock_monotonic_ms());
}

static void give_back(uint64_t key, uint64_t interval_ms)
{
	const struct pn_rate rate = {.interval = interval_ms, .at_once = 1};
	struct pn_rate_entry *entry = place_of(key, false);

	if (entry != NULL)
		pn_rate_give_back(entry, &rate);
}

static struct pn_rate_entry *known_place(uint64_t key, bool is_made)
{
	return pn_rate_place(pn_throttle_table->known, PN_THROTTLE_KNOWN_SETS, key, is_made);
}

static bool is_known(uint64_t key)
{
	const struct pn_rate_entry *entry = known_place(key, false);

	return entry != NULL && atomic_load(&entry->until) > pn_clock_monotonic_ms();
}

const char *pn_throttle_take(const struct pn_login_limits *limits, struct pn_slice account,
                             const char *address, struct pn_throttle_claim *claim_out)
{
	struct pn_throttle_claim claim = {.known_key = 0};
	const uint32_t rates[] = {limits->per_address, limits->per_login, limits->per_account};
	char room[PN_LIMITS_CLIENT_SIZE];
	size_t taken = 0;

	*claim_out = claim;
	if (pn_throttle_table == NULL)
		return NULL;
	address = pn_limits_client(address, room);
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
	if (pn_throttle_table == NULL || claim->known_key == 0)
		return;
	for (size_t i = 0; i < 3; i++) {
		if (claim->keys[i] != 0)
			give_back(claim->keys[i], claim->intervals_ms[i]);
	}
	if (!has_succeeded)
		return;
	atomic_store(&known_place(claim->known_key, true)->until,
	             pn_clock_monotonic_ms() + known_for_ms);
}
