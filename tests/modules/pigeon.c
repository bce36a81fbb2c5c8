/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pigeon: a transport for tests. It is fast for "near" recipients, never comes back
 * from "far" ones, and loses its way to all others. The hook beside it plays the
 * queue worker for a client that says "pigeon.test".
 */
#include <postern/arena.h>
#include <postern/module.h>
#include <postern/session.h>
#include <postern/text.h>
#include <postern/transport.h>

#include <stdio.h>

static struct pn_delivery_recipient *recipient_at(struct pn_delivery *delivery, size_t index)
{
	return (struct pn_delivery_recipient *)((char *)delivery->recipients +
	                                        index * delivery->recipient_size);
}

static enum pn_status deliver(void *instance, struct pn_delivery *delivery, struct pn_error *error)
{
	bool waits = false;

	(void)instance;
	if (delivery->recipient_count == 0)
		return pn_fail(error, "nobody to fly to");
	for (size_t i = 0; i < delivery->recipient_count; i++) {
		struct pn_delivery_recipient *recipient = recipient_at(delivery, i);
		struct pn_slice name = recipient->address.local_part;

		if (pn_slice_equal(name, PN_SLICE("near")))
			recipient->outcome = PN_DELIVERY_DONE;
		else if (pn_slice_equal(name, PN_SLICE("far")))
			waits = true;
		else
			recipient->outcome = PN_DELIVERY_REFUSED;
	}
	if (!waits)
		pn_ticket_answer(delivery->ticket, PN_ANSWER_CUSTOM, PN_OK, NULL, NULL, NULL);
	return PN_PENDING;
}

static void cancel(void *instance, struct pn_delivery *delivery)
{
	(void)instance;
	for (size_t i = 0; i < delivery->recipient_count; i++) {
		if (recipient_at(delivery, i)->outcome == PN_DELIVERY_UNTRIED)
			recipient_at(delivery, i)->outcome = PN_DELIVERY_DEFERRED;
	}
	pn_ticket_answer(delivery->ticket, PN_ANSWER_CUSTOM, PN_OK, NULL, NULL, NULL);
}

static const struct pn_transport pigeon_transport = {
	.struct_size = sizeof(struct pn_transport),
	.deliver = deliver,
	.cancel = cancel,
};

/* ---- the hook ---- */

struct flight {
	const struct pn_stage_call *call;
	struct pn_ticket ticket;
	struct pn_delivery delivery;
	struct pn_delivery_recipient recipients[3];
};

static void flown(void *user, const struct pn_answer *answer)
{
	struct flight *flight = user;

	(void)answer;
	if (!pn_ticket_is_open(flight->ticket))
		return;
	pn_hook_answer(flight->call, pn_refuse(flight->call, 550, "5.7.1", "outcomes %d %d %d",
	                                       (int)flight->recipients[0].outcome,
	                                       (int)flight->recipients[1].outcome,
	                                       (int)flight->recipients[2].outcome));
}

/* Gives up soon: the far one never answers. */
static void waited_enough(void *user, const struct pn_answer *answer)
{
	struct flight *flight = user;

	(void)answer;
	cancel(NULL, &flight->delivery);
}

static enum pn_verdict fly(const struct pn_stage_call *call)
{
	static const char *const names[] = {"near", "far", "nowhere"};
	struct flight *flight;
	struct pn_error error;

	if (!pn_slice_equal(pn_session_hello(call->session), PN_SLICE("pigeon.test")))
		return PN_VERDICT_CONTINUE;
	flight = PN_ARENA_NEW(pn_session_arena(call->session), struct flight);
	flight->call = call;
	flight->ticket = call->ticket;
	for (size_t i = 0; i < 3; i++)
		flight->recipients[i].address.local_part = pn_slice_of(names[i]);
	flight->delivery = (struct pn_delivery){
		.struct_size = sizeof(flight->delivery),
		.next_hop = "unix:/nowhere",
		.recipients = flight->recipients,
		.recipient_size = sizeof(flight->recipients[0]),
		.recipient_count = 3,
		.ticket = pn_ticket_open(call->session, flown, flight, 2000),
	};
	if (deliver(call->instance, &flight->delivery, &error) != PN_PENDING)
		return pn_hook_failed(call, "%s", error.text);
	(void)pn_ticket_open(call->session, waited_enough, flight, 50);
	return PN_VERDICT_PENDING;
}

static const struct pn_hook pigeon_hooks[] = {
	{.stage = PN_STAGE_CLIENT_HELLO, .run = fly, .summary = "Tells how the pigeon fared."},
	{.stage = PN_STAGE_NONE},
};

PN_MODULE(pigeon, .version = "1.0", .summary = "Carries mail through the air.",
          .transport = &pigeon_transport, .hooks = pigeon_hooks, );
