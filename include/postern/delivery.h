/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hooks of delivery.start, delivery.response, delivery.done and bounce.create
 * see of an attempt: pn_stage_call.subject. Valid during the call; text is clean.
 * Session is NULL at these stages, transaction and recipient are there. Loop thread.
 */
#ifndef POSTERN_DELIVERY_H
#define POSTERN_DELIVERY_H

#include <postern/transport.h>
#include <postern/types.h>

/* What kind of trouble an answer is: each has a schedule of retries of its own. */
enum pn_answer_class {
	PN_CLASS_NONE = 0,    /* it went well */
	PN_CLASS_CONNECTION,  /* no connection, or it broke */
	PN_CLASS_DNS,         /* the way could not be found out for now */
	PN_CLASS_TLS,
	PN_CLASS_RATE,        /* too many, too fast: 421, 4.7.x, 450 4.2.1 … */
	PN_CLASS_GREYLIST,    /* come again soon */
	PN_CLASS_MAILBOX,     /* full or locked: this recipient alone (4.2.x) */
	PN_CLASS_TEMPORARY,   /* another 4xx */
	PN_CLASS_POLICY,      /* 5.7.x: refused for what we or the mail are */
	PN_CLASS_UNKNOWN_RECIPIENT, /* 5.1.x: there is no such address */
	PN_CLASS_PERMANENT,   /* another 5xx */
	PN_CLASS_EXPIRED,     /* it took too long */
	PN_CLASS_LOOP,
	PN_CLASS_COUNT
};

struct pn_attempt {
	uint32_t struct_size;
	const char *destination; /* the MX site or next hop it is counted under */
	const char *hop_name;    /* "" before a hop was chosen */
	const char *hop_address;
	uint32_t attempts;       /* this one included */
	int64_t arrived_ms;      /* wall clock */
	int64_t expires_ms;
	const char *last_reason; /* of the attempt before; "" */

	/* At delivery.response and later. */
	enum pn_delivery_outcome outcome;
	enum pn_answer_class answer_class;
	struct pn_reply reply;
	const char *command;

	/* At bounce.create: "failed", "delayed", "relayed"; and to whom it goes. */
	const char *bounce_kind;
	const char *bounce_to;
};

PN_DECLARATIONS_BEGIN

/* "mailbox" and back; PN_CLASS_NONE where there is no such class. Any thread. */
const char *pn_answer_class_name(enum pn_answer_class answer_class);
enum pn_answer_class pn_answer_class_of(const char *name);

PN_DECLARATIONS_END

#endif
