/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A carrier's connection: what the gateway calls (open, deliver, close), what the
 * session calls (the entries of a client protocol), and which file goes on from
 * where. One ticket is open all the time, so that the gateway can always be heard.
 */
#include "deliver.h"

#include <postern/clock.h>
#include <postern/text.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	IDLE_MS = 60 * 60 * 1000, /* the gateway closes idle carriers long before */
	WAKE_MS = 60 * 60 * 1000,
};

static void free_dialogue(struct deliver_dialogue *dialogue)
{
	pn_ticket_cancel(dialogue->farewell);
	pn_buffer_clear(&dialogue->body);
	free(dialogue->places);
	free(dialogue);
}

/* ---- the next message, or none ---- */

static enum pn_next quit(struct deliver_dialogue *dialogue)
{
	deliver_say(dialogue, PN_SLICE("QUIT"), NULL);
	return deliver_await(dialogue, DELIVER_QUITTING, "QUIT", dialogue->config->quit_timeout);
}

enum pn_next deliver_ready(struct deliver_dialogue *dialogue)
{
	for (;;) {
		dialogue->stage = DELIVER_IDLE;
		if (dialogue->delivery == NULL && !dialogue->must_quit) {
			dialogue->in_ready = true;
			pn_carrier_ready(dialogue->carrier);
			dialogue->in_ready = false;
		}
		if (dialogue->must_quit && dialogue->delivery == NULL)
			return quit(dialogue);
		if (dialogue->delivery == NULL)
			return deliver_await(dialogue, DELIVER_IDLE, "", IDLE_MS);
		if (deliver_envelope_begin(dialogue))
			return deliver_body_begin(dialogue);
		deliver_hand_back(dialogue);
	}
}

/* The gateway called deliver() or close() on a carrier that waited for it. */
static enum pn_next woken(struct deliver_dialogue *dialogue)
{
	dialogue->wake = pn_session_ticket(dialogue->session, WAKE_MS);
	if (dialogue->stage != DELIVER_IDLE)
		return dialogue->next;
	if (dialogue->delivery == NULL && !dialogue->must_quit)
		return dialogue->next;
	return deliver_ready(dialogue);
}

/* ---- answers of the server ---- */

/* While it has nothing to answer: good-bye, or nonsense. */
static enum pn_next spoke_by_itself(struct deliver_dialogue *dialogue, const struct pn_reply *reply)
{
	bool is_idle = dialogue->delivery == NULL || dialogue->messages > 0;

	/* What it says is not about the message, which it has not seen. */
	if (dialogue->delivery != NULL && dialogue->messages > 0)
		deliver_settle_rest(dialogue, PN_DELIVERY_UNTRIED, reply, "");
	if (reply->code == 421)
		return deliver_end(dialogue, is_idle ? PN_CARRIER_FINISHED : PN_CARRIER_NOT_NOW,
		                   reply);
	return deliver_nonsense(dialogue, "the server spoke without being asked");
}

static enum pn_next take_reply(struct deliver_dialogue *dialogue)
{
	/* Its room is used for the next answer. */
	const struct pn_reply reply = dialogue->reply.reply;

	if (dialogue->stage == DELIVER_QUITTING)
		return deliver_end(dialogue, PN_CARRIER_FINISHED, &reply);
	if (dialogue->stage == DELIVER_IDLE || dialogue->stage == DELIVER_READING)
		return spoke_by_itself(dialogue, &reply);
	/* RFC 5321 section 3.8: the server closes, whatever it was asked. */
	if (reply.code == 421)
		return deliver_end(dialogue, PN_CARRIER_NOT_NOW, &reply);
	switch (dialogue->stage) {
	case DELIVER_GREETING:
		return deliver_greeted(dialogue, &reply);
	case DELIVER_HELLO:
		return deliver_hello_answered(dialogue, &reply);
	case DELIVER_STARTING_TLS:
		return deliver_start_tls_answered(dialogue, &reply);
	case DELIVER_LOGIN:
		return deliver_login_answered(dialogue, &reply);
	case DELIVER_ENVELOPE:
		return deliver_envelope_answered(dialogue, &reply);
	case DELIVER_ANSWERS:
		return deliver_data_answered(dialogue, &reply);
	default:
		return deliver_nonsense(dialogue, "the server spoke without being asked");
	}
}

static const char *const problems[] = {
	[PN_LINE_GOOD] = "",
	[PN_LINE_TOO_LONG] = "the server's answer has a line that is too long",
	[PN_LINE_BARE_LF] = "the server's answer has a bare LF in it",
	[PN_LINE_BARE_CR] = "the server's answer has a bare CR in it",
	[PN_LINE_NUL] = "the server's answer has a NUL in it",
};

static enum pn_next take_line(struct deliver_dialogue *dialogue, const struct pn_line *line)
{
	struct pn_slice text;
	uint64_t now;

	if (dialogue->carrier == NULL)
		return PN_NEXT_CLOSE;
	pn_carrier_note(dialogue->carrier, '<', line->text);
	if (line->problem != PN_LINE_GOOD)
		return deliver_nonsense(dialogue, problems[line->problem]);
	switch (deliver_reply_take(&dialogue->reply, line->text, &text)) {
	case DELIVER_REPLY_BROKEN:
		return deliver_nonsense(dialogue, "the server's answer is none");
	case DELIVER_REPLY_MORE:
	case DELIVER_REPLY_WHOLE:
		break;
	}
	if (dialogue->stage == DELIVER_HELLO && !dialogue->is_helo && dialogue->reply.lines > 1)
		deliver_offer_take(&dialogue->offer, text);
	if (line->text.size <= 3 || line->text.data[3] != '-')
		return take_reply(dialogue);
	/* The deadline is for the whole answer. */
	now = pn_clock_monotonic_ms();
	pn_session_set_deadline(dialogue->session,
	                        dialogue->reply_due_ms > now ? dialogue->reply_due_ms - now : 1);
	return PN_NEXT_ANSWER_OR_LINE;
}

/* ---- entries of the session ---- */

static enum pn_next connected(struct deliver_dialogue *dialogue, const struct pn_answer *answer)
{
	const char *why = answer->error == NULL ? "cannot connect" : answer->error->text;
	struct pn_reply reply;

	if (dialogue->carrier == NULL)
		return PN_NEXT_CLOSE;
	if (answer->status == PN_OK) {
		dialogue->wake = pn_session_ticket(dialogue->session, WAKE_MS);
		pn_session_set_line_limit(dialogue->session, DELIVER_LINE_MAX);
		deliver_note(dialogue, "connected to %s", dialogue->address);
		if (pn_session_is_encrypted(dialogue->session))
			deliver_tell_tls(dialogue);
		return deliver_await(dialogue, DELIVER_GREETING, "the connection",
		                     dialogue->config->greeting_timeout);
	}
	/* A connection that is not there has a number; TLS at once that is not has none. */
	if (dialogue->config->implicit_tls && answer->status == PN_FAILED &&
	    answer->error != NULL && answer->error->system_error == 0) {
		deliver_reply_say(&reply, "4.7.5", "%s", why);
		return deliver_insecure(dialogue, &reply);
	}
	return deliver_lost(dialogue, why);
}

static enum pn_next enter_open(struct pn_session *session, void *state,
                               const struct pn_answer *answer)
{
	struct deliver_dialogue *dialogue = pn_session_user(session);

	(void)state;
	dialogue->session = session;
	return dialogue->next = connected(dialogue, answer);
}

static enum pn_next enter_line(struct pn_session *session, void *state, const struct pn_line *line)
{
	struct deliver_dialogue *dialogue = pn_session_user(session);

	(void)state;
	return dialogue->next = take_line(dialogue, line);
}

static bool is_same(struct pn_ticket left, struct pn_ticket right)
{
	return left.slot == right.slot && left.generation == right.generation;
}

static enum pn_next take_answer(struct deliver_dialogue *dialogue, const struct pn_answer *answer)
{
	if (dialogue->carrier == NULL)
		return PN_NEXT_CLOSE;
	if (answer->kind == PN_ANSWER_SECURED) {
		/* What was said to the ticket during the handshake was not heard. */
		pn_ticket_cancel(dialogue->wake);
		dialogue->wake = pn_session_ticket(dialogue->session, WAKE_MS);
		return deliver_secured(dialogue, answer);
	}
	if (is_same(answer->ticket, dialogue->wake))
		return woken(dialogue);
	if (dialogue->delivery != NULL && is_same(answer->ticket, dialogue->body_ticket))
		return deliver_body_read(dialogue, answer);
	return dialogue->next;
}

static enum pn_next enter_answered(struct pn_session *session, void *state,
                                   const struct pn_answer *answer)
{
	struct deliver_dialogue *dialogue = pn_session_user(session);

	(void)state;
	return dialogue->next = take_answer(dialogue, answer);
}

static enum pn_next enter_drained(struct pn_session *session, void *state)
{
	struct deliver_dialogue *dialogue = pn_session_user(session);

	(void)state;
	if (dialogue->carrier == NULL)
		return dialogue->next = PN_NEXT_CLOSE;
	return dialogue->next = deliver_body_drained(dialogue);
}

static enum pn_next too_late(struct deliver_dialogue *dialogue)
{
	char text[80];

	if (dialogue->stage == DELIVER_BODY)
		return deliver_lost(dialogue, "the server takes the message too slowly");
	if (dialogue->stage == DELIVER_IDLE)
		return deliver_lost(dialogue, "nothing to do for too long");
	snprintf(text, sizeof(text), "no answer to %s in time", dialogue->command);
	return deliver_lost(dialogue, text);
}

/* It went while the message was sent: what it said meanwhile is about the message, if it is a no.
 */
static enum pn_next gone(struct deliver_dialogue *dialogue)
{
	static const char *const why = "the server closed the connection";
	struct pn_slice said = pn_session_unread(dialogue->session);
	struct pn_slice line;
	struct pn_reply reply;

	if (dialogue->stage != DELIVER_BODY)
		return deliver_lost(dialogue, why);
	memset(&dialogue->reply, 0, sizeof(dialogue->reply));
	while (pn_slice_find(said, '\n') < said.size) {
		line = pn_slice_trim(pn_slice_cut(&said, '\n'));
		pn_carrier_note(dialogue->carrier, '<', line);
		switch (deliver_reply_take(&dialogue->reply, line, NULL)) {
		case DELIVER_REPLY_BROKEN:
			return deliver_lost(dialogue, why);
		case DELIVER_REPLY_MORE:
			continue;
		case DELIVER_REPLY_WHOLE:
			break;
		}
		reply = dialogue->reply.reply;
		if (reply.code == 421)
			return deliver_end(dialogue, PN_CARRIER_NOT_NOW, &reply);
		if (deliver_reply_class(&reply) < 4)
			break;
		deliver_settle_rest(dialogue, deliver_outcome_of(&reply), &reply, "DATA");
		return deliver_end(dialogue, PN_CARRIER_FINISHED, &reply);
	}
	return deliver_lost(dialogue, why);
}

static enum pn_next enter_event(struct pn_session *session, void *state,
                                const struct pn_session_event_info *event)
{
	struct deliver_dialogue *dialogue = pn_session_user(session);

	(void)state;
	if (dialogue->carrier == NULL)
		return dialogue->next = PN_NEXT_CLOSE;
	switch (event->kind) {
	case PN_EVENT_DEADLINE:
		(void)too_late(dialogue);
		return dialogue->next = PN_NEXT_CLOSE;
	case PN_EVENT_PEER_CLOSED:
		return dialogue->next = gone(dialogue);
	default:
		/* The gateway stops: it closes its carriers itself. */
		return dialogue->next;
	}
}

static void enter_close(struct pn_session *session, void *state, enum pn_close_reason reason)
{
	struct deliver_dialogue *dialogue = pn_session_user(session);
	struct pn_reply reply;

	(void)state;
	if (dialogue->carrier == NULL) {
		free_dialogue(dialogue);
		return;
	}
	if (dialogue->stage == DELIVER_SECURING && reason == PN_CLOSE_DEADLINE) {
		deliver_reply_say(&reply, "4.7.5", "the TLS handshake took too long");
		(void)deliver_insecure(dialogue, &reply);
	} else if (reason == PN_CLOSE_DEADLINE) {
		(void)too_late(dialogue);
	} else if (reason == PN_CLOSE_STOPPING) {
		(void)deliver_lost(dialogue, "the gateway stops");
	} else if (dialogue->stage == DELIVER_SECURING) {
		(void)deliver_lost(dialogue, "the server spoke before the TLS handshake");
	} else {
		(void)deliver_lost(dialogue, "the connection was lost");
	}
	free_dialogue(dialogue);
}

static const struct pn_protocol client_protocol = {
	.struct_size = sizeof(struct pn_protocol),
	.name = "deliver",
	.open = enter_open,
	.line = enter_line,
	.answered = enter_answered,
	.drained = enter_drained,
	.event = enter_event,
	.close = enter_close,
};

/* ---- what the gateway calls ---- */

/* From the top of the loop: the carrier ends without the session's help. */
static void say_farewell(void *user, const struct pn_answer *answer)
{
	struct deliver_dialogue *dialogue = user;

	(void)answer;
	(void)deliver_end(dialogue, dialogue->farewell_end, &dialogue->farewell_reply);
	if (dialogue->has_connection)
		pn_ticket_answer(dialogue->wake, PN_ANSWER_CUSTOM, PN_OK, NULL, NULL, NULL);
	else
		free_dialogue(dialogue);
}

static void begin_farewell(struct deliver_dialogue *dialogue, enum pn_carrier_end end,
                           const char *enhanced, const char *text)
{
	if (pn_ticket_is_open(dialogue->farewell))
		return;
	dialogue->farewell_end = end;
	deliver_reply_say(&dialogue->farewell_reply, enhanced, "%s", text);
	dialogue->farewell = pn_ticket_open(NULL, say_farewell, dialogue, WAKE_MS);
	pn_ticket_answer(dialogue->farewell, PN_ANSWER_CUSTOM, PN_OK, NULL, NULL, NULL);
}

static bool is_local(const char *address)
{
	return strncmp(address, "unix:", 5) == 0 || strncmp(address, "127.", 4) == 0 ||
	       strncmp(address, "[::1]", 5) == 0;
}

static enum pn_route_tls tls_of(const struct pn_next_hop *hop, const struct deliver_config *config)
{
	if (hop->tls != PN_ROUTE_TLS_DEFAULT)
		return hop->tls;
	if (config->tls != DELIVER_TLS_AUTOMATIC)
		return (enum pn_route_tls)(config->tls + PN_ROUTE_TLS_NEVER);
	return is_local(hop->address) ? PN_ROUTE_TLS_NEVER : PN_ROUTE_TLS_OPPORTUNISTIC;
}

static bool is_ip(const char *name)
{
	unsigned char room[16];

	return inet_pton(AF_INET, name, room) == 1 || inet_pton(AF_INET6, name, room) == 1;
}

/* Hosts found by MX have no port of their own. */
static void set_address(struct deliver_dialogue *dialogue, const struct pn_next_hop *hop)
{
	const char *colon = strrchr(hop->address, ':');

	if (dialogue->config->port > 0 && hop->domain[0] != '\0' && colon != NULL &&
	    strncmp(hop->address, "unix:", 5) != 0)
		snprintf(dialogue->address, sizeof(dialogue->address), "%.*s:%u",
		         (int)(colon - hop->address), hop->address,
		         (unsigned)dialogue->config->port);
	else
		snprintf(dialogue->address, sizeof(dialogue->address), "%s", hop->address);
}

static enum pn_status connect_to(struct deliver_dialogue *dialogue, struct pn_error *error)
{
	const struct deliver_config *config = dialogue->config;
	const struct pn_next_hop *hop = pn_carrier_hop(dialogue->carrier);
	bool has_name = pn_domain_is_valid(pn_slice_of(hop->name), false) && !is_ip(hop->name);
	bool is_verified = dialogue->tls == PN_ROUTE_TLS_VERIFIED;
	struct pn_connect request = {
		.struct_size = sizeof(request),
		.protocol = &client_protocol,
		.address = dialogue->address,
		.source_address = hop->source_address,
		.tls_name = is_verified ? hop->name : NULL,
		.tls_at_once = config->implicit_tls && dialogue->tls != PN_ROUTE_TLS_NEVER,
		.deadline_ms = config->connect_timeout,
		.user = dialogue,
		.tls_server_name = has_name ? hop->name : NULL,
		.tls_trusted = config->trusted_certificates,
	};

	/* Whose certificate it must be has to be known. */
	if (is_verified && !has_name && !is_ip(hop->name))
		return pn_fail(error, "there is no name to verify the certificate of %s with",
		               hop->address);
	if (request.source_address == NULL)
		request.source_address =
			deliver_source_address(dialogue->instance, config, dialogue->address);
	error->system_error = 0;
	if (pn_connect(pn_carrier_instance(dialogue->carrier), &request, error) == PN_OK) {
		dialogue->has_connection = true;
		return PN_OK;
	}
	if (error->system_error == 0)
		return PN_FAILED;
	/* "No route", "no such socket": known at once, and told as if it had taken a while. */
	begin_farewell(dialogue, PN_CARRIER_UNREACHABLE, "4.4.1", error->text);
	return PN_OK;
}

enum pn_status deliver_open(struct deliver_instance *instance, struct pn_carrier *carrier,
                            enum deliver_kind kind, struct pn_error *error)
{
	struct deliver_dialogue *dialogue = calloc(1, sizeof(*dialogue));
	const struct pn_next_hop *hop = pn_carrier_hop(carrier);

	if (dialogue == NULL)
		abort();
	dialogue->kind = kind;
	dialogue->carrier = carrier;
	dialogue->instance = instance;
	dialogue->config = pn_carrier_config(carrier);
	dialogue->tls = tls_of(hop, dialogue->config);
	dialogue->command = "the connection";
	pn_buffer_init(&dialogue->body, DELIVER_KEEP_MAX);
	set_address(dialogue, hop);
	pn_carrier_set_address(carrier, dialogue->address);
	pn_carrier_set_state(carrier, dialogue);
	if (connect_to(dialogue, error) == PN_OK)
		return PN_OK;
	free_dialogue(dialogue);
	return PN_FAILED;
}

void deliver_message(struct pn_carrier *carrier, struct pn_delivery *delivery)
{
	struct deliver_dialogue *dialogue = pn_carrier_state(carrier);

	dialogue->delivery = delivery;
	if (!dialogue->in_ready)
		pn_ticket_answer(dialogue->wake, PN_ANSWER_CUSTOM, PN_OK, NULL, NULL, NULL);
}

void deliver_close(struct pn_carrier *carrier, bool now)
{
	struct deliver_dialogue *dialogue = pn_carrier_state(carrier);

	if (now) {
		begin_farewell(dialogue, PN_CARRIER_FINISHED, "4.4.2",
		               "the gateway ended the attempt");
		return;
	}
	dialogue->must_quit = true;
	if (!dialogue->in_ready && dialogue->stage == DELIVER_IDLE)
		pn_ticket_answer(dialogue->wake, PN_ANSWER_CUSTOM, PN_OK, NULL, NULL, NULL);
}
