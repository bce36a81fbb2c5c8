/* SPDX-License-Identifier: Apache-2.0 */
/* What checks have of a message: digests of its body, however it comes, and the parts of the field.
 */
#include "suites.h"

#include <postern/text.h>

#include "delivery/transaction.h"
#include "io/loop.h"
#include "session/session.h"
#include "session/ticket.h"

#include <stdlib.h>
#include <string.h>

enum { MEMORY = 4096 };

static const char head[] = "From: a@example.org\r\nSubject: x\r\n\r\n";

static struct pn_session session;
static struct pn_generation generation;
static struct pn_timer *end_of_turn;

/* ---- the hook, which wants what tests say ---- */

static struct {
	uint64_t limits[PN_DIGESTS_MAX + 1];
	size_t count;
	bool waits;
	enum pn_status status; /* of the last */
	const struct pn_stage_call *call;
} hook;

static void want(struct pn_transaction *transaction)
{
	/* What was wanted before is no new one. */
	for (size_t i = 0; i < hook.count && i < 1; i++)
		ck_assert_int_eq(pn_transaction_want_digest(transaction, false, hook.limits[0]),
		                 PN_OK);
	for (size_t i = 0; i < hook.count; i++)
		hook.status = pn_transaction_want_digest(transaction, i % 2 == 1, hook.limits[i]);
}

static enum pn_verdict ask(void *user, const struct pn_stage_call *call)
{
	(void)user;
	if (!hook.waits) {
		want(call->transaction);
		return PN_VERDICT_CONTINUE;
	}
	hook.call = call;
	return PN_VERDICT_PENDING;
}

static const struct pn_chain_hook hooks[] = {{.label = "test",
                                              .summary = "",
                                              .module = "test",
                                              .wall_budget_ms = 60 * 1000,
                                              .run = ask}};

static void nothing(void *unused)
{
	(void)unused;
}

static void turn(void)
{
	pn_timer_set(end_of_turn, 0);
	(void)pn_loop_advance(0, true);
}

/* What was done with the one before is recorded by nobody here. */
static void begin_message(void)
{
	struct pn_transaction *transaction = session.transaction;

	if (transaction != NULL) {
		transaction->size = 0;
		transaction->trail.first = NULL;
	}
	pn_transaction_new(&session);
}

static void set_up(void)
{
	struct pn_error error;

	memset(&hook, 0, sizeof(hook));
	ck_assert_int_eq(pn_loop_new(&error), PN_OK);
	pn_loop_simulate();
	end_of_turn = pn_timer_new(nothing, NULL);
	generation = (struct pn_generation){
		.references = 1,
		.hostname = "mx.example.test",
		.memory_per_message = MEMORY,
		.max_header_size = 2048,
		.max_header_fields = 100,
		.max_mime_depth = 10,
		.max_mime_parts = 10,
	};
	generation.chains[PN_STAGE_MESSAGE_HEADERS] = (struct pn_chain){hooks, 1};
	session = (struct pn_session){.magic = PN_SESSION_MAGIC, .generation = &generation};
	hook.count = 3;
	hook.limits[0] = UINT64_MAX;
	hook.limits[1] = UINT64_MAX;
	hook.limits[2] = 10;
	begin_message();
}

static void tear_down(void)
{
	begin_message();
	pn_transaction_end(&session);
	pn_timer_free(&end_of_turn);
	pn_tickets_stop();
	pn_loop_free();
}

/* ---- bodies ---- */

static void say(struct pn_slice bytes)
{
	/* In a block of its size. */
	char *copy = malloc(bytes.size + 1);

	ck_assert(copy != NULL);
	memcpy(copy, bytes.data, bytes.size);
	(void)pn_transaction_append(&session, pn_slice_make(copy, bytes.size), PN_NEXT_LINE);
	free(copy);
}

static void answer_hook(void)
{
	want(session.transaction);
	ck_assert(pn_hook_answer(hook.call, PN_VERDICT_CONTINUE));
	turn();
}

/* `size` bytes of lines, white space among them. */
static char *body_of(size_t size)
{
	char *body = malloc(size + 1);

	ck_assert(body != NULL);
	for (size_t i = 0; i < size; i++)
		body[i] = "line  of text \t\r\n"[(i + i / 100) % 17];
	return body;
}

static void check_digests(struct pn_slice body)
{
	struct pn_check_digest expected[PN_DIGESTS_MAX];
	struct pn_body_digester *digester;

	for (size_t i = 0; i < hook.count; i++)
		expected[i] =
			(struct pn_check_digest){.is_relaxed = i % 2 == 1, .limit = hook.limits[i]};
	digester = pn_body_digester_new(expected, hook.count);
	pn_body_digester_append(digester, body);
	pn_body_digester_end(&digester);
	for (size_t i = 0; i < hook.count; i++) {
		const struct pn_check_digest *digest = pn_transaction_digest(
			session.transaction, expected[i].is_relaxed, expected[i].limit);

		ck_assert(digest != NULL);
		ck_assert_mem_eq(digest->sha256, expected[i].sha256, 32);
		ck_assert_uint_eq(digest->length, expected[i].length);
	}
}

static void end_body(void)
{
	turn();
	session.transaction->step = PN_STEP_SCAN;
	pn_digests_finish(session.transaction);
}

/* The whole message in two pieces cut there, the second one in pieces of `step`. */
static void try_split(struct pn_slice message, size_t cut, size_t step)
{
	begin_message();
	say(pn_slice_make(message.data, cut));
	if (hook.waits && hook.call != NULL)
		answer_hook();
	for (size_t at = cut; at < message.size; at += step) {
		size_t size = message.size - at < step ? message.size - at : step;

		say(pn_slice_make(message.data + at, size));
		if (hook.waits && hook.call != NULL) {
			answer_hook();
			hook.waits = false;
		}
	}
	end_body();
	check_digests(pn_slice_behind(message, sizeof(head) - 1));
}

static char *message_of(size_t body_size)
{
	char *body = body_of(body_size);
	char *message = malloc(sizeof(head) + body_size);

	ck_assert(message != NULL);
	memcpy(message, head, sizeof(head) - 1);
	memcpy(message + sizeof(head) - 1, body, body_size);
	free(body);
	return message;
}

START_TEST(digests_are_those_of_the_body_however_it_is_cut)
{
	size_t size = sizeof(head) - 1 + 300;
	char *message = message_of(300);

	for (size_t cut = 0; cut <= size; cut++)
		try_split(pn_slice_make(message, size), cut, 1 + cut % 7);
	free(message);
}
END_TEST

START_TEST(digests_are_those_of_a_body_larger_than_memory)
{
	static const size_t sizes[] = {MEMORY - sizeof(head), MEMORY - sizeof(head) + 1,
	                               MEMORY - sizeof(head) + 2, 3 * MEMORY + 5};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizeof(head) - 1 + sizes[i];
		char *message = message_of(sizes[i]);

		for (size_t step = 1; step < 2 * size; step = step * 5 + 1)
			try_split(pn_slice_make(message, size), sizeof(head) - 3, step);
		try_split(pn_slice_make(message, size), size, 1);
		free(message);
	}
}
END_TEST

START_TEST(bytes_that_come_while_hooks_are_asked_are_kept_and_counted_once)
{
	size_t size = sizeof(head) - 1 + 3 * (size_t)MEMORY;
	char *message = message_of(3 * (size_t)MEMORY);
	size_t cuts[] = {sizeof(head) - 1, sizeof(head) + 5, MEMORY, MEMORY + 1, 2 * MEMORY, size};

	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		begin_message();
		hook.waits = true;
		hook.call = NULL;
		say(pn_slice_make(message, cuts[i]));
		ck_assert(hook.call != NULL);
		ck_assert(session.transaction->digester == NULL);
		for (size_t at = cuts[i]; at < size && at < cuts[i] + 500; at += 100)
			say(pn_slice_make(message + at, size - at < 100 ? size - at : 100));
		answer_hook();
		if (cuts[i] + 500 < size)
			say(pn_slice_make(message + cuts[i] + 500, size - cuts[i] - 500));
		end_body();
		check_digests(pn_slice_make(message + sizeof(head) - 1, 3 * (size_t)MEMORY));
	}
	free(message);
}
END_TEST

START_TEST(what_could_not_be_kept_leaves_no_digest)
{
	size_t size = sizeof(head) - 1 + 2 * 1024 * 1024;
	char *message = message_of(2 * 1024 * 1024);

	hook.waits = true;
	say(pn_slice_make(message, MEMORY));
	/* Too large to be kept; what follows would fit. */
	say(pn_slice_make(message + MEMORY, size - MEMORY - 10));
	say(pn_slice_make(message + size - 10, 10));
	answer_hook();
	end_body();
	ck_assert(pn_transaction_digest(session.transaction, false, UINT64_MAX) == NULL);
	free(message);
}
END_TEST

START_TEST(a_message_without_a_body_has_digests)
{
	say(PN_SLICE("From: a@example.org\r\nSubject: x\r\n"));
	session.transaction->header_asked = true;
	session.transaction->header_size = session.transaction->text.size;
	want(session.transaction);
	end_body();
	check_digests(PN_SLICE_NONE);
}
END_TEST

START_TEST(there_is_no_digest_before_the_end)
{
	say(pn_slice_make(head, sizeof(head) - 1));
	turn();
	ck_assert(pn_transaction_digest(session.transaction, false, UINT64_MAX) == NULL);
	say(PN_SLICE("body\r\n"));
	ck_assert(pn_transaction_digest(session.transaction, false, UINT64_MAX) == NULL);
	end_body();
	ck_assert(pn_transaction_digest(session.transaction, false, 11) == NULL);
	check_digests(PN_SLICE("body\r\n"));
}
END_TEST

START_TEST(as_many_digests_as_may_be_are_made_and_no_more)
{
	hook.count = PN_DIGESTS_MAX + 1;
	for (size_t i = 0; i <= PN_DIGESTS_MAX; i++)
		hook.limits[i] = i / 2;
	say(pn_slice_make(head, sizeof(head) - 1));
	turn();
	ck_assert_int_eq(hook.status, PN_LIMIT);
	say(PN_SLICE("some body\r\n"));
	hook.count = PN_DIGESTS_MAX;
	end_body();
	check_digests(PN_SLICE("some body\r\n"));
}
END_TEST

START_TEST(who_wants_a_digest_too_late_is_told)
{
	say(pn_slice_make(head, sizeof(head) - 1));
	turn();
	ck_assert_int_eq(hook.status, PN_OK);
	say(PN_SLICE("body\r\n"));
	ck_assert_int_eq(pn_transaction_want_digest(session.transaction, true, 5), PN_CONFLICT);
	ck_assert_int_eq(pn_transaction_want_digest(session.transaction, true, UINT64_MAX),
	                 PN_CONFLICT);
	end_body();
	ck_assert_int_eq(pn_transaction_want_digest(session.transaction, true, 5), PN_CONFLICT);
}
END_TEST

START_TEST(who_wants_the_first_digest_when_the_body_has_begun_is_told)
{
	hook.count = 0;
	say(pn_slice_make(head, sizeof(head) - 1));
	turn();
	say(PN_SLICE("body\r\n"));
	ck_assert_int_eq(pn_transaction_want_digest(session.transaction, true, 5), PN_CONFLICT);
}
END_TEST

/* ---- results ---- */

static void set(const char *check, const char *key, const char *value, const char *part)
{
	const struct pn_check_value fact = {pn_slice_of(key), pn_slice_of(value)};
	const struct pn_check_output output = {.struct_size = sizeof(output),
	                                       .facts = &fact,
	                                       .fact_count = 1,
	                                       .authentication_result = pn_slice_of(part)};

	pn_transaction_set_results(session.transaction, check, &output);
}

static void field_is(const char *expected)
{
	struct pn_slice value = pn_transaction_authentication_results(
		session.transaction, PN_SLICE("mx.test"), session.transaction->arena);

	ck_assert_msg(pn_slice_equal(value, pn_slice_of(expected)), "%.*s", PN_SLICE_ARGS(value));
}

START_TEST(parts_of_the_field_stand_in_the_order_in_which_they_were_found)
{
	field_is("mx.test; none");
	pn_transaction_set_fact(session.transaction, PN_SLICE("authentication_results"),
	                        PN_SLICE("no part"));
	set("spf", "spf", "pass", "spf=pass");
	pn_transaction_set_fact(session.transaction, PN_SLICE("other"), PN_SLICE("x"));
	set("iprev", "iprev", "none", "");
	set("dkim", "dkim", "none", "dkim=none");
	set("arc", "arc", "none", "arc=none");
	field_is("mx.test; spf=pass; dkim=none; arc=none");
	ck_assert(pn_slice_equal(pn_transaction_fact(session.transaction, PN_SLICE("dkim")),
	                         PN_SLICE("none")));
}
END_TEST

Suite *checks_suite(void)
{
	Suite *suite = suite_create("checks");
	TCase *tests = tcase_create("checks");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, digests_are_those_of_the_body_however_it_is_cut);
	tcase_add_test(tests, digests_are_those_of_a_body_larger_than_memory);
	tcase_add_test(tests, bytes_that_come_while_hooks_are_asked_are_kept_and_counted_once);
	tcase_add_test(tests, what_could_not_be_kept_leaves_no_digest);
	tcase_add_test(tests, a_message_without_a_body_has_digests);
	tcase_add_test(tests, there_is_no_digest_before_the_end);
	tcase_add_test(tests, as_many_digests_as_may_be_are_made_and_no_more);
	tcase_add_test(tests, who_wants_a_digest_too_late_is_told);
	tcase_add_test(tests, who_wants_the_first_digest_when_the_body_has_begun_is_told);
	tcase_add_test(tests, parts_of_the_field_stand_in_the_order_in_which_they_were_found);
	suite_add_tcase(suite, tests);
	return suite;
}
