/* SPDX-License-Identifier: Apache-2.0 */
/* Limits by address, account and tenant: see limits.h. */
#include "session/limits.h"

#include <postern/clock.h>
#include <postern/network.h>
#include <postern/text.h>

#include "io/digest.h"
#include "session/session.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { KEY_TEXT_MAX = 1024 };

static const uint64_t minute_us = 60 * 1000 * 1000;

struct pn_rate_table *pn_rate_table;
const uint8_t *pn_limits_secret;

const char *pn_limits_client(const char *address, char room[PN_LIMITS_CLIENT_SIZE])
{
	struct in6_addr bytes;

	if (inet_pton(AF_INET6, address, &bytes) != 1 || IN6_IS_ADDR_V4MAPPED(&bytes))
		return address;
	memset(bytes.s6_addr + 8, 0, 8);
	return inet_ntop(AF_INET6, &bytes, room, PN_LIMITS_CLIENT_SIZE);
}

static char lower(char byte)
{
	return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
}

uint64_t pn_limits_key(const char *kind, struct pn_slice name)
{
	static const uint8_t zeros[PN_LIMITS_SECRET_SIZE];
	const uint8_t *secret = pn_limits_secret != NULL ? pn_limits_secret : zeros;
	uint8_t digest[PN_DIGEST_MAX];
	char text[KEY_TEXT_MAX];
	size_t size = strlen(kind) + 1;
	uint64_t key;

	memcpy(text, kind, size);
	for (size_t i = 0; i < name.size && size < sizeof(text); i++)
		text[size++] = lower(name.data[i]);
	pn_hmac(PN_DIGEST_SHA256, pn_slice_make((const char *)secret, PN_LIMITS_SECRET_SIZE),
	        pn_slice_make(text, size), digest);
	memcpy(&key, digest, sizeof(key));
	return key == 0 ? 1 : key;
}

/* ---- rates ---- */

struct pn_rate_entry *pn_rate_place(struct pn_rate_entry *entries, size_t sets, uint64_t key,
                                    bool is_made)
{
	struct pn_rate_entry *set = &entries[key % sets * PN_RATE_WAYS];
	struct pn_rate_entry *oldest = set;

	for (size_t i = 0; i < PN_RATE_WAYS; i++) {
		if (atomic_load(&set[i].key) == key)
			return &set[i];
		if (atomic_load(&set[i].until) < atomic_load(&oldest->until))
			oldest = &set[i];
	}
	if (!is_made)
		return NULL;
	atomic_store(&oldest->until, 0);
	atomic_store(&oldest->key, key);
	return oldest;
}

bool pn_rate_take(struct pn_rate_entry *entry, const struct pn_rate *rate, uint64_t now)
{
	uint64_t until = atomic_load(&entry->until);
	uint64_t begin;

	do {
		begin = until > now ? until : now;
		if (begin - now > (rate->at_once - 1) * rate->interval)
			return false;
	} while (!atomic_compare_exchange_weak(&entry->until, &until, begin + rate->interval));
	return true;
}

uint64_t pn_rate_reserve(struct pn_rate_entry *entry, const struct pn_rate *rate, uint64_t now)
{
	uint64_t free_of_charge = (rate->at_once - 1) * rate->interval;
	uint64_t until = atomic_load(&entry->until);
	uint64_t begin;

	do
		begin = until > now ? until : now;
	while (!atomic_compare_exchange_weak(&entry->until, &until, begin + rate->interval));
	return begin - now > free_of_charge ? begin - now - free_of_charge : 0;
}

void pn_rate_give_back(struct pn_rate_entry *entry, const struct pn_rate *rate)
{
	uint64_t until = atomic_load(&entry->until);

	while (until >= rate->interval &&
	       !atomic_compare_exchange_weak(&entry->until, &until, until - rate->interval))
		;
}

/* ---- sessions ---- */

static struct pn_rate per_minute(uint32_t limit)
{
	return (struct pn_rate){.interval = minute_us / (limit / 2), .at_once = limit - limit / 2};
}

static uint64_t now_us(void)
{
	return pn_clock_monotonic_ns() / 1000;
}

static struct pn_rate_entry *rate_of(uint64_t key)
{
	return pn_rate_place(pn_rate_table->entries, PN_RATE_SETS, key, true);
}

static uint32_t count(uint64_t key, int change)
{
	return pn_session_world.count == NULL ? 0 : pn_session_world.count(key, change);
}

const char *pn_limits_enter(const struct pn_session_limits *limits, const char *address,
                            uint64_t *key_out, bool *is_rated_out)
{
	char room[PN_LIMITS_CLIENT_SIZE];
	uint64_t key = pn_limits_key("address", pn_slice_of(pn_limits_client(address, room)));
	bool is_rated = pn_rate_table != NULL && !pn_networks_have(&limits->not_rated, address);

	if (count(key, 1) > limits->per_address) {
		count(key, -1);
		return "too many connections from your address";
	}
	if (is_rated) {
		const struct pn_rate rate = per_minute(limits->new_per_address);

		if (!pn_rate_take(rate_of(key), &rate, now_us())) {
			count(key, -1);
			return "your address connects too often, come again in a minute";
		}
	}
	*key_out = key;
	*is_rated_out = is_rated;
	return NULL;
}

void pn_limits_leave(uint64_t *key)
{
	if (*key != 0)
		count(*key, -1);
	*key = 0;
}

/* Whose share it takes: the domain of who authenticated, as in the queue. */
static struct pn_slice tenant_of(struct pn_slice identity)
{
	size_t at = identity.size;

	while (at > 0 && identity.data[at - 1] != '@')
		at--;
	return at == 0 ? PN_SLICE_NONE : pn_slice_behind(identity, at);
}

const char *pn_limits_login(struct pn_session *session, struct pn_slice account)
{
	const struct pn_session_limits *limits = &session->generation->session_limits;
	struct pn_slice tenant = tenant_of(session->identity);

	pn_limits_leave(&session->account_key);
	pn_limits_leave(&session->tenant_key);
	session->account_key = pn_limits_key("account", account);
	if (count(session->account_key, 1) > limits->per_account) {
		pn_limits_leave(&session->account_key);
		return "too many connections of this account";
	}
	if (tenant.size == 0)
		return NULL;
	session->tenant_key = pn_limits_key("tenant", tenant);
	if (count(session->tenant_key, 1) > limits->per_tenant) {
		pn_limits_leave(&session->account_key);
		pn_limits_leave(&session->tenant_key);
		return "too many connections of this domain";
	}
	return NULL;
}

void pn_limits_forget(struct pn_session *session)
{
	pn_limits_leave(&session->address_key);
	pn_limits_leave(&session->account_key);
	pn_limits_leave(&session->tenant_key);
}

uint64_t pn_limits_command(struct pn_session *session)
{
	struct pn_rate rate;

	if (!session->is_rated)
		return 0;
	rate = per_minute(session->generation->session_limits.commands_per_address);
	/* Another key than that of new sessions. */
	return pn_rate_reserve(rate_of(~session->address_key), &rate, now_us()) / 1000;
}
