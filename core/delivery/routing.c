/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a row goes now: as an operator said, as hooks of recipient.route say at each
 * attempt, or as it was decided when it was accepted. Then into its lane; or to its end,
 * where its time is up or it took workers down. Loop thread.
 */
#include "delivery/scheduler.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "base/map.h"
#include "delivery/details.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_DEATHS = 2 };

/* ---- suspects: transactions that were at work in a worker that died ---- */

struct suspect {
	char what[320];
	uint32_t deaths;
};

static struct pn_map *suspects; /* by transaction id; told before this worker starts */

void pn_queue_suspect(const char *transaction_id, const char *what, uint32_t deaths)
{
	struct suspect *suspect = calloc(1, sizeof(*suspect));
	uint64_t seed;

	if (suspect == NULL)
		abort();
	snprintf(suspect->what, sizeof(suspect->what), "%s", what);
	suspect->deaths = deaths;
	if (suspects == NULL) {
		pn_random(&seed, sizeof(seed));
		suspects = pn_map_new(seed);
	}
	free(pn_map_set(suspects, pn_slice_of(transaction_id), suspect));
}

/* A death that the row does not know of is written into its details before it is tried again, so
 * that it counts after a restart of the whole gateway, too. The second time it is set aside; who
 * releases it then has it tried. */
void pn_suspect_check(struct queued *queued)
{
	const struct suspect *suspect =
		suspects == NULL ? NULL : pn_map_get(suspects, queued->row.transaction);
	uint64_t before = 0;

	if (suspect == NULL)
		return;
	if (pn_parse_count(pn_queue_detail_of(queued->row.details, PN_SLICE("deaths")), &before) !=
	    PN_OK)
		before = 0;
	if (suspect->deaths <= before)
		return;
	queued->deaths = suspect->deaths;
	snprintf(queued->reason, sizeof(queued->reason), "%s", suspect->what);
}

/* ---- hooks ---- */

struct pn_recipient *pn_queued_restore(struct queued *queued)
{
	if (queued->transaction == NULL) {
		queued->transaction = pn_transaction_restore(pn_scheduler.generation, &queued->row);
		queued->recipient =
			pn_transaction_restore_recipient(queued->transaction, &queued->row);
	}
	return queued->recipient;
}

/* What hooks of an attempt are shown beside the recipient. */
struct pn_stage_request pn_queued_stage(struct queued *queued, enum pn_stage stage,
                                        struct pn_attempt *attempt, struct pn_arena *arena)
{
	struct pn_recipient *recipient = pn_queued_restore(queued);
	struct pn_stage_request request = pn_transaction_stage(queued->transaction, stage);

	if (attempt != NULL) {
		attempt->attempts = queued->row.attempts + 1;
		attempt->arrived_ms = queued->row.arrived_ms;
		attempt->expires_ms = queued->row.expires_ms;
		attempt->last_reason = pn_arena_keep_text(arena, queued->row.reason);
	}
	request.recipient = recipient;
	request.subject = attempt;
	request.about = recipient->original.text.data;
	request.arena = arena;
	return request;
}

/* Nobody listens there, and there is no name to verify a certificate with. */
static bool stays_on_this_machine(const struct pn_route *route)
{
	return route->kind == PN_ROUTE_ACCOUNT ||
	       (route->kind == PN_ROUTE_HOSTS &&
	        pn_slice_starts_with_ignore_case(route->hosts[0], PN_SLICE("unix:")));
}

/* Its sender has a say about TLS (RFC 8689): the same way, at another level. */
static struct pn_slice with_tls(struct queued *queued, struct pn_slice name)
{
	enum pn_route_tls tls = pn_details_tls(queued->row.details);
	struct pn_route route;
	struct pn_error error;

	if (tls == PN_ROUTE_TLS_DEFAULT)
		return name;
	pn_queued_restore(queued);
	if (pn_route_parse(name, queued->transaction->arena, &route, &error) != PN_OK ||
	    (tls == PN_ROUTE_TLS_OPPORTUNISTIC && route.tls == PN_ROUTE_TLS_NEVER) ||
	    stays_on_this_machine(&route))
		return name;
	route.tls = tls;
	return pn_route_format(&route, route.domain, queued->transaction->arena);
}

static void to_lane(struct queued *queued, struct pn_slice route)
{
	struct pn_slice name = with_tls(queued, route);
	struct destination *destination = pn_destination_of(name);
	const struct pn_reply none = {.code = 0};

	if (destination == NULL) {
		queued->outcome = PN_DELIVERY_DEFERRED;
		queued->holds = true;
		queued->reply = none;
		snprintf(queued->reason, sizeof(queued->reason), "\"%.*s\" is no route",
		         PN_SLICE_ARGS(name));
		pn_settle(queued);
		return;
	}
	pn_lane_add(queued, destination, queued->tenant);
}

static void end_by_policy(struct queued *queued, const struct pn_stage_result *result,
                          enum pn_delivery_outcome outcome, enum pn_answer_class answer_class)
{
	queued->outcome = outcome;
	queued->answer_class = answer_class;
	queued->reply = result->reply;
	queued->is_local_refusal = true;
	snprintf(queued->reason, sizeof(queued->reason), "%s: %s",
	         result->hook == NULL ? "policy" : result->hook,
	         result->reply.text[0] == '\0' ? pn_verdict_name(result->verdict)
	                                       : result->reply.text);
	pn_settle(queued);
}

/* A redirect before an attempt: the row becomes one for the new address. */
static void readdress(struct queued *queued, const struct pn_address *address)
{
	struct pn_queue_row *row = &queued->row;

	row->details = pn_queue_detail_set(queued->transaction->arena, row->details,
	                                   PN_SLICE("original"), queued->recipient->original.text);
	row->recipient = address->text;
	queued->recipient->address = *address;
}

static void routed(void *user, const struct pn_stage_result *result)
{
	struct queued *queued = user;
	struct pn_recipient *recipient = queued->recipient;
	const struct pn_route *route;

	switch (result->verdict) {
	case PN_VERDICT_REJECT:
		end_by_policy(queued, result, PN_DELIVERY_REFUSED, PN_CLASS_POLICY);
		return;
	case PN_VERDICT_DEFER:
		end_by_policy(queued, result, PN_DELIVERY_DEFERRED, PN_CLASS_TEMPORARY);
		return;
	case PN_VERDICT_DISCARD:
		end_by_policy(queued, result, PN_DELIVERY_DONE, PN_CLASS_NONE);
		return;
	case PN_VERDICT_HOLD:
		queued->holds = true;
		end_by_policy(queued, result, PN_DELIVERY_DEFERRED, PN_CLASS_TEMPORARY);
		return;
	case PN_VERDICT_REDIRECT:
		if (pn_recipient_redirect(recipient, result->argument))
			readdress(queued, &recipient->targets[0]);
		break;
	default:
		break;
	}
	route = pn_recipient_route(recipient);
	if (route->kind != PN_ROUTE_DEFAULT)
		to_lane(queued, pn_route_format(route, recipient->address.domain,
		                                queued->transaction->arena));
	else if (result->verdict == PN_VERDICT_REDIRECT)
		to_lane(queued, pn_route_usual(pn_scheduler.generation, recipient->address.domain,
		                               queued->transaction->arena));
	else
		to_lane(queued, queued->row.destination);
}

static void ask(struct queued *queued)
{
	struct pn_stage_request request;

	pn_queued_restore(queued);
	request =
		pn_queued_stage(queued, PN_STAGE_RECIPIENT_ROUTE, NULL, queued->transaction->arena);
	pn_stage_run(&request, routed, queued);
}

/* ---- what is decided already ---- */

/* "mx" of an operator: by the recipient's own domain. */
static struct pn_slice complete(struct queued *queued, struct pn_slice text)
{
	size_t at = queued->row.recipient.size;
	struct pn_route route;
	struct pn_error error;

	while (at > 0 && queued->row.recipient.data[at - 1] != '@')
		at--;
	pn_queued_restore(queued);
	if (pn_route_parse(text, queued->transaction->arena, &route, &error) != PN_OK)
		return text;
	return pn_route_format(&route, pn_slice_behind(queued->row.recipient, at),
	                       queued->transaction->arena);
}

static bool ends_at_once(struct queued *queued)
{
	const struct pn_queue_row *row = &queued->row;
	struct pn_slice verdict = pn_queue_detail_of(row->details, PN_SLICE("verdict"));
	const struct pn_deliver_by by = pn_details_by(row->details);
	int64_t now = pn_clock_wall_ms();

	pn_suspect_check(queued);
	if (queued->deaths >= MAX_DEATHS) {
		queued->outcome = PN_DELIVERY_DEFERRED;
		queued->holds = true;
		pn_log(PN_LOG_ERROR, "queue", "%.*s is set aside: %s",
		       PN_SLICE_ARGS(row->transaction), queued->reason);
	} else if (queued->deaths > 0) {
		/* Written down before it is tried again. */
		queued->outcome = PN_DELIVERY_DEFERRED;
		queued->answer_class = PN_CLASS_TEMPORARY;
		queued->retry_at_ms = now + 1;
	} else if (pn_queue_detail_of(row->details, PN_SLICE("delivered")).size > 0) {
		queued->outcome = PN_DELIVERY_DONE;
		pn_reply_set(&queued->reply, 250, "2.1.5", "stored");
		snprintf(queued->command, sizeof(queued->command), "account");
	} else if (pn_slice_equal(verdict, PN_SLICE("bounce"))) {
		queued->outcome = PN_DELIVERY_REFUSED;
		queued->answer_class = PN_CLASS_PERMANENT;
		pn_reply_set(&queued->reply, 550, "5.0.0", "given up by the postmaster");
		queued->reply.code = 0;
		snprintf(queued->reason, sizeof(queued->reason), "given up by the postmaster");
	} else if (by.mode == PN_DELIVER_BY_RETURN && by.moment_ms <= now) {
		queued->outcome = PN_DELIVERY_REFUSED;
		queued->answer_class = PN_CLASS_EXPIRED;
		snprintf(queued->reason, sizeof(queued->reason),
		         "it was not delivered by the time that its sender set%s%.*s",
		         row->reason.size > 0 ? "; last: " : "", PN_SLICE_ARGS(row->reason));
	} else {
		/* Where its time is up this is the last try: settling gives it up if it fails. */
		return false;
	}
	return true;
}

void pn_route_row(struct queued *queued)
{
	struct pn_slice route = pn_queue_detail_of(queued->row.details, PN_SLICE("route"));

	if (ends_at_once(queued))
		pn_settle(queued);
	else if (route.size > 0)
		to_lane(queued, complete(queued, route));
	else if (pn_queue_has_hooks(PN_STAGE_RECIPIENT_ROUTE))
		ask(queued);
	else
		to_lane(queued, queued->row.destination);
}
