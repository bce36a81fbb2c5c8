/* SPDX-License-Identifier: Apache-2.0 */
/* What answers mean, and when to come again. */
#include "../exact.h"
#include "suites.h"

#include <postern/text.h>

#include "delivery/scheduler.h"

#include <stdio.h>

static enum pn_answer_class classified(unsigned code, const char *enhanced, const char *text,
                                       const char *command)
{
	struct pn_reply reply = {.code = (uint16_t)code};

	snprintf(reply.enhanced, sizeof(reply.enhanced), "%s", enhanced);
	snprintf(reply.text, sizeof(reply.text), "%s", text);
	return pn_classify(&reply, code >= 500 ? PN_DELIVERY_REFUSED : PN_DELIVERY_DEFERRED,
	                   command);
}

START_TEST(reads_answers)
{
	static const struct {
		unsigned code;
		const char *enhanced;
		const char *text;
		enum pn_answer_class wanted;
		const char *command; /* RCPT where none is given */
	} cases[] = {
		{0, "", "connection refused", PN_CLASS_CONNECTION, NULL},
		{0, "4.4.2", "the connection was lost", PN_CLASS_CONNECTION, NULL},
		{0, "4.3.0", "the message could not be read here", PN_CLASS_TEMPORARY, NULL},
		{421, "4.7.0", "too many connections", PN_CLASS_RATE, NULL},
		{421, "", "busy", PN_CLASS_RATE, NULL},
		{450, "4.2.0", "Greylisted, see http://postgrey", PN_CLASS_GREYLIST, NULL},
		{451, "4.7.1", "Greylisting in action", PN_CLASS_GREYLIST, NULL},
		{452, "4.2.2", "mailbox full", PN_CLASS_MAILBOX, NULL},
		{450, "4.2.1", "mailbox busy", PN_CLASS_MAILBOX, NULL},
		{450, "4.7.1", "unusual rate", PN_CLASS_RATE, NULL},
		{451, "4.7.28", "too many messages, throttled", PN_CLASS_RATE, NULL},
		{451, "4.3.0", "local trouble", PN_CLASS_TEMPORARY, NULL},
		{550, "5.1.1", "no such user", PN_CLASS_UNKNOWN_RECIPIENT, NULL},
		{550, "", "no such user", PN_CLASS_UNKNOWN_RECIPIENT, NULL},
		{550, "5.7.1", "blocked", PN_CLASS_POLICY, NULL},
		{550, "", "no spam", PN_CLASS_PERMANENT, "end of data"},
		{550, "", "not from you", PN_CLASS_PERMANENT, "MAIL"},
		{550, "5.1.1", "no such user", PN_CLASS_UNKNOWN_RECIPIENT, "end of data"},
		{550, "5.1.8", "no such sender", PN_CLASS_PERMANENT, "MAIL"},
		{452, "", "insufficient storage", PN_CLASS_MAILBOX, NULL},
		{452, "4.3.1", "insufficient storage", PN_CLASS_TEMPORARY, NULL},
		{554, "5.4.6", "loops", PN_CLASS_LOOP, NULL},
		{552, "5.3.4", "too large", PN_CLASS_PERMANENT, NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *command = cases[i].command == NULL ? "RCPT" : cases[i].command;
		enum pn_answer_class found =
			classified(cases[i].code, cases[i].enhanced, cases[i].text, command);

		ck_assert_msg(found == cases[i].wanted, "%u %s %s: %s", cases[i].code,
		              cases[i].enhanced, cases[i].text, pn_answer_class_name(found));
	}
}
END_TEST

START_TEST(has_a_name_for_each_class)
{
	for (int i = 0; i < PN_CLASS_COUNT; i++) {
		enum pn_answer_class answer_class = (enum pn_answer_class)i;

		ck_assert_int_eq(pn_answer_class_of(pn_answer_class_name(answer_class)),
		                 answer_class);
	}
	ck_assert_int_eq(pn_answer_class_of("nonsense"), PN_CLASS_NONE);
}
END_TEST

static const struct pn_queue_limits limits = {
	.retries_ms = {60000, 300000, 3600000},
	.retry_count = 3,
};

static int64_t wait_of(uint32_t attempts, enum pn_answer_class answer_class)
{
	const struct pn_queue_row row = {
		.id = 7, .attempts = attempts, .expires_ms = INT64_MAX / 2};

	return pn_retry_at(&limits, &row, answer_class, 1000000) - 1000000;
}

/* A tenth around the step. */
static void is_about(int64_t wait, int64_t wanted)
{
	ck_assert_int_ge(wait, wanted - wanted / 10);
	ck_assert_int_le(wait, wanted + wanted / 10);
}

START_TEST(follows_the_schedule)
{
	is_about(wait_of(0, PN_CLASS_TEMPORARY), 60000);
	is_about(wait_of(1, PN_CLASS_TEMPORARY), 300000);
	is_about(wait_of(2, PN_CLASS_TEMPORARY), 3600000);
	is_about(wait_of(3, PN_CLASS_TEMPORARY), 3600000);
	is_about(wait_of(4000000000u, PN_CLASS_TEMPORARY), 3600000);
}
END_TEST

START_TEST(has_a_pace_for_each_class)
{
	is_about(wait_of(0, PN_CLASS_GREYLIST), 30000);
	is_about(wait_of(0, PN_CLASS_MAILBOX), 240000);
	is_about(wait_of(0, PN_CLASS_RATE), 90000);
	is_about(wait_of(2, PN_CLASS_RATE), 3600000);
}
END_TEST

START_TEST(makes_the_last_try_when_the_time_is_up)
{
	const struct pn_queue_row row = {.id = 1, .expires_ms = 1030000};

	ck_assert_int_eq(pn_retry_at(&limits, &row, PN_CLASS_TEMPORARY, 1000000), 1030000);
}
END_TEST

START_TEST(spreads_what_failed_together)
{
	int64_t first = INT64_MAX;
	int64_t last = 0;

	for (uint64_t id = 1; id <= 100; id++) {
		const struct pn_queue_row row = {.id = id, .expires_ms = INT64_MAX / 2};
		int64_t at = pn_retry_at(&limits, &row, PN_CLASS_TEMPORARY, 0);

		first = at < first ? at : first;
		last = at > last ? at : last;
	}
	ck_assert_int_ge(last - first, 4000);
}
END_TEST

START_TEST(deals_destinations_out)
{
	unsigned counts[3] = {0, 0, 0};

	for (unsigned i = 0; i < 3000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "d%u.example", i);
		counts[pn_queue_shard(pn_slice_of(name), 3)]++;
	}
	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_ge(counts[i], 800);
	ck_assert_uint_eq(pn_queue_shard(PN_SLICE("Example.NET"), 16),
	                  pn_queue_shard(PN_SLICE("example.net"), 16));
	ck_assert_uint_eq(pn_queue_shard(PN_SLICE("x"), 1), 0);
}
END_TEST

Suite *classify_suite(void)
{
	Suite *suite = suite_create("classify");
	TCase *tcase = tcase_create("answers");

	tcase_add_test(tcase, reads_answers);
	tcase_add_test(tcase, has_a_name_for_each_class);
	tcase_add_test(tcase, follows_the_schedule);
	tcase_add_test(tcase, has_a_pace_for_each_class);
	tcase_add_test(tcase, makes_the_last_try_when_the_time_is_up);
	tcase_add_test(tcase, spreads_what_failed_together);
	tcase_add_test(tcase, deals_destinations_out);
	suite_add_tcase(suite, tcase);
	return suite;
}
