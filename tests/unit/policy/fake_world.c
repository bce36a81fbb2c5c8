/* SPDX-License-Identifier: Apache-2.0 */
/* Tickets, DNS and time of the fake world. See fake.h. */
#include "fake_world.h"

#include "fake.h"

#include <postern/clock.h>
#include <postern/ticket.h>

#include <stdio.h>
#include <stdlib.h>

enum { TICKETS = 8192, NAMES = 64 };

struct fake_ticket {
	uint32_t generation; /* odd while open */
	pn_answered_function *answered;
	void *user;
	uint64_t deadline_ms;
	bool has_answer;
	enum pn_answer_kind kind;
	enum pn_status status;
	void *result;
	void (*release)(void *result);
};

static struct fake_ticket tickets[TICKETS];
static uint64_t now_ms;
static size_t questions;
static uint64_t random_state;

static struct {
	char name[256];
	enum pn_dns_type type;
	enum pn_dns_outcome outcome;
	struct pn_dns_record records[8];
	char values[8][128];
	size_t count;
} names[NAMES];
static size_t name_count;

void fake_world_reset(void)
{
	memset(tickets, 0, sizeof(tickets));
	memset(names, 0, sizeof(names));
	name_count = 0;
	questions = 0;
	now_ms = 1000;
	random_state = 1;
}

/* ---- tickets ---- */

struct pn_ticket pn_ticket_open(struct pn_session *session, pn_answered_function *answered,
                                void *user, uint64_t deadline_ms)
{
	struct pn_ticket ticket = {0, 0};

	(void)session;
	while (tickets[ticket.slot].generation & 1) {
		if (++ticket.slot == TICKETS)
			abort();
	}

	struct fake_ticket *slot = &tickets[ticket.slot];
	uint32_t generation = slot->generation + 1;

	*slot = (struct fake_ticket){.generation = generation,
	                             .answered = answered,
	                             .user = user,
	                             .deadline_ms = now_ms + deadline_ms};
	ticket.generation = generation;
	return ticket;
}

bool pn_ticket_is_open(struct pn_ticket ticket)
{
	return ticket.slot < TICKETS && (ticket.generation & 1) != 0 &&
	       tickets[ticket.slot].generation == ticket.generation &&
	       !tickets[ticket.slot].has_answer;
}

void pn_ticket_cancel(struct pn_ticket ticket)
{
	struct fake_ticket *slot = &tickets[ticket.slot];

	if (ticket.slot >= TICKETS || (ticket.generation & 1) == 0 ||
	    slot->generation != ticket.generation)
		return;
	if (slot->has_answer && slot->release != NULL)
		slot->release(slot->result);
	slot->generation++;
}

bool pn_ticket_answer(struct pn_ticket ticket, enum pn_answer_kind kind, enum pn_status status,
                      void *result, void (*release)(void *result), const struct pn_error *error)
{
	struct fake_ticket *slot = &tickets[ticket.slot];

	(void)error;
	if (!pn_ticket_is_open(ticket)) {
		if (release != NULL)
			release(result);
		return false;
	}
	slot->has_answer = true;
	slot->kind = kind;
	slot->status = status;
	slot->result = result;
	slot->release = release;
	return true;
}

static void deliver(uint32_t index)
{
	struct fake_ticket slot = tickets[index];
	struct pn_answer answer = {.struct_size = sizeof(answer),
	                           .kind = slot.kind,
	                           .ticket = {index, slot.generation},
	                           .status = slot.status,
	                           .result = slot.result};

	tickets[index].generation++;
	slot.answered(slot.user, &answer);
	if (slot.release != NULL)
		slot.release(slot.result);
}

size_t fake_deliver(void)
{
	size_t count = 0;
	bool again = true;

	while (again) {
		again = false;
		for (uint32_t index = 0; index < TICKETS; index++) {
			if ((tickets[index].generation & 1) == 0 || !tickets[index].has_answer)
				continue;
			deliver(index);
			count++;
			again = true;
		}
	}
	return count;
}

void fake_advance(uint64_t milliseconds)
{
	fake_deliver();
	now_ms += milliseconds;
	for (uint32_t index = 0; index < TICKETS; index++) {
		struct fake_ticket *slot = &tickets[index];

		if ((slot->generation & 1) == 0 || slot->deadline_ms > now_ms)
			continue;
		slot->has_answer = true;
		slot->kind = PN_ANSWER_TIMER;
		slot->status = PN_TIMEOUT;
	}
	fake_deliver();
}

size_t fake_open_tickets(void)
{
	size_t count = 0;

	for (uint32_t index = 0; index < TICKETS; index++)
		count += tickets[index].generation & 1;
	return count;
}

/* ---- DNS ---- */

void fake_dns(const char *name, enum pn_dns_type type, enum pn_dns_outcome outcome,
              const char *value, unsigned priority)
{
	size_t index = 0;

	while (index < name_count &&
	       (strcmp(names[index].name, name) != 0 || names[index].type != type))
		index++;
	if (index == name_count && name_count++ == NAMES)
		abort();
	snprintf(names[index].name, sizeof(names[index].name), "%s", name);
	names[index].type = type;
	names[index].outcome = outcome;
	if (value == NULL)
		return;

	size_t record = names[index].count++;

	snprintf(names[index].values[record], sizeof(names[index].values[0]), "%s", value);
	names[index].records[record] = (struct pn_dns_record){
		.value = pn_slice_of(names[index].values[record]), .priority = (uint16_t)priority};
}

void pn_dns_ask(const struct pn_dns_question *question, struct pn_ticket ticket)
{
	struct pn_dns_answer *answer = calloc(1, sizeof(*answer));

	questions++;
	answer->struct_size = sizeof(*answer);
	answer->record_size = sizeof(struct pn_dns_record);
	answer->question = *question;
	answer->question.name = PN_SLICE_NONE;
	answer->outcome = PN_DNS_NO_NAME;
	for (size_t index = 0; index < name_count; index++) {
		if (names[index].type != question->type ||
		    strlen(names[index].name) != question->name.size ||
		    memcmp(names[index].name, question->name.data, question->name.size) != 0)
			continue;
		answer->outcome = names[index].outcome;
		answer->records = names[index].records;
		answer->record_count = names[index].count;
	}
	pn_ticket_answer(ticket, PN_ANSWER_DNS, PN_OK, answer, free, NULL);
}

enum pn_status pn_dns_type_of(struct pn_slice word, enum pn_dns_type *type_out)
{
	static const struct {
		const char *word;
		enum pn_dns_type type;
	} types[] = {{"A", PN_DNS_A},
	             {"AAAA", PN_DNS_AAAA},
	             {"MX", PN_DNS_MX},
	             {"PTR", PN_DNS_PTR},
	             {"TXT", PN_DNS_TXT}};

	for (size_t index = 0; index < sizeof(types) / sizeof(types[0]); index++) {
		if (word.size == strlen(types[index].word) &&
		    memcmp(word.data, types[index].word, word.size) == 0) {
			*type_out = types[index].type;
			return PN_OK;
		}
	}
	return PN_NOT_FOUND;
}

size_t fake_questions(void)
{
	return questions;
}

/* ---- time and chance ---- */

int64_t pn_clock_wall_ms(void)
{
	return 1700000000000 + (int64_t)now_ms;
}

uint64_t pn_clock_monotonic_ms(void)
{
	return now_ms;
}

uint64_t pn_clock_monotonic_ns(void)
{
	return now_ms * 1000000;
}

void pn_random(void *bytes_out, size_t size)
{
	unsigned char *bytes = bytes_out;

	for (size_t index = 0; index < size; index++) {
		random_state = random_state * 6364136223846793005u + 1442695040888963407u;
		bytes[index] = (unsigned char)(random_state >> 56);
	}
}
