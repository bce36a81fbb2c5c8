/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients ask for beside mail: whether an address exists, whom it stands for, that
 * what waits for a domain be tried now. A protocol asks the hooks of client.request first;
 * what `continue` means is its own option's business. Loop thread.
 *
 *	pn_request_ask      asks client.request          PN_ANSWER_VERDICT
 *	pn_address_look_up  asks the directories         PN_ANSWER_ADDRESS
 *	pn_queue_summon     has waiting mail tried now   PN_ANSWER_QUEUE
 */
#ifndef POSTERN_REQUEST_H
#define POSTERN_REQUEST_H

#include <postern/address.h>
#include <postern/protocol.h>

/* What hooks of client.request see: pn_stage_call.subject. Valid during the call. */
struct pn_client_request {
	uint32_t struct_size;
	const char *kind;         /* "verify", "expand", "summon" */
	struct pn_slice argument; /* the address or the domain, as the client wrote it */
};

enum pn_address_knowledge {
	PN_ADDRESS_SERVED = 0, /* here: it leads to accounts, or elsewhere by an alias of ours */
	PN_ADDRESS_FOREIGN,    /* not a domain of ours */
	PN_ADDRESS_UNKNOWN,    /* our domain, no such address */
	PN_ADDRESS_DISABLED,   /* exists, and must not be used now */
	PN_ADDRESS_TROUBLE,    /* could not be found out */
};

/* Valid until the next question of the session is asked. */
struct pn_address_known {
	uint32_t struct_size;
	enum pn_address_knowledge knowledge;
	const struct pn_slice *leads_to; /* with SERVED: names of accounts and addresses elsewhere */
	size_t count;
};

struct pn_queue_summoned {
	uint32_t struct_size;
	uint64_t waiting; /* recipients that are tried now, or were being tried already */
	bool is_complete; /* false: there are more, which wait as before */
};

PN_DECLARATIONS_BEGIN

/* Asks the hooks of client.request. kind: a literal; the argument is copied. PN_NEXT_ANSWER. */
enum pn_next pn_request_ask(struct pn_session *session, const char *kind,
			    struct pn_slice argument);

/* Asks the directories whose an address is; no hook is asked. It is copied. PN_NEXT_ANSWER. */
enum pn_next pn_address_look_up(struct pn_session *session, const struct pn_address *address);

/*
 * What waits in the queue for recipients of a domain, because an attempt failed, is due now. What is
 * held, and what its sender wants later, stays as it is. At most 10,000 recipients at a time.
 * PN_NEXT_ANSWER; status PN_FAILED: the queue could not be read or written.
 */
enum pn_next pn_queue_summon(struct pn_session *session, struct pn_slice domain);

PN_DECLARATIONS_END

#endif
