/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dates as people and protocols read them, from milliseconds since 1970. Always
 * UTC; knows no locale and no time zone. Pure, any thread.
 */
#include <postern/clock.h>

#include <stdio.h>

/* A moment taken apart. Years 0 to 9999; what is outside is shown as the nearest that is inside. */
struct moment {
	int year, month, day; /* month and day from 1 */
	int week_day;         /* 0 is Sunday */
	int hour, minute, second, millisecond;
};

static const int64_t first_ms = -62167219200000; /* 0000-01-01T00:00:00.000Z */
static const int64_t last_ms = 253402300799999;  /* 9999-12-31T23:59:59.999Z */

/*
 * Counts in years that begin on March 1, so that the day a leap year adds is the last one, and from
 * 0000-03-01, the beginning of a cycle of 400 years.
 */
static void set_date(struct moment *moment, int64_t days_since_1970)
{
	const int64_t days_of_cycle = 146097;
	int64_t days = days_since_1970 + 719468;
	int64_t cycle = (days >= 0 ? days : days - (days_of_cycle - 1)) / days_of_cycle;
	int64_t day_of_cycle = days - cycle * days_of_cycle;
	int64_t year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36524 -
	                         day_of_cycle / 146096) /
	                        365;
	int64_t day_of_year =
		day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
	int64_t month_from_march = (5 * day_of_year + 2) / 153;

	moment->day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
	moment->month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
	moment->year = (int)(cycle * 400 + year_of_cycle + (moment->month <= 2));
	moment->week_day = (int)(((days_since_1970 + 4) % 7 + 7) % 7);
}

static struct moment take_apart(int64_t wall_ms)
{
	const int64_t day_ms = 24 * 60 * 60 * 1000;
	struct moment moment;
	int64_t days, rest;

	wall_ms = wall_ms < first_ms ? first_ms : wall_ms > last_ms ? last_ms : wall_ms;
	days = (wall_ms >= 0 ? wall_ms : wall_ms - (day_ms - 1)) / day_ms;
	rest = wall_ms - days * day_ms;
	set_date(&moment, days);
	moment.millisecond = (int)(rest % 1000);
	moment.second = (int)(rest / 1000 % 60);
	moment.minute = (int)(rest / (60 * 1000) % 60);
	moment.hour = (int)(rest / (60 * 60 * 1000));
	return moment;
}

const char *pn_date_rfc5322(int64_t wall_ms, char *room)
{
	static const char week_days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
	                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	struct moment moment = take_apart(wall_ms);

	snprintf(room, PN_DATE_SIZE, "%s, %d %s %04d %02d:%02d:%02d +0000",
	         week_days[moment.week_day], moment.day, months[moment.month - 1], moment.year,
	         moment.hour, moment.minute, moment.second);
	return room;
}

const char *pn_date_rfc3339(int64_t wall_ms, char *room)
{
	struct moment moment = take_apart(wall_ms);

	snprintf(room, PN_DATE_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", moment.year,
	         moment.month, moment.day, moment.hour, moment.minute, moment.second,
	         moment.millisecond);
	return room;
}
