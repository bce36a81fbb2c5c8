/* SPDX-License-Identifier: Apache-2.0 */
/* Dates: of INTERNALDATE, of SEARCH, and of the Date field (RFC 5322 section 3.3 and 4.3). */
#include "imap.h"

#include <postern/text.h>

#include <time.h>

/* The seconds that begin year 0 and end year 9999: what a date with four digits can say. */
static const int64_t earliest = -62167219200;
static const int64_t latest = 253402300799;

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* Days since 1970-01-01 of a day in the Gregorian calendar. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
	int64_t era;
	int64_t year_of_era;
	int64_t day_of_year;

	year -= month <= 2;
	era = (year >= 0 ? year : year - 399) / 400;
	year_of_era = year - era * 400;
	day_of_year = (153 * (int64_t)(month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - 719468;
}

static unsigned month_of(struct pn_slice word)
{
	for (unsigned i = 0; i < 12 && word.size == 3; i++) {
		if (pn_slice_equal_ignore_case(word, pn_slice_make(months + 3 * i, 3)))
			return i + 1;
	}
	return 0;
}

void imap_put_internal_date(struct pn_buffer *out, int64_t milliseconds)
{
	int64_t whole = milliseconds >= 0 ? milliseconds / 1000 : (milliseconds - 999) / 1000;
	time_t seconds = (time_t)(whole < earliest ? earliest : whole > latest ? latest : whole);
	struct tm tm = {0};

	gmtime_r(&seconds, &tm);
	(void)!pn_buffer_print(out, "\"%2d-%.3s-%04d %02d:%02d:%02d +0000\"", tm.tm_mday,
	                       months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
	                       tm.tm_sec);
}

static bool take_number(struct pn_slice *text, size_t least, size_t most, unsigned *number_out)
{
	size_t digits = 0;

	*number_out = 0;
	while (digits < text->size && digits < most && text->data[digits] >= '0' &&
	       text->data[digits] <= '9')
		*number_out = *number_out * 10 + (unsigned)(text->data[digits++] - '0');
	*text = pn_slice_behind(*text, digits);
	return digits >= least;
}

static bool take_byte(struct pn_slice *text, char byte)
{
	if (text->size == 0 || text->data[0] != byte)
		return false;
	*text = pn_slice_behind(*text, 1);
	return true;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
	static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && is_leap ? 1u : 0u);
}

/* "17-Jul-1996" */
static bool take_date(struct pn_slice *text, int64_t *days_out)
{
	unsigned day;
	unsigned month;
	unsigned year;

	if (!take_number(text, 1, 2, &day) || !take_byte(text, '-') || text->size < 3)
		return false;
	month = month_of(pn_slice_make(text->data, 3));
	*text = pn_slice_behind(*text, 3);
	if (month == 0 || !take_byte(text, '-') || !take_number(text, 4, 4, &year) || day == 0 ||
	    day > days_in_month(year, month))
		return false;
	*days_out = days_of(year, month, day);
	return true;
}

bool imap_parse_date(struct pn_slice text, int64_t *days_out)
{
	return take_date(&text, days_out) && text.size == 0;
}

bool imap_parse_date_time(struct pn_slice text, int64_t *milliseconds_out)
{
	unsigned hour;
	unsigned minute;
	unsigned second;
	unsigned zone;
	int64_t days;
	int64_t seconds;
	bool is_west;

	(void)take_byte(&text, ' ');
	if (!take_date(&text, &days) || !take_byte(&text, ' ') ||
	    !take_number(&text, 2, 2, &hour) || !take_byte(&text, ':') ||
	    !take_number(&text, 2, 2, &minute) || !take_byte(&text, ':') ||
	    !take_number(&text, 2, 2, &second) || !take_byte(&text, ' ') || text.size == 0)
		return false;
	is_west = text.data[0] == '-';
	if (!is_west && text.data[0] != '+')
		return false;
	text = pn_slice_behind(text, 1);
	if (!take_number(&text, 4, 4, &zone) || text.size != 0 || hour > 23 || minute > 59 ||
	    second > 60 || zone % 100 > 59)
		return false;
	seconds = (int64_t)(zone / 100) * 3600 + (int64_t)(zone % 100) * 60;
	seconds =
		days * 86400 + hour * 3600 + minute * 60 + second + (is_west ? seconds : -seconds);
	/* 0 stands for "now" in the store: the first second of 1970 is a millisecond late. */
	*milliseconds_out = seconds == 0 ? 1 : seconds * 1000;
	return true;
}

bool imap_parse_header_date(struct pn_slice text, int64_t *days_out)
{
	size_t comma = pn_slice_find(text, ',');
	unsigned day;
	unsigned month;
	unsigned year;
	size_t before;

	if (comma < text.size)
		text = pn_slice_behind(text, comma + 1);
	text = pn_slice_trim(text);
	if (!take_number(&text, 1, 2, &day))
		return false;
	while (take_byte(&text, ' ') || take_byte(&text, '-') || take_byte(&text, '\t'))
		;
	if (text.size < 3)
		return false;
	month = month_of(pn_slice_make(text.data, 3));
	text = pn_slice_behind(text, 3);
	while (take_byte(&text, ' ') || take_byte(&text, '-') || take_byte(&text, '\t'))
		;
	before = text.size;
	if (month == 0 || !take_number(&text, 2, 4, &year) || day == 0)
		return false;
	/* RFC 5322 section 4.3. */
	if (before - text.size == 2)
		year += year < 50 ? 2000 : 1900;
	else if (before - text.size == 3)
		year += 1900;
	if (day > days_in_month(year, month))
		return false;
	*days_out = days_of(year, month, day);
	return true;
}
