/* SPDX-License-Identifier: Apache-2.0 */
/* Keywords: a mailbox has up to 64 words, and its messages a bit for each. */
#include "store_local.h"

#include <string.h>

#include <postern/text.h>

/* All words of the mailbox; PN_KEYWORDS_PER_MAILBOX slices, the unused ones empty. */
enum pn_status keywords_load(struct index_access *access, const struct mailbox *mailbox,
                             const struct pn_slice **words_out)
{
	struct pn_slice *words =
		PN_ARENA_ARRAY(access->arena, PN_KEYWORDS_PER_MAILBOX, struct pn_slice);
	struct index_key prefix;
	struct index_walk walk;

	*words_out = words;
	if (mailbox->row.keyword_count == 0)
		return PN_OK;
	key_tree(&prefix, mailbox->account, TREE_KEYWORD);
	key_u64(&prefix, mailbox->id);
	walk_begin(&walk, access, TABLE_TREE, &prefix, NULL);
	for (; walk.status == PN_OK; walk_next(&walk)) {
		uint8_t bit = ((const uint8_t *)walk.key.mv_data)[prefix.size];

		if (walk.key.mv_size == prefix.size + 1 && bit < PN_KEYWORDS_PER_MAILBOX)
			words[bit] =
				pn_arena_keep(access->arena, pn_slice_make(walk.value.mv_data,
			                                                   walk.value.mv_size));
	}
	walk_end(&walk);
	return walk.status == PN_NOT_FOUND ? PN_OK : walk.status;
}

static enum pn_status add_word(struct index_access *access, struct mailbox *mailbox,
                               struct pn_slice word, unsigned *bit_out)
{
	struct index_key key;

	if (word.size == 0 || word.size > PN_KEYWORD_MAX)
		return pn_fail_with(PN_LIMIT, access->error,
		                    "a keyword has 1 to %d bytes; this one has %zu", PN_KEYWORD_MAX,
		                    word.size);
	if (mailbox->row.keyword_count >= PN_KEYWORDS_PER_MAILBOX)
		return pn_fail_with(PN_LIMIT, access->error,
		                    "the mailbox has %d keywords, and cannot have more",
		                    PN_KEYWORDS_PER_MAILBOX);
	*bit_out = mailbox->row.keyword_count++;
	key_tree(&key, mailbox->account, TREE_KEYWORD);
	key_u64(&key, mailbox->id);
	key_byte(&key, (uint8_t)*bit_out);
	return index_put(access, TABLE_TREE, &key, word.data, word.size);
}

/*
 * The bits of the words in `flags`. With `add` new words are entered (the caller saves the
 * mailbox), else they are passed over.
 */
enum pn_status keywords_bits(struct index_access *access, struct mailbox *mailbox,
                             const struct pn_flags *flags, bool add, uint64_t *bits_out)
{
	const struct pn_slice *words;
	enum pn_status status;

	*bits_out = 0;
	if (flags->keyword_count == 0)
		return PN_OK;
	status = keywords_load(access, mailbox, &words);
	for (size_t i = 0; i < flags->keyword_count && status == PN_OK; i++) {
		unsigned bit = 0;

		while (bit < mailbox->row.keyword_count &&
		       !pn_slice_equal_ignore_case(words[bit], flags->keywords[i]))
			bit++;
		if (bit == mailbox->row.keyword_count) {
			if (!add)
				continue;
			status = add_word(access, mailbox, flags->keywords[i], &bit);
			if (status != PN_OK)
				break;
			((struct pn_slice *)(uintptr_t)words)[bit] = flags->keywords[i];
		}
		*bits_out |= (uint64_t)1 << bit;
	}
	return status;
}
