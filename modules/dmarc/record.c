/* SPDX-License-Identifier: Apache-2.0 */
/* Records of RFC 7489 section 6.3. Pure. */
#include <postern/text.h>

#include "dmarc.h"

static const char *const policy_names[] = {"", "none", "quarantine", "reject"};

const char *dmarc_policy_name(enum dmarc_policy policy)
{
	return policy_names[policy];
}

/* The next "name=value" of the list; false at its end. One that is no tag has an empty name. */
static bool take_tag(struct pn_slice *rest, struct pn_slice *name_out, struct pn_slice *value_out)
{
	struct pn_slice part;
	size_t equals;

	if (rest->size == 0)
		return false;
	part = pn_slice_cut(rest, ';');
	equals = pn_slice_find(part, '=');
	*name_out = equals == part.size ? PN_SLICE_NONE
	                                : pn_slice_trim(pn_slice_make(part.data, equals));
	*value_out = equals == part.size ? PN_SLICE_NONE
	                                 : pn_slice_trim(pn_slice_behind(part, equals + 1));
	return true;
}

bool dmarc_is_record(struct pn_slice text)
{
	struct pn_slice name;
	struct pn_slice value;

	return take_tag(&text, &name, &value) && pn_slice_equal(name, PN_SLICE("v")) &&
	       pn_slice_equal(value, PN_SLICE("DMARC1"));
}

static bool read_policy(struct pn_slice value, enum dmarc_policy *policy_out)
{
	for (size_t i = 1; i < sizeof(policy_names) / sizeof(policy_names[0]); i++) {
		if (!pn_slice_equal_ignore_case(value, pn_slice_of(policy_names[i])))
			continue;
		*policy_out = (enum dmarc_policy)i;
		return true;
	}
	return false;
}

static void read_percent(struct pn_slice value, struct dmarc_record *record)
{
	uint64_t number;

	if (pn_parse_count(value, &number) == PN_OK && number <= 100)
		record->percent = (unsigned)number;
}

static bool is_strict(struct pn_slice value)
{
	return pn_slice_equal_ignore_case(value, PN_SLICE("s"));
}

const char *dmarc_record_parse(struct pn_slice text, struct dmarc_record *record_out)
{
	struct pn_slice name;
	struct pn_slice value;
	bool is_policy_wrong = false;

	*record_out = (struct dmarc_record){.percent = 100};
	for (size_t i = 0; i < DMARC_TAGS_MAX && take_tag(&text, &name, &value); i++) {
		if (pn_slice_equal_ignore_case(name, PN_SLICE("p")))
			is_policy_wrong |= !read_policy(value, &record_out->policy);
		else if (pn_slice_equal_ignore_case(name, PN_SLICE("sp")))
			is_policy_wrong |= !read_policy(value, &record_out->subdomain_policy);
		else if (pn_slice_equal_ignore_case(name, PN_SLICE("aspf")))
			record_out->is_spf_strict = is_strict(value);
		else if (pn_slice_equal_ignore_case(name, PN_SLICE("adkim")))
			record_out->is_dkim_strict = is_strict(value);
		else if (pn_slice_equal_ignore_case(name, PN_SLICE("pct")))
			read_percent(value, record_out);
		else if (pn_slice_equal_ignore_case(name, PN_SLICE("rua")))
			record_out->reports = value;
	}
	if (!is_policy_wrong && record_out->policy != DMARC_POLICY_ABSENT)
		return NULL;
	/* Section 6.6.3: whoever wants reports at least watches. */
	record_out->policy = record_out->subdomain_policy = DMARC_POLICY_NONE;
	if (pn_slice_starts_with_ignore_case(record_out->reports, PN_SLICE("mailto:")))
		return NULL;
	return "the record has no policy that is known";
}
