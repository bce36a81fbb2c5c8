/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_host() of RFC 7208 section 4. It is walked from its beginning each time: what DNS said by
 * now is in the answers, and the first answer that is missing ends the walk with the questions that
 * can be named. Recursion (include, redirect) is bounded by the number of terms that ask. Pure.
 */
#include <postern/text.h>

#include "spf.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { QUESTIONS_MAX = 64 };

struct walk {
	const struct spf_request *request;
	struct pn_arena *arena;
	struct spf_names names;
	struct pn_dns_question questions[QUESTIONS_MAX];
	size_t question_count;
	unsigned terms; /* that asked */
	unsigned voids;
	const char *reason;
	struct pn_slice explanation;
};

static enum spf_result check_host(struct walk *walk, struct pn_slice domain, bool explains);

/* ---- DNS ---- */

/* A name that can be asked for: labels of 1 to 63 bytes, at least two of them. */
static bool is_name(struct pn_slice name)
{
	size_t labels = 0;

	if (name.size == 0 || name.size > SPF_NAME_MAX)
		return false;
	while (true) {
		size_t size = pn_slice_find(name, '.');

		if (size == 0 || size > 63)
			return false;
		labels++;
		if (size == name.size)
			return labels >= 2;
		name = pn_slice_behind(name, size + 1);
		if (name.size == 0)
			return false;
	}
}

/* Macros put a stranger's text into names: what is special in the presentation form is escaped. */
static struct pn_slice presentation(struct walk *walk, struct pn_slice name)
{
	char text[SPF_NAME_MAX * 4 + 1];
	size_t size = 0;

	for (size_t i = 0; i < name.size; i++) {
		unsigned char byte = (unsigned char)name.data[i];

		if (byte > 0x20 && byte < 0x7f && strchr("\\\";()@$", byte) == NULL)
			text[size++] = (char)byte;
		else
			size += (size_t)snprintf(text + size, 5, "\\%03u", (unsigned)byte);
	}
	return pn_arena_keep(walk->arena, pn_slice_make(text, size));
}

static bool is_same(const struct pn_dns_question *left, const struct pn_dns_question *right)
{
	return left->type == right->type && pn_slice_equal_ignore_case(left->name, right->name);
}

static void note_question(struct walk *walk, const struct pn_dns_question *question)
{
	for (size_t i = 0; i < walk->question_count; i++) {
		if (is_same(&walk->questions[i], question))
			return;
	}
	if (walk->question_count < QUESTIONS_MAX)
		walk->questions[walk->question_count++] = *question;
}

/* NULL: not known yet, and noted. `name` satisfies is_name(). */
static const struct pn_dns_answer *look_up(struct walk *walk, struct pn_slice name,
                                           enum pn_dns_type type)
{
	struct pn_dns_question question = {presentation(walk, name), type};
	const struct pn_dns_answer *answer = pn_check_answer_to(walk->request->input, &question);

	if (answer == NULL)
		note_question(walk, &question);
	return answer;
}

static const struct pn_dns_record *record_at(const struct pn_dns_answer *answer, size_t index)
{
	return (const struct pn_dns_record *)((const char *)answer->records +
	                                      index * answer->record_size);
}

/* ---- what terms compare ---- */

static bool has_prefix(const uint8_t *left, const uint8_t *right, unsigned bits)
{
	unsigned bytes = bits / 8;
	unsigned rest = bits % 8;

	if (memcmp(left, right, bytes) != 0)
		return false;
	return rest == 0 || (left[bytes] ^ right[bytes]) >> (8 - rest) == 0;
}

static bool is_client(const struct walk *walk, const uint8_t *address, const struct spf_term *term)
{
	return has_prefix(walk->names.address, address,
	                  walk->names.is_ip6 ? term->cidr6 : term->cidr4);
}

static bool any_is_client(const struct walk *walk, const struct pn_dns_answer *answer,
                          const struct spf_term *term)
{
	for (size_t i = 0; i < answer->record_count; i++) {
		struct pn_slice text = record_at(answer, i)->value;
		char room[INET6_ADDRSTRLEN];
		uint8_t address[16];

		if (text.size == 0 || text.size >= sizeof(room))
			continue;
		memcpy(room, text.data, text.size);
		room[text.size] = '\0';
		if (inet_pton(walk->names.is_ip6 ? AF_INET6 : AF_INET, room, address) == 1 &&
		    is_client(walk, address, term))
			return true;
	}
	return false;
}

static enum pn_dns_type address_type(const struct walk *walk)
{
	return walk->names.is_ip6 ? PN_DNS_AAAA : PN_DNS_A;
}

/* ---- outcomes ---- */

enum match { MATCH_NO, MATCH_YES, MATCH_PENDING, MATCH_TEMPERROR, MATCH_PERMERROR };

static enum match broken(struct walk *walk, const char *reason)
{
	walk->reason = reason;
	return MATCH_PERMERROR;
}

static enum match trouble(struct walk *walk, const struct pn_dns_answer *answer)
{
	char name[SPF_NAME_MAX + 1];
	char reason[120];

	walk->reason = pn_arena_print(walk->arena, "DNS does not answer for %s: %s",
	                              pn_text_printable(name, sizeof(name), answer->question.name),
	                              pn_text_printable(reason, sizeof(reason), answer->reason));
	return MATCH_TEMPERROR;
}

/* Section 4.6.4: terms that found nothing are few. */
static bool is_void_too_much(struct walk *walk, const struct pn_dns_answer *answer)
{
	if (answer->outcome != PN_DNS_NO_NAME && answer->outcome != PN_DNS_NO_DATA)
		return false;
	walk->voids++;
	return walk->voids > walk->request->max_void;
}

static enum match too_many_voids(struct walk *walk)
{
	return broken(walk, "too many lookups that find nothing");
}

/* ---- the name that an address proves (section 5.5) ---- */

static bool is_below(struct pn_slice name, struct pn_slice domain)
{
	struct pn_slice tail;

	if (pn_slice_equal_ignore_case(name, domain))
		return true;
	if (name.size <= domain.size || domain.size == 0)
		return false;
	tail = pn_slice_behind(name, name.size - domain.size);
	return name.data[name.size - domain.size - 1] == '.' &&
	       pn_slice_equal_ignore_case(tail, domain);
}

static struct pn_slice reverse_name(struct walk *walk)
{
	return spf_macro_expand(walk->names.is_ip6 ? PN_SLICE("%{ir}.ip6.arpa")
	                                           : PN_SLICE("%{ir}.in-addr.arpa"),
	                        &walk->names, walk->arena);
}

/* How well a name fits the domain: the domain itself, below it, or anything. */
static unsigned fit(struct pn_slice name, struct pn_slice domain)
{
	return pn_slice_equal_ignore_case(name, domain) ? 3 : is_below(name, domain) ? 2 : 1;
}

/*
 * The best validated name of the client, "" where there is none. Trouble with one name skips it.
 * False: answers are missing.
 */
static bool find_validated(struct walk *walk, struct pn_slice domain,
                           const struct pn_dns_answer *pointers, struct pn_slice *name_out)
{
	const struct spf_term exact = {.cidr4 = 32, .cidr6 = 128};
	bool is_pending = false;
	unsigned best = 0;

	*name_out = PN_SLICE_NONE;
	for (size_t i = 0; i < pointers->record_count && i < SPF_HOSTS_MAX; i++) {
		struct pn_slice name = record_at(pointers, i)->value;
		const struct pn_dns_answer *addresses;

		if (!is_name(name))
			continue;
		addresses = look_up(walk, name, address_type(walk));
		if (addresses == NULL) {
			is_pending = true;
			continue;
		}
		if (addresses->outcome != PN_DNS_FOUND || fit(name, domain) <= best ||
		    !any_is_client(walk, addresses, &exact))
			continue;
		best = fit(name, domain);
		*name_out = name;
	}
	return !is_pending;
}

/* For the macro "p" (section 7.3): "unknown" where nothing is proven. False: answers are missing.
 */
static bool set_validated(struct walk *walk)
{
	const struct pn_dns_answer *pointers = look_up(walk, reverse_name(walk), PN_DNS_PTR);

	walk->names.validated = PN_SLICE_NONE;
	if (pointers == NULL ||
	    !find_validated(walk, walk->names.domain, pointers, &walk->names.validated))
		return false;
	if (walk->names.validated.size == 0)
		walk->names.validated = PN_SLICE("unknown");
	return true;
}

/* ---- terms ---- */

/* The name that a term is about. False: answers are missing. */
static bool target_of(struct walk *walk, struct pn_slice spec, struct pn_slice *name_out)
{
	*name_out = walk->names.domain;
	if (spec.size == 0)
		return true;
	if (spf_macro_wants_validated(spec) && !set_validated(walk))
		return false;
	*name_out = spf_macro_expand_name(spec, &walk->names, walk->arena);
	return true;
}

static enum match match_addresses(struct walk *walk, const struct spf_term *term,
                                  struct pn_slice name, enum pn_dns_type type)
{
	const struct pn_dns_answer *answer = look_up(walk, name, type);

	if (answer == NULL)
		return MATCH_PENDING;
	if (answer->outcome == PN_DNS_TROUBLE)
		return trouble(walk, answer);
	if (is_void_too_much(walk, answer))
		return too_many_voids(walk);
	if (term->kind == SPF_EXISTS)
		return answer->outcome == PN_DNS_FOUND ? MATCH_YES : MATCH_NO;
	return any_is_client(walk, answer, term) ? MATCH_YES : MATCH_NO;
}

static enum match match_mx(struct walk *walk, const struct spf_term *term, struct pn_slice name)
{
	const struct pn_dns_answer *answer = look_up(walk, name, PN_DNS_MX);
	bool is_pending = false;

	if (answer == NULL)
		return MATCH_PENDING;
	if (answer->outcome == PN_DNS_TROUBLE)
		return trouble(walk, answer);
	if (is_void_too_much(walk, answer))
		return too_many_voids(walk);
	if (answer->record_count + answer->refused_count > SPF_HOSTS_MAX)
		return broken(walk, "an mx has more than 10 hosts");
	for (size_t i = 0; i < answer->record_count; i++) {
		struct pn_slice host = record_at(answer, i)->value;
		const struct pn_dns_answer *addresses;

		if (!is_name(host))
			continue;
		addresses = look_up(walk, host, address_type(walk));
		if (addresses == NULL)
			is_pending = true;
		else if (!is_pending && addresses->outcome == PN_DNS_TROUBLE)
			return trouble(walk, addresses);
		else if (!is_pending && any_is_client(walk, addresses, term))
			return MATCH_YES;
	}
	return is_pending ? MATCH_PENDING : MATCH_NO;
}

/* What goes wrong here is no match (section 5.5). */
static enum match match_ptr(struct walk *walk, struct pn_slice name)
{
	const struct pn_dns_answer *answer = look_up(walk, reverse_name(walk), PN_DNS_PTR);
	struct pn_slice validated;

	if (answer == NULL)
		return MATCH_PENDING;
	if (answer->outcome == PN_DNS_TROUBLE)
		return MATCH_NO;
	if (is_void_too_much(walk, answer))
		return too_many_voids(walk);
	if (!find_validated(walk, name, answer, &validated))
		return MATCH_PENDING;
	return validated.size > 0 && is_below(validated, name) ? MATCH_YES : MATCH_NO;
}

/* Section 5.2. */
static enum match match_include(struct walk *walk, struct pn_slice name)
{
	const struct pn_slice domain = walk->names.domain;
	enum spf_result result = check_host(walk, name, false);

	walk->names.domain = domain;
	switch (result) {
	case SPF_PASS:
		return MATCH_YES;
	case SPF_FAIL:
	case SPF_SOFTFAIL:
	case SPF_NEUTRAL:
		return MATCH_NO;
	case SPF_TEMPERROR:
		return MATCH_TEMPERROR;
	case SPF_NONE:
		return broken(walk, "a domain that is included has no record");
	case SPF_PENDING:
		return MATCH_PENDING;
	default:
		return MATCH_PERMERROR;
	}
}

static bool asks(const struct spf_term *term)
{
	return term->kind != SPF_ALL && term->kind != SPF_IP4 && term->kind != SPF_IP6;
}

static enum match match(struct walk *walk, const struct spf_term *term)
{
	struct pn_slice name;

	if (term->kind == SPF_ALL)
		return MATCH_YES;
	if (!asks(term))
		return (term->kind == SPF_IP6) == walk->names.is_ip6 &&
		                       is_client(walk, term->address, term)
		               ? MATCH_YES
		               : MATCH_NO;
	if (++walk->terms > walk->request->max_terms)
		return broken(walk, "too many terms that ask DNS");
	if (!target_of(walk, term->domain, &name))
		return MATCH_PENDING;
	if (term->kind == SPF_INCLUDE)
		return match_include(walk, name);
	if (!is_name(name))
		return MATCH_NO; /* section 4.8 */
	if (term->kind == SPF_MX)
		return match_mx(walk, term, name);
	if (term->kind == SPF_PTR)
		return match_ptr(walk, name);
	return match_addresses(walk, term, name,
	                       term->kind == SPF_EXISTS ? PN_DNS_A : address_type(walk));
}

/* The terms behind one that waits, up to the next include: their questions go along with its. */
static void ask_ahead(struct walk *walk, const struct spf_record *record, size_t first)
{
	for (size_t i = first; i < record->count; i++) {
		const struct spf_term *term = &record->terms[i];
		struct pn_slice name = walk->names.domain;

		if (term->kind == SPF_INCLUDE || term->kind == SPF_ALL)
			return;
		if (!asks(term))
			continue;
		if (++walk->terms > walk->request->max_terms)
			return;
		if (term->kind == SPF_PTR || spf_macro_wants_validated(term->domain))
			continue;
		if (term->domain.size > 0)
			name = spf_macro_expand_name(term->domain, &walk->names, walk->arena);
		if (is_name(name))
			look_up(walk, name,
			        term->kind == SPF_MX       ? PN_DNS_MX
			        : term->kind == SPF_EXISTS ? PN_DNS_A
			                                   : address_type(walk));
	}
}

/* ---- records ---- */

static bool is_text(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < 0x20 || text.data[i] > 0x7e)
			return false;
	}
	return true;
}

/* Section 6.2: nothing where anything about it is wrong. False: answers are missing. */
static bool explain(struct walk *walk, struct pn_slice spec)
{
	const struct pn_dns_answer *answer;
	struct pn_slice name;
	struct pn_slice text;

	walk->explanation = PN_SLICE_NONE;
	if (!target_of(walk, spec, &name))
		return false;
	if (!is_name(name))
		return true;
	answer = look_up(walk, name, PN_DNS_TXT);
	if (answer == NULL)
		return false;
	if (answer->outcome != PN_DNS_FOUND || answer->record_count != 1)
		return true;
	text = record_at(answer, 0)->value;
	if (!spf_macro_is_valid(text, SPF_MACRO_EXPLANATION))
		return true;
	if (spf_macro_wants_validated(text) && !set_validated(walk))
		return false;
	text = spf_macro_expand(text, &walk->names, walk->arena);
	if (is_text(text) && text.size <= SPF_EXPLANATION_MAX)
		walk->explanation = text;
	return true;
}

static enum spf_result end(struct walk *walk, const struct spf_record *record,
                           const struct spf_term *term, bool explains)
{
	char room[100];

	walk->reason = pn_arena_print(walk->arena, "matched %s",
	                              pn_text_printable(room, sizeof(room), term->text));
	if (term->result == SPF_FAIL && explains && record->explain.size > 0 &&
	    !explain(walk, record->explain))
		return SPF_PENDING;
	return term->result;
}

static enum spf_result follow_redirect(struct walk *walk, const struct spf_record *record,
                                       bool explains)
{
	enum spf_result result;
	struct pn_slice name;

	if (++walk->terms > walk->request->max_terms) {
		walk->reason = "too many terms that ask DNS";
		return SPF_PERMERROR;
	}
	if (!target_of(walk, record->redirect, &name))
		return SPF_PENDING;
	result = check_host(walk, name, explains);
	if (result != SPF_NONE)
		return result;
	walk->reason = "the domain that is redirected to has no record";
	return SPF_PERMERROR;
}

static enum spf_result evaluate(struct walk *walk, const struct spf_record *record, bool explains)
{
	for (size_t i = 0; i < record->count; i++) {
		switch (match(walk, &record->terms[i])) {
		case MATCH_YES:
			return end(walk, record, &record->terms[i], explains);
		case MATCH_PENDING:
			if (record->terms[i].kind != SPF_INCLUDE)
				ask_ahead(walk, record, i + 1);
			return SPF_PENDING;
		case MATCH_TEMPERROR:
			return SPF_TEMPERROR;
		case MATCH_PERMERROR:
			return SPF_PERMERROR;
		default:
			break;
		}
	}
	if (record->redirect.size > 0)
		return follow_redirect(walk, record, explains);
	walk->reason = "nothing in the record matched";
	return SPF_NEUTRAL;
}

/* The one record of version 1, of all TXT records of the domain (section 4.5). */
static enum spf_result select_record(struct walk *walk, const struct pn_dns_answer *answer,
                                     struct pn_slice *text_out)
{
	size_t count = 0;

	for (size_t i = 0; i < answer->record_count; i++) {
		if (!spf_is_record(record_at(answer, i)->value))
			continue;
		*text_out = record_at(answer, i)->value;
		count++;
	}
	if (count == 1)
		return SPF_PASS;
	walk->reason = count == 0 ? "the domain has no record" : "the domain has several records";
	return count == 0 ? SPF_NONE : SPF_PERMERROR;
}

static enum spf_result check_host(struct walk *walk, struct pn_slice domain, bool explains)
{
	const struct pn_dns_answer *answer;
	struct spf_record record;
	enum spf_result result;
	struct pn_slice text = PN_SLICE_NONE;

	walk->reason = "there is no such domain";
	if (!is_name(domain))
		return SPF_NONE; /* section 4.3 */
	answer = look_up(walk, domain, PN_DNS_TXT);
	if (answer == NULL)
		return SPF_PENDING;
	if (answer->outcome == PN_DNS_TROUBLE) {
		trouble(walk, answer);
		return SPF_TEMPERROR;
	}
	result = select_record(walk, answer, &text);
	if (result != SPF_PASS)
		return result;
	if (spf_record_parse(text, walk->arena, &record, &walk->reason) != PN_OK)
		return SPF_PERMERROR;
	walk->names.domain = domain;
	return evaluate(walk, &record, explains);
}

/* ---- the whole ---- */

bool spf_address_parse(struct pn_slice text, struct spf_request *request)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	char room[INET6_ADDRSTRLEN];

	if (text.size == 0 || text.size >= sizeof(room) ||
	    memchr(text.data, '\0', text.size) != NULL)
		return false;
	memcpy(room, text.data, text.size);
	room[text.size] = '\0';
	request->is_ip6 = false;
	if (inet_pton(AF_INET, room, request->address) == 1)
		return true;
	request->is_ip6 = true;
	if (inet_pton(AF_INET6, room, request->address) != 1)
		return false;
	if (memcmp(request->address, mapped, sizeof(mapped)) == 0) {
		request->is_ip6 = false;
		memmove(request->address, request->address + sizeof(mapped), 4);
	}
	return true;
}

static struct pn_slice without_dot(struct pn_slice name)
{
	if (name.size > 0 && name.data[name.size - 1] == '.')
		name.size--;
	return name;
}

static void set_sender(struct walk *walk, struct spf_answer *answer)
{
	const struct spf_request *request = walk->request;
	struct spf_names *names = &walk->names;
	struct pn_slice sender = request->mail_from;
	size_t at = sender.size;

	answer->is_helo = sender.size == 0;
	if (answer->is_helo)
		sender = request->helo;
	while (at > 0 && sender.size > 0 && sender.data[at - 1] != '@')
		at--;
	names->local = at > 1 && !answer->is_helo ? pn_slice_make(sender.data, at - 1)
	                                          : PN_SLICE("postmaster");
	names->sender_domain = without_dot(answer->is_helo ? sender : pn_slice_behind(sender, at));
	names->sender =
		pn_slice_of(pn_arena_print(walk->arena, "%.*s@%.*s", PN_SLICE_ARGS(names->local),
	                                   PN_SLICE_ARGS(names->sender_domain)));
}

void spf_evaluate(const struct spf_request *request, struct pn_arena *arena,
                  struct spf_answer *answer_out)
{
	struct walk *walk = PN_ARENA_NEW(arena, struct walk);

	*answer_out = (struct spf_answer){.result = SPF_NONE};
	walk->request = request;
	walk->arena = arena;
	walk->reason = "";
	walk->names.helo = without_dot(request->helo);
	walk->names.receiver = request->receiver.size > 0 ? request->receiver : PN_SLICE("unknown");
	memcpy(walk->names.address, request->address, sizeof(walk->names.address));
	walk->names.is_ip6 = request->is_ip6;
	walk->names.now_s = request->now_s;
	set_sender(walk, answer_out);
	walk->names.domain = walk->names.sender_domain;
	answer_out->domain = walk->names.sender_domain;
	answer_out->result = check_host(walk, walk->names.sender_domain, true);
	answer_out->reason = walk->reason;
	if (answer_out->result == SPF_FAIL)
		answer_out->explanation = walk->explanation;
	answer_out->questions = walk->questions;
	answer_out->question_count = walk->question_count;
}

const char *spf_result_name(enum spf_result result)
{
	static const char *const names[] = {
		[SPF_NONE] = "none",           [SPF_NEUTRAL] = "neutral",
		[SPF_PASS] = "pass",           [SPF_FAIL] = "fail",
		[SPF_SOFTFAIL] = "softfail",   [SPF_TEMPERROR] = "temperror",
		[SPF_PERMERROR] = "permerror", [SPF_PENDING] = "pending",
	};

	return names[result];
}
