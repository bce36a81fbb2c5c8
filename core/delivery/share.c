/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all queue workers together have of a site: its limits are meant for the gateway, and domains
 * with the same servers may be dealt out to several workers. Each counts its connections where the
 * others can read them; who finds the place full says that it waits, and those who have more than
 * their part, or have had their turn, give way. Loop thread.
 */
#include "delivery/scheduler.h"

#include <postern/clock.h>

#include "session/limits.h"
#include "session/session.h"

enum {
	ASK_AGAIN_MS = 100,
	GIVES_WAY_MS = 3 * ASK_AGAIN_MS, /* long enough that who waits has asked again */
	TURN_MESSAGES = 20,
};

static uint32_t count(uint64_t key, int change)
{
	return pn_session_world.count == NULL ? 0 : pn_session_world.count(key, change);
}

/* The one queue worker: nobody to share with, but for a moment while it is replaced. */
static bool is_alone(void)
{
	return pn_scheduler.count < 2;
}

void pn_share_init(struct site *site)
{
	site->share_key = pn_limits_key("site", site->key);
	site->waiting_key = pn_limits_key("site waits", site->key);
}

static void set_waiting(struct site *site, bool waits)
{
	if (site->waits_for_share == waits)
		return;
	site->waits_for_share = waits;
	count(site->waiting_key, waits ? 1 : -1);
}

static bool do_others_wait(const struct site *site)
{
	return count(site->waiting_key, 0) > (site->waits_for_share ? 1u : 0u);
}

/* Connections that are there, and those that hooks keep one for. */
static uint32_t wanted(const struct site *site)
{
	size_t idle = pn_carriers_idle(site, site->starting);
	size_t promised = site->starting > idle ? site->starting - idle : 0;

	return (uint32_t)(site->carrier_count + promised);
}

void pn_share_settle(struct site *site)
{
	uint32_t now = is_alone() ? 0 : wanted(site);

	if (now == site->shared)
		return;
	count(site->share_key, (int)now - (int)site->shared);
	site->shared = now;
}

bool pn_share_claim(struct site *site)
{
	if (is_alone() || pn_carriers_idle(site, site->starting + 1) > site->starting)
		return true;
	if (site->gives_way_until_ms > pn_clock_monotonic_ms() && do_others_wait(site))
		return false;
	site->shared++;
	if (count(site->share_key, 1) > site->limits.connections) {
		pn_share_settle(site);
		set_waiting(site, true);
		return false;
	}
	set_waiting(site, false);
	return true;
}

void pn_share_wait_no_more(struct site *site)
{
	set_waiting(site, false);
}

uint64_t pn_share_again_ms(const struct site *site)
{
	return site->waits_for_share || site->gives_way_until_ms > pn_clock_monotonic_ms() ||
	                       site->lacks_shared_token
	               ? ASK_AGAIN_MS
	               : 0;
}

bool pn_share_must_give_way(struct site *site, uint32_t messages)
{
	uint32_t part = site->limits.connections / pn_scheduler.count;

	if (is_alone() || !do_others_wait(site))
		return false;
	if (site->carrier_count <= part && messages % TURN_MESSAGES != 0)
		return false;
	site->gives_way_until_ms = pn_clock_monotonic_ms() + GIVES_WAY_MS;
	return true;
}

bool pn_share_take_token(struct site *site)
{
	uint64_t interval_us = UINT64_C(60000000) / site->limits.messages_per_minute;
	uint64_t a_second = site->limits.messages_per_minute / 60;
	const struct pn_rate rate = {.interval = interval_us < 1 ? 1 : interval_us,
	                             .at_once = a_second < 1 ? 1 : a_second};
	struct pn_rate_entry *entry;

	if (pn_rate_table == NULL || is_alone())
		return true;
	entry = pn_rate_place(pn_rate_table->entries, PN_RATE_SETS, site->share_key, true);
	site->lacks_shared_token = !pn_rate_take(entry, &rate, pn_clock_monotonic_ns() / 1000);
	return !site->lacks_shared_token;
}

void pn_share_end(struct site *site)
{
	set_waiting(site, false);
	if (site->shared > 0)
		count(site->share_key, -(int)site->shared);
	site->shared = 0;
}
