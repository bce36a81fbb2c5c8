/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The greeting and the hello: who answers, and what is offered. EHLO or LHLO; HELO
 * only where the server does not know EHLO and nothing is wanted that needs it.
 */
#include "deliver.h"

#include <postern/text.h>

#include <stdio.h>

static void take_login(struct deliver_offer *offer, struct pn_slice mechanisms)
{
	while (mechanisms.size > 0) {
		struct pn_slice mechanism = pn_slice_cut(&mechanisms, ' ');

		if (pn_slice_equal_ignore_case(mechanism, PN_SLICE("PLAIN")))
			offer->extensions |= DELIVER_AUTH_PLAIN;
		else if (pn_slice_equal_ignore_case(mechanism, PN_SLICE("LOGIN")))
			offer->extensions |= DELIVER_AUTH_LOGIN;
	}
}

void deliver_offer_take(struct deliver_offer *offer, struct pn_slice text)
{
	static const struct {
		const char *word;
		uint32_t extension;
	} words[] = {
		{"PIPELINING", DELIVER_PIPELINING}, {"8BITMIME", DELIVER_8BITMIME},
		{"SMTPUTF8", DELIVER_SMTPUTF8},     {"DSN", DELIVER_DSN},
		{"STARTTLS", DELIVER_STARTTLS},     {"MT-PRIORITY", DELIVER_MT_PRIORITY},
		{"CHUNKING", DELIVER_CHUNKING},     {"BINARYMIME", DELIVER_BINARYMIME},
		{"DELIVERBY", DELIVER_DELIVERBY},   {"REQUIRETLS", DELIVER_REQUIRETLS},
	};
	struct pn_slice rest = pn_slice_trim(text);
	struct pn_slice word;

	/* "AUTH=LOGIN" is how it was written before RFC 2554. */
	if (pn_slice_starts_with_ignore_case(rest, PN_SLICE("AUTH="))) {
		take_login(offer, pn_slice_behind(rest, 5));
		return;
	}
	word = pn_slice_cut(&rest, ' ');
	if (pn_slice_equal_ignore_case(word, PN_SLICE("AUTH"))) {
		take_login(offer, rest);
		return;
	}
	if (pn_slice_equal_ignore_case(word, PN_SLICE("SIZE"))) {
		/* RFC 1870 section 4: without a number, or with 0, no limit is told. */
		offer->extensions |= DELIVER_SIZE;
		if (pn_parse_count(pn_slice_trim(rest), &offer->max_size) != PN_OK)
			offer->max_size = 0;
		return;
	}
	if (pn_slice_equal_ignore_case(word, PN_SLICE("DELIVERBY")) &&
	    pn_parse_count(pn_slice_trim(rest), &offer->min_by) != PN_OK)
		offer->min_by = 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (pn_slice_equal_ignore_case(word, pn_slice_of(words[i].word)))
			offer->extensions |= words[i].extension;
	}
}

static const char *hello_verb(const struct deliver_dialogue *dialogue)
{
	if (dialogue->kind == DELIVER_LMTP)
		return "LHLO";
	return dialogue->is_helo ? "HELO" : "EHLO";
}

enum pn_next deliver_say_hello(struct deliver_dialogue *dialogue)
{
	const char *name = dialogue->config->hello;
	char line[300];

	if (name[0] == '\0')
		name = pn_carrier_hostname(dialogue->carrier);
	snprintf(line, sizeof(line), "%s %s", hello_verb(dialogue), name);
	/* RFC 3207 section 4.2: what was learnt before TLS is forgotten. */
	memset(&dialogue->offer, 0, sizeof(dialogue->offer));
	deliver_say(dialogue, pn_slice_of(line), NULL);
	return deliver_await(dialogue, DELIVER_HELLO, hello_verb(dialogue),
	                     dialogue->config->hello_timeout);
}

/* 4xx and 5xx before there is a message. */
static enum pn_next refused(struct deliver_dialogue *dialogue, const struct pn_reply *reply)
{
	return deliver_leave(
		dialogue, deliver_reply_class(reply) == 4 ? PN_CARRIER_NOT_NOW : PN_CARRIER_NEVER,
		reply);
}

enum pn_next deliver_greeted(struct deliver_dialogue *dialogue, const struct pn_reply *reply)
{
	switch (deliver_reply_class(reply)) {
	case 2:
		return deliver_say_hello(dialogue);
	case 4:
	case 5:
		return refused(dialogue, reply);
	default:
		return deliver_nonsense(dialogue, "the server's greeting is none");
	}
}

/* Whether the server may be spoken to as RFC 821 had it. */
static bool helo_will_do(const struct deliver_dialogue *dialogue)
{
	if (dialogue->kind == DELIVER_LMTP || dialogue->is_helo || deliver_has_login(dialogue))
		return false;
	return dialogue->is_secured || dialogue->tls <= PN_ROUTE_TLS_OPPORTUNISTIC;
}

enum pn_next deliver_hello_answered(struct deliver_dialogue *dialogue, const struct pn_reply *reply)
{
	switch (deliver_reply_class(reply)) {
	case 2:
		return deliver_secure(dialogue);
	case 5:
		if (!helo_will_do(dialogue))
			return refused(dialogue, reply);
		dialogue->is_helo = true;
		return deliver_say_hello(dialogue);
	case 4:
		return refused(dialogue, reply);
	default:
		return deliver_nonsense(dialogue, "the server answered the hello with nonsense");
	}
}
