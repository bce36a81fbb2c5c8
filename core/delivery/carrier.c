/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carriers from the gateway's side: opened for an attempt, kept while there is more for
 * their site, closed when they are idle, worn out or abandoned. What a transport says is
 * noted here; what follows from it is done from the top of the loop (dispatch.c), never
 * inside its call. Loop thread.
 */
#include "delivery/scheduler.h"

#include <postern/clock.h>
#include <postern/fault.h>
#include <postern/text.h>

#include "io/log.h"
#include "session/running.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	DIALOGUE_MAX = 16 * 1024,
	FACTS_MAX = 2048,
	LINE_MAX_SHOWN = 600,
	IDLE_LOOKED_AT = 16,
	TURN_MESSAGES = 20, /* while other places wait for a connection */
};

struct pn_carrier {
	struct site *site;
	struct pn_carrier *next; /* of the site */
	struct pn_arena *arena;
	struct pn_generation *generation; /* whose configuration it was opened with; counted */
	struct pn_next_hop hop;
	char address[PN_ADDRESS_TEXT_SIZE]; /* where it really leads to: for the record */
	const void *config;
	void *state; /* the transport's */
	enum { CARRIER_OPENING = 0, CARRIER_READY, CARRIER_BUSY, CARRIER_CLOSING } phase;
	struct attempt *attempt;
	uint64_t errand; /* what runs for it says so where the master reads it */
	uint32_t messages;
	bool was_ready;
	bool yields;
	bool gives_way; /* to another queue worker */
	struct pn_timer *idle;
	bool is_idle; /* in the list of those that are */
	struct pn_carrier *idle_before;
	struct pn_carrier *idle_after;
	struct pn_buffer dialogue; /* JSON strings, with commas */
	size_t lines_left_out;
	struct pn_buffer facts; /* JSON members, with commas */
};

/* ---- what transports ask ---- */

const struct pn_next_hop *pn_carrier_hop(const struct pn_carrier *carrier)
{
	return &carrier->hop;
}

struct pn_instance *pn_carrier_instance(const struct pn_carrier *carrier)
{
	return carrier->site->instance;
}

const void *pn_carrier_config(const struct pn_carrier *carrier)
{
	return carrier->config;
}

const char *pn_carrier_hostname(const struct pn_carrier *carrier)
{
	return carrier->generation->hostname;
}

void pn_carrier_set_address(struct pn_carrier *carrier, const char *address)
{
	snprintf(carrier->address, sizeof(carrier->address), "%s", address);
}

void pn_carrier_set_state(struct pn_carrier *carrier, void *state)
{
	carrier->state = state;
}

void *pn_carrier_state(const struct pn_carrier *carrier)
{
	return carrier->state;
}

const char *pn_carrier_hop_name(const struct pn_carrier *carrier)
{
	return carrier->hop.name;
}

/* ---- the record ---- */

void pn_carrier_note(struct pn_carrier *carrier, char direction, struct pn_slice line)
{
	struct pn_buffer *dialogue = &carrier->dialogue;
	size_t before = dialogue->size;
	char text[LINE_MAX_SHOWN + 3];
	size_t size = line.size < LINE_MAX_SHOWN ? line.size : LINE_MAX_SHOWN;

	text[0] = direction;
	text[1] = ' ';
	if (size > 0)
		memcpy(text + 2, line.data, size);
	if ((before > 0 && pn_buffer_append(dialogue, PN_SLICE(",")) != PN_OK) ||
	    pn_json_append_string(dialogue, pn_slice_make(text, size + 2)) != PN_OK) {
		dialogue->size = before;
		carrier->lines_left_out++;
	}
}

void pn_carrier_fact(struct pn_carrier *carrier, const char *key, const char *value)
{
	struct pn_buffer *facts = &carrier->facts;
	size_t before = facts->size;

	if ((before > 0 && pn_buffer_append(facts, PN_SLICE(",")) != PN_OK) ||
	    pn_json_append_string(facts, pn_slice_of(key)) != PN_OK ||
	    pn_buffer_append(facts, PN_SLICE(":")) != PN_OK ||
	    pn_json_append_string(facts, pn_slice_of(value)) != PN_OK)
		facts->size = before;
}

static void write_wrapped(struct pn_event *event, const char *key, const char *left,
                          struct pn_slice middle, const char *right)
{
	struct pn_buffer json;

	pn_buffer_init(&json, DIALOGUE_MAX + FACTS_MAX);
	if (pn_buffer_append(&json, pn_slice_of(left)) == PN_OK &&
	    pn_buffer_append(&json, middle) == PN_OK &&
	    pn_buffer_append(&json, pn_slice_of(right)) == PN_OK)
		pn_event_json(event, key, pn_buffer_slice(&json));
	pn_buffer_clear(&json);
}

void pn_carrier_write_dialogue(const struct pn_carrier *carrier, struct pn_event *event)
{
	pn_event_text(event, "hop", pn_slice_of(carrier->hop.name));
	pn_event_text(event, "address", pn_slice_of(carrier->address));
	if (carrier->facts.size > 0)
		write_wrapped(event, "connection", "{", pn_buffer_slice(&carrier->facts), "}");
	if (carrier->dialogue.size > 0)
		write_wrapped(event, "dialogue", "[", pn_buffer_slice(&carrier->dialogue), "]");
	if (carrier->lines_left_out > 0)
		pn_event_number(event, "lines_left_out", (int64_t)carrier->lines_left_out);
}

/* ---- idle ones, the oldest first ---- */

static struct pn_carrier *first_idle;
static struct pn_carrier *last_idle;

static void set_idle(struct pn_carrier *carrier, bool is_idle)
{
	if (carrier->is_idle == is_idle)
		return;
	carrier->is_idle = is_idle;
	if (is_idle) {
		carrier->idle_before = last_idle;
		carrier->idle_after = NULL;
		*(last_idle == NULL ? &first_idle : &last_idle->idle_after) = carrier;
		last_idle = carrier;
		return;
	}
	*(carrier->idle_before == NULL ? &first_idle : &carrier->idle_before->idle_after) =
		carrier->idle_after;
	*(carrier->idle_after == NULL ? &last_idle : &carrier->idle_after->idle_before) =
		carrier->idle_before;
}

/* ---- life ---- */

/* Whose message it is at work for: if a worker dies of it, that one is to blame. */
static void set_attempt(struct pn_carrier *carrier, struct attempt *attempt)
{
	carrier->attempt = attempt;
	pn_running_errand_name(carrier->errand,
	                       attempt == NULL ? NULL : attempt->delivery.transaction_id);
}

static void close_carrier(struct pn_carrier *carrier, bool now)
{
	struct pn_running_before before;

	if (carrier->phase == CARRIER_CLOSING && !now)
		return;
	carrier->phase = CARRIER_CLOSING;
	set_idle(carrier, false);
	before = pn_running_begin(carrier->errand, carrier->site->instance->name, "close");
	carrier->site->transport->close(carrier, now);
	pn_running_end(&before);
}

static void idle_too_long(void *user)
{
	struct pn_carrier *carrier = user;

	if (carrier->phase == CARRIER_READY)
		close_carrier(carrier, false);
}

static void unlink_carrier(struct pn_carrier *carrier)
{
	struct pn_carrier **link = &carrier->site->carriers;

	while (*link != carrier)
		link = &(*link)->next;
	*link = carrier->next;
	carrier->site->carrier_count--;
	pn_scheduler.carriers--;
	pn_scheduler.opening -= !carrier->was_ready;
	pn_scheduler.yielding -= carrier->yields;
	pn_share_settle(carrier->site);
}

static void free_carrier(struct pn_carrier *carrier)
{
	struct pn_arena *arena = carrier->arena;

	set_idle(carrier, false);
	unlink_carrier(carrier);
	pn_running_errand_name(carrier->errand, NULL);
	pn_timer_free(&carrier->idle);
	pn_buffer_clear(&carrier->dialogue);
	pn_buffer_clear(&carrier->facts);
	pn_generation_drop(&carrier->generation);
	pn_arena_free(&arena);
}

static struct pn_carrier *new_carrier(struct site *site, const struct pn_next_hop *hop)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_carrier *carrier = PN_ARENA_NEW(arena, struct pn_carrier);

	carrier->arena = arena;
	carrier->site = site;
	carrier->errand = pn_running_errand_new();
	carrier->generation = pn_generation_keep(pn_scheduler.generation);
	carrier->config = pn_generation_config(carrier->generation, site->instance);
	carrier->hop = *hop;
	carrier->hop.name = pn_arena_keep_text(arena, pn_slice_of(hop->name));
	carrier->hop.address = pn_arena_keep_text(arena, pn_slice_of(hop->address));
	pn_carrier_set_address(carrier, carrier->hop.address);
	carrier->hop.domain = pn_arena_keep_text(arena, pn_slice_of(hop->domain));
	if (hop->source_address != NULL)
		carrier->hop.source_address =
			pn_arena_keep_text(arena, pn_slice_of(hop->source_address));
	carrier->idle = pn_timer_new(idle_too_long, carrier);
	pn_buffer_init(&carrier->dialogue, DIALOGUE_MAX);
	pn_buffer_init(&carrier->facts, FACTS_MAX);
	carrier->next = site->carriers;
	site->carriers = carrier;
	site->carrier_count++;
	pn_scheduler.carriers++;
	pn_scheduler.opening++;
	pn_share_settle(site);
	return carrier;
}

/* Opened with the configuration in use: after a reload the options may be others. One that has just
 * become ready belongs to the attempt that it was opened for. */
static bool is_usable(const struct pn_carrier *carrier)
{
	return carrier->phase == CARRIER_READY && carrier->attempt == NULL &&
	       carrier->generation == pn_scheduler.generation && !carrier->gives_way &&
	       carrier->messages < carrier->site->limits.messages_per_connection;
}

struct pn_carrier *pn_carrier_idle(struct site *site)
{
	struct pn_carrier *carrier = site->carriers;

	while (carrier != NULL && !is_usable(carrier))
		carrier = carrier->next;
	return carrier;
}

size_t pn_carriers_idle(const struct site *site, size_t max)
{
	size_t count = 0;

	for (const struct pn_carrier *carrier = site->carriers; carrier != NULL && count < max;
	     carrier = carrier->next)
		count += is_usable(carrier) ? 1 : 0;
	return count;
}

/* The next hop of the attempt that is not known to be bad. */
static const struct hop *next_hop(struct attempt *attempt)
{
	const struct destination *destination = attempt->destination;

	while (attempt->hop_index < destination->hop_count) {
		const struct hop *hop = &destination->hops[attempt->hop_index++];

		if (!pn_site_host_is_bad(attempt->site, hop->hop.address))
			return hop;
	}
	return NULL;
}

enum pn_status pn_carrier_open(struct attempt *attempt)
{
	const struct hop *hop;

	while ((hop = next_hop(attempt)) != NULL) {
		struct pn_carrier *carrier = new_carrier(attempt->site, &hop->hop);
		struct pn_error error = {.text = ""};
		struct pn_running_before before;
		enum pn_status status;

		set_attempt(carrier, attempt);
		attempt->carrier = carrier;
		attempt->was_tried = true;
		before = pn_running_begin(carrier->errand, attempt->site->instance->name, "open");
		status = attempt->site->transport->open(attempt->site->instance->state, carrier,
		                                        &error);
		pn_running_end(&before);
		if (status == PN_OK)
			return PN_OK;
		snprintf(attempt->rows->reason, sizeof(attempt->rows->reason), "%.390s",
		         error.text);
		attempt->carrier = NULL;
		pn_site_host_failed(attempt->site, hop->hop.address);
		free_carrier(carrier);
	}
	return PN_FAILED;
}

void pn_carrier_give(struct pn_carrier *carrier, struct attempt *attempt)
{
	struct pn_running_before before;

	pn_timer_stop(carrier->idle);
	set_idle(carrier, false);
	set_attempt(carrier, attempt);
	pn_scheduler.yielding -= carrier->yields;
	carrier->yields = false;
	carrier->phase = CARRIER_BUSY;
	carrier->messages++;
	attempt->carrier = carrier;
	attempt->was_sent = true;
	pn_fault("queue.deliver.before", &(int){0});
	before = pn_running_begin(carrier->errand, carrier->site->instance->name, "deliver");
	carrier->site->transport->deliver(carrier, &attempt->delivery);
	pn_running_end(&before);
}

void pn_carrier_abandon(struct pn_carrier *carrier)
{
	close_carrier(carrier, true);
}

void pn_carriers_close_idle(struct site *site)
{
	struct pn_carrier *next;

	for (struct pn_carrier *carrier = site->carriers; carrier != NULL; carrier = next) {
		next = carrier->next;
		if (carrier->phase == CARRIER_READY)
			close_carrier(carrier, false);
	}
}

/* Whether it may go for the sake of another place: its own has no use for it, or others. A place
 * that has much to send lets go after some messages. */
static bool may_yield(const struct pn_carrier *carrier)
{
	return carrier->site->rows == 0 || carrier->site->carrier_count > 1 ||
	       carrier->messages % TURN_MESSAGES == 0;
}

static void yield(struct pn_carrier *carrier)
{
	pn_timer_set(carrier->idle, 1);
	set_idle(carrier, false);
	pn_scheduler.yielding += !carrier->yields;
	carrier->yields = true;
}

static bool must_somebody_yield(void)
{
	return pn_scheduler.yielding < pn_scheduler.waiting.count;
}

void pn_carriers_make_room(void)
{
	struct pn_carrier *carrier = first_idle;

	if (!must_somebody_yield())
		return;
	for (size_t i = 0; i < IDLE_LOOKED_AT && carrier != NULL && !may_yield(carrier); i++)
		carrier = carrier->idle_after;
	if (carrier != NULL && may_yield(carrier))
		yield(carrier);
}

/* ---- what transports say ---- */

void pn_carrier_ready(struct pn_carrier *carrier)
{
	if (carrier->phase == CARRIER_CLOSING)
		return;
	carrier->phase = CARRIER_READY;
	carrier->site->is_answering = true;
	pn_scheduler.opening -= !carrier->was_ready;
	carrier->was_ready = true;
	carrier->gives_way = carrier->attempt == NULL &&
	                     pn_share_must_give_way(carrier->site, carrier->messages);
	if (carrier->attempt == NULL && (!is_usable(carrier) || pn_scheduler.is_finishing)) {
		/* Worn out, or another worker's turn. */
		pn_timer_set(carrier->idle, 1);
	} else if (carrier->attempt == NULL) {
		pn_timer_set(carrier->idle, pn_scheduler.generation->queue.idle_ms);
		set_idle(carrier, true);
		/* Others wait for a connection: this one goes, unless it is needed at once. */
		if (must_somebody_yield() && may_yield(carrier))
			yield(carrier);
	}
	if (carrier->attempt != NULL)
		pn_attempt_go_on(carrier->attempt);
	pn_site_wake(carrier->site);
	if (pn_scheduler.newcomers.first != NULL)
		pn_sites_wake_waiting();
}

static enum pn_answer_class class_of_end(enum pn_carrier_end end, const struct pn_reply *reply)
{
	switch (end) {
	case PN_CARRIER_NOT_SECURE:
		return PN_CLASS_TLS;
	case PN_CARRIER_NOT_NOW:
		return PN_CLASS_RATE;
	case PN_CARRIER_NEVER:
		return reply->code == 0 ? PN_CLASS_CONNECTION : PN_CLASS_POLICY;
	default:
		return PN_CLASS_CONNECTION;
	}
}

/* "mx.example.net [192.0.2.1:25]: 421 4.7.0 too many" */
static void word_reason(const struct pn_carrier *carrier, const struct pn_reply *reply,
                        char reason[REASON_SIZE])
{
	if (reply->code != 0)
		snprintf(reason, REASON_SIZE, "%s [%s]: %u %s%s%s", carrier->hop.name,
		         carrier->address, (unsigned)reply->code, reply->enhanced,
		         reply->enhanced[0] == '\0' ? "" : " ", reply->text);
	else
		snprintf(reason, REASON_SIZE, "%s [%s]: %s", carrier->hop.name, carrier->address,
		         reply->text);
}

/* An attempt that was waiting for this connection: the next hop, if there is one. */
static void pass_on(struct pn_carrier *carrier, enum pn_carrier_end end,
                    const struct pn_reply *reply, const char *reason)
{
	struct attempt *attempt = carrier->attempt;

	attempt->carrier = NULL;
	if (attempt->was_sent) {
		/* A transport that broke its word: nobody knows what the peer has. */
		pn_attempt_fail(attempt, PN_DELIVERY_DEFERRED, PN_CLASS_CONNECTION, reply, "",
		                reason);
		return;
	}
	snprintf(attempt->rows->reason, sizeof(attempt->rows->reason), "%s", reason);
	attempt->rows->reply = *reply;
	attempt->rows->answer_class = class_of_end(end, reply);
	snprintf(attempt->rows->hop_name, sizeof(attempt->rows->hop_name), "%s", carrier->hop.name);
	pn_site_host_failed(carrier->site, carrier->hop.address);
	pn_attempt_record(attempt, carrier);
	pn_attempt_go_on(attempt);
}

void pn_carrier_closed(struct pn_carrier *carrier, enum pn_carrier_end end,
                       const struct pn_reply *reply)
{
	static const struct pn_reply silence = {.code = 0, .text = "the connection was closed"};
	struct site *site = carrier->site;
	char reason[REASON_SIZE];

	if (reply == NULL)
		reply = &silence;
	word_reason(carrier, reply, reason);
	if (carrier->attempt != NULL)
		pass_on(carrier, end, reply, reason);
	else if (end == PN_CARRIER_NOT_NOW)
		pn_site_slow_down(site, PN_CLASS_RATE, reason);
	free_carrier(carrier);
	pn_site_wake(site);
	pn_site_release(site);
	pn_sites_wake_waiting();
}

/* ---- deliveries ---- */

static struct attempt *attempt_of(struct pn_delivery *delivery)
{
	return (struct attempt *)(void *)((char *)delivery - offsetof(struct attempt, delivery));
}

void pn_delivery_read(struct pn_delivery *delivery, uint64_t offset, size_t max_size,
                      struct pn_ticket ticket)
{
	struct attempt *attempt = attempt_of(delivery);
	const struct pn_body_request request = {
		.struct_size = sizeof(request),
		.body = attempt->rows->row.body,
		.offset = offset + attempt->skip,
		.max_size = max_size,
	};

	pn_store_body(pn_scheduler.home, &request, ticket);
}

void pn_delivery_done(struct pn_delivery *delivery)
{
	struct attempt *attempt = attempt_of(delivery);
	struct pn_carrier *carrier = attempt->carrier;

	pn_fault("queue.deliver.after", &(int){0});
	pn_attempt_record(attempt, carrier);
	carrier->dialogue.size = 0;
	carrier->lines_left_out = 0;
	set_attempt(carrier, NULL);
	pn_attempt_take_outcomes(attempt);
}
