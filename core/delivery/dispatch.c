/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dispatching: rows out of their lanes, into attempts, onto carriers. It runs from the
 * top of the loop whenever something may have become possible, a bounded number of steps
 * a turn. Loop thread.
 */
#include "delivery/scheduler.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "delivery/details.h"
#include "io/log.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	STEPS_PER_TURN = 200,
	SERVED_MS = 200,       /* since a delivery: others are being served */
	PUT_OFF_IN_TICK = 100, /* rows, meanwhile */
};

/* Attempts that wait for the top of the loop: their carrier is ready, or is gone. */
static struct attempt *going_on;
static struct attempt **last_going_on = &going_on;

void pn_dispatch(void)
{
	if (pn_scheduler.is_running)
		pn_task_queue(&pn_scheduler.dispatch);
}

/* ---- attempts ---- */

static void deadline_passed(void *user)
{
	struct attempt *attempt = user;

	attempt->is_late = true;
	if (attempt->carrier != NULL) {
		pn_carrier_note(attempt->carrier, '*',
		                PN_SLICE("the deadline of the delivery passed"));
		pn_carrier_abandon(attempt->carrier);
	}
}

static void fill_recipient(struct pn_delivery_recipient *recipient, const struct queued *queued,
                           struct pn_arena *arena)
{
	if (pn_address_parse(queued->row.recipient, true, arena, &recipient->address) != PN_OK)
		recipient->address = (struct pn_address){.text = queued->row.recipient};
	recipient->parameters = pn_details_parameters(queued->row.details, "rcpt.", arena,
	                                              &recipient->parameter_count);
}

static void fill_delivery(struct attempt *attempt)
{
	struct pn_delivery *delivery = &attempt->delivery;
	const struct queued *first = attempt->rows;
	struct pn_address *sender = PN_ARENA_NEW(attempt->arena, struct pn_address);
	uint64_t number = 0;
	size_t index = 0;

	if (first->row.sender.size > 0 &&
	    pn_address_parse(first->row.sender, true, attempt->arena, sender) != PN_OK)
		*sender = (struct pn_address){.text = first->row.sender};
	delivery->struct_size = sizeof(*delivery);
	delivery->transaction_id = pn_arena_keep_text(attempt->arena, first->row.transaction);
	delivery->sender = sender;
	delivery->parameters = pn_details_parameters(first->row.details, "mail.", attempt->arena,
	                                             &delivery->parameter_count);
	if (pn_parse_count(pn_queue_detail_of(first->row.details, PN_SLICE("skip")), &number) ==
	    PN_OK)
		attempt->skip = number;
	if (pn_parse_count(pn_queue_detail_of(first->row.details, PN_SLICE("stored")), &number) ==
	            PN_OK &&
	    number >= attempt->skip)
		delivery->size = number - attempt->skip;
	delivery->by = pn_details_by(first->row.details);
	delivery->requires_tls = pn_details_tls(first->row.details) == PN_ROUTE_TLS_VERIFIED;
	delivery->recipient_size = sizeof(struct pn_delivery_recipient);
	delivery->recipient_count = attempt->row_count;
	delivery->recipients =
		PN_ARENA_ARRAY(attempt->arena, attempt->row_count, struct pn_delivery_recipient);
	for (const struct queued *queued = first; queued != NULL; queued = queued->next)
		fill_recipient(&delivery->recipients[index++], queued, attempt->arena);
}

static struct attempt *new_attempt(struct lane *lane, struct queued *rows, size_t row_count)
{
	struct pn_arena *arena = pn_arena_new();
	struct attempt *attempt = PN_ARENA_NEW(arena, struct attempt);

	attempt->arena = arena;
	attempt->destination = lane->destination;
	attempt->site = lane->destination->site;
	attempt->tenant = lane->tenant;
	attempt->rows = rows;
	attempt->row_count = row_count;
	attempt->started_ns = pn_clock_monotonic_ns();
	attempt->deadline = pn_timer_new(deadline_passed, attempt);
	attempt->tenant->delivering++;
	attempt->site->attempts++;
	pn_scheduler.attempts++;
	fill_delivery(attempt);
	return attempt;
}

/* A connection is kept for it while hooks look at it, so that they do not make a site have more
 * than it may. */
static void keep_connection(struct attempt *attempt)
{
	attempt->is_starting = true;
	attempt->site->starting++;
	pn_scheduler.starting++;
}

/* It takes one now, or needs none: who waited looks again, behind it. */
static void give_up_connection(struct attempt *attempt)
{
	if (!attempt->is_starting)
		return;
	attempt->is_starting = false;
	attempt->site->starting--;
	pn_scheduler.starting--;
	pn_share_settle(attempt->site);
	pn_site_wake(attempt->site);
	pn_sites_wake_waiting();
}

static void free_attempt(struct attempt *attempt)
{
	struct pn_arena *arena = attempt->arena;

	give_up_connection(attempt);
	attempt->tenant->delivering--;
	pn_tenant_wake(attempt->tenant);
	attempt->site->attempts--;
	pn_site_release(attempt->site);
	pn_scheduler.attempts--;
	pn_timer_free(&attempt->deadline);
	pn_arena_free(&arena);
	pn_dispatch();
}

/* Rows leave the attempt, each to its end; UNTRIED ones go back. */
static void let_go(struct attempt *attempt)
{
	struct queued *rows = attempt->rows;

	free_attempt(attempt);
	while (rows != NULL) {
		struct queued *queued = rows;

		rows = queued->next;
		queued->next = NULL;
		if (queued->outcome == PN_DELIVERY_UNTRIED)
			pn_lane_put_back(queued);
		else
			pn_settle(queued);
	}
}

void pn_attempt_fail(struct attempt *attempt, enum pn_delivery_outcome outcome,
                     enum pn_answer_class answer_class, const struct pn_reply *reply,
                     const char *command, const char *reason)
{
	char kept[REASON_SIZE];

	snprintf(kept, sizeof(kept), "%s", reason); /* it may stand in one of the rows */
	for (struct queued *queued = attempt->rows; queued != NULL; queued = queued->next) {
		queued->outcome = outcome;
		queued->answer_class = answer_class;
		queued->reply = *reply;
		snprintf(queued->command, sizeof(queued->command), "%s", command);
		snprintf(queued->reason, sizeof(queued->reason), "%s", kept);
		snprintf(queued->hop_name, sizeof(queued->hop_name), "%s", attempt->rows->hop_name);
	}
	let_go(attempt);
}

/* None of its hosts may be tried yet, after they failed others. */
static void fail_untried(struct attempt *attempt)
{
	struct site *site = attempt->site;
	const int64_t good_at_ms = pn_site_good_at_ms(site);
	const struct pn_reply none = {.code = 0};

	for (struct queued *queued = attempt->rows; queued != NULL; queued = queued->next) {
		queued->was_untried = true;
		queued->not_before_ms = good_at_ms;
	}
	pn_attempt_fail(attempt, PN_DELIVERY_DEFERRED,
	                site->last_class == PN_CLASS_NONE ? PN_CLASS_CONNECTION : site->last_class,
	                &none, "connect",
	                site->last_reason[0] == '\0' ? "none of its servers can be reached"
	                                             : site->last_reason);
}

/* No hop is left: what the last of them said is the reason. */
static void fail_unreachable(struct attempt *attempt)
{
	struct queued *first = attempt->rows;
	struct site *site = attempt->site;
	const struct pn_reply reply = first->reply;
	enum pn_answer_class answer_class = first->answer_class;

	if (first->reason[0] == '\0')
		snprintf(first->reason, sizeof(first->reason), "%s",
		         site->last_reason[0] == '\0' ? "none of its servers can be reached"
		                                      : site->last_reason);
	if (answer_class == PN_CLASS_NONE)
		answer_class = PN_CLASS_CONNECTION;
	if (answer_class == PN_CLASS_RATE)
		pn_site_slow_down(site, answer_class, first->reason);
	else
		pn_site_unreachable(site, answer_class, first->reason);
	pn_attempt_fail(attempt, PN_DELIVERY_DEFERRED, answer_class, &reply, "connect",
	                first->reason);
}

/* ---- outcomes ---- */

static void word_reason(const struct pn_delivery_recipient *recipient, const char *hop_name,
                        char reason[REASON_SIZE])
{
	const struct pn_reply *reply = &recipient->reply;

	if (reply->code != 0)
		snprintf(reason, REASON_SIZE, "%s: %u %s%s%s (to %s)", hop_name,
		         (unsigned)reply->code, reply->enhanced,
		         reply->enhanced[0] == '\0' ? "" : " ", reply->text, recipient->command);
	else
		snprintf(reason, REASON_SIZE, "%s: %s (%s)", hop_name, reply->text,
		         recipient->command);
}

static void copy_text(char *out, size_t room, const char *text)
{
	size_t size = strnlen(text, room - 1);

	memcpy(out, text, size);
	out[size] = '\0';
}

static void take_outcome(struct queued *queued, const struct pn_delivery_recipient *recipient,
                         const char *hop_name)
{
	queued->outcome = recipient->outcome;
	queued->reply = recipient->reply;
	queued->dsn_passed_on = recipient->dsn_passed_on;
	queued->by_passed_on = recipient->deliver_by_passed_on;
	copy_text(queued->command, sizeof(queued->command), recipient->command);
	copy_text(queued->hop_name, sizeof(queued->hop_name), hop_name);
	queued->answer_class = pn_classify(&recipient->reply, recipient->outcome, queued->command);
	if (recipient->outcome != PN_DELIVERY_DONE)
		word_reason(recipient, hop_name, queued->reason);
}

/* What the site learns from one message: nothing from one that it was not asked about. */
static void teach_site(struct site *site, const struct attempt *attempt)
{
	const struct queued *worst = NULL;
	const struct queued *put_off = NULL;
	bool was_dealt_with = false;

	for (const struct queued *queued = attempt->rows; queued != NULL; queued = queued->next) {
		if (queued->outcome == PN_DELIVERY_DONE) {
			pn_site_succeeded(site);
			return;
		}
		if (queued->answer_class == PN_CLASS_RATE ||
		    queued->answer_class == PN_CLASS_CONNECTION)
			worst = queued;
		else if (queued->answer_class == PN_CLASS_TEMPORARY)
			put_off = queued->reply.code != 0 ? queued : put_off;
		else
			was_dealt_with = was_dealt_with || queued->outcome != PN_DELIVERY_UNTRIED;
	}
	if (worst != NULL && worst->answer_class == PN_CLASS_RATE)
		pn_site_slow_down(site, PN_CLASS_RATE, worst->reason);
	else if (worst != NULL)
		pn_site_unreachable(site, PN_CLASS_CONNECTION, worst->reason);
	else if (was_dealt_with)
		pn_site_succeeded(site);
	else if (put_off != NULL)
		pn_site_complained(site, PN_CLASS_TEMPORARY, put_off->reason);
}

void pn_attempt_take_outcomes(struct attempt *attempt)
{
	const struct pn_delivery *delivery = &attempt->delivery;
	const char *hop_name = pn_carrier_hop_name(attempt->carrier);
	size_t index = 0;

	for (struct queued *queued = attempt->rows; queued != NULL; queued = queued->next)
		take_outcome(queued, &delivery->recipients[index++], hop_name);
	teach_site(attempt->site, attempt);
	let_go(attempt);
}

static const char *const outcome_names[] = {"untried", "delivered", "deferred", "refused"};

static enum pn_status recipient_json(const struct pn_delivery_recipient *recipient,
                                     struct pn_buffer *out)
{
	enum pn_status status = pn_buffer_append(out, PN_SLICE("{\"address\":"));

	if (status == PN_OK)
		status = pn_json_append_string(out, recipient->address.text);
	if (status == PN_OK)
		status = pn_buffer_print(out, ",\"outcome\":\"%s\"",
		                         outcome_names[recipient->outcome]);
	if (status == PN_OK && recipient->reply.code != 0)
		status =
			pn_buffer_print(out, ",\"code\":%u,\"enhanced\":\"%s\"",
		                        (unsigned)recipient->reply.code, recipient->reply.enhanced);
	if (status == PN_OK && recipient->reply.text[0] != '\0')
		status = pn_buffer_append(out, PN_SLICE(",\"text\":"));
	if (status == PN_OK && recipient->reply.text[0] != '\0')
		status = pn_json_append_string(out, pn_slice_of(recipient->reply.text));
	return status == PN_OK ? pn_buffer_append(out, PN_SLICE("}")) : status;
}

static void add_recipients(struct pn_event *event, const struct pn_delivery *delivery)
{
	struct pn_buffer json;
	enum pn_status status;

	pn_buffer_init(&json, 256 * 1024);
	status = pn_buffer_append(&json, PN_SLICE("["));
	for (size_t i = 0; i < delivery->recipient_count && status == PN_OK; i++) {
		if (i > 0)
			status = pn_buffer_append(&json, PN_SLICE(","));
		if (status == PN_OK)
			status = recipient_json(&delivery->recipients[i], &json);
	}
	if (status == PN_OK && pn_buffer_append(&json, PN_SLICE("]")) == PN_OK)
		pn_event_json(event, "recipients", pn_buffer_slice(&json));
	pn_buffer_clear(&json);
}

/* One try at one hop, whatever came of it: `explain` tells of each. */
void pn_attempt_record(const struct attempt *attempt, const struct pn_carrier *carrier)
{
	struct pn_event *event;

	if (!pn_log_wants(PN_LOG_INFO))
		return;
	event = pn_event_new(PN_LOG_INFO, "delivery");
	pn_event_id(event, "transaction", attempt->delivery.transaction_id);
	pn_event_text(event, "destination", attempt->destination->name);
	pn_event_text(event, "site", pn_slice_of(attempt->site->name));
	pn_event_text(event, "transport", pn_slice_of(attempt->site->instance->name));
	pn_event_number(event, "attempt", (int64_t)attempt->rows->row.attempts + 1);
	pn_event_number(event, "microseconds",
	                (int64_t)((pn_clock_monotonic_ns() - attempt->started_ns) / 1000));
	if (attempt->was_sent)
		add_recipients(event, &attempt->delivery);
	else
		pn_event_text(event, "failure", pn_slice_of(attempt->rows->reason));
	pn_carrier_write_dialogue(carrier, event);
	pn_event_send(&event);
}

/* ---- onto carriers ---- */

void pn_attempt_go_on(struct attempt *attempt)
{
	/* A carrier that is ready and then gone, before anybody looked. */
	if (attempt->is_going_on)
		return;
	attempt->is_going_on = true;
	attempt->next = NULL;
	*last_going_on = attempt;
	last_going_on = &attempt->next;
	pn_dispatch();
}

/* Its deadline passed while it had no connection, or lost the one it had. */
static void end_late(struct attempt *attempt)
{
	const struct pn_reply none = {.code = 0};

	if (attempt->was_tried)
		fail_unreachable(attempt);
	else
		pn_attempt_fail(attempt, PN_DELIVERY_DEFERRED, PN_CLASS_TEMPORARY, &none, "",
		                "the deadline of the delivery passed before it began");
}

static void go(struct attempt *attempt)
{
	struct pn_carrier *carrier = attempt->carrier;

	give_up_connection(attempt);
	if (carrier != NULL) {
		pn_carrier_give(carrier, attempt);
		return;
	}
	if (attempt->is_late) {
		end_late(attempt);
		return;
	}
	carrier = pn_scheduler.is_finishing ? NULL : pn_carrier_idle(attempt->site);
	if (carrier != NULL)
		pn_carrier_give(carrier, attempt);
	else if (pn_scheduler.is_finishing)
		let_go(attempt);
	else if (pn_carrier_open(attempt) == PN_OK)
		return;
	else if (attempt->was_tried)
		fail_unreachable(attempt);
	else
		fail_untried(attempt);
}

static void begin(struct attempt *attempt)
{
	pn_timer_set(attempt->deadline, pn_scheduler.generation->queue.delivery_deadline_ms);
	go(attempt);
}

/* ---- delivery.start ---- */

struct starting {
	struct attempt *attempt;
	struct queued *at;
	struct pn_attempt subject;
};

static void ask_start(struct starting *starting);

/* A hook's word about one row of the attempt. */
static void take_verdict(struct queued *queued, const struct pn_stage_result *result)
{
	switch (result->verdict) {
	case PN_VERDICT_REJECT:
		queued->outcome = PN_DELIVERY_REFUSED;
		queued->answer_class = PN_CLASS_POLICY;
		break;
	case PN_VERDICT_DEFER:
		queued->outcome = PN_DELIVERY_DEFERRED;
		queued->answer_class = PN_CLASS_TEMPORARY;
		break;
	case PN_VERDICT_HOLD:
		queued->outcome = PN_DELIVERY_DEFERRED;
		queued->holds = true;
		break;
	default:
		return;
	}
	queued->reply = result->reply;
	queued->is_local_refusal = true;
	snprintf(queued->reason, sizeof(queued->reason), "%s: %s",
	         result->hook == NULL ? "policy" : result->hook,
	         result->reply.text[0] == '\0' ? "held" : result->reply.text);
}

/* Those that hooks took out leave; the others begin. */
static void started(struct attempt *attempt)
{
	struct queued **link = &attempt->rows;
	struct queued *out = NULL;

	while (*link != NULL) {
		struct queued *queued = *link;

		if (queued->outcome == PN_DELIVERY_UNTRIED) {
			link = &queued->next;
			continue;
		}
		*link = queued->next;
		queued->next = out;
		out = queued;
		attempt->row_count--;
	}
	if (attempt->rows == NULL)
		free_attempt(attempt);
	else
		fill_delivery(attempt);
	while (out != NULL) {
		struct queued *queued = out;

		out = queued->next;
		queued->next = NULL;
		pn_settle(queued);
	}
}

static void start_judged(void *user, const struct pn_stage_result *result)
{
	struct starting *starting = user;
	struct attempt *attempt = starting->attempt;
	bool any_left;

	take_verdict(starting->at, result);
	starting->at = starting->at->next;
	if (starting->at != NULL) {
		ask_start(starting);
		return;
	}
	any_left = false;
	for (const struct queued *queued = attempt->rows; queued != NULL; queued = queued->next)
		any_left = any_left || queued->outcome == PN_DELIVERY_UNTRIED;
	started(attempt);
	if (any_left)
		pn_attempt_go_on(attempt);
}

static void ask_start(struct starting *starting)
{
	struct attempt *attempt = starting->attempt;
	struct pn_stage_request request;

	starting->subject = (struct pn_attempt){
		.struct_size = sizeof(starting->subject),
		.destination = attempt->site->name,
		.hop_name = "",
		.hop_address = "",
	};
	request = pn_queued_stage(starting->at, PN_STAGE_DELIVERY_START, &starting->subject,
	                          attempt->arena);
	pn_stage_run(&request, start_judged, starting);
}

static void start(struct attempt *attempt)
{
	struct starting *starting;

	if (!pn_queue_has_hooks(PN_STAGE_DELIVERY_START)) {
		begin(attempt);
		return;
	}
	keep_connection(attempt);
	pn_timer_set(attempt->deadline, pn_scheduler.generation->queue.delivery_deadline_ms);
	starting = PN_ARENA_NEW(attempt->arena, struct starting);
	starting->attempt = attempt;
	starting->at = attempt->rows;
	ask_start(starting);
}

/* ---- lanes ---- */

/*
 * Rows for sites that are left alone have to be written down with their reason, which is work that
 * those who can be served would pay for. While these have deliveries, it is done little by little;
 * the lanes wait aside, unless memory is needed.
 */
static struct lane *aside;
static struct lane **last_aside = &aside;
static uint64_t delivered_before;
static uint64_t delivered_ms; /* monotonic: when there was another one */
static size_t put_off_left;

static bool others_are_served(void)
{
	uint64_t now = pn_clock_monotonic_ms();

	if (pn_scheduler.counts.delivered != delivered_before) {
		delivered_before = pn_scheduler.counts.delivered;
		delivered_ms = now;
	}
	return delivered_before > 0 && now < delivered_ms + SERVED_MS;
}

static bool may_put_off(void)
{
	size_t most = pn_scheduler.generation->queue.memory_rows;

	return put_off_left > 0 || !others_are_served() ||
	       pn_map_count(pn_scheduler.rows) > most - most / 16;
}

static void set_aside(struct lane *lane)
{
	lane->state = LANE_PARKED;
	lane->next = NULL;
	*last_aside = lane;
	last_aside = &lane->next;
}

void pn_dispatch_tick(void)
{
	put_off_left = PUT_OFF_IN_TICK;
	last_aside = &aside;
	pn_lanes_unpark(&aside);
}

/* The site is left alone: rows are put off with its reason, and make room for others. */
static void put_off(struct lane *lane)
{
	struct site *site = lane->destination->site;
	const int64_t good_at_ms = pn_site_good_at_ms(site);
	const struct pn_reply none = {.code = 0};
	struct queued *queued;

	while (may_put_off() && (queued = pn_lane_take(lane)) != NULL) {
		if (put_off_left > 0)
			put_off_left--;
		queued->outcome = PN_DELIVERY_DEFERRED;
		queued->answer_class = site->last_class;
		queued->reply = none;
		queued->was_untried = true;
		queued->not_before_ms = good_at_ms;
		snprintf(queued->reason, sizeof(queued->reason), "%s", site->last_reason);
		pn_settle(queued);
	}
	if (lane->count > 0)
		set_aside(lane);
}

static bool hops_are_known(const struct destination *destination)
{
	return destination->hops_state == HOPS_KNOWN &&
	       destination->hops_until_ms > pn_clock_monotonic_ms();
}

static void wait_for_hops(struct lane *lane)
{
	struct destination *destination = lane->destination;

	lane->state = LANE_PARKED;
	lane->next = destination->parked;
	destination->parked = lane;
	if (destination->hops_state != HOPS_ASKING)
		pn_destination_resolve(destination);
}

/* False: the lane waits for something else than its tenant's turn, or has nothing left. */
static bool may_start(struct lane *lane)
{
	struct destination *destination = lane->destination;

	if (destination->is_suspended)
		return false;
	if (!hops_are_known(destination)) {
		wait_for_hops(lane);
		return false;
	}
	if (pn_site_is_suspended(destination->site)) {
		put_off(lane);
		return false;
	}
	if (pn_tenant_has_enough(lane->tenant))
		return true;
	if (!pn_site_has_room(destination->site) || !pn_share_claim(destination->site) ||
	    !pn_site_take_token(destination->site)) {
		pn_share_settle(destination->site);
		pn_site_park(destination->site, lane);
		return false;
	}
	return true;
}

static void start_from(struct lane *lane)
{
	struct destination *destination = lane->destination;
	struct tenant *tenant = lane->tenant;
	bool has_enough = pn_tenant_has_enough(tenant);
	struct queued *queued;
	size_t count;

	if (destination->route.kind == PN_ROUTE_ACCOUNT && !destination->is_suspended) {
		queued = pn_lane_take(lane);
		pn_lane_ready(lane);
		pn_deliver_local(queued);
		return;
	}
	if (!may_start(lane)) {
		/* Its turn is another's, which no end of an attempt would give it. */
		if (!has_enough)
			pn_tenant_wake(tenant);
		return;
	}
	if (has_enough) {
		pn_tenant_park(tenant, lane);
		return;
	}
	queued = pn_lane_take(lane);
	count = 1 + pn_lane_take_same(lane, queued, &queued->next,
	                              pn_attempt_max_recipients(destination) - 1);
	pn_lane_ready(lane);
	start(new_attempt(lane, queued, count));
}

size_t pn_attempt_max_recipients(const struct destination *destination)
{
	uint32_t most = pn_scheduler.generation->queue.max_recipients;
	uint32_t theirs = destination->site->transport->max_recipients;

	return theirs >= 1 && theirs < most ? theirs : most;
}

void pn_dispatch_stop(void)
{
	pn_task_cancel(&pn_scheduler.dispatch);
	going_on = NULL;
	last_going_on = &going_on;
	aside = NULL;
	last_aside = &aside;
	delivered_before = 0;
	put_off_left = 0;
}

static void continue_attempts(void)
{
	while (going_on != NULL) {
		struct attempt *attempt = going_on;

		going_on = attempt->next;
		if (going_on == NULL)
			last_going_on = &going_on;
		attempt->is_going_on = false;
		go(attempt);
	}
}

static void look_if_finished(void)
{
	void (*done)(void) = pn_scheduler.finished;

	if (!pn_scheduler.is_finishing || done == NULL || pn_scheduler.attempts > 0 ||
	    pn_settle_is_busy())
		return;
	pn_scheduler.finished = NULL;
	done();
}

void pn_dispatch_run(struct pn_task *task)
{
	struct lane *lane;
	size_t steps = 0;

	(void)task;
	continue_attempts();
	while (!pn_scheduler.is_finishing && steps++ < STEPS_PER_TURN &&
	       (lane = pn_lane_next_ready()) != NULL)
		start_from(lane);
	if (steps > STEPS_PER_TURN)
		pn_dispatch();
	look_if_finished();
}
