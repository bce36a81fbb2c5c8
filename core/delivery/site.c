/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sites: the servers behind destinations, and how fast they may be spoken to. The number
 * of connections follows what the peer says: it opens up with every success, halves when
 * the peer complains, and a site that cannot be reached is left alone for a while, longer
 * each time. Limits of the configuration are above all this. Loop thread.
 */
#include "delivery/scheduler.h"

#include <postern/clock.h>
#include <postern/text.h>

#include <stdio.h>
#include <stdlib.h>

enum {
	WINDOW_START = 5,
	PAUSE_FIRST_MS = 5 * 1000,
	PAUSE_MAX_MS = 10 * 60 * 1000,
	SUSPEND_FIRST_MS = 60 * 1000,
	SUSPEND_MAX_MS = 30 * 60 * 1000,
	HOST_BAD_MS = 60 * 1000,
	TOKENS_BURST_MS = 1000, /* what may be saved up */
	WAKE_AT_A_TIME = 16,
	KEPT_UNUSED_MS = 10 * 60 * 1000,
	BURST = 5, /* messages put off one soon after the other, and none taken in between */
	COMPLAINT_MS = 5 * 1000,
};

/* Whether a row of the configuration means that host or domain; ".example.net" is all below it. */
static bool means(const struct pn_destination_limits *row, struct pn_slice name)
{
	struct pn_slice wanted = pn_slice_of(row->name);

	if (wanted.size > 0 && wanted.data[0] == '.' && name.size > wanted.size)
		name = pn_slice_behind(name, name.size - wanted.size);
	return pn_slice_equal_ignore_case(name, wanted);
}

/* The first row that means one of its hosts, or a domain that leads to it, counts. */
static void use_limits(struct site *site, struct pn_slice name)
{
	const struct pn_queue_limits *queue = &pn_scheduler.generation->queue;
	size_t row = 1;

	while (row < queue->destination_count && !means(&queue->destinations[row], name))
		row++;
	if (row == queue->destination_count || (site->limits_row != 0 && site->limits_row < row))
		return;
	site->limits_row = row;
	site->limits = queue->destinations[row];
}

static void use_own_limits(struct site *site)
{
	struct pn_slice names = site->host_names;

	site->limits_row = 0;
	site->limits = pn_scheduler.generation->queue.destinations[0];
	while (names.size > 0)
		use_limits(site, pn_slice_cut(&names, '\n'));
}

void pn_site_use_limits_of(struct site *site, struct pn_slice domain)
{
	if (domain.size > 0)
		use_limits(site, domain);
}

static void timer_fired(void *user)
{
	pn_site_wake(user);
}

bool pn_site_is_suspended(const struct site *site)
{
	return site->suspended_until_ms > pn_clock_monotonic_ms();
}

struct site *pn_site_of(struct pn_slice key, struct pn_slice host_names,
                        const struct pn_instance_use *use)
{
	struct site *site = pn_map_get(pn_scheduler.sites, key);
	struct pn_slice best;
	char *text;

	if (site != NULL)
		return site;
	site = calloc(1, sizeof(*site) + key.size + host_names.size + 2);
	if (site == NULL)
		abort();
	text = (char *)(site + 1);
	memcpy(text, key.data, key.size);
	site->key = pn_slice_make(text, key.size);
	text += key.size + 1;
	memcpy(text, host_names.data, host_names.size);
	site->host_names = pn_slice_make(text, host_names.size);
	best = pn_slice_cut(&host_names, '\n');
	snprintf(site->name, sizeof(site->name), "%.*s", PN_SLICE_ARGS(best));
	site->instance = use->instance;
	site->transport = use->instance->module->transport;
	use_own_limits(site);
	site->window = WINDOW_START;
	site->tokens = 1;
	site->tokens_at_ms = pn_clock_monotonic_ms();
	site->last_parked = &site->parked;
	site->timer = pn_timer_new(timer_fired, site);
	pn_share_init(site);
	pn_map_set(pn_scheduler.sites, site->key, site);
	return site;
}

static void leave_line(struct site *site)
{
	struct site_line *line = site->line;
	struct site **link;

	if (line == NULL)
		return;
	link = &line->first;
	while (*link != site)
		link = &(*link)->next_in_line;
	*link = site->next_in_line;
	if (*link == NULL)
		line->last = link;
	line->count--;
	site->line = NULL;
}

static void stand_in_line(struct site *site, struct site_line *line)
{
	site->line = line;
	site->next_in_line = NULL;
	*line->last = site;
	line->last = &site->next_in_line;
	line->count++;
}

static void free_site(struct site *site)
{
	leave_line(site);
	pn_share_end(site);
	pn_map_remove(pn_scheduler.sites, site->key);
	pn_timer_free(&site->timer);
	free(site);
}

/* What was learned about the peer is kept for a while. */
void pn_site_release(struct site *site)
{
	if (site->destinations == 0 && site->carriers == NULL && site->attempts == 0 &&
	    (site->parked == NULL || !pn_scheduler.is_running) &&
	    (!pn_scheduler.is_running || site->used_ms + KEPT_UNUSED_MS < pn_clock_monotonic_ms()))
		free_site(site);
}

void pn_sites_use_limits(void)
{
	struct pn_slice key;
	void *value;
	size_t position = 0;

	while (pn_map_next(pn_scheduler.sites, &position, &key, &value))
		use_own_limits(value);
	position = 0;
	while (pn_map_next(pn_scheduler.destinations, &position, &key, &value)) {
		struct destination *destination = value;

		if (destination->site != NULL)
			pn_site_use_limits_of(destination->site, destination->route.domain);
	}
}

void pn_sites_free(void)
{
	struct pn_slice key;
	void *value;
	size_t position = 0;

	while (pn_map_next(pn_scheduler.sites, &position, &key, &value)) {
		free_site(value);
		position = 0;
	}
}

/* ---- room ---- */

static void refill_tokens(struct site *site)
{
	uint64_t now = pn_clock_monotonic_ms();
	double each_ms = site->limits.messages_per_minute / 60000.0;
	double most = each_ms * TOKENS_BURST_MS;

	site->tokens += (double)(now - site->tokens_at_ms) * each_ms;
	site->tokens_at_ms = now;
	if (most < 1)
		most = 1;
	if (site->tokens > most)
		site->tokens = most;
}

bool pn_site_take_token(struct site *site)
{
	refill_tokens(site);
	if (site->tokens < 1 || !pn_share_take_token(site))
		return false;
	site->tokens -= 1;
	return true;
}

static uint32_t most_connections(const struct site *site)
{
	uint32_t most = site->limits.connections;

	/* What may be dead or a tarpit costs one connection, not five, to be known. */
	if (!site->is_answering)
		return 1;
	return site->window < most ? (site->window < 1 ? 1 : (uint32_t)site->window) : most;
}

/* What never answered may be a tarpit: many of them hold up nobody else. */
static bool is_newcomer_too_many(const struct site *site)
{
	return !site->is_proven && pn_scheduler.opening + pn_scheduler.starting >=
	                                   (pn_scheduler.generation->queue.connections + 1) / 2;
}

/* Of all connections, as long as a place has one already. */
static size_t most_for_seconds(const struct site *site)
{
	size_t all = pn_scheduler.generation->queue.connections;

	return site->is_proven ? all - all / 5 : all / 2;
}

/* Connections that are kept for attempts that hooks look at: those that no idle one will do for. */
static size_t promised(const struct site *site, size_t idle)
{
	return site->starting > idle ? site->starting - idle : 0;
}

bool pn_site_has_room(struct site *site)
{
	uint64_t now = pn_clock_monotonic_ms();
	size_t all = pn_scheduler.generation->queue.connections;
	size_t idle, here, everywhere;

	if (site->pause_until_ms > now)
		return false;
	refill_tokens(site);
	if (site->tokens < 1)
		return false;
	idle = pn_carriers_idle(site, site->starting + 1);
	if (idle > site->starting)
		return true;
	here = site->carrier_count + promised(site, idle);
	everywhere = pn_scheduler.carriers + pn_scheduler.starting;
	/* One place takes at most a fifth of all connections: a tarpit does not hold up the others.
	 */
	if (here >= all / 5 + 1 || everywhere >= all)
		return false;
	if (is_newcomer_too_many(site))
		return false;
	/* The first of each comes before the second of anybody, and some stay free for it. */
	if (here > 0 &&
	    (pn_scheduler.waiting.first != NULL || everywhere >= most_for_seconds(site)))
		return false;
	return here < most_connections(site);
}

/* When there will be room, if nothing else happens before. */
static void set_timer(struct site *site)
{
	uint64_t now = pn_clock_monotonic_ms();
	uint64_t wait = 0;

	if (site->pause_until_ms > now)
		wait = site->pause_until_ms - now;
	else if (site->tokens < 1)
		wait = (uint64_t)((1 - site->tokens) * 60000.0 / site->limits.messages_per_minute) +
		       1;
	else
		wait = pn_share_again_ms(site);
	if (wait > 0)
		pn_timer_set(site->timer, wait);
}

/* The limits of all connections: whoever gives one back wakes this site. */
static void wait_for_connection(struct site *site)
{
	if (site->line != NULL || site->carrier_count + site->starting > 0)
		return;
	if (pn_scheduler.carriers + pn_scheduler.starting >=
	    pn_scheduler.generation->queue.connections) {
		stand_in_line(site, &pn_scheduler.waiting);
		pn_carriers_make_room();
	} else if (is_newcomer_too_many(site)) {
		stand_in_line(site, &pn_scheduler.newcomers);
	}
}

static void wake_line(struct site_line *line, size_t used, size_t most)
{
	size_t left = used < most ? most - used : 0;

	while (left-- > 0 && line->first != NULL) {
		struct site *site = line->first;

		leave_line(site);
		pn_site_wake(site);
	}
}

void pn_sites_wake_waiting(void)
{
	size_t all = pn_scheduler.generation->queue.connections;

	wake_line(&pn_scheduler.waiting, pn_scheduler.carriers + pn_scheduler.starting, all);
	wake_line(&pn_scheduler.newcomers, pn_scheduler.opening + pn_scheduler.starting,
	          (all + 1) / 2);
}

void pn_site_park(struct site *site, struct lane *lane)
{
	lane->state = LANE_PARKED;
	lane->next = NULL;
	*site->last_parked = lane;
	site->last_parked = &lane->next;
	set_timer(site);
	wait_for_connection(site);
}

void pn_site_wake(struct site *site)
{
	/* Some of those that wait: what they leave of the room wakes the next. */
	for (size_t i = 0; i < WAKE_AT_A_TIME && site->parked != NULL; i++) {
		struct lane *lane = site->parked;

		site->parked = lane->next;
		lane->state = LANE_IDLE;
		pn_lane_ready(lane);
	}
	if (site->rows == 0)
		pn_share_wait_no_more(site);
	if (site->parked == NULL)
		site->last_parked = &site->parked;
	else if (pn_site_is_suspended(site) || site->destinations == 0 || pn_site_has_room(site))
		pn_timer_set(site->timer, 1);
	pn_dispatch();
}

/* ---- what the peer says ---- */

void pn_site_succeeded(struct site *site)
{
	site->failures = 0;
	site->complaints = 0;
	site->pauses = 0;
	site->is_proven = true;
	site->used_ms = pn_clock_monotonic_ms();
	if (site->window < site->limits.connections)
		site->window += 1 / site->window;
}

/* Where the configuration comes again sooner, so do we. */
static uint64_t at_most_first_retry(uint64_t milliseconds)
{
	uint64_t first = pn_scheduler.generation->queue.retries_ms[0];

	return milliseconds < first ? milliseconds : first;
}

static void pause_for(struct site *site, uint64_t milliseconds)
{
	uint64_t until = pn_clock_monotonic_ms() + milliseconds;

	if (until > site->pause_until_ms)
		site->pause_until_ms = until;
	set_timer(site);
}

static uint64_t doubled(uint64_t first, uint32_t times, uint64_t most)
{
	while (times-- > 0 && first < most)
		first *= 2;
	return first < most ? first : most;
}

static void keep_reason(struct site *site, enum pn_answer_class answer_class, const char *reason)
{
	site->last_class = answer_class;
	snprintf(site->last_reason, sizeof(site->last_reason), "%s", reason);
	site->used_ms = pn_clock_monotonic_ms();
}

void pn_site_complained(struct site *site, enum pn_answer_class answer_class, const char *reason)
{
	uint64_t now = pn_clock_monotonic_ms();

	site->is_proven = true;
	site->failures = 0;
	site->used_ms = now;
	if (site->complained_ms + at_most_first_retry(COMPLAINT_MS) / 2 < now)
		site->complaints = 0;
	site->complained_ms = now;
	if (++site->complaints < BURST)
		return;
	site->complaints = 0;
	pn_site_slow_down(site, answer_class, reason);
}

/* "Too many", "too fast": less at a time, and a pause that doubles while the peer says so. */
void pn_site_slow_down(struct site *site, enum pn_answer_class answer_class, const char *reason)
{
	uint64_t now = pn_clock_monotonic_ms();
	uint32_t times = 0;

	keep_reason(site, answer_class, reason);
	if (site->pause_until_ms > now)
		return; /* one burst of complaints is one complaint */
	site->window = site->window / 2 < 1 ? 1 : site->window / 2;
	if (answer_class == PN_CLASS_RATE)
		times = site->pauses++;
	pause_for(site, doubled(at_most_first_retry(PAUSE_FIRST_MS), times, PAUSE_MAX_MS));
	pn_log(PN_LOG_NOTICE, "queue", "%s asks us to slow down: %s", site->name, reason);
}

void pn_site_unreachable(struct site *site, enum pn_answer_class answer_class, const char *reason)
{
	keep_reason(site, answer_class, reason);
	site->is_proven = false;
	site->is_answering = false;
	if (++site->failures < pn_scheduler.generation->queue.suspend_after ||
	    pn_site_is_suspended(site))
		return;
	site->window = 1;
	pause_for(site,
	          doubled(at_most_first_retry(SUSPEND_FIRST_MS), site->pauses++, SUSPEND_MAX_MS));
	site->suspended_until_ms = site->pause_until_ms;
	pn_log(PN_LOG_NOTICE, "queue", "%s is left alone for a while: %s", site->name, reason);
	/* Its rows learn why they wait. */
	pn_site_wake(site);
}

void pn_site_host_failed(struct site *site, const char *address)
{
	uint64_t now = pn_clock_monotonic_ms();
	struct site_host *oldest = &site->hosts[0];

	for (size_t i = 0; i < SITE_HOSTS_MAX; i++) {
		struct site_host *host = &site->hosts[i];

		if (strcmp(host->address, address) == 0) {
			oldest = host;
			break;
		}
		if (host->bad_until_ms < oldest->bad_until_ms)
			oldest = host;
	}
	snprintf(oldest->address, sizeof(oldest->address), "%s", address);
	oldest->bad_until_ms = now + at_most_first_retry(HOST_BAD_MS);
}

int64_t pn_site_good_at_ms(const struct site *site)
{
	uint64_t now = pn_clock_monotonic_ms();
	bool is_suspended = pn_site_is_suspended(site);
	uint64_t until = is_suspended ? site->suspended_until_ms : UINT64_MAX;

	for (size_t i = 0; i < SITE_HOSTS_MAX && !is_suspended; i++) {
		if (site->hosts[i].bad_until_ms > now && site->hosts[i].bad_until_ms < until)
			until = site->hosts[i].bad_until_ms;
	}
	return pn_clock_wall_ms() +
	       (until > now && until != UINT64_MAX ? (int64_t)(until - now) : 0);
}

bool pn_site_host_is_bad(const struct site *site, const char *address)
{
	uint64_t now = pn_clock_monotonic_ms();

	for (size_t i = 0; i < SITE_HOSTS_MAX; i++) {
		if (site->hosts[i].bad_until_ms > now &&
		    strcmp(site->hosts[i].address, address) == 0)
			return true;
	}
	return false;
}
