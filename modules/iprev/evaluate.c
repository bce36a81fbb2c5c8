/* SPDX-License-Identifier: Apache-2.0 */
/* The check: PTR, then the addresses of each name (RFC 8601 section 3). Pure. */
#include <postern/text.h>

#include "iprev.h"

#include <arpa/inet.h>
#include <stdio.h>

struct address {
	int family;
	size_t size;
	unsigned char bytes[16];
};

struct result {
	const char *word;
	const char *reason;
	struct pn_slice name; /* that leads back to the address, or "" */
};

static bool read_address(struct pn_slice text, struct address *address_out)
{
	char room[64];

	if (text.size >= sizeof(room))
		return false;
	memcpy(room, text.data, text.size);
	room[text.size] = '\0';
	if (inet_pton(AF_INET, room, address_out->bytes) == 1) {
		address_out->family = AF_INET;
		address_out->size = 4;
		return true;
	}
	address_out->family = AF_INET6;
	address_out->size = 16;
	return inet_pton(AF_INET6, room, address_out->bytes) == 1;
}

/* "4.3.2.1.in-addr.arpa", or 32 nibbles below ip6.arpa. */
static struct pn_slice name_of(const struct address *address, struct pn_arena *arena)
{
	const unsigned char *bytes = address->bytes;
	char text[64 + 16];
	size_t size = 0;

	if (address->family == AF_INET)
		return pn_slice_of(pn_arena_print(arena, "%u.%u.%u.%u.in-addr.arpa", bytes[3],
		                                  bytes[2], bytes[1], bytes[0]));
	for (size_t i = 16; i-- > 0;)
		size += (size_t)snprintf(text + size, sizeof(text) - size, "%x.%x.", bytes[i] & 15u,
		                         (unsigned)bytes[i] >> 4);
	return pn_slice_of(pn_arena_print(arena, "%sip6.arpa", text));
}

static const struct pn_dns_record *record_at(const struct pn_dns_answer *answer, size_t index)
{
	return (const struct pn_dns_record *)((const char *)answer->records +
	                                      index * answer->record_size);
}

static bool has_address(const struct pn_dns_answer *answer, const struct address *address)
{
	for (size_t i = 0; i < answer->record_count; i++) {
		struct address other;

		if (read_address(record_at(answer, i)->value, &other) &&
		    other.family == address->family &&
		    memcmp(other.bytes, address->bytes, address->size) == 0)
			return true;
	}
	return false;
}

/* What its names say. PN_PENDING: they are to be asked. */
static enum pn_status look_at_names(const struct pn_check_input *input,
                                    const struct pn_dns_answer *names,
                                    const struct address *address, struct pn_arena *arena,
                                    struct result *result, struct pn_check_output *output)
{
	struct pn_dns_question *questions =
		PN_ARENA_ARRAY(arena, IPREV_NAMES_MAX, struct pn_dns_question);
	bool is_trouble = false;

	for (size_t i = 0; i < names->record_count && i < IPREV_NAMES_MAX; i++) {
		struct pn_dns_question question = {
			.name = record_at(names, i)->value,
			.type = address->family == AF_INET ? PN_DNS_A : PN_DNS_AAAA};
		const struct pn_dns_answer *answer = pn_check_answer_to(input, &question);

		if (answer == NULL) {
			questions[output->question_count++] = question;
		} else if (has_address(answer, address)) {
			*result =
				(struct result){"pass", "its name leads back to it", question.name};
			output->question_count = 0;
			return PN_OK;
		} else if (answer->outcome == PN_DNS_TROUBLE) {
			is_trouble = true;
		}
	}
	output->questions = questions;
	if (output->question_count > 0)
		return PN_PENDING;
	*result = is_trouble ? (struct result){.word = "temperror",
	                                       .reason = "DNS does not answer for its name"}
	                     : (struct result){.word = "fail",
	                                       .reason = "no name of it leads back to it"};
	return PN_OK;
}

static enum pn_status evaluate(const struct pn_check_input *input, const struct address *address,
                               struct pn_arena *arena, struct result *result,
                               struct pn_check_output *output)
{
	struct pn_dns_question *question = PN_ARENA_NEW(arena, struct pn_dns_question);
	const struct pn_dns_answer *names;

	*question = (struct pn_dns_question){name_of(address, arena), PN_DNS_PTR};
	names = pn_check_answer_to(input, question);
	if (names == NULL) {
		output->questions = question;
		output->question_count = 1;
		return PN_PENDING;
	}
	if (names->outcome == PN_DNS_TROUBLE)
		*result = (struct result){.word = "temperror", .reason = "DNS does not answer"};
	else if (names->record_count == 0)
		*result = (struct result){.word = "permerror", .reason = "it has no name"};
	else
		return look_at_names(input, names, address, arena, result, output);
	return PN_OK;
}

static void put_output(const struct result *result, struct pn_slice ip, bool is_quoted,
                       struct pn_arena *arena, struct pn_check_output *output)
{
	struct pn_check_value *facts = PN_ARENA_ARRAY(arena, 3, struct pn_check_value);
	const char *quote = is_quoted ? "\"" : "";

	facts[0] = (struct pn_check_value){PN_SLICE("iprev"), pn_slice_of(result->word)};
	facts[1] = (struct pn_check_value){PN_SLICE("iprev.name"), result->name};
	facts[2] = (struct pn_check_value){PN_SLICE("iprev.reason"), pn_slice_of(result->reason)};
	output->facts = facts;
	output->fact_count = 3;
	/* RFC 8601 section 2.7.3. A name of DNS has nothing that would end a comment. */
	output->authentication_result = pn_slice_of(
		result->name.size > 0
			? pn_arena_print(arena, "iprev=%s policy.iprev=%s%.*s%s (%.*s)",
	                                 result->word, quote, PN_SLICE_ARGS(ip), quote,
	                                 PN_SLICE_ARGS(result->name))
			: pn_arena_print(arena, "iprev=%s policy.iprev=%s%.*s%s", result->word,
	                                 quote, PN_SLICE_ARGS(ip), quote));
}

static enum pn_status run(const void *config, const struct pn_check_input *input,
                          struct pn_arena *arena, struct pn_check_output *output,
                          struct pn_error *error)
{
	struct pn_slice ip = pn_check_value_of(input, PN_SLICE("ip"));
	struct address address;
	struct result result = {.name = PN_SLICE_NONE};

	(void)config;
	if (!read_address(ip, &address))
		return pn_fail(error, "\"%.*s\" is not an IP address", PN_SLICE_ARGS(ip));
	if (evaluate(input, &address, arena, &result, output) == PN_PENDING)
		return PN_PENDING;
	put_output(&result, ip, address.family == AF_INET6, arena, output);
	return PN_OK;
}

const struct pn_check iprev_check = {
	.struct_size = sizeof(iprev_check),
	.name = "iprev",
	.max_rounds = 2,
	.max_questions = IPREV_NAMES_MAX + 1,
	.run = run,
};
