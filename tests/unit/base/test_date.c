/* SPDX-License-Identifier: Apache-2.0 */
/* Dates, against libc's calendar. */
#include "../exact.h"
#include "suites.h"

#include <postern/clock.h>

#include <stdio.h>
#include <time.h>

START_TEST(writes_the_examples)
{
	char room[PN_DATE_SIZE];

	ck_assert_str_eq(pn_date_rfc5322(1795293780000, room), "Sat, 21 Nov 2026 20:43:00 +0000");
	ck_assert_str_eq(pn_date_rfc3339(1795293780123, room), "2026-11-21T20:43:00.123Z");
	ck_assert_str_eq(pn_date_rfc5322(0, room), "Thu, 1 Jan 1970 00:00:00 +0000");
	ck_assert_str_eq(pn_date_rfc3339(-1, room), "1969-12-31T23:59:59.999Z");
	ck_assert_str_eq(pn_date_rfc3339(951782400000, room), "2000-02-29T00:00:00.000Z");
	ck_assert_str_eq(pn_date_rfc3339(4107542400000, room), "2100-03-01T00:00:00.000Z");
}
END_TEST

START_TEST(agrees_with_libc_on_every_day_of_nine_thousand_years)
{
	static const char *const week_days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

	for (int64_t day = -719528; day < 2600000; day++) {
		int64_t second = day * 86400 + (day % 86400 + 86400) % 86400;
		time_t libc_second = (time_t)second;
		struct tm calendar;
		char expected[128], room[PN_DATE_SIZE];

		gmtime_r(&libc_second, &calendar);
		snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.007Z",
		         calendar.tm_year + 1900, calendar.tm_mon + 1, calendar.tm_mday,
		         calendar.tm_hour, calendar.tm_min, calendar.tm_sec);
		if (strcmp(pn_date_rfc3339(second * 1000 + 7, room), expected) != 0)
			ck_abort_msg("%s, not %s", room, expected);
		if (strncmp(pn_date_rfc5322(second * 1000, room), week_days[calendar.tm_wday], 3) !=
		    0)
			ck_abort_msg("%s is no %s", room, week_days[calendar.tm_wday]);
	}
}
END_TEST

START_TEST(shows_the_nearest_date_for_what_no_date_can_be)
{
	char room[PN_DATE_SIZE];

	ck_assert_str_eq(pn_date_rfc3339(INT64_MAX, room), "9999-12-31T23:59:59.999Z");
	ck_assert_str_eq(pn_date_rfc3339(INT64_MIN, room), "0000-01-01T00:00:00.000Z");
	ck_assert_str_eq(pn_date_rfc5322(INT64_MIN, room), "Sat, 1 Jan 0000 00:00:00 +0000");
}
END_TEST

Suite *date_suite(void)
{
	static const TTest *tests[4];

	tests[0] = writes_the_examples;
	tests[1] = agrees_with_libc_on_every_day_of_nine_thousand_years;
	tests[2] = shows_the_nearest_date_for_what_no_date_can_be;
	return suite_of("date", tests);
}
