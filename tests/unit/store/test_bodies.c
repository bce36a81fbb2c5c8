/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies in bulk from a store that gives one at a time: a store that answers at
 * once, one that answers later, and one that blocks. Body n has n kilobytes of the
 * letter n; 200 does not exist, 201 is damaged, 202 ends before its size.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <postern/job.h>

#include "io/job.h"
#include "io/log.h"
#include "io/loop.h"
#include "session/generation.h"
#include "session/ticket.h"
#include "store/account.h"

#include "suites.h"

enum { WATCHDOG_MS = 8000, KILO = 1000, MISSING = 200, DAMAGED, CUT, LARGE, MAX_ENTRIES = 64 };
enum { PIECE = 1024 * 1024, LARGE_SIZE = 2 * PIECE + 500 };

static struct {
	bool answers_later;
	unsigned reads;
	bool own_entry_called;
	struct pn_timer *later;
	struct pn_store_call *waiting;
	enum pn_status waiting_status;
} fake;

static struct {
	enum pn_status status;
	size_t count;
	enum pn_status statuses[MAX_ENTRIES];
	size_t sizes[MAX_ENTRIES];
	bool is_right;
} found;

static uint64_t size_of(uint8_t number)
{
	return number == LARGE ? LARGE_SIZE : number * (uint64_t)KILO;
}

static enum pn_status read_piece(struct pn_store_call *call, const struct pn_body_request *request,
                                 struct pn_body_piece *result)
{
	uint8_t number = request->body.bytes[0];
	uint64_t size = size_of(number);
	uint64_t end = number == CUT ? size / 2 : size;
	size_t room = request->max_size;
	char *bytes;

	fake.reads++;
	if (number == MISSING)
		return PN_NOT_FOUND;
	if (number == DAMAGED)
		return pn_fail(&call->error, "the body is damaged");
	if (room > end - request->offset)
		room = (size_t)(end - request->offset);
	bytes = pn_arena_allocate(call->arena, room);
	memset(bytes, number, room);
	result->bytes = pn_slice_make(bytes, room);
	result->total_size = size;
	return PN_OK;
}

static void answer_now(void *unused)
{
	(void)unused;
	pn_store_answer(fake.waiting, fake.waiting_status);
}

static enum pn_status body_read(void *instance, struct pn_store_call *call,
                                const struct pn_body_request *request, struct pn_body_piece *result)
{
	enum pn_status status = read_piece(call, request, result);

	(void)instance;
	if (!fake.answers_later)
		return status;
	fake.waiting = call;
	fake.waiting_status = status;
	pn_timer_set(fake.later, 0);
	return PN_PENDING;
}

static enum pn_status bodies(void *instance, struct pn_store_call *call,
                             const struct pn_bodies_request *request, struct pn_bodies *result)
{
	(void)instance;
	(void)call;
	(void)request;
	(void)result;
	fake.own_entry_called = true;
	return PN_NOT_FOUND;
}

static struct pn_store store = {.struct_size = sizeof(store), .body_read = body_read};

static void starved(void *unused)
{
	(void)unused;
	ck_abort_msg("no answer");
}

static void answered(void *user, const struct pn_answer *answer)
{
	const struct pn_bodies *result = answer->result;
	const uint8_t *numbers = user;

	found.status = answer->status;
	found.is_right = true;
	found.count = answer->status == PN_OK ? result->count : 0;
	for (size_t i = 0; i < found.count; i++) {
		const struct pn_body_entry *entry = &result->entries[i];

		found.statuses[i] = entry->status;
		found.sizes[i] = entry->bytes.size;
		if (entry->status == PN_OK && entry->bytes.size != size_of(numbers[i]))
			found.is_right = false;
		for (size_t at = 0; at < entry->bytes.size; at++)
			if ((uint8_t)entry->bytes.data[at] != numbers[i])
				found.is_right = false;
	}
	pn_loop_stop();
}

static void ask(const uint8_t *numbers, size_t count, size_t max_size)
{
	struct pn_account account = {.name = PN_SLICE("somebody"), .entries = &store};
	struct pn_body_id ids[MAX_ENTRIES] = {{{0}}};
	const struct pn_bodies_request request = {.struct_size = sizeof(request),
	                                          .bodies = ids,
	                                          .count = count,
	                                          .max_size = max_size};

	for (size_t i = 0; i < count; i++)
		ids[i].bytes[0] = numbers[i];
	memset(&found, 0, sizeof(found));
	fake.reads = 0;
	pn_store_bodies(&account, &request,
	                pn_ticket_open(NULL, answered, (void *)(uintptr_t)numbers, WATCHDOG_MS));
	memset(ids, 0xff, sizeof(ids)); /* they were copied */
	pn_loop_run();
}

static struct pn_timer *watchdog;

static void set_up(void)
{
	struct pn_error error;

	memset(&fake, 0, sizeof(fake));
	store = (struct pn_store){.struct_size = sizeof(store), .body_read = body_read};
	pn_log_set_level(PN_LOG_ERROR);
	ck_assert_int_eq(pn_loop_new(&error), PN_OK);
	pn_jobs_start();
	watchdog = pn_timer_new(starved, NULL);
	pn_timer_set(watchdog, WATCHDOG_MS);
	fake.later = pn_timer_new(answer_now, NULL);
}

static void tear_down(void)
{
	pn_tickets_stop();
	pn_timer_free(&watchdog);
	pn_timer_free(&fake.later);
	pn_jobs_stop();
	pn_loop_free();
}

static void choose(int manner)
{
	fake.answers_later = manner == 1;
	store.capabilities = manner == 2 ? PN_STORE_BODIES_BLOCK : 0;
}

START_TEST(all_that_fit_come_in_their_order)
{
	static const uint8_t numbers[] = {5, 0, 3, 1, 0};

	choose(_i);
	ask(numbers, 5, 100 * KILO);
	ck_assert_int_eq(found.status, PN_OK);
	ck_assert_uint_eq(found.count, 5);
	ck_assert(found.is_right);
	ck_assert_uint_eq(found.sizes[1], 0);
	ck_assert_uint_eq(found.sizes[2], 3 * KILO);
}
END_TEST

START_TEST(what_does_not_fit_is_left_for_the_next_question)
{
	static const uint8_t numbers[] = {5, 4, 3, 1};

	choose(_i);
	ask(numbers, 4, 9 * KILO);
	ck_assert_uint_eq(found.count, 2);
	ck_assert(found.is_right);
	ask(numbers + 2, 2, 3 * KILO);
	ck_assert_uint_eq(found.count, 1);
	ck_assert(found.is_right);
}
END_TEST

START_TEST(bodies_that_cannot_be_given_do_not_hold_up_others)
{
	static const uint8_t numbers[] = {MISSING, 5, DAMAGED, 50, CUT, 2};

	choose(_i);
	ask(numbers, 6, 300 * KILO);
	ck_assert_uint_eq(found.count, 6);
	ck_assert(found.is_right);
	ck_assert_int_eq(found.statuses[0], PN_NOT_FOUND);
	ck_assert_int_eq(found.statuses[1], PN_OK);
	ck_assert_int_eq(found.statuses[2], PN_FAILED);
	ck_assert_int_eq(found.statuses[4], PN_FAILED);
	ck_assert_int_eq(found.statuses[5], PN_OK);
}
END_TEST

START_TEST(one_that_is_larger_than_all_room_is_an_entry)
{
	static const uint8_t numbers[] = {LARGE, 2, LARGE};

	choose(_i);
	ask(numbers, 3, 2 * KILO);
	ck_assert_uint_eq(found.count, 3);
	ck_assert_int_eq(found.statuses[0], PN_LIMIT);
	ck_assert_int_eq(found.statuses[1], PN_OK);
	ck_assert_int_eq(found.statuses[2], PN_LIMIT);
	ck_assert_uint_eq(fake.reads, 3);
}
END_TEST

START_TEST(a_large_one_comes_whole)
{
	static const uint8_t numbers[] = {LARGE, 1};

	choose(_i);
	ask(numbers, 2, LARGE_SIZE + KILO);
	ck_assert_uint_eq(found.count, 2);
	ck_assert(found.is_right);
	ck_assert_uint_eq(fake.reads, 4);
}
END_TEST

START_TEST(the_entry_of_the_store_is_asked_where_there_is_one)
{
	static const uint8_t numbers[] = {1};

	store.bodies = bodies;
	ask(numbers, 1, KILO);
	ck_assert(fake.own_entry_called);
	ck_assert_int_eq(found.status, PN_NOT_FOUND);
}
END_TEST

START_TEST(a_store_from_before_the_entry_is_not_asked_for_it)
{
	static const uint8_t numbers[] = {1};

	store.bodies = bodies;
	store.struct_size = offsetof(struct pn_store, bodies);
	ask(numbers, 1, KILO);
	ck_assert(!fake.own_entry_called);
	ck_assert(found.is_right);
}
END_TEST

Suite *bodies_suite(void)
{
	Suite *suite = suite_create("bodies");
	TCase *cases = tcase_create("bodies");

	tcase_add_checked_fixture(cases, set_up, tear_down);
	/* At once, later, in a job. */
	tcase_add_loop_test(cases, all_that_fit_come_in_their_order, 0, 3);
	tcase_add_loop_test(cases, what_does_not_fit_is_left_for_the_next_question, 0, 3);
	tcase_add_loop_test(cases, bodies_that_cannot_be_given_do_not_hold_up_others, 0, 3);
	tcase_add_loop_test(cases, one_that_is_larger_than_all_room_is_an_entry, 0, 3);
	tcase_add_loop_test(cases, a_large_one_comes_whole, 0, 3);
	tcase_add_test(cases, the_entry_of_the_store_is_asked_where_there_is_one);
	tcase_add_test(cases, a_store_from_before_the_entry_is_not_asked_for_it);
	suite_add_tcase(suite, cases);
	return suite;
}
