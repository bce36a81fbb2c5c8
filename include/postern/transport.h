/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transports: they hand one message on to one next hop, for some of its
 * recipients. The queue worker calls them; retrying, shaping and bouncing are its
 * work, not theirs. Loop thread.
 */
#ifndef POSTERN_TRANSPORT_H
#define POSTERN_TRANSPORT_H

#include <postern/address.h>
#include <postern/stage.h>
#include <postern/store.h>
#include <postern/types.h>

/* What became of one recipient. */
enum pn_delivery_outcome {
	PN_DELIVERY_UNTRIED = 0, /* as if the attempt had not been made */
	PN_DELIVERY_DONE,        /* the next hop is responsible now */
	PN_DELIVERY_DEFERRED,
	PN_DELIVERY_REFUSED,
};

struct pn_delivery_recipient {
	struct pn_address address;
	const struct pn_slice *parameters; /* "NOTIFY=NEVER" …, to be passed on where the hop can */
	size_t parameter_count;

	/* Filled in by the transport. */
	enum pn_delivery_outcome outcome;
	struct pn_reply reply; /* the remote's words, made clean */
};

struct pn_delivery {
	uint32_t struct_size;
	const char *next_hop; /* "192.0.2.1:25", "unix:/run/x"; resolved already */
	const char *next_hop_name; /* for TLS and for people */
	struct pn_address sender;
	struct pn_body_reference body;
	struct pn_delivery_recipient *recipients;
	size_t recipient_size; /* step from recipient to recipient */
	size_t recipient_count;
	struct pn_ticket ticket; /* answer with PN_ANSWER_CUSTOM when every outcome is filled in */
};

struct pn_transport {
	uint32_t struct_size;

	/* Starts an attempt; `delivery` lives until its ticket is answered. PN_PENDING, or PN_FAILED
	 * where nothing was tried. */
	enum pn_status (*deliver)(void *instance, struct pn_delivery *delivery,
				  struct pn_error *error);

	/* Gives the attempt up as soon as it can, and answers. */
	void (*cancel)(void *instance, struct pn_delivery *delivery);
};

#endif
