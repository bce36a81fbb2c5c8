/* SPDX-License-Identifier: Apache-2.0 */
/* What a record with a key says, RFC 6376 section 3.6.1. Pure. */
#include <postern/text.h>

#include "dkim.h"

const char *dkim_key_parse(struct pn_slice record, struct pn_arena *arena, struct dkim_key *key_out)
{
	struct dkim_tags tags;
	const struct pn_slice *value;
	struct pn_buffer out;

	*key_out = (struct dkim_key){.algorithm = DKIM_RSA_SHA256};
	if (dkim_tags_parse(record, &tags) != PN_OK)
		return "the key is no list of tags";
	value = dkim_tag_of(&tags, "v");
	if (value != NULL && (!pn_slice_equal(*value, PN_SLICE("DKIM1")) ||
	                      !pn_slice_equal(tags.rows[0].name, PN_SLICE("v"))))
		return "the key's version is not known";
	value = dkim_tag_of(&tags, "k");
	if (value != NULL && pn_slice_equal_ignore_case(*value, PN_SLICE("ed25519")))
		key_out->algorithm = DKIM_ED25519_SHA256;
	else if (value != NULL && !pn_slice_equal_ignore_case(*value, PN_SLICE("rsa")))
		return "the key's kind is not known";
	value = dkim_tag_of(&tags, "h");
	if (value != NULL && !dkim_list_has(*value, "sha256"))
		return "the key is not for SHA-256";
	value = dkim_tag_of(&tags, "s");
	if (value != NULL && !dkim_list_has(*value, "*") && !dkim_list_has(*value, "email"))
		return "the key is not for mail";
	value = dkim_tag_of(&tags, "t");
	if (value != NULL) {
		key_out->is_strict = dkim_list_has(*value, "s");
		key_out->is_testing = dkim_list_has(*value, "y");
	}
	value = dkim_tag_of(&tags, "p");
	if (value == NULL)
		return "the record has no key";
	if (value->size == 0)
		return "the key was revoked";
	pn_buffer_init(&out, 64 * 1024);
	if (pn_base64_decode(&out, dkim_squeeze(*value, arena)) == PN_OK)
		key_out->bytes = pn_arena_keep(arena, pn_buffer_slice(&out));
	pn_buffer_clear(&out);
	return key_out->bytes.size > 0 ? NULL : "the key is no base64";
}
