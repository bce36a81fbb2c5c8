/* SPDX-License-Identifier: Apache-2.0 */
/* Tickets, DNS and time of the fake world. See fake.h. */
#include "fake_world.h"

#include "fake.h"

#include <postern/cache.h>
#include <postern/clock.h>
#include <postern/http.h>
#include <postern/module.h>
#include <postern/ticket.h>

#include <stdio.h>
#include <stdlib.h>

#include "io/loop.h"
#include "session/ticket.h"

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
static void (**kept_release)(void *result); /* where it is to be told */
static uint64_t now_ms;
static size_t questions;
static char http_line[1000];
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
	kept_release = NULL;
	slot.answered(slot.user, &answer);
	if (kept_release != NULL)
		*kept_release = slot.release;
	else if (slot.release != NULL)
		slot.release(slot.result);
}

void pn_ticket_keep_result(void (**release_out)(void *result))
{
	kept_release = release_out;
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

/* ---- turns of the loop ---- */

static struct pn_task *first_task;

/* In place of pn_task_queue: the linker sees to it. */
void __wrap_pn_task_queue(struct pn_task *task);

void __wrap_pn_task_queue(struct pn_task *task)
{
	struct pn_task **link = &first_task;

	if (task->is_queued)
		return;
	while (*link != NULL)
		link = &(*link)->next;
	task->is_queued = true;
	task->next = NULL;
	*link = task;
}

void fake_turn(void)
{
	struct pn_task *task = first_task;

	first_task = NULL;
	while (task != NULL) {
		struct pn_task *next = task->next;

		task->is_queued = false;
		task->run(task);
		task = next;
	}
}

void fake_advance(uint64_t milliseconds)
{
	fake_turn();
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

/* A cache that knows nothing and counts everything. */

static void answer_cache(struct pn_ticket ticket)
{
	struct pn_cache_value *value = calloc(1, sizeof(*value));

	value->struct_size = sizeof(*value);
	value->number = (int64_t)++questions;
	pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, PN_OK, value, free, NULL);
}

static void cache_get(void *instance, struct pn_slice key, struct pn_ticket ticket)
{
	(void)instance, (void)key;
	answer_cache(ticket);
}

static void cache_set(void *instance, struct pn_slice key, struct pn_slice value,
                      uint64_t lifetime_ms, struct pn_ticket ticket)
{
	(void)instance, (void)key, (void)value, (void)lifetime_ms;
	answer_cache(ticket);
}

static void cache_add(void *instance, struct pn_slice key, int64_t amount, uint64_t lifetime_ms,
                      struct pn_ticket ticket)
{
	(void)instance, (void)key, (void)amount, (void)lifetime_ms;
	answer_cache(ticket);
}

const struct pn_instance_use *fake_cache(void)
{
	static const struct pn_cache cache = {
		.struct_size = sizeof(cache), .get = cache_get, .set = cache_set, .add = cache_add};
	static const struct pn_module module = {.name = "cache", .cache = &cache};
	static struct pn_instance instance = {.module = &module, .name = "cache"};
	static const struct pn_instance_use use = {.instance = &instance};

	return &use;
}

/* What was asked, in one line; and an answer that says so. */
void pn_http_ask(const struct pn_http_request *request, struct pn_ticket ticket)
{
	static const struct pn_http_header headers[] = {
		{PN_SLICE("content-type"), PN_SLICE("text/plain")},
		{PN_SLICE("x-twice"), PN_SLICE("one")},
		{PN_SLICE("x-twice"), PN_SLICE("two")}};
	struct pn_error error = {.text = "its address is not a public one"};
	struct pn_http_response *response;
	size_t size;

	questions++;
	snprintf(http_line, sizeof(http_line), "%s %.*s [%.*s] %llu %llu%s%s",
	         request->method == NULL ? "-" : request->method, PN_SLICE_ARGS(request->url),
	         PN_SLICE_ARGS(request->body), (unsigned long long)request->timeout_ms,
	         (unsigned long long)request->max_body,
	         request->follows_redirects ? " redirects" : "",
	         request->allows_private ? " private" : "");
	for (size_t index = 0; index < request->header_count; index++) {
		size = strlen(http_line);
		snprintf(http_line + size, sizeof(http_line) - size, " %.*s=%.*s",
		         PN_SLICE_ARGS(request->headers[index].name),
		         PN_SLICE_ARGS(request->headers[index].value));
	}
	if (strstr(http_line, "silent") != NULL)
		return;
	if (strstr(http_line, "denied") != NULL) {
		pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, PN_DENIED, NULL, NULL, &error);
		return;
	}
	response = calloc(1, sizeof(*response));
	*response = (struct pn_http_response){.struct_size = sizeof(*response),
	                                      .status = 200,
	                                      .headers = headers,
	                                      .header_count = 3,
	                                      .body = pn_slice_of(http_line)};
	pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, PN_OK, response, free, NULL);
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
