/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages, hooks and verdicts.
 *
 * A stage is a named moment. A hook is a function that a module (or a policy, in
 * Lua) attached to it. Hooks run in order, then by name; the first verdict that
 * is not `continue` ends that stage and no other: `accept` says "enough here".
 *
 * One message, narrated. A client connects: `connection.open`; nothing objects,
 * so the protocol sends its banner. EHLO: `client.hello`. MAIL FROM opens a
 * transaction and asks `envelope.sender`. RCPT TO looks the address up in the
 * directory and asks `envelope.recipient`: a script wants a DNS answer, so its
 * hook is pending; nothing more is read from this client until the answer is
 * there. Every hook says continue, the address is local, so the recipient is
 * accepted. DATA: when the header is complete, `message.headers`; when all of it
 * is there, `message.scan` (all hooks at once), `message.decide`, for each
 * recipient `recipient.decide`, then `message.change`, `recipient.route`, and
 * `mailbox.deliver` for those served here. Then one commit, `message.accepted`,
 * and only then the 250.
 *
 * A hook runs on the loop thread and does not block. A hook that needs to wait
 * keeps call->ticket, returns PN_VERDICT_PENDING, and answers later with
 * pn_hook_answer(). What it keeps meanwhile lives in call->arena.
 */
#ifndef POSTERN_STAGE_H
#define POSTERN_STAGE_H

#include <postern/ticket.h>
#include <postern/types.h>

/*
 * The closed set of verdicts, the same in C and Lua. Only `pending` is for C
 * alone. 0 is continue.
 */
enum pn_verdict {
	PN_VERDICT_CONTINUE = 0,
	PN_VERDICT_ACCEPT,     /* ends this stage, favourably                            */
	PN_VERDICT_REJECT,     /* no, for good: 5xx                                      */
	PN_VERDICT_DEFER,      /* no, for now: 4xx                                       */
	PN_VERDICT_DROP,       /* close the connection without a further word            */
	PN_VERDICT_DISCARD,    /* say yes and dispose of it; recorded                    */
	PN_VERDICT_QUARANTINE, /* keep it where only its owner or an operator looks      */
	PN_VERDICT_HOLD,       /* keep it until an operator releases it                  */
	PN_VERDICT_REDIRECT,   /* another address, or another server                     */
	PN_VERDICT_GREYLIST,   /* defer the unknown once                                 */
	PN_VERDICT_PENDING,    /* the hook kept the ticket                               */
};

/* Sets of verdicts, for the table below. */
#define PN_MAY(verdict) (1u << PN_VERDICT_##verdict)
#define PN_MAY_OBSERVE PN_MAY(CONTINUE)
#define PN_MAY_REFUSE (PN_MAY(CONTINUE) | PN_MAY(ACCEPT) | PN_MAY(REJECT) | PN_MAY(DEFER))
#define PN_MAY_CLOSE (PN_MAY_REFUSE | PN_MAY(DROP))
#define PN_MAY_DISPOSE                                                                             \
	(PN_MAY_CLOSE | PN_MAY(DISCARD) | PN_MAY(QUARANTINE) | PN_MAY(HOLD))

/*
 * The table of stages: identifier, name, verdicts it knows, and when it runs.
 * The same table checks verdicts at run time; a verdict that its stage does not
 * know counts as a failure of the hook (see on_error).
 */
#define PN_STAGE_TABLE(X)                                                                          \
	X(CONNECTION_OPEN, "connection.open", PN_MAY_CLOSE,                                        \
	  "A client connected; nothing was sent yet.")                                             \
	X(CONNECTION_SECURED, "connection.secured", PN_MAY_CLOSE, "TLS is up.")                    \
	X(CLIENT_HELLO, "client.hello", PN_MAY_CLOSE, "The client gave its name.")                 \
	X(AUTH_VERIFY, "auth.verify", PN_MAY_CLOSE,                                                \
	  "One attempt to authenticate. accept: the identity is proven.")                          \
	X(ENVELOPE_SENDER, "envelope.sender", PN_MAY_DISPOSE, "MAIL FROM.")                        \
	X(ENVELOPE_RECIPIENT, "envelope.recipient",                                                \
	  PN_MAY_DISPOSE | PN_MAY(REDIRECT) | PN_MAY(GREYLIST),                                    \
	  "RCPT TO. accept: take it, relaying included.")                                          \
	X(MESSAGE_HEADERS, "message.headers", PN_MAY_DISPOSE,                                      \
	  "The header is complete, the body still to come.")                                       \
	X(MESSAGE_SCAN, "message.scan", PN_MAY_OBSERVE,                                            \
	  "The message is complete; all hooks run at once and add scores and facts.")              \
	X(MESSAGE_DECIDE, "message.decide",                                                        \
	  PN_MAY_DISPOSE | PN_MAY(REDIRECT) | PN_MAY(GREYLIST),                                    \
	  "All scanners answered or timed out.")                                                   \
	X(RECIPIENT_DECIDE, "recipient.decide",                                                    \
	  PN_MAY_REFUSE | PN_MAY(DISCARD) | PN_MAY(QUARANTINE) | PN_MAY(HOLD) | PN_MAY(REDIRECT),  \
	  "For each recipient, after the message was judged.")                                     \
	X(MESSAGE_CHANGE, "message.change", PN_MAY(CONTINUE) | PN_MAY(ACCEPT) | PN_MAY(DEFER),     \
	  "Before the commit; edits of a hook count whole or not at all.")                         \
	X(RECIPIENT_ROUTE, "recipient.route",                                                      \
	  PN_MAY_REFUSE | PN_MAY(DISCARD) | PN_MAY(HOLD) | PN_MAY(REDIRECT),                       \
	  "For each recipient, before the commit and at each attempt.")                            \
	X(MAILBOX_DELIVER, "mailbox.deliver",                                                      \
	  PN_MAY_REFUSE | PN_MAY(DISCARD) | PN_MAY(QUARANTINE),                                    \
	  "A recipient is served here, before the commit.")                                        \
	X(MESSAGE_ACCEPTED, "message.accepted", PN_MAY_OBSERVE, "Committed.")                      \
	X(DELIVERY_START, "delivery.start", PN_MAY_REFUSE | PN_MAY(HOLD) | PN_MAY(REDIRECT),       \
	  "Before an attempt to deliver.")                                                         \
	X(DELIVERY_RESPONSE, "delivery.response", PN_MAY_REFUSE | PN_MAY(HOLD),                    \
	  "The remote server refused, for now or for good.")                                       \
	X(DELIVERY_DONE, "delivery.done", PN_MAY_OBSERVE, "Final outcome for a recipient.")        \
	X(BOUNCE_CREATE, "bounce.create",                                                          \
	  PN_MAY(CONTINUE) | PN_MAY(ACCEPT) | PN_MAY(DISCARD) | PN_MAY(REDIRECT),                  \
	  "A bounce is about to be made.")                                                         \
	X(MAILBOX_OPEN, "mailbox.open", PN_MAY_REFUSE, "A mailbox is opened for reading.")         \
	X(MAILBOX_FETCH, "mailbox.fetch", PN_MAY_REFUSE, "A message is read.")                     \
	X(ACCOUNT_ROUTE, "account.route", PN_MAY_CLOSE | PN_MAY(REDIRECT),                         \
	  "A login succeeded. redirect: pass the session on to another server.")                   \
	X(CONNECTION_CLOSE, "connection.close", PN_MAY_OBSERVE, "The end, whatever the reason.")   \
	X(GATEWAY_RELOAD, "gateway.reload", PN_MAY_OBSERVE, "A new generation is in use.")         \
	X(GATEWAY_TICK, "gateway.tick", PN_MAY_OBSERVE, "Now and then, in the control worker.")    \
	X(CONTROL_ACTION, "control.action", PN_MAY_REFUSE, "An operator asks for something.")      \
	X(CLIENT_REQUEST, "client.request", PN_MAY_CLOSE,                                          \
	  "A client asks about an address, or for its mail. accept: answer it.")

enum pn_stage {
	PN_STAGE_NONE = 0,
#define PN_STAGE_ENUMERATOR(identifier, name, verdicts, summary) PN_STAGE_##identifier,
	PN_STAGE_TABLE(PN_STAGE_ENUMERATOR)
#undef PN_STAGE_ENUMERATOR
	PN_STAGE_COUNT
};

enum pn_hook_mode {
	PN_HOOK_DECIDE = 0, /* its verdict counts                              */
	PN_HOOK_OBSERVE,    /* it is asked, its verdict is not                 */
	PN_HOOK_SHADOW,     /* runs and is recorded as if it decided, and does not count */
};

/* What a hook that failed, hung or overspent stands for. */
enum pn_on_error {
	PN_ON_ERROR_DEFAULT = 0, /* defer; continue where the stage only observes */
	PN_ON_ERROR_CONTINUE,
	PN_ON_ERROR_DEFER,
	PN_ON_ERROR_REJECT,
};

/* Places in the chain. Any number between them is fine; hooks with the same one run by name. */
enum pn_order {
	PN_ORDER_EARLY = -1000,
	PN_ORDER_NORMAL = 0,
	PN_ORDER_LATE = 1000,
};

/* The reply that goes with a verdict; text is clean, printable ASCII. */
struct pn_reply {
	uint16_t code;      /* 0: the protocol's own choice */
	char enhanced[12];  /* "5.7.1", RFC 3463; or "" */
	char text[256];
};

/* How a stage ended. */
struct pn_stage_result {
	uint32_t struct_size;
	enum pn_stage stage;
	enum pn_verdict verdict;
	struct pn_reply reply;    /* with reject and defer; always filled in */
	const char *hook;         /* who gave the verdict, "module:name" or "file.lua:12"; or NULL */
	const char *argument;     /* redirect: address; quarantine: mailbox; discard: reason; or NULL */
	struct pn_recipient *recipient; /* the one it was about, or NULL */
};

/* What a hook is called with. Valid until it returned, or its ticket was answered. */
struct pn_stage_call {
	uint32_t struct_size;
	enum pn_stage stage;
	struct pn_session *session;         /* NULL outside of sessions */
	struct pn_transaction *transaction; /* or NULL */
	struct pn_recipient *recipient;     /* at stages for each recipient; or NULL */
	const void *config;                 /* of the instance the hook belongs to */
	void *instance;                     /* what its start() made; or NULL */
	struct pn_ticket ticket;            /* to be kept with PN_VERDICT_PENDING */
	struct pn_arena *arena;             /* lives at least as long as the call */
	const void *subject;                /* auth.verify: const struct pn_credentials *
	                                     * (authentication.h); delivery.start and the like: const
	                                     * struct pn_attempt * (delivery.h); client.request: const
	                                     * struct pn_client_request * (request.h); else NULL */
};

/*
 * A row of a module's table of hooks. The table ends with .stage = PN_STAGE_NONE. Each instance of
 * the module has them; those of a protocol module run for the sessions of that instance only.
 */
struct pn_hook {
	enum pn_stage stage;
	int order;
	enum pn_hook_mode mode;
	enum pn_on_error on_error;
	uint32_t wall_budget_ms; /* 0: the gateway's default for hooks, never unlimited */
	const char *name;        /* NULL: the module's name */
	const char *summary;     /* one sentence; mandatory */
	enum pn_verdict (*run)(const struct pn_stage_call *call);
};

PN_DECLARATIONS_BEGIN

/* "envelope.sender"; and back (PN_STAGE_NONE where there is no such stage). Any thread. */
const char *pn_stage_name(enum pn_stage stage);
enum pn_stage pn_stage_of(const char *name);
const char *pn_stage_summary(enum pn_stage stage);

/* "reject"; and whether a stage knows a verdict. Any thread. */
const char *pn_verdict_name(enum pn_verdict verdict);
bool pn_stage_allows(enum pn_stage stage, enum pn_verdict verdict);

/*
 * Sets the reply beside the verdict, and returns the verdict that fits: REJECT for 5xx, DEFER for
 * 4xx. `enhanced` may be NULL. The text is made printable and cut to fit.
 *	return pn_refuse(call, 550, "5.7.1", "not from %s", name);
 */
enum pn_verdict pn_refuse(const struct pn_stage_call *call, unsigned code, const char *enhanced,
			  const char *format, ...) PN_PRINTF(4, 5);

/* return pn_redirect(call, "bob@example.org");  and so on: argument and verdict in one. */
enum pn_verdict pn_redirect(const struct pn_stage_call *call, struct pn_slice target);
enum pn_verdict pn_discard(const struct pn_stage_call *call, const char *reason);
enum pn_verdict pn_quarantine(const struct pn_stage_call *call, const char *mailbox);

/*
 * The hook could not do its work: recorded with the text, its edits are undone, and its on_error
 * decides. Returns PN_VERDICT_CONTINUE for the caller to return; pending hooks answer it.
 */
enum pn_verdict pn_hook_failed(const struct pn_stage_call *call, const char *format, ...)
	PN_PRINTF(2, 3);

/*
 * Answers the ticket of a pending hook. Set a reply or argument before it with the functions
 * above, through `call`, which stays valid until then. False where the ticket was stale (then
 * `call` is no longer valid either: ask pn_ticket_is_open() first).
 */
bool pn_hook_answer(const struct pn_stage_call *call, enum pn_verdict verdict);

PN_DECLARATIONS_END

#endif
