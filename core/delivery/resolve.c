/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a route to addresses: the MX records of a domain or given hosts, then the
 * addresses of those (RFC 5321 section 5). Answers are kept for their time to live,
 * within bounds. The site is found out at the same time: who has the same hosts in the
 * same order, by the same transport, with the same demands, is the same site. Loop thread.
 */
#include "delivery/scheduler.h"

#include <postern/clock.h>
#include <postern/dns.h>
#include <postern/text.h>

#include "session/ticket.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	HOSTS_MAX = PN_ROUTE_HOSTS_MAX, /* of one domain that are looked at: the best */
	KEEP_MIN_MS = 30 * 1000,
	KEEP_MAX_MS = 60 * 60 * 1000,
	DEADLINE_MS = 60 * 1000, /* the resolver has its own, which is shorter */
};

struct host {
	struct pn_slice name;
	uint16_t preference;
	uint16_t port;
	bool is_address;
	bool is_secure;
	uint32_t shuffle;
	struct {
		const char *text;
		bool is_ipv6;
	} addresses[HOPS_MAX];
	size_t address_count;
	bool had_trouble;
};

struct resolving {
	struct destination *destination;
	struct pn_arena *arena; /* becomes the destination's when the hops are known */
	struct host hosts[HOSTS_MAX];
	size_t host_count;
	uint64_t keep_ms;
	struct hop *hops;
	size_t hop_count;
	size_t open; /* questions */
	bool by_mx;
	bool mx_is_secure;
	struct pn_slice mx_name; /* the domain as DNS knows it */
};

struct asking {
	struct resolving *work;
	struct host *host;
};

static size_t rows_in_lanes(const struct destination *destination)
{
	size_t rows = 0;

	for (const struct lane *lane = destination->lanes; lane != NULL;
	     lane = lane->next_of_destination)
		rows += lane->count;
	return rows;
}

void pn_destination_forget_hops(struct destination *destination)
{
	struct site *site = destination->site;

	destination->hops_state = HOPS_NONE;
	destination->hops = NULL;
	destination->hop_count = 0;
	destination->site = NULL;
	pn_arena_free(&destination->hops_arena);
	if (site == NULL)
		return;
	site->rows -= rows_in_lanes(destination);
	site->destinations--;
	/* Lanes that wait for it may lead elsewhere by now. */
	if (site->parked != NULL && pn_scheduler.is_running)
		pn_site_wake(site);
	pn_site_release(site);
}

/* ---- the end ---- */

/* No way there: every row that waits for it hears why. */
static void fail(struct resolving *work, enum pn_delivery_outcome outcome,
                 enum pn_answer_class answer_class, unsigned code, const char *enhanced,
                 const char *text)
{
	struct destination *destination = work->destination;
	struct pn_reply reply = {.code = 0};

	pn_reply_set(&reply, code, enhanced, text);
	reply.code = 0; /* nobody said it to us */
	pn_destination_forget_hops(destination);
	/* Only those that wait here: others stand in the line of a site or a tenant, and stay in
	 * it. */
	for (; destination->parked != NULL; destination->parked = destination->parked->next)
		destination->parked->state = LANE_IDLE;
	for (struct lane *lane = destination->lanes, *next; lane != NULL; lane = next) {
		struct queued *queued;

		next = lane->next_of_destination;
		while ((queued = pn_lane_take(lane)) != NULL) {
			queued->outcome = outcome;
			queued->answer_class = answer_class;
			queued->reply = reply;
			snprintf(queued->reason, sizeof(queued->reason), "%s", reply.text);
			pn_settle(queued);
		}
		pn_lane_release(lane);
	}
	pn_arena_free(&work->arena);
	free(work);
	pn_destination_release(destination);
	pn_dispatch();
}

static int compare_hosts(const void *left, const void *right)
{
	const struct host *one = left;
	const struct host *other = right;

	if (one->preference != other->preference)
		return one->preference < other->preference ? -1 : 1;
	return one->shuffle < other->shuffle ? -1 : one->shuffle > other->shuffle;
}

static int compare_names(const void *left, const void *right)
{
	const struct host *one = left;
	const struct host *other = right;
	size_t size = one->name.size < other->name.size ? one->name.size : other->name.size;
	int order;

	if (one->preference != other->preference)
		return one->preference < other->preference ? -1 : 1;
	order = memcmp(one->name.data, other->name.data, size);
	return order != 0 ? order : (one->name.size > other->name.size) * 2 - 1;
}

/* The key of the site: everything that a connection to it depends on. */
static struct site *find_site(struct resolving *work)
{
	struct destination *destination = work->destination;
	const struct pn_route *route = &destination->route;
	struct pn_buffer names;
	struct pn_buffer key;
	struct site *site;
	enum pn_status status;

	qsort(work->hosts, work->host_count, sizeof(work->hosts[0]), compare_names);
	pn_buffer_init(&key, 64 * 1024);
	pn_buffer_init(&names, 64 * 1024);
	status = pn_buffer_print(&key, "%s;%d;%.*s", destination->transport->instance->name,
	                         (int)route->tls, PN_SLICE_ARGS(route->source_address));
	for (size_t i = 0; i < work->host_count && status == PN_OK; i++) {
		status = pn_buffer_print(&key, ";%u %.*s:%u", (unsigned)work->hosts[i].preference,
		                         PN_SLICE_ARGS(work->hosts[i].name),
		                         (unsigned)work->hosts[i].port);
		if (status == PN_OK)
			status = pn_buffer_print(&names, "%s%.*s", i == 0 ? "" : "\n",
			                         PN_SLICE_ARGS(work->hosts[i].name));
	}
	site = pn_site_of(pn_buffer_slice(&key), pn_buffer_slice(&names), destination->transport);
	pn_site_use_limits_of(site, route->domain);
	pn_buffer_clear(&key);
	pn_buffer_clear(&names);
	return site;
}

static void add_hop(struct resolving *work, const struct host *host, size_t index)
{
	struct destination *destination = work->destination;
	struct hop *hop;
	const char *address = host->addresses[index].text;

	if (work->hop_count == HOPS_MAX)
		return;
	hop = &work->hops[work->hop_count++];
	hop->preference = host->preference;
	hop->hop = (struct pn_next_hop){
		.struct_size = sizeof(hop->hop),
		.name = pn_arena_keep_text(work->arena, host->name),
		.domain = work->by_mx ? pn_arena_keep_text(work->arena, destination->route.domain)
	                              : "",
		.source_address =
			destination->route.source_address.size > 0
				? pn_arena_keep_text(work->arena, destination->route.source_address)
				: NULL,
		.tls = destination->route.tls,
		.name_is_secure = host->is_secure,
	};
	if (host->port == 0)
		hop->hop.address = address; /* unix: */
	else
		hop->hop.address = pn_arena_print(
			work->arena, host->addresses[index].is_ipv6 ? "[%s]:%u" : "%s:%u", address,
			(unsigned)host->port);
}

static void finish(struct resolving *work)
{
	struct destination *destination = work->destination;
	bool had_trouble = false;
	struct site *site;

	qsort(work->hosts, work->host_count, sizeof(work->hosts[0]), compare_hosts);
	work->hops = PN_ARENA_ARRAY(work->arena, HOPS_MAX, struct hop);
	for (size_t i = 0; i < work->host_count; i++) {
		had_trouble = had_trouble || work->hosts[i].had_trouble;
		for (size_t j = 0; j < work->hosts[i].address_count; j++)
			add_hop(work, &work->hosts[i], j);
	}
	if (work->hop_count == 0) {
		if (had_trouble)
			fail(work, PN_DELIVERY_DEFERRED, PN_CLASS_DNS, 451, "4.4.3",
			     "the addresses of its servers cannot be found out now");
		else
			fail(work, PN_DELIVERY_REFUSED, PN_CLASS_PERMANENT, 550, "5.4.4",
			     "none of its servers has an address");
		return;
	}
	/* The new site before the old one goes: it may be the same. */
	site = find_site(work);
	site->destinations++;
	pn_destination_forget_hops(destination);
	destination->site = site;
	site->rows += rows_in_lanes(destination);
	destination->hops = work->hops;
	destination->hop_count = work->hop_count;
	destination->hops_arena = work->arena;
	destination->hops_state = HOPS_KNOWN;
	if (had_trouble || work->keep_ms < KEEP_MIN_MS)
		work->keep_ms = KEEP_MIN_MS;
	destination->hops_until_ms = pn_clock_monotonic_ms() + work->keep_ms;
	free(work);
	pn_lanes_unpark(&destination->parked);
	pn_dispatch();
}

/* ---- addresses ---- */

static void note_lifetime(struct resolving *work, const struct pn_dns_answer *answer)
{
	uint64_t lifetime = (uint64_t)answer->ttl_seconds * 1000;

	if (answer->outcome == PN_DNS_FOUND && lifetime < work->keep_ms)
		work->keep_ms = lifetime;
}

static const struct pn_dns_record *record_at(const struct pn_dns_answer *answer, size_t index)
{
	return (const void *)((const char *)answer->records + index * answer->record_size);
}

static void take_addresses(struct asking *asking, const struct pn_dns_answer *answer)
{
	struct host *host = asking->host;

	note_lifetime(asking->work, answer);
	host->is_secure = host->is_secure && answer->secure;
	if (answer->outcome == PN_DNS_TROUBLE)
		host->had_trouble = true;
	for (size_t i = 0; answer->outcome == PN_DNS_FOUND && i < answer->record_count &&
	                   host->address_count < HOPS_MAX;
	     i++) {
		host->addresses[host->address_count].text =
			pn_arena_keep_text(asking->work->arena, record_at(answer, i)->value);
		host->addresses[host->address_count].is_ipv6 = answer->question.type == PN_DNS_AAAA;
		host->address_count++;
	}
}

static void address_answered(void *user, const struct pn_answer *answer)
{
	struct asking *asking = user;
	struct resolving *work = asking->work;

	if (answer->status == PN_OK && answer->result != NULL)
		take_addresses(asking, answer->result);
	else
		asking->host->had_trouble = true;
	if (--work->open == 0)
		finish(work);
}

static void ask_address(struct resolving *work, struct host *host, enum pn_dns_type type)
{
	struct asking *asking = PN_ARENA_NEW(work->arena, struct asking);
	const struct pn_dns_question question = {.name = host->name, .type = type};

	asking->work = work;
	asking->host = host;
	work->open++;
	pn_dns_ask(&question, pn_ticket_open(NULL, address_answered, asking, DEADLINE_MS));
}

/* Both families; IPv6 answers first when they come first: a hop that cannot be reached is skipped
 * quickly, and the one after it tried. */
static void ask_addresses(struct resolving *work)
{
	work->open = 1; /* so that answers at once do not end it */
	for (size_t i = 0; i < work->host_count; i++) {
		struct host *host = &work->hosts[i];

		if (host->is_address) {
			host->addresses[0].text = pn_arena_keep_text(work->arena, host->name);
			host->addresses[0].is_ipv6 =
				pn_slice_find(host->name, ':') < host->name.size;
			host->address_count = 1;
			continue;
		}
		ask_address(work, host, PN_DNS_AAAA);
		ask_address(work, host, PN_DNS_A);
	}
	if (--work->open == 0)
		finish(work);
}

/* Room for a host: where there is none, that of the worst, if this one is better. */
static struct host *find_room(struct resolving *work, uint16_t preference)
{
	struct host *worst = &work->hosts[0];

	if (work->host_count < HOSTS_MAX)
		return &work->hosts[work->host_count++];
	for (size_t i = 1; i < HOSTS_MAX; i++) {
		if (work->hosts[i].preference > worst->preference)
			worst = &work->hosts[i];
	}
	return worst->preference > preference ? worst : NULL;
}

static void add_host(struct resolving *work, struct pn_slice name, uint16_t preference,
                     uint16_t port, bool is_address)
{
	struct host *host = find_room(work, preference);

	if (host == NULL)
		return;
	host->name = pn_arena_keep(work->arena, name);
	host->preference = preference;
	host->port = port;
	host->is_address = is_address;
	host->is_secure = work->mx_is_secure;
	pn_random(&host->shuffle, sizeof(host->shuffle));
}

/* ---- MX ---- */

static bool is_ours(struct pn_slice name)
{
	return pn_slice_equal_ignore_case(name, pn_slice_of(pn_scheduler.generation->hostname));
}

static void fail_as_loop(struct resolving *work)
{
	fail(work, PN_DELIVERY_REFUSED, PN_CLASS_LOOP, 554, "5.4.6",
	     "its mail comes back to this server, which does not serve it");
}

/* With our own name among the hosts only those that are preferred to us may be tried (section 5.1);
 * where there are none we are the best there is, and this mail goes in circles. */
static void take_mx(struct resolving *work, const struct pn_dns_answer *answer)
{
	uint16_t port = work->destination->transport->instance->module->transport->default_port;
	uint32_t ours = UINT32_MAX;

	note_lifetime(work, answer);
	work->mx_is_secure = answer->secure;
	for (size_t i = 0; i < answer->record_count; i++) {
		const struct pn_dns_record *record = record_at(answer, i);

		if (is_ours(record->value) && record->priority < ours)
			ours = record->priority;
	}
	for (size_t i = 0; i < answer->record_count; i++) {
		const struct pn_dns_record *record = record_at(answer, i);

		/* RFC 7505: "." says that nobody takes mail for the domain. */
		if (record->value.size > 0 && !pn_slice_equal(record->value, PN_SLICE(".")) &&
		    record->priority < ours)
			add_host(work, record->value, record->priority, port, false);
	}
	if (work->host_count > 0)
		ask_addresses(work);
	else if (ours != UINT32_MAX)
		fail_as_loop(work);
	else
		fail(work, PN_DELIVERY_REFUSED, PN_CLASS_PERMANENT, 556, "5.1.10",
		     "the domain says that it takes no mail");
}

static void mx_answered(void *user, const struct pn_answer *answered)
{
	struct resolving *work = user;
	const struct pn_dns_answer *answer = answered->result;
	uint16_t port = work->destination->transport->instance->module->transport->default_port;

	if (answered->status != PN_OK || answer == NULL || answer->outcome == PN_DNS_TROUBLE) {
		fail(work, PN_DELIVERY_DEFERRED, PN_CLASS_DNS, 451, "4.4.3",
		     "its servers cannot be found out now: DNS does not answer");
	} else if (answer->outcome == PN_DNS_NO_NAME) {
		fail(work, PN_DELIVERY_REFUSED, PN_CLASS_UNKNOWN_RECIPIENT, 550, "5.1.2",
		     "the domain does not exist");
	} else if (answer->outcome == PN_DNS_FOUND) {
		take_mx(work, answer);
	} else if (answer->refused_count > 0) {
		fail(work, PN_DELIVERY_REFUSED, PN_CLASS_PERMANENT, 550, "5.4.4",
		     "the names of its servers cannot be names");
	} else if (is_ours(work->mx_name)) {
		fail_as_loop(work);
	} else {
		/* Without MX records the domain is its own server (section 5.1). */
		add_host(work, work->mx_name, 0, port, false);
		ask_addresses(work);
	}
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]": no DNS at all. */
static bool take_literal(struct resolving *work, struct pn_slice domain)
{
	uint16_t port = work->destination->transport->instance->module->transport->default_port;
	struct pn_slice name = pn_slice_make(domain.data + 1, domain.size - 2);
	bool is_address;
	char room[128];
	struct pn_slice text;

	if (pn_slice_starts_with_ignore_case(name, PN_SLICE("IPv6:")))
		name = pn_slice_behind(name, 5);
	if (name.size > sizeof(room) - 3)
		return false;
	snprintf(room, sizeof(room), "[%.*s]", PN_SLICE_ARGS(name));
	if (pn_route_host(pn_slice_of(room), port, &text, &port, &is_address) != PN_OK)
		return false;
	add_host(work, text, 0, port, true);
	return true;
}

static void ask_mx(struct resolving *work)
{
	struct pn_slice domain = work->destination->route.domain;
	struct pn_dns_question question = {.type = PN_DNS_MX};

	work->by_mx = true;
	if (domain.size > 2 && domain.data[0] == '[' && domain.data[domain.size - 1] == ']') {
		if (take_literal(work, domain))
			ask_addresses(work);
		else
			fail(work, PN_DELIVERY_REFUSED, PN_CLASS_UNKNOWN_RECIPIENT, 550, "5.1.2",
			     "the domain is no address that mail can be sent to");
		return;
	}
	work->mx_name = pn_domain_to_ascii(work->arena, domain);
	question.name = work->mx_name;
	if (question.name.size == 0) {
		fail(work, PN_DELIVERY_REFUSED, PN_CLASS_UNKNOWN_RECIPIENT, 550, "5.1.2",
		     "the domain is no name that DNS could know");
		return;
	}
	pn_dns_ask(&question, pn_ticket_open(NULL, mx_answered, work, DEADLINE_MS));
}

static void take_hosts(struct resolving *work)
{
	const struct pn_route *route = &work->destination->route;
	uint16_t usual = work->destination->transport->instance->module->transport->default_port;

	for (size_t i = 0; i < route->host_count; i++) {
		struct pn_slice name;
		uint16_t port;
		bool is_address;

		if (pn_route_host(route->hosts[i], usual, &name, &port, &is_address) == PN_OK)
			add_host(work, name, (uint16_t)i, port, is_address);
	}
	ask_addresses(work);
}

void pn_destination_resolve(struct destination *destination)
{
	struct resolving *work = calloc(1, sizeof(*work));
	const struct pn_route *route = &destination->route;

	if (work == NULL)
		abort();
	/* What is known goes on being used by attempts at work until the answers are there. */
	destination->hops_state = HOPS_ASKING;
	destination->transport =
		route->transport.size > 0
			? pn_generation_transport(pn_scheduler.generation, route->transport)
			: pn_generation_mx_transport(pn_scheduler.generation);
	work->destination = destination;
	work->arena = pn_arena_new();
	work->keep_ms = KEEP_MAX_MS;
	if (destination->transport == NULL)
		fail(work, PN_DELIVERY_DEFERRED, PN_CLASS_TEMPORARY, 451, "4.3.5",
		     "the configuration has no transport for this route");
	else if (route->kind == PN_ROUTE_HOSTS)
		take_hosts(work);
	else
		ask_mx(work);
}
