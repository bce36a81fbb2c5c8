/* SPDX-License-Identifier: Apache-2.0 */
/* DNS of a trial: the records that the spec tells. */
#include "process/trial_dns.h"

#include <postern/text.h>

#include <string.h>

struct trial_name {
	char *name;
	enum pn_dns_type type;
	enum pn_dns_outcome outcome;
	struct pn_dns_record *records;
	size_t count;
	struct trial_name *next;
};

static struct {
	struct pn_arena *arena; /* of the case */
	struct trial_name *names;
	size_t questions;
} here;

void pn_trial_dns_begin(struct pn_arena *arena)
{
	memset(&here, 0, sizeof(here));
	here.arena = arena;
}

static bool is_name(const struct trial_name *entry, struct pn_slice name)
{
	if (name.size > 0 && name.data[name.size - 1] == '.')
		name.size--;
	return pn_slice_equal_ignore_case(pn_slice_of(entry->name), name);
}

void pn_trial_dns_ask(const struct pn_dns_question *question, struct pn_ticket ticket)
{
	struct pn_dns_answer *answer = PN_ARENA_NEW(here.arena, struct pn_dns_answer);

	here.questions++;
	answer->struct_size = sizeof(*answer);
	answer->record_size = sizeof(struct pn_dns_record);
	answer->question = *question;
	answer->question.name = PN_SLICE_NONE;
	answer->outcome = PN_DNS_NO_NAME;
	for (const struct trial_name *entry = here.names; entry != NULL; entry = entry->next) {
		if (!is_name(entry, question->name))
			continue;
		if (entry->type != question->type) {
			if (answer->outcome == PN_DNS_NO_NAME)
				answer->outcome = PN_DNS_NO_DATA;
			continue;
		}
		answer->outcome = entry->outcome;
		answer->records = entry->records;
		answer->record_count = entry->count;
	}
	pn_ticket_answer(ticket, PN_ANSWER_DNS, PN_OK, answer, NULL, NULL);
}

void pn_trial_dns(const char *name, enum pn_dns_type type, const char *value, unsigned priority)
{
	struct trial_name *entry = here.names;
	struct pn_dns_record *records;

	while (entry != NULL && (entry->type != type || strcmp(entry->name, name) != 0))
		entry = entry->next;
	if (entry == NULL) {
		entry = PN_ARENA_NEW(here.arena, struct trial_name);
		entry->name = pn_arena_keep_text(here.arena, pn_slice_of(name));
		entry->type = type;
		entry->next = here.names;
		here.names = entry;
	}
	entry->outcome = value == NULL ? PN_DNS_TROUBLE : PN_DNS_FOUND;
	if (value == NULL)
		return;
	records = PN_ARENA_ARRAY(here.arena, entry->count + 1, struct pn_dns_record);
	for (size_t index = 0; index < entry->count; index++)
		records[index] = entry->records[index];
	records[entry->count++] = (struct pn_dns_record){
		.value = pn_arena_keep(here.arena, pn_slice_of(value)),
		.priority = (uint16_t)priority,
	};
	entry->records = records;
}

size_t pn_trial_questions(void)
{
	return here.questions;
}
