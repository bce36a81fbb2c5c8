/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SPF (RFC 7208): whether a host may send mail in the name of a domain. A record is parsed whole
 * before any of it is used (record.c); macros are expanded (macro.c) where a name is needed;
 * evaluate.c walks the terms. All of it is pure: DNS answers come in, questions go out.
 */
#ifndef SPF_H
#define SPF_H

#include <postern/arena.h>
#include <postern/check.h>
#include <postern/dns.h>
#include <postern/types.h>

enum spf_result {
	SPF_NONE = 0,
	SPF_NEUTRAL,
	SPF_PASS,
	SPF_FAIL,
	SPF_SOFTFAIL,
	SPF_TEMPERROR,
	SPF_PERMERROR,
	SPF_PENDING, /* an answer is missing; the questions are noted */
};

enum {
	SPF_NAME_MAX = 253,
	SPF_HOSTS_MAX = 10,         /* of one mx or ptr, RFC 7208 section 4.6.4 */
	SPF_TERMS_MAX = 10,         /* that ask DNS, in one evaluation */
	SPF_VOID_MAX = 2,           /* of them: without an answer */
	SPF_TEXT_MAX = 16 * 1024,   /* an expanded text on its way; names are cut after it */
	SPF_EXPLANATION_MAX = 400,  /* shown to a client */
	SPF_RECORD_TERMS_MAX = 500, /* in one record, ip4 and ip6 too: 64 kB hold some thousands */
};

/* ---- record.c: a record as a list of terms ---- */

enum spf_kind { SPF_ALL, SPF_INCLUDE, SPF_A, SPF_MX, SPF_PTR, SPF_IP4, SPF_IP6, SPF_EXISTS };

struct spf_term {
	enum spf_kind kind;
	enum spf_result result;   /* of a match: by its qualifier */
	struct pn_slice text;     /* as written */
	struct pn_slice domain;   /* domain-spec, not expanded; "": the current domain */
	uint8_t address[16];      /* ip4, ip6 */
	unsigned cidr4;           /* bits that count: 0 to 32 */
	unsigned cidr6;           /* 0 to 128 */
};

struct spf_record {
	struct spf_term *terms;
	size_t count;
	struct pn_slice redirect; /* domain-spec, or "" */
	struct pn_slice explain;  /* domain-spec of exp=, or "" */
};

/* Whether a TXT record is one of SPF version 1 (RFC 7208 section 4.5). */
bool spf_is_record(struct pn_slice text);

/* PN_OK; PN_FAILED: a syntax error anywhere (section 4.6), with its place in `reason`. */
PN_MUST_CHECK enum pn_status spf_record_parse(struct pn_slice text, struct pn_arena *arena,
					      struct spf_record *record_out,
					      const char **reason_out);

/* ---- macro.c ---- */

/* What macros are made of (section 7.2). */
struct spf_names {
	struct pn_slice sender;    /* with its local part */
	struct pn_slice local;
	struct pn_slice sender_domain;
	struct pn_slice domain;    /* current: changes with include and redirect */
	struct pn_slice helo;
	struct pn_slice receiver;
	struct pn_slice validated; /* "p"; asked for only where spf_macro_wants_validated() */
	uint8_t address[16];
	bool is_ip6;
	int64_t now_s;
};

enum spf_macro_use { SPF_MACRO_DOMAIN, SPF_MACRO_VALUE, SPF_MACRO_EXPLANATION };

/* The grammar of section 7.1. A domain must end as one (domain-end); "" is none. A value is
 * macro-string, an explanation explain-string (spaces, and the letters c, r and t). */
bool spf_macro_is_valid(struct pn_slice text, enum spf_macro_use use);
bool spf_macro_wants_validated(struct pn_slice text);

/* Of a text that is valid. Empty where it grows past SPF_TEXT_MAX. */
struct pn_slice spf_macro_expand(struct pn_slice text, const struct spf_names *names,
				 struct pn_arena *arena);

/* The same, as a name to be asked for: without final dot, cut from the left to 253 bytes (7.3). */
struct pn_slice spf_macro_expand_name(struct pn_slice text, const struct spf_names *names,
				      struct pn_arena *arena);

/* ---- evaluate.c ---- */

struct spf_request {
	uint8_t address[16];
	bool is_ip6;
	struct pn_slice helo;
	struct pn_slice mail_from; /* "" for the null sender: then it is postmaster at helo */
	struct pn_slice receiver;
	int64_t now_s;
	unsigned max_terms;
	unsigned max_void;
	const struct pn_check_input *input; /* the answers */
};

/* "192.0.2.1", "2001:db8::1"; ::ffff:192.0.2.1 is the former. False: neither. */
bool spf_address_parse(struct pn_slice text, struct spf_request *request);

struct spf_answer {
	enum spf_result result;
	bool is_helo;                /* the identity that was checked */
	struct pn_slice domain;      /* of it */
	struct pn_slice explanation; /* of the domain's owner, clean text; or "" */
	const char *reason;          /* for logs: the term that matched, or what is wrong */
	const struct pn_dns_question *questions; /* with SPF_PENDING */
	size_t question_count;
};

void spf_evaluate(const struct spf_request *request, struct pn_arena *arena,
		  struct spf_answer *answer_out);

/* "pass"; as RFC 8601 section 2.7.2 spells it. */
const char *spf_result_name(enum spf_result result);

#endif
