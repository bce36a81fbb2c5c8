/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pigeon: a transport for tests. It is fast for "near" recipients, never comes back from
 * "far" ones, and nobody lives anywhere else. Its hooks send mail for pigeon.test with it,
 * and write into the log what became of each recipient.
 */
#include <postern/delivery.h>
#include <postern/log.h>
#include <postern/module.h>
#include <postern/text.h>
#include <postern/transport.h>

#include <stdio.h>
#include <string.h>

static struct pn_delivery_recipient *recipient_at(struct pn_delivery *delivery, size_t index)
{
	return (struct pn_delivery_recipient *)((char *)delivery->recipients +
	                                        index * delivery->recipient_size);
}

static enum pn_status take_off(void *instance, struct pn_carrier *carrier, struct pn_error *error)
{
	(void)instance;
	(void)error;
	pn_carrier_ready(carrier);
	return PN_OK;
}

static void answer(struct pn_delivery_recipient *recipient, enum pn_delivery_outcome outcome,
                   unsigned code, const char *enhanced, const char *text)
{
	recipient->outcome = outcome;
	recipient->reply.code = (uint16_t)code;
	snprintf(recipient->reply.enhanced, sizeof(recipient->reply.enhanced), "%s", enhanced);
	snprintf(recipient->reply.text, sizeof(recipient->reply.text), "%s", text);
	snprintf(recipient->command, sizeof(recipient->command), "landing");
}

static void fly(struct pn_carrier *carrier, struct pn_delivery *delivery)
{
	bool waits = false;

	for (size_t i = 0; i < delivery->recipient_count; i++) {
		struct pn_delivery_recipient *recipient = recipient_at(delivery, i);
		struct pn_slice name = recipient->address.local_part;

		if (pn_slice_equal(name, PN_SLICE("near")))
			answer(recipient, PN_DELIVERY_DONE, 250, "2.0.0", "landed");
		else if (pn_slice_equal(name, PN_SLICE("far")))
			waits = true;
		else
			answer(recipient, PN_DELIVERY_REFUSED, 550, "5.1.1", "no such roof");
	}
	pn_carrier_note(carrier, '*', PN_SLICE("it flew"));
	if (waits) {
		pn_carrier_set_state(carrier, delivery);
		return;
	}
	pn_delivery_done(delivery);
	pn_carrier_ready(carrier);
}

/* Called back: what is still in the air is lost for now. */
static void call_back(struct pn_carrier *carrier, bool now)
{
	struct pn_delivery *delivery = pn_carrier_state(carrier);

	(void)now;
	if (delivery != NULL) {
		for (size_t i = 0; i < delivery->recipient_count; i++) {
			struct pn_delivery_recipient *recipient = recipient_at(delivery, i);

			if (recipient->outcome == PN_DELIVERY_UNTRIED)
				answer(recipient, PN_DELIVERY_DEFERRED, 0, "",
				       "it never came back");
		}
		pn_delivery_done(delivery);
	}
	pn_carrier_closed(carrier, PN_CARRIER_FINISHED, NULL);
}

static const struct pn_transport pigeon_transport = {
	.struct_size = sizeof(struct pn_transport),
	.default_port = 1,
	.max_recipients = 1,
	.open = take_off,
	.deliver = fly,
	.close = call_back,
};

/* ---- hooks ---- */

static bool is_ours(const struct pn_stage_call *call)
{
	return pn_slice_equal(pn_recipient_address(call->recipient)->domain,
	                      PN_SLICE("pigeon.test"));
}

static enum pn_verdict take(const struct pn_stage_call *call)
{
	return is_ours(call) ? PN_VERDICT_ACCEPT : PN_VERDICT_CONTINUE;
}

static enum pn_verdict send_off(const struct pn_stage_call *call)
{
	const struct pn_slice roof = PN_SLICE("192.0.2.1");
	const struct pn_route route = {
		.struct_size = sizeof(route),
		.kind = PN_ROUTE_HOSTS,
		.transport = PN_SLICE("pigeon"),
		.hosts = &roof,
		.host_count = 1,
	};
	struct pn_error error;

	if (is_ours(call) && pn_recipient_set_route(call->recipient, &route, &error) != PN_OK)
		return pn_hook_failed(call, "%s", error.text);
	return PN_VERDICT_CONTINUE;
}

static enum pn_verdict tell(const struct pn_stage_call *call)
{
	const struct pn_attempt *attempt = call->subject;

	if (is_ours(call))
		pn_log(PN_LOG_NOTICE, "pigeon", "%s for %.*s: outcome %d, class %s, attempt %u",
		       pn_stage_name(call->stage),
		       PN_SLICE_ARGS(pn_recipient_address(call->recipient)->text),
		       (int)attempt->outcome, pn_answer_class_name(attempt->answer_class),
		       (unsigned)attempt->attempts);
	return PN_VERDICT_CONTINUE;
}

static const struct pn_hook pigeon_hooks[] = {
	{.stage = PN_STAGE_ENVELOPE_RECIPIENT, .run = take, .summary = "Takes mail for the roof."},
	{.stage = PN_STAGE_RECIPIENT_ROUTE, .run = send_off, .summary = "Sends it by air."},
	{.stage = PN_STAGE_DELIVERY_START, .run = tell, .summary = "Tells of a start."},
	{.stage = PN_STAGE_DELIVERY_RESPONSE, .run = tell, .summary = "Tells of a refusal."},
	{.stage = PN_STAGE_DELIVERY_DONE, .run = tell, .summary = "Tells of the end."},
	{.stage = PN_STAGE_BOUNCE_CREATE, .run = tell, .summary = "Tells of a report."},
	{.stage = PN_STAGE_NONE},
};

PN_MODULE(pigeon, .version = "1.0", .summary = "Carries mail through the air.",
          .transport = &pigeon_transport, .hooks = pigeon_hooks, );
