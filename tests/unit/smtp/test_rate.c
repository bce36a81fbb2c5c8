/* SPDX-License-Identifier: Apache-2.0 */
/* How fast a message must come: at the limit, one byte below it, and while nobody waits for it. */
#include "suites.h"

#include "../../../modules/smtp/smtp.h"

static const struct smtp_config config = {.min_data_rate = 100, .data_rate_window = 10000};

enum { START = 5000 };

START_TEST(just_fast_enough_for_ever)
{
	struct smtp_rate rate;
	uint64_t now = START;

	smtp_rate_begin(&rate, now);
	for (unsigned second = 0; second < 100; second++) {
		now += 1000;
		ck_assert(!smtp_rate_is_low(&rate, now, 100, &config));
	}
}
END_TEST

START_TEST(one_byte_less_in_a_window_is_too_slow)
{
	struct smtp_rate rate;

	smtp_rate_begin(&rate, START);
	ck_assert(!smtp_rate_is_low(&rate, START + 9999, 998, &config));
	ck_assert(smtp_rate_is_low(&rate, START + 10000, 1, &config));
	smtp_rate_begin(&rate, START);
	ck_assert(!smtp_rate_is_low(&rate, START + 9999, 998, &config));
	ck_assert(!smtp_rate_is_low(&rate, START + 10000, 2, &config));
}
END_TEST

START_TEST(each_window_counts_anew)
{
	struct smtp_rate rate;

	smtp_rate_begin(&rate, START);
	ck_assert(!smtp_rate_is_low(&rate, START + 10000, 1000000, &config));
	ck_assert(!smtp_rate_is_low(&rate, START + 19999, 500, &config));
	ck_assert(smtp_rate_is_low(&rate, START + 20000, 499, &config));
}
END_TEST

START_TEST(a_window_that_lasted_longer_wants_more)
{
	struct smtp_rate rate;

	smtp_rate_begin(&rate, START);
	ck_assert(smtp_rate_is_low(&rate, START + 20000, 1999, &config));
	smtp_rate_begin(&rate, START);
	ck_assert(!smtp_rate_is_low(&rate, START + 20000, 2000, &config));
}
END_TEST

START_TEST(time_in_which_the_client_waits_is_not_its_own)
{
	struct smtp_rate rate;

	smtp_rate_begin(&rate, START);
	ck_assert(!smtp_rate_is_low(&rate, START + 100, 1000, &config));
	smtp_rate_pause(&rate, START + 100);
	ck_assert_uint_eq(smtp_rate_resume(&rate, START + 60100), 60000);
	ck_assert_uint_eq(smtp_rate_resume(&rate, START + 60200), 0);
	ck_assert(!smtp_rate_is_low(&rate, START + 69999, 0, &config));
	ck_assert(!smtp_rate_is_low(&rate, START + 70000, 0, &config));
	ck_assert(smtp_rate_is_low(&rate, START + 80000, 0, &config));
}
END_TEST

TCase *rate_case(void)
{
	TCase *cases = tcase_create("rate");

	tcase_add_test(cases, just_fast_enough_for_ever);
	tcase_add_test(cases, one_byte_less_in_a_window_is_too_slow);
	tcase_add_test(cases, each_window_counts_anew);
	tcase_add_test(cases, a_window_that_lasted_longer_wants_more);
	tcase_add_test(cases, time_in_which_the_client_waits_is_not_its_own);
	return cases;
}
