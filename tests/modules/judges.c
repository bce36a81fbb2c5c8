/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judges: hooks that behave well and badly, for tests. Each looks at the name that a
 * client gave and does what the name says: judges of other names say continue.
 */
#include <postern/arena.h>
#include <postern/module.h>
#include <postern/session.h>
#include <postern/text.h>
#include <postern/transaction.h>

static bool is_called(const struct pn_stage_call *call, const char *name)
{
	return pn_slice_equal(pn_session_hello(call->session), pn_slice_of(name));
}

/* The answer of a hook that waited. `call` is valid as long as its ticket is open. */
struct waiting {
	const struct pn_stage_call *call;
	struct pn_ticket ticket;
};

static void waited(void *user, const struct pn_answer *answer)
{
	const struct waiting *waiting = user;

	(void)answer;
	if (pn_ticket_is_open(waiting->ticket))
		pn_hook_answer(waiting->call,
		               pn_refuse(waiting->call, 550, "5.7.1", "waited and refused"));
}

static enum pn_verdict waits(const struct pn_stage_call *call)
{
	struct waiting *waiting;

	if (!is_called(call, "pending.test"))
		return PN_VERDICT_CONTINUE;
	waiting = PN_ARENA_NEW(pn_session_arena(call->session), struct waiting);
	*waiting = (struct waiting){call, call->ticket};
	(void)pn_ticket_open(call->session, waited, waiting, 50);
	return PN_VERDICT_PENDING;
}

static enum pn_verdict never_answers(const struct pn_stage_call *call)
{
	return is_called(call, "timeout.test") ? PN_VERDICT_PENDING : PN_VERDICT_CONTINUE;
}

/* client.hello does not know quarantine. */
static enum pn_verdict gives_a_wrong_verdict(const struct pn_stage_call *call)
{
	return is_called(call, "invalid.test") ? PN_VERDICT_QUARANTINE : PN_VERDICT_CONTINUE;
}

static enum pn_verdict refuses_shadowed(const struct pn_stage_call *call)
{
	return is_called(call, "shadow.test")
	               ? pn_refuse(call, 550, "5.7.1", "refused in the shadow")
	               : PN_VERDICT_CONTINUE;
}

static enum pn_verdict refuses_observing(const struct pn_stage_call *call)
{
	return is_called(call, "observe.test") ? pn_refuse(call, 550, "5.7.1", "not asked")
	                                       : PN_VERDICT_CONTINUE;
}

static enum pn_verdict accepts(const struct pn_stage_call *call)
{
	return is_called(call, "accept.test") ? PN_VERDICT_ACCEPT : PN_VERDICT_CONTINUE;
}

static enum pn_verdict refuses_after_accept(const struct pn_stage_call *call)
{
	return is_called(call, "accept.test") ? pn_refuse(call, 550, "5.7.1", "ran after accept")
	                                      : PN_VERDICT_CONTINUE;
}

static enum pn_verdict fails_default(const struct pn_stage_call *call)
{
	return is_called(call, "fail-default.test") ? pn_hook_failed(call, "failed")
	                                            : PN_VERDICT_CONTINUE;
}

static enum pn_verdict fails_continue(const struct pn_stage_call *call)
{
	return is_called(call, "fail-continue.test") ? pn_hook_failed(call, "failed")
	                                             : PN_VERDICT_CONTINUE;
}

static enum pn_verdict fails_defer(const struct pn_stage_call *call)
{
	return is_called(call, "fail-defer.test") ? pn_hook_failed(call, "failed")
	                                          : PN_VERDICT_CONTINUE;
}

static enum pn_verdict fails_reject(const struct pn_stage_call *call)
{
	return is_called(call, "fail-reject.test") ? pn_hook_failed(call, "failed")
	                                           : PN_VERDICT_CONTINUE;
}

/* Nobody answers for this sender, and nobody gives up on it soon. */
static enum pn_verdict ponders(const struct pn_stage_call *call)
{
	const struct pn_address *sender = pn_transaction_sender(call->transaction);

	return pn_slice_equal(sender->domain, PN_SLICE("pondered.test")) ? PN_VERDICT_PENDING
	                                                                 : PN_VERDICT_CONTINUE;
}

static const struct pn_hook judges_hooks[] = {
	{.stage = PN_STAGE_CLIENT_HELLO,
         .name = "waits",
         .run = waits,
         .order = -10,
         .summary = "Waits, and refuses."},
	{.stage = PN_STAGE_CLIENT_HELLO,
         .name = "never-answers",
         .run = never_answers,
         .wall_budget_ms = 100,
         .summary = "Waits for ever."},
	{.stage = PN_STAGE_CLIENT_HELLO,
         .name = "wrong-verdict",
         .run = gives_a_wrong_verdict,
         .summary = "Gives a verdict that the stage does not know."},
	{.stage = PN_STAGE_CLIENT_HELLO,
         .name = "shadowed",
         .run = refuses_shadowed,
         .mode = PN_HOOK_SHADOW,
         .summary = "Refuses, and does not count."},
	{.stage = PN_STAGE_CLIENT_HELLO,
         .name = "observing",
         .run = refuses_observing,
         .mode = PN_HOOK_OBSERVE,
         .summary = "Looks on."},
	{.stage = PN_STAGE_CLIENT_HELLO,
         .name = "accepts",
         .run = accepts,
         .order = 10,
         .summary = "Says that it is enough."},
	{.stage = PN_STAGE_CLIENT_HELLO,
         .name = "after-accept",
         .run = refuses_after_accept,
         .order = 11,
         .summary = "Would refuse what another accepted."},
	{.stage = PN_STAGE_CLIENT_HELLO,
         .name = "fails-default",
         .run = fails_default,
         .summary = "Fails; by default the client is put off."},
	{.stage = PN_STAGE_CLIENT_HELLO,
         .name = "fails-continue",
         .run = fails_continue,
         .on_error = PN_ON_ERROR_CONTINUE,
         .summary = "Fails, and does not matter."},
	{.stage = PN_STAGE_CLIENT_HELLO,
         .name = "fails-defer",
         .run = fails_defer,
         .on_error = PN_ON_ERROR_DEFER,
         .summary = "Fails, and puts off."},
	{.stage = PN_STAGE_CLIENT_HELLO,
         .name = "fails-reject",
         .run = fails_reject,
         .on_error = PN_ON_ERROR_REJECT,
         .summary = "Fails, and refuses."},
	{.stage = PN_STAGE_ENVELOPE_SENDER,
         .name = "ponders",
         .run = ponders,
         .wall_budget_ms = 300,
         .summary = "Gives no verdict on some senders."},
	{.stage = PN_STAGE_NONE},
};

PN_MODULE(judges, .version = "1.0", .summary = "Hooks that behave well and badly.",
          .hooks = judges_hooks, );
