/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery status notifications (RFC 3464, in a multipart/report of RFC 6522; with
 * UTF-8 addresses RFC 6533): written from what is known of the deliveries. Pure, any thread.
 */
#ifndef CORE_MAIL_DSN_H
#define CORE_MAIL_DSN_H

#include <postern/buffer.h>
#include <postern/error.h>
#include <postern/types.h>

enum pn_dsn_kind {
	PN_DSN_FAILED = 0,
	PN_DSN_DELAYED,
	PN_DSN_DELIVERED, /* stored here */
	PN_DSN_RELAYED,   /* handed to a server that reports nothing */
	PN_DSN_EXPANDED,
};

/* What happened to one recipient. All text may be a stranger's: the writer makes it harmless. */
struct pn_dsn_recipient {
	enum pn_dsn_kind kind;
	struct pn_slice original;   /* value of ORCPT, decoded: "rfc822;alice@example.org"; or "" */
	struct pn_slice address;    /* as it was tried */
	struct pn_slice status;     /* "5.1.1"; made from kind where it is none */
	struct pn_slice diagnostic; /* "550 5.1.1 no such user"; or "" */
	bool diagnostic_is_remote;  /* the peer's words: Diagnostic-Code: smtp; … */
	struct pn_slice remote;     /* name of the peer; or "" */
	struct pn_slice reason;     /* a sentence for people */
	int64_t last_attempt_ms;    /* wall clock; 0: none was made */
	int64_t retry_until_ms;     /* DELAYED */
};

struct pn_dsn {
	struct pn_slice hostname;   /* ours: Reporting-MTA, and the domain of From */
	struct pn_slice id;         /* of this message, for Message-ID and the boundary; clean */
	struct pn_slice transaction; /* of the original */
	struct pn_slice to;         /* whom it is sent to: the original's sender */
	struct pn_slice envelope_id; /* ENVID, decoded; or "" */
	struct pn_slice from;       /* "MAILER-DAEMON@mx.example.org" */
	struct pn_slice received_from; /* name or address of the client that sent it; or "" */
	int64_t arrived_ms;
	int64_t now_ms;
	const struct pn_dsn_recipient *recipients;
	size_t recipient_count;
	struct pn_slice original;   /* bytes of the original to be enclosed: its header, or all of it */
	bool tls_is_optional;       /* it goes without TLS rather than not at all (RFC 8689) */
	bool original_is_whole;     /* message/rfc822, else text/rfc822-headers (message/global…) */
};

/* Writes the message, CRLF line ends, 7 bit unless an address is UTF-8 or the whole original is not.
 * PN_LIMIT where `out` is too small. */
PN_MUST_CHECK enum pn_status pn_dsn_write(const struct pn_dsn *dsn, struct pn_buffer *out);

#endif
