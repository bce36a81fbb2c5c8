/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging in, for protocols. The mechanisms (RFC 4422) are run by the gateway,
 * once for all protocols; a protocol only carries their base64 text and words
 * the outcome. auth.verify is asked, then the authentication modules, then
 * account.route. Unknown users cost the same and read the same as wrong
 * passwords. Who fails too often, by account and by address, whatever the mechanism
 * and the protocol, is told to come again later (PN_SASL_TEMPORARY). Loop thread.
 *
 * What is offered to a session is decided in one place, pn_sasl_mechanisms(): what
 * the options of its instance say (pn_sasl_set_terms), what its connection allows,
 * and what the authentication modules can do.
 *
 * Functions that begin or go on return PN_NEXT_ANSWER; the answer is PN_ANSWER_SASL.
 */
#ifndef POSTERN_SASL_H
#define POSTERN_SASL_H

#include <postern/error.h>
#include <postern/option.h>
#include <postern/protocol.h>
#include <postern/types.h>

enum pn_sasl_outcome {
	PN_SASL_CHALLENGE = 0, /* send `challenge`, read a line, call pn_sasl_respond */
	PN_SASL_PROVEN,        /* logged in: pn_session_identity() and _account() are set */
	PN_SASL_WRONG,         /* no; `reply` if a hook worded it */
	PN_SASL_TEMPORARY,     /* could not be checked now */
	PN_SASL_MALFORMED,     /* not base64, or not what the mechanism expects */
	PN_SASL_CANCELLED,     /* the client sent "*" */
	PN_SASL_UNKNOWN_MECHANISM,
	PN_SASL_DROP,          /* close without a word */
	PN_SASL_NEEDS_TLS,     /* it gives the secret away, and that may not cross this wire */
};

/* Where a secret may cross the wire without TLS. */
enum pn_sasl_clear {
	PN_SASL_CLEAR_NEVER = 0,
	PN_SASL_CLEAR_LOOPBACK, /* from clients on this machine */
	PN_SASL_CLEAR_ALWAYS,
};

/* What the options of an instance say of logins. */
struct pn_sasl_terms {
	uint32_t struct_size;
	enum pn_sasl_clear clear;
	const struct pn_text_list *mechanisms; /* those that may be offered; lives with the configuration */
};

/* The default of such an option: all but those that keep weak secrets alive. */
#define PN_SASL_USUAL_MECHANISMS                                                                   \
	"SCRAM-SHA-256-PLUS SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN"

struct pn_sasl_step {
	uint32_t struct_size;
	enum pn_sasl_outcome outcome;
	struct pn_slice challenge; /* base64, clean text; may be empty */
	struct pn_reply reply;     /* code 0 where no hook worded it */
};

PN_DECLARATIONS_BEGIN

/* For check_config: PN_FAILED, with the nearest name, where a name is not that of a mechanism. */
PN_MUST_CHECK enum pn_status pn_sasl_check_mechanisms(const struct pn_text_list *mechanisms,
						      struct pn_error *error);

/* Called in `open`. A protocol that never does decides itself where passwords may be given, and the
 * usual mechanisms are offered. */
void pn_sasl_set_terms(struct pn_session *session, const struct pn_sasl_terms *terms);

/* The mechanisms on offer now ("SCRAM-SHA-256 PLAIN LOGIN"), separated by spaces; "" for none. Good
 * until it is called again. */
const char *pn_sasl_mechanisms(const struct pn_session *session);

/* Whether a protocol's own commands may take a name and a password now: PLAIN is offered, or LOGIN. */
bool pn_sasl_takes_passwords(const struct pn_session *session);

/*
 * Begins. `initial` is the initial response in base64 as it came ("=" means empty);
 * has_initial tells an empty from an absent one (RFC 4954 section 4, RFC 5034 section 4).
 */
enum pn_next pn_sasl_begin(struct pn_session *session, struct pn_slice mechanism, bool has_initial,
			   struct pn_slice initial);

/* The client's next line, base64 or "*". */
enum pn_next pn_sasl_respond(struct pn_session *session, struct pn_slice line);

/* A name and a password as a protocol's own command gave them (USER/PASS, LOGIN). Copied, and
 * wiped after use. */
enum pn_next pn_password_login(struct pn_session *session, struct pn_slice name,
			       struct pn_slice password);

PN_DECLARATIONS_END

#endif
