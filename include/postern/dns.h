/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS questions. The resolver validates DNSSEC itself, runs on its own thread
 * and has a bounded cache; tests put zone files behind it.
 *
 * Names that come back are a stranger's text: they are given in the usual
 * presentation form, and names with bytes outside letters, digits, '-', '_' and
 * '.' are left out of the answer (their number is in `refused_count`).
 */
#ifndef POSTERN_DNS_H
#define POSTERN_DNS_H

#include <postern/ticket.h>
#include <postern/types.h>

enum pn_dns_type {
	PN_DNS_A = 1,
	PN_DNS_NS = 2,
	PN_DNS_CNAME = 5,
	PN_DNS_SOA = 6,
	PN_DNS_PTR = 12,
	PN_DNS_MX = 15,
	PN_DNS_TXT = 16,
	PN_DNS_AAAA = 28,
	PN_DNS_SRV = 33,
	PN_DNS_TLSA = 52,
};

struct pn_dns_question {
	struct pn_slice name; /* presentation form, final dot optional; ASCII (A-labels) */
	enum pn_dns_type type;
};

enum pn_dns_outcome {
	PN_DNS_FOUND = 0,  /* at least one record                                       */
	PN_DNS_NO_DATA,    /* the name exists, without such a record                    */
	PN_DNS_NO_NAME,    /* NXDOMAIN                                                  */
	PN_DNS_TROUBLE,    /* SERVFAIL, timeout, bogus: a temporary result, never a "no" */
};

/* One record. Which fields count depends on the type. */
struct pn_dns_record {
	/* A, AAAA: the address as text. NS, CNAME, PTR, MX, SRV: a name without its final dot.
	 * TXT: the strings joined, any byte. TLSA: the association data, bytes. */
	struct pn_slice value;
	uint16_t priority; /* MX preference, SRV priority; TLSA: usage */
	uint16_t weight;   /* SRV; TLSA: selector  */
	uint16_t port;     /* SRV; TLSA: matching type */
};

struct pn_dns_answer {
	uint32_t struct_size;
	uint32_t record_size; /* step from record to record */
	struct pn_dns_question question;
	enum pn_dns_outcome outcome;
	bool secure;   /* DNSSEC validated */
	uint32_t ttl_seconds;
	const struct pn_dns_record *records;
	size_t record_count;
	size_t refused_count;
	struct pn_slice reason; /* with PN_DNS_TROUBLE: why, clean text */
};

PN_DECLARATIONS_BEGIN

/*
 * Asks; the ticket is answered with PN_ANSWER_DNS. The status is PN_OK whenever there is a
 * struct pn_dns_answer (PN_DNS_TROUBLE included). The question is copied. Loop thread.
 */
void pn_dns_ask(const struct pn_dns_question *question, struct pn_ticket ticket);

/* "A", "MX", … to a type. PN_OK or PN_NOT_FOUND. Any thread. */
PN_MUST_CHECK enum pn_status pn_dns_type_of(struct pn_slice word, enum pn_dns_type *type_out);

PN_DECLARATIONS_END

#endif
