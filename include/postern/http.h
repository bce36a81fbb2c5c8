/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking web servers: one request, one answer, without blocking. Certificates are
 * always verified, redirects are followed only if asked, only http and https are
 * spoken, and nothing but public addresses is talked to unless the request says so:
 * addresses of requests often come from elsewhere. Loop thread.
 */
#ifndef POSTERN_HTTP_H
#define POSTERN_HTTP_H

#include <postern/ticket.h>
#include <postern/types.h>

enum {
	PN_HTTP_URL_MAX = 8192,
	PN_HTTP_HEADERS_MAX = 64,
	PN_HTTP_BODY_MAX = 16 * 1024 * 1024, /* of requests and answers */
};

struct pn_http_header {
	struct pn_slice name;
	struct pn_slice value;
};

struct pn_http_request {
	uint32_t struct_size;
	const char *method;   /* GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS; NULL: GET, or POST with a body */
	struct pn_slice url;
	const struct pn_http_header *headers;
	size_t header_count;
	struct pn_slice body; /* data NULL: none */
	uint64_t timeout_ms;  /* for all of it; at least 1 */
	uint64_t max_body;    /* of the answer; more is PN_LIMIT; at least 1 */
	bool follows_redirects; /* five at most */
	bool allows_private;  /* loopback, private and link-local addresses too */
};

/* What came back: PN_ANSWER_CUSTOM with PN_OK, whatever its status code. */
struct pn_http_response {
	uint32_t struct_size;
	unsigned status;
	const struct pn_http_header *headers; /* of the last answer; names in small letters */
	size_t header_count;
	struct pn_slice body;
};

PN_DECLARATIONS_BEGIN

/*
 * Asks. Everything is copied. Without an answer the ticket's status is PN_DENIED (that address or
 * request is not allowed), PN_LIMIT (the answer is too large, or too many requests are under way),
 * PN_TIMEOUT, or PN_FAILED; its error says why.
 */
void pn_http_ask(const struct pn_http_request *request, struct pn_ticket ticket);

PN_DECLARATIONS_END

#endif
