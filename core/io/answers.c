/* SPDX-License-Identifier: Apache-2.0 */
/* See answers.h. */
#include "io/answers.h"

#include <postern/text.h>

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 512, SIZE_MAX_KEPT = 4096, LONGEST_S = 60 };

/* In one block: behind it the records, then their values, then the name. */
struct kept {
	struct pn_dns_answer answer;
	uint64_t kept_ms;
	struct pn_dns_record records[];
};

static struct kept *slots[SLOTS];

static size_t slot_of(const struct pn_dns_question *question)
{
	uint32_t hash = UINT32_C(2166136261) ^ (uint32_t)question->type;

	for (size_t i = 0; i < question->name.size; i++) {
		unsigned char byte = (unsigned char)question->name.data[i];

		if (byte >= 'A' && byte <= 'Z')
			byte = (unsigned char)(byte + 32);
		hash = (hash ^ byte) * UINT32_C(16777619);
	}
	return hash % SLOTS;
}

/* Bytes of an answer in one block. */
static size_t size_of(const struct pn_dns_answer *answer)
{
	size_t size = sizeof(struct kept) + answer->question.name.size;

	for (size_t i = 0; i < answer->record_count; i++)
		size += sizeof(struct pn_dns_record) + answer->records[i].value.size;
	return size;
}

static struct pn_slice put(char **room, struct pn_slice text)
{
	struct pn_slice copy = pn_slice_make(*room, text.size);

	if (text.size > 0)
		memcpy(*room, text.data, text.size);
	*room += text.size;
	return copy;
}

void pn_answers_keep(const struct pn_dns_answer *answer, uint64_t now_ms)
{
	struct kept **slot = &slots[slot_of(&answer->question)];
	struct kept *kept;
	char *room;

	if (answer->outcome != PN_DNS_FOUND || answer->ttl_seconds == 0 ||
	    size_of(answer) > SIZE_MAX_KEPT)
		return;
	kept = malloc(size_of(answer));
	if (kept == NULL)
		abort();
	kept->answer = *answer;
	kept->kept_ms = now_ms;
	room = (char *)&kept->records[answer->record_count];
	for (size_t i = 0; i < answer->record_count; i++) {
		kept->records[i] = answer->records[i];
		kept->records[i].value = put(&room, answer->records[i].value);
	}
	kept->answer.question.name = put(&room, answer->question.name);
	free(*slot);
	*slot = kept;
}

static bool is_fresh(const struct kept *kept, uint64_t now_ms)
{
	uint64_t age_s = (now_ms - kept->kept_ms) / 1000;

	return now_ms >= kept->kept_ms && age_s < LONGEST_S && age_s < kept->answer.ttl_seconds;
}

bool pn_answers_find(const struct pn_dns_question *question, uint64_t now_ms,
                     struct pn_arena *arena, struct pn_dns_answer *answer_out)
{
	const struct kept *kept = slots[slot_of(question)];
	struct pn_dns_record *records;

	if (kept == NULL || kept->answer.question.type != question->type ||
	    !pn_slice_equal_ignore_case(kept->answer.question.name, question->name) ||
	    !is_fresh(kept, now_ms))
		return false;
	records = PN_ARENA_ARRAY(arena, kept->answer.record_count, struct pn_dns_record);
	for (size_t i = 0; i < kept->answer.record_count; i++) {
		records[i] = kept->records[i];
		records[i].value = pn_arena_keep(arena, kept->records[i].value);
	}
	answer_out->outcome = PN_DNS_FOUND;
	answer_out->secure = kept->answer.secure;
	answer_out->ttl_seconds =
		kept->answer.ttl_seconds - (uint32_t)((now_ms - kept->kept_ms) / 1000);
	answer_out->records = records;
	answer_out->record_count = kept->answer.record_count;
	answer_out->refused_count = kept->answer.refused_count;
	return true;
}

void pn_answers_forget(void)
{
	for (size_t i = 0; i < SLOTS; i++) {
		free(slots[i]);
		slots[i] = NULL;
	}
}
