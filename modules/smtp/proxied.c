/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that speak for others: XCLIENT and XFORWARD, as Postfix specified them, for
 * clients of networks that an option names. What XCLIENT says replaces the peer, and the
 * session begins anew; what XFORWARD says are facts of the next message. Values are
 * xtext; what they decode to is printable ASCII without spaces, or is refused. A login
 * cannot be handed on: whose mail it is, a client proves with AUTH.
 */
#include "smtp.h"

#include <postern/text.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { VALUE_MAX = 255, PROTOCOL_MAX = 64, KEY_SIZE = 40 };

enum attribute_kind {
	ATTRIBUTE_TEXT = 0,
	ATTRIBUTE_ADDRESS,
	ATTRIBUTE_PORT,
	ATTRIBUTE_PROTOCOL,
	ATTRIBUTE_SOURCE,
};

enum { FOR_XCLIENT = 1u << 0, FOR_XFORWARD = 1u << 1, FOR_BOTH = FOR_XCLIENT | FOR_XFORWARD };

/* The order is that of values[] below. */
enum { NAME = 0, ADDR, PORT, PROTO, HELO, DESTADDR, DESTPORT, IDENT, SOURCE, ATTRIBUTES };

static const struct {
	const char *word;
	const char *key; /* of the note and the fact */
	enum attribute_kind kind;
	unsigned of;
} attributes[ATTRIBUTES] = {
	[NAME] = {"NAME", "name", ATTRIBUTE_TEXT, FOR_BOTH},
	[ADDR] = {"ADDR", "address", ATTRIBUTE_ADDRESS, FOR_BOTH},
	[PORT] = {"PORT", "port", ATTRIBUTE_PORT, FOR_BOTH},
	[PROTO] = {"PROTO", "protocol", ATTRIBUTE_PROTOCOL, FOR_BOTH},
	[HELO] = {"HELO", "hello", ATTRIBUTE_TEXT, FOR_BOTH},
	[DESTADDR] = {"DESTADDR", "destination_address", ATTRIBUTE_ADDRESS, FOR_XCLIENT},
	[DESTPORT] = {"DESTPORT", "destination_port", ATTRIBUTE_PORT, FOR_XCLIENT},
	[IDENT] = {"IDENT", "id", ATTRIBUTE_TEXT, FOR_XFORWARD},
	[SOURCE] = {"SOURCE", "source", ATTRIBUTE_SOURCE, FOR_XFORWARD},
};

/* What a command said. `data` is NULL where it did not, "" where the value is not available. */
struct values {
	struct pn_slice text[ATTRIBUTES];
};

const char *smtp_proxy_capability(const struct smtp_session *smtp, size_t index)
{
	if (smtp->may_xclient && index-- == 0)
		return "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT";
	if (smtp->may_xforward && index-- == 0)
		return "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE";
	return NULL;
}

/* ---- reading ---- */

static bool is_clean(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] <= ' ' || text.data[i] > '~')
			return false;
	}
	return text.size > 0;
}

/* "IPV6:2001:db8::1", or IPv4. */
static bool take_address(struct pn_slice *text)
{
	bool is_ipv6 = pn_slice_starts_with_ignore_case(*text, PN_SLICE("IPV6:"));
	char address[INET6_ADDRSTRLEN];
	unsigned char bytes[16];

	if (is_ipv6)
		*text = pn_slice_behind(*text, 5);
	if (text->size >= sizeof(address))
		return false;
	memcpy(address, text->data, text->size);
	address[text->size] = '\0';
	return inet_pton(is_ipv6 ? AF_INET6 : AF_INET, address, bytes) == 1;
}

static bool is_port(struct pn_slice text)
{
	uint64_t port;

	return pn_parse_count(text, &port) == PN_OK && port >= 1 && port <= 65535;
}

/* Where a message was before may have another kind of address; a peer has one of ours. */
static bool is_valid(enum attribute_kind kind, unsigned of, struct pn_slice *text)
{
	switch (kind) {
	case ATTRIBUTE_ADDRESS:
		return take_address(text) || of == FOR_XFORWARD;
	case ATTRIBUTE_PORT:
		return is_port(*text);
	case ATTRIBUTE_PROTOCOL:
		return text->size <= PROTOCOL_MAX;
	case ATTRIBUTE_SOURCE:
		return pn_slice_equal_ignore_case(*text, PN_SLICE("LOCAL")) ||
		       pn_slice_equal_ignore_case(*text, PN_SLICE("REMOTE"));
	case ATTRIBUTE_TEXT:
		break;
	}
	return true;
}

static bool is_unavailable(struct pn_slice text)
{
	return pn_slice_equal_ignore_case(text, PN_SLICE("[UNAVAILABLE]")) ||
	       pn_slice_equal_ignore_case(text, PN_SLICE("[TEMPUNAVAIL]"));
}

/* "NAME=value". */
static bool take_one(struct pn_slice word, unsigned of, struct pn_arena *arena,
                     struct values *values)
{
	struct pn_slice value = word;
	struct pn_slice name = pn_slice_cut(&value, '=');
	size_t index = 0;

	while (index < ATTRIBUTES &&
	       ((attributes[index].of & of) == 0 ||
	        !pn_slice_equal_ignore_case(name, pn_slice_of(attributes[index].word))))
		index++;
	if (index == ATTRIBUTES || values->text[index].data != NULL || value.size > VALUE_MAX ||
	    pn_xtext_decode(arena, value, &value) != PN_OK || !is_clean(value))
		return false;
	if (is_unavailable(value))
		value = PN_SLICE("");
	else if (!is_valid(attributes[index].kind, of, &value))
		return false;
	values->text[index] = value;
	return true;
}

/* One attribute at least, none twice. */
static bool take_all(struct pn_slice argument, unsigned of, struct pn_arena *arena,
                     struct values *values)
{
	bool is_good = argument.size > 0;

	memset(values, 0, sizeof(*values));
	while (is_good && argument.size > 0) {
		struct pn_slice word = pn_slice_cut(&argument, ' ');

		is_good = word.size == 0 || take_one(word, of, arena, values);
	}
	return is_good;
}

/* ---- notes ---- */

static void note(struct pn_session *session, const char *prefix, size_t index,
                 struct pn_slice value)
{
	char key[KEY_SIZE];

	snprintf(key, sizeof(key), "%s.%s", prefix, attributes[index].key);
	pn_session_set_note(session, pn_slice_of(key), value);
}

static void note_all(struct pn_session *session, const char *prefix, const struct values *values)
{
	for (size_t i = 0; i < ATTRIBUTES; i++) {
		if (values->text[i].data != NULL)
			note(session, prefix, i, values->text[i]);
	}
}

/* ---- XCLIENT ---- */

static uint16_t port_of(struct pn_slice text)
{
	uint64_t port;

	return pn_parse_count(text, &port) == PN_OK ? (uint16_t)port : 0;
}

/* All that was said before is forgotten, but not the encryption. */
static enum pn_next begin_anew(struct pn_session *session, struct smtp_session *smtp,
                               const struct values *values)
{
	enum pn_status status = PN_OK;

	if (values->text[ADDR].data != NULL)
		status = pn_session_set_peer(session,
		                             values->text[ADDR].size == 0 ? PN_SLICE("unknown")
		                                                          : values->text[ADDR],
		                             port_of(values->text[PORT]));
	else if (values->text[PORT].size > 0)
		status = pn_session_set_peer(session, pn_slice_of(pn_session_peer(session)),
		                             port_of(values->text[PORT]));
	if (status == PN_LIMIT)
		return smtp_farewell(session, 421, "4.7.0",
		                     "too many connections from that address");
	if (status != PN_OK)
		return smtp_error(session, smtp, 501, "5.5.4", "ADDR is no address");
	note_all(session, "client", values);
	smtp_reset(session, smtp);
	smtp->is_greeted = false;
	smtp->is_extended = false;
	if (values->text[HELO].data != NULL) {
		smtp->has_hello_of_other = values->text[HELO].size > 0;
		pn_session_set_hello(session, values->text[HELO]);
	}
	smtp->waiting = SMTP_WAIT_PEER;
	return pn_stage_ask(session, PN_STAGE_CONNECTION_OPEN);
}

/* Whether it may come now: replies where it may not. */
static bool is_welcome(struct pn_session *session, struct smtp_session *smtp, bool may,
                       enum pn_next *next_out)
{
	if (!may)
		*next_out = smtp_error(session, smtp, 550, "5.7.1",
		                       "you are not trusted to speak for others");
	else if (smtp->has_sender)
		*next_out =
			smtp_error(session, smtp, 503, "5.5.1", "not in the middle of a message");
	return may && !smtp->has_sender;
}

enum pn_next smtp_xclient(struct pn_session *session, struct smtp_session *smtp,
                          struct pn_slice argument)
{
	struct pn_arena *arena;
	struct values values;
	enum pn_next next;

	if (!is_welcome(session, smtp, smtp->may_xclient, &next))
		return next;
	/* Who logged in would have to be forgotten with everything else. */
	if (smtp_is_authenticated(session))
		return smtp_error(session, smtp, 503, "5.5.1", "not after a login");
	arena = pn_arena_new();
	if (take_all(argument, FOR_XCLIENT, arena, &values))
		next = begin_anew(session, smtp, &values);
	else
		next = smtp_error(session, smtp, 501, "5.5.4",
		                  "this is written XCLIENT ADDR=192.0.2.1 NAME=mail.example");
	pn_arena_free(&arena);
	return next;
}

/* ---- XFORWARD ---- */

enum pn_next smtp_xforward(struct pn_session *session, struct smtp_session *smtp,
                           struct pn_slice argument)
{
	struct pn_arena *arena;
	struct values values;
	enum pn_next next = PN_NEXT_LINE;

	if (!is_welcome(session, smtp, smtp->may_xforward, &next))
		return next;
	arena = pn_arena_new();
	if (take_all(argument, FOR_XFORWARD, arena, &values)) {
		note_all(session, "forwarded", &values);
		smtp->is_forwarded = true;
		smtp_reply(session, 250, "2.0.0", "ok");
	} else {
		next = smtp_error(session, smtp, 501, "5.5.4",
		                  "this is written XFORWARD ADDR=192.0.2.1 NAME=mail.example");
	}
	pn_arena_free(&arena);
	return next;
}

void smtp_forwarded_tell(struct pn_session *session, const struct smtp_session *smtp)
{
	struct pn_transaction *transaction = pn_session_transaction(session);
	char key[KEY_SIZE];

	for (size_t i = 0; i < ATTRIBUTES && smtp->is_forwarded; i++) {
		struct pn_slice value;

		snprintf(key, sizeof(key), "forwarded.%s", attributes[i].key);
		value = pn_session_note(session, pn_slice_of(key));
		if (value.size > 0)
			pn_transaction_set_fact(transaction, pn_slice_of(key), value);
	}
}

void smtp_forwarded_forget(struct pn_session *session, struct smtp_session *smtp)
{
	for (size_t i = 0; i < ATTRIBUTES && smtp->is_forwarded; i++) {
		if ((attributes[i].of & FOR_XFORWARD) != 0)
			note(session, "forwarded", i, PN_SLICE(""));
	}
	smtp->is_forwarded = false;
}
