/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transports: they speak to next hops. The queue worker decides what goes where and
 * when; a transport opens a carrier (a connection to one address), hands over one
 * message at a time, and says what became of each recipient. Retrying, shaping,
 * choosing among hosts and bouncing are the gateway's work. Loop thread.
 *
 * One carrier, narrated.
 *
 *	open(carrier)               the transport connects (pn_connect), greets, secures, logs in
 *	pn_carrier_ready(carrier)   … and says that it can take a message
 *	deliver(carrier, d)         it hands d over, reading the body with pn_delivery_read()
 *	pn_delivery_done(d)         every recipient has its outcome; d is gone after this
 *	pn_carrier_ready(carrier)   the carrier can take the next message
 *	close(carrier)              nothing more for it: the transport says good-bye
 *	pn_carrier_closed(carrier)  always last, always once, also when the peer went away by
 *	                            itself; the carrier is gone after this
 *
 * A carrier that ends while a message is being handed over: first pn_delivery_done with
 * what is known, then pn_carrier_closed. An outcome is DONE only when the peer said so
 * in words; a peer that goes away behind the last byte and before its answer has not.
 */
#ifndef POSTERN_TRANSPORT_H
#define POSTERN_TRANSPORT_H

#include <postern/address.h>
#include <postern/route.h>
#include <postern/stage.h>
#include <postern/transaction.h>
#include <postern/types.h>

/* A carrier of the gateway's; opaque. */
struct pn_carrier;

/* One address to speak to, resolved already. */
struct pn_next_hop {
	uint32_t struct_size;
	const char *name;           /* "mx1.example.net": for TLS and for people; clean text */
	const char *address;        /* "192.0.2.1:25", "[2001:db8::1]:25", "unix:/run/x" */
	const char *domain;         /* that was routed by MX; "" for given hosts */
	const char *source_address; /* or NULL */
	enum pn_route_tls tls;      /* never DEFAULT where the route said something */
	bool name_is_secure;        /* DNSSEC validated the way to the name */
};

/* Why a carrier ended. */
enum pn_carrier_end {
	PN_CARRIER_FINISHED = 0, /* as asked, or the peer closed an idle carrier */
	PN_CARRIER_UNREACHABLE,  /* no connection: refused, no route, deadline */
	PN_CARRIER_NOT_NOW,      /* the peer refuses us for now: 4xx to greeting, hello, login; 421 */
	PN_CARRIER_NEVER,        /* the peer refuses us for good: 5xx to greeting, hello, login */
	PN_CARRIER_NOT_SECURE,   /* TLS that the route needs could not be had */
	PN_CARRIER_BROKEN,       /* the connection was lost, or the peer spoke nonsense */
};

/* What became of one recipient. */
enum pn_delivery_outcome {
	PN_DELIVERY_UNTRIED = 0, /* as if the attempt had not been made */
	PN_DELIVERY_DONE,        /* the next hop is responsible now */
	PN_DELIVERY_DEFERRED,
	PN_DELIVERY_REFUSED,
};

struct pn_delivery_recipient {
	struct pn_address address;
	const struct pn_parameter *parameters; /* NOTIFY, ORCPT: passed on where the hop can */
	size_t parameter_count;

	/* Filled in by the transport. */
	enum pn_delivery_outcome outcome;
	struct pn_reply reply; /* the peer's words, made clean; code 0 where it said nothing */
	char command[16];      /* what the reply was to: "RCPT", "DATA", "end of data", "LHLO" */
	bool dsn_passed_on;    /* the hop took over the duty to report (RFC 3461) */
	bool deliver_by_passed_on; /* the hop was told by when, and knows what that means */
};

/* A message on its way. It belongs to the gateway, and lives until pn_delivery_done. */
struct pn_delivery {
	uint32_t struct_size;
	const char *transaction_id;
	const struct pn_address *sender; /* may be null */
	const struct pn_parameter *parameters; /* of MAIL FROM, to be passed on where the hop can:
	                                        * RET, ENVID, BODY, SMTPUTF8, MT-PRIORITY … */
	size_t parameter_count;
	uint64_t size;                   /* of the body, CRLF line ends */
	struct pn_delivery_recipient *recipients;
	uint32_t recipient_size;         /* step from recipient to recipient */
	size_t recipient_count;          /* at least 1 */
	struct pn_deliver_by by;
	bool requires_tls;               /* verified, and the hop must promise the same (RFC 8689) */
};

struct pn_transport {
	uint32_t struct_size;
	uint16_t default_port;  /* of hosts without one */
	bool serves_mx;         /* takes routes by MX */
	uint32_t max_recipients; /* in one delivery; at least 1 */

	/* Starts to connect. PN_OK: pn_carrier_ready or pn_carrier_closed follow, later. PN_FAILED: the
	 * hop makes no sense to it; the carrier is gone. */
	enum pn_status (*open)(void *instance, struct pn_carrier *carrier, struct pn_error *error);

	/* Hands a message over on a ready carrier. */
	void (*deliver)(struct pn_carrier *carrier, struct pn_delivery *delivery);

	/* Ends a carrier: politely when it is ready, at once when `now` (the gateway stops, a deadline
	 * of the whole delivery passed). pn_carrier_closed follows. */
	void (*close)(struct pn_carrier *carrier, bool now);
};

PN_DECLARATIONS_BEGIN

/* What the carrier leads to; and whom it works for: for pn_connect(), pn_log, and the options. */
const struct pn_next_hop *pn_carrier_hop(const struct pn_carrier *carrier);
struct pn_instance *pn_carrier_instance(const struct pn_carrier *carrier);
const void *pn_carrier_config(const struct pn_carrier *carrier); /* lives as long as the carrier */
const char *pn_carrier_hostname(const struct pn_carrier *carrier);

/* The transport's own, NULL at first. */
void pn_carrier_set_state(struct pn_carrier *carrier, void *state);
void *pn_carrier_state(const struct pn_carrier *carrier);

/* The carrier can take a message. */
void pn_carrier_ready(struct pn_carrier *carrier);

/* Last of a carrier. `reply` are the peer's words where it refused us; code 0 and a text where it said
 * none ("connection refused"). */
void pn_carrier_closed(struct pn_carrier *carrier, enum pn_carrier_end end, const struct pn_reply *reply);

/* A line of the dialogue, for `postern explain`: '>' sent, '<' received, '*' what happened. Secrets
 * do not belong in it. Bounded; the middle of a long dialogue is left out. */
void pn_carrier_note(struct pn_carrier *carrier, char direction, struct pn_slice line);

/* A fact of the carrier for the record: "tls" "TLSv1.3". Few and short. */
void pn_carrier_fact(struct pn_carrier *carrier, const char *key, const char *value);

/* Where it really leads to, if its options say another port than the hop: for the record. In open(). */
void pn_carrier_set_address(struct pn_carrier *carrier, const char *address);

/* Asks for a piece of the body: answered with PN_ANSWER_STORE and struct pn_body_piece (store.h).
 * max_size: at most 1 MiB. */
void pn_delivery_read(struct pn_delivery *delivery, uint64_t offset, size_t max_size,
		      struct pn_ticket ticket);

/* Every recipient has its outcome. */
void pn_delivery_done(struct pn_delivery *delivery);

PN_DECLARATIONS_END

#endif
