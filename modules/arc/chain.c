/* SPDX-License-Identifier: Apache-2.0 */
/* The sets of a message and whether they hang together, RFC 8617 sections 4.1, 4.2 and 5.2. Pure.
 */
#include <postern/text.h>

#include "arc.h"

static const char *const state_names[] = {"none", "pass", "fail"};

const char *arc_state_name(enum arc_state state)
{
	return state_names[state];
}

static bool has_name(const struct pn_header_field *field, const char *name)
{
	return pn_slice_equal_ignore_case(field->name, pn_slice_of(name));
}

/* 1 to 50; 0 for anything else. */
static size_t read_instance(struct pn_slice text)
{
	uint64_t number;

	if (pn_parse_count(text, &number) != PN_OK || number > ARC_SETS_MAX || text.data[0] == '0')
		return 0;
	return (size_t)number;
}

/* "i=1;" at the beginning of ARC-Authentication-Results (section 4.1.1). */
static size_t instance_of_results(struct pn_slice value, struct pn_arena *arena)
{
	struct pn_slice first = dkim_squeeze(pn_slice_cut(&value, ';'), arena);

	if (first.size < 3 || first.data[0] != 'i' || first.data[1] != '=')
		return 0;
	return read_instance(pn_slice_behind(first, 2));
}

static size_t instance_of_tags(struct pn_slice value)
{
	struct dkim_tags tags;
	const struct pn_slice *instance;

	if (dkim_tags_parse(value, &tags) != PN_OK)
		return 0;
	instance = dkim_tag_of(&tags, "i");
	return instance == NULL || instance->size == 0 ? 0 : read_instance(*instance);
}

/* Each set has one of each field. NULL, or what is wrong. */
static const char *collect(const struct pn_header *header, struct pn_arena *arena,
                           struct arc_chain *chain)
{
	for (size_t i = 0; i < header->count; i++) {
		const struct pn_header_field *field = &header->fields[i];
		bool is_results = has_name(field, "ARC-Authentication-Results");
		bool is_message = has_name(field, "ARC-Message-Signature");
		const struct pn_header_field **place;
		size_t instance;

		if (!is_results && !is_message && !has_name(field, "ARC-Seal"))
			continue;
		instance = is_results ? instance_of_results(field->value, arena)
		                      : instance_of_tags(field->value);
		if (chain->count < instance)
			chain->count = instance;
		if (instance == 0) {
			chain->count = chain->count == 0 ? 1 : chain->count;
			return "a field has no instance of 1 to 50";
		}
		place = is_results   ? &chain->sets[instance].results
		        : is_message ? &chain->sets[instance].message
		                     : &chain->sets[instance].seal;
		if (*place != NULL)
			return "a set has a field twice";
		*place = field;
	}
	for (size_t i = 1; i <= chain->count; i++) {
		if (chain->sets[i].results == NULL || chain->sets[i].message == NULL ||
		    chain->sets[i].seal == NULL)
			return "a set is not whole";
	}
	return NULL;
}

static const char *read_state(const struct pn_slice *text, enum arc_state *state_out)
{
	for (size_t i = 0; text != NULL && i < sizeof(state_names) / sizeof(state_names[0]); i++) {
		if (!pn_slice_equal_ignore_case(*text, pn_slice_of(state_names[i])))
			continue;
		*state_out = (enum arc_state)i;
		return NULL;
	}
	return "cv= is not known";
}

/* Section 4.1.3. */
static const char *read_seal(struct arc_set *set, struct pn_arena *arena)
{
	static const char *const needed[] = {"a", "b", "d", "s"};
	struct arc_seal *seal = &set->sealed;
	struct dkim_tags tags;
	const char *trouble;

	seal->field = set->seal;
	if (dkim_tags_parse(set->seal->value, &tags) != PN_OK)
		return "a seal is no list of tags";
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (dkim_tag_of(&tags, needed[i]) == NULL)
			return pn_arena_print(arena, "%s= is missing in a seal", needed[i]);
	}
	if (dkim_tag_of(&tags, "h") != NULL)
		return "a seal says which fields it is for";
	trouble = read_state(dkim_tag_of(&tags, "cv"), &seal->state);
	if (trouble == NULL)
		trouble = dkim_algorithm_parse(*dkim_tag_of(&tags, "a"), &seal->algorithm);
	seal->domain = *dkim_tag_of(&tags, "d");
	seal->selector = *dkim_tag_of(&tags, "s");
	if (trouble == NULL && (!dkim_is_domain(seal->domain) || !dkim_is_domain(seal->selector)))
		trouble = "a seal has no domain or no selector";
	if (trouble == NULL && !dkim_decode(*dkim_tag_of(&tags, "b"), arena, &seal->value))
		trouble = "b= is no base64";
	return trouble;
}

/* Section 4.1.2: as DKIM has it, without v=, and not for seals. */
static const char *read_message(struct arc_set *set, struct pn_arena *arena)
{
	struct dkim_tags tags;
	const char *trouble;

	set->signature = (struct dkim_signature){.field = set->message};
	if (dkim_tags_parse(set->message->value, &tags) != PN_OK)
		return "a message signature is no list of tags";
	trouble = dkim_signature_read(&tags, arena, &set->signature);
	for (size_t i = 0; trouble == NULL && i < set->signature.name_count; i++) {
		if (pn_slice_equal_ignore_case(set->signature.names[i], PN_SLICE("ARC-Seal")))
			trouble = "a message signature is for seals";
	}
	return trouble;
}

const char *arc_chain_read(const struct pn_header *header, struct pn_arena *arena,
                           struct arc_chain *chain_out)
{
	const char *trouble;

	memset(chain_out, 0, sizeof(*chain_out));
	trouble = collect(header, arena, chain_out);
	for (size_t i = 1; trouble == NULL && i <= chain_out->count; i++) {
		struct arc_set *set = &chain_out->sets[i];

		trouble = read_seal(set, arena);
		if (trouble == NULL && set->sealed.state == ARC_FAIL)
			trouble = "it had failed before";
		if (trouble == NULL && (set->sealed.state == ARC_NONE) != (i == 1))
			trouble = "cv= is none in the first set, and pass in all others";
		/* What was signed in earlier sets may have been changed since. */
		if (trouble == NULL && i == chain_out->count)
			trouble = read_message(set, arena);
	}
	return trouble;
}

enum pn_status arc_put_sealed(struct pn_buffer *out, const struct arc_chain *chain, size_t last)
{
	enum pn_status status = PN_OK;

	for (size_t i = 1; i <= last && status == PN_OK; i++) {
		const struct arc_set *set = &chain->sets[i];

		status = dkim_put_field(out, set->results->whole, true);
		if (status == PN_OK)
			status = dkim_put_field(out, set->message->whole, true);
		if (status == PN_OK)
			status = i == last ? dkim_put_signature(out, set->seal->whole, true)
			                   : dkim_put_field(out, set->seal->whole, true);
	}
	return status;
}
