/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging in, for protocols. The mechanisms (RFC 4422) are run by the gateway,
 * once for all protocols; a protocol only carries their base64 text and words
 * the outcome. auth.verify is asked, then the authentication modules, then
 * account.route. Unknown users cost the same and read the same as wrong
 * passwords. Loop thread.
 *
 * Every function returns PN_NEXT_ANSWER; the answer is PN_ANSWER_SASL.
 */
#ifndef POSTERN_SASL_H
#define POSTERN_SASL_H

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
};

struct pn_sasl_step {
	uint32_t struct_size;
	enum pn_sasl_outcome outcome;
	struct pn_slice challenge; /* base64, clean text; may be empty */
	struct pn_reply reply;     /* code 0 where no hook worded it */
};

PN_DECLARATIONS_BEGIN

/* The mechanisms on offer ("PLAIN LOGIN"), separated by spaces. Static storage. */
const char *pn_sasl_mechanisms(const struct pn_session *session);

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
