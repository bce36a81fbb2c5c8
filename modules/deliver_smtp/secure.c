/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS with a next hop (RFC 3207): whether it is wanted, STARTTLS and the handshake,
 * and what follows where there is none.
 */
#include "deliver.h"

#include <stdio.h>
#include <string.h>

void deliver_tell_tls(struct deliver_dialogue *dialogue)
{
	const char *version = pn_session_tls_version(dialogue->session);
	const char *cipher = pn_session_tls_cipher(dialogue->session);
	bool is_verified = dialogue->tls == PN_ROUTE_TLS_VERIFIED;

	dialogue->is_secured = true;
	pn_carrier_fact(dialogue->carrier, "tls", version);
	pn_carrier_fact(dialogue->carrier, "tls_cipher", cipher);
	pn_carrier_fact(dialogue->carrier, "tls_verified", is_verified ? "yes" : "no");
	deliver_note(dialogue, "%s, %s%s", version, cipher,
	             is_verified ? ", the certificate is good" : "");
}

enum pn_next deliver_insecure(struct deliver_dialogue *dialogue, const struct pn_reply *reply)
{
	deliver_note(dialogue, "%s", reply->text);
	if (dialogue->tls == PN_ROUTE_TLS_OPPORTUNISTIC && !dialogue->config->implicit_tls)
		deliver_remember_clear(dialogue->instance, dialogue->address);
	return deliver_end(dialogue, PN_CARRIER_NOT_SECURE, reply);
}

/* The way goes on without TLS, where it may. */
static enum pn_next go_clear(struct deliver_dialogue *dialogue, const struct pn_reply *reply)
{
	if (dialogue->tls >= PN_ROUTE_TLS_REQUIRED)
		return deliver_leave(dialogue, PN_CARRIER_NOT_SECURE, reply);
	return deliver_log_in(dialogue);
}

enum pn_next deliver_secure(struct deliver_dialogue *dialogue)
{
	struct pn_reply reply;

	if (dialogue->is_secured || dialogue->tls == PN_ROUTE_TLS_NEVER)
		return deliver_log_in(dialogue);
	if ((dialogue->offer.extensions & DELIVER_STARTTLS) == 0) {
		deliver_reply_say(&reply, "5.7.10", "the server offers no TLS, which is required");
		return go_clear(dialogue, &reply);
	}
	if (dialogue->tls == PN_ROUTE_TLS_OPPORTUNISTIC &&
	    deliver_goes_clear(dialogue->instance, dialogue->address)) {
		deliver_note(dialogue, "TLS is left out: its handshake failed not long ago");
		return deliver_log_in(dialogue);
	}
	deliver_say(dialogue, PN_SLICE("STARTTLS"), NULL);
	return deliver_await(dialogue, DELIVER_STARTING_TLS, "STARTTLS",
	                     dialogue->config->hello_timeout);
}

enum pn_next deliver_start_tls_answered(struct deliver_dialogue *dialogue,
                                        const struct pn_reply *reply)
{
	if (reply->code == 220) {
		dialogue->stage = DELIVER_SECURING;
		return PN_NEXT_START_TLS;
	}
	if (deliver_reply_class(reply) == 4 || deliver_reply_class(reply) == 5)
		return go_clear(dialogue, reply);
	return deliver_nonsense(dialogue, "the server answered STARTTLS with nonsense");
}

enum pn_next deliver_secured(struct deliver_dialogue *dialogue, const struct pn_answer *answer)
{
	struct pn_reply reply;

	if (answer->status != PN_OK) {
		deliver_reply_say(&reply, "4.7.5", "%s",
		                  answer->error == NULL ? "TLS failed" : answer->error->text);
		return deliver_insecure(dialogue, &reply);
	}
	deliver_tell_tls(dialogue);
	dialogue->is_helo = false;
	return deliver_say_hello(dialogue);
}
