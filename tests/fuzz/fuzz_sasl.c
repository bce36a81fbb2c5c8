/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SASL exchanges: a mechanism, whether there is an initial response, and lines; whatever they are,
 * each is answered once, and a name and a secret that come out are what a login may be asked about.
 */
#include "fuzz.h"

#include "../../core/store/sasl.c"

static int answers;
static bool goes_on;

/* The gateway around the exchange: it counts answers. */
struct pn_ticket pn_ticket_open_unlimited(struct pn_session *session,
                                          pn_answered_function *answered, void *user)
{
	(void)session;
	(void)answered;
	(void)user;
	return (struct pn_ticket){1, 1};
}

bool pn_ticket_answer(struct pn_ticket ticket, enum pn_answer_kind kind, enum pn_status status,
                      void *result, void (*release)(void *result), const struct pn_error *error)
{
	const struct pn_sasl_step *step = result;

	(void)error;
	require(ticket.slot == 1 && kind == PN_ANSWER_SASL && status == PN_OK);
	require(step->outcome == PN_SASL_CHALLENGE);
	answers++;
	goes_on = true;
	release(result);
	return true;
}

void pn_login_answer(struct pn_session *session, struct pn_ticket ticket,
                     enum pn_sasl_outcome outcome, const struct pn_reply *reply)
{
	(void)session;
	(void)ticket;
	(void)reply;
	require(outcome != PN_SASL_PROVEN && outcome != PN_SASL_CHALLENGE);
	answers++;
	goes_on = false;
}

void pn_login_verify(struct pn_session *session, const char *mechanism, struct pn_slice identity,
                     struct pn_slice authorization, struct pn_slice secret, struct pn_ticket ticket)
{
	(void)session;
	(void)ticket;
	require(mechanism != NULL);
	require(identity.size > 0 && secret.size > 0 && secret.size <= MAX_SECRET);
	require(authorization.size <= MAX_RESPONSE);
	answers++;
	goes_on = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned first = take_byte(&data, &size);
	struct pn_slice rest = rest_of(data, size);
	struct pn_session *session = calloc(1, sizeof(*session));
	struct pn_slice line = exact_copy(pn_slice_cut(&rest, '\n'));
	int asked = 1;

	require(session != NULL);
	answers = 0;
	(void)pn_sasl_begin(session, (first & 1) != 0 ? PN_SLICE("PLAIN") : PN_SLICE("login"),
	                    (first & 2) != 0, line);
	free((void *)(uintptr_t)line.data);
	require(answers == asked);
	while (goes_on && rest.size > 0) {
		line = exact_copy(pn_slice_cut(&rest, '\n'));
		(void)pn_sasl_respond(session, line);
		free((void *)(uintptr_t)line.data);
		require(answers == ++asked);
	}
	end_exchange(session);
	free(session);
	return 0;
}
