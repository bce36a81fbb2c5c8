/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes: where the mail of a recipient goes next. Without a route a recipient
 * that is served here goes to its account, and any other by the MX records of its
 * domain. Hooks of recipient.route set another one: before the commit that accepts
 * the message, and again before each attempt, where pn_stage_call.session is NULL.
 * Loop thread.
 */
#ifndef POSTERN_ROUTE_H
#define POSTERN_ROUTE_H

#include <postern/error.h>
#include <postern/types.h>

struct pn_recipient;

enum { PN_ROUTE_HOSTS_MAX = 32 };

enum pn_route_kind {
	PN_ROUTE_DEFAULT = 0, /* its account where it is served here, else by MX */
	PN_ROUTE_MX,          /* by the MX records of `domain` (RFC 5321 section 5) */
	PN_ROUTE_HOSTS,       /* to the first of `hosts` that can be reached */
	PN_ROUTE_ACCOUNT,     /* its account; a failure where it is not served here */
};

/* How far TLS must go with the next hop. */
enum pn_route_tls {
	PN_ROUTE_TLS_DEFAULT = 0,   /* as the transport's option says */
	PN_ROUTE_TLS_NEVER,
	PN_ROUTE_TLS_OPPORTUNISTIC, /* where it is offered, whatever the certificate */
	PN_ROUTE_TLS_REQUIRED,      /* no TLS, no mail; whatever the certificate */
	PN_ROUTE_TLS_VERIFIED,      /* the certificate must be that of the host's name */
};

struct pn_route {
	uint32_t struct_size;
	enum pn_route_kind kind;
	struct pn_slice transport;       /* name of an instance; "": the first one that can do it */
	struct pn_slice domain;          /* MX: "" for the recipient's own */
	const struct pn_slice *hosts;    /* "mail.example.net", "mail.example.net:24", "192.0.2.1:25",
	                                  * "[2001:db8::1]:25", "unix:/run/lmtp"; without a port: the
	                                  * transport's */
	size_t host_count;               /* at most PN_ROUTE_HOSTS_MAX */
	enum pn_route_tls tls;
	struct pn_slice source_address;  /* to connect from; "": the machine's choice */
};

PN_DECLARATIONS_BEGIN

/*
 * Sets the route of a recipient (copied); at recipient.route, the last one counts. PN_OK, or
 * PN_FAILED with a sentence: no hosts, too many, a host that cannot be one, no such transport.
 */
PN_MUST_CHECK enum pn_status pn_recipient_set_route(struct pn_recipient *recipient,
						    const struct pn_route *route,
						    struct pn_error *error);

/* The route as it is set; kind PN_ROUTE_DEFAULT where none was. Lives as long as the recipient. */
const struct pn_route *pn_recipient_route(const struct pn_recipient *recipient);

/* "opportunistic" to a level and back; PN_NOT_FOUND. Any thread. */
PN_MUST_CHECK enum pn_status pn_route_tls_of(struct pn_slice word, enum pn_route_tls *tls_out);
const char *pn_route_tls_name(enum pn_route_tls tls);

PN_DECLARATIONS_END

#endif
