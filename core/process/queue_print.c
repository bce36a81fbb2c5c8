/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of the queue for people, as lines of a table that is as wide as the
 * terminal, and for programs, as one JSON object a line. Senders, recipients and
 * reasons are strangers' text. Main thread.
 */
#include "process/queue_tool.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

enum {
	ADDRESS_COLUMNS = 30,
	LEAST_COLUMNS = 16, /* where the reason is shown, too */
	NARROW_COLUMNS = 8,
	FIXED_COLUMNS = 8 + 2 + 5 + 2 + 5 + 2 + 5 + 2, /* id, age, next, tries */
	JSON_LIMIT = 4 * 1024 * 1024,
};

/* ---- ages ---- */

const char *pn_queue_age(int64_t milliseconds, char *room)
{
	static const struct {
		int64_t milliseconds;
		const char *unit;
	} units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (milliseconds < units[i].milliseconds)
			continue;
		/* Two days and a half are 60h: days begin to count at three. */
		if (i == 0 && milliseconds < 3 * units[i].milliseconds)
			continue;
		snprintf(room, PN_QUEUE_AGE_ROOM, "%lld%s",
		         (long long)(milliseconds / units[i].milliseconds), units[i].unit);
		return room;
	}
	snprintf(room, PN_QUEUE_AGE_ROOM, "now");
	return room;
}

/* ---- text ---- */

/* The next character: what to print for it, and how wide that is. Returns the bytes it takes. */
static size_t next_character(struct pn_slice text, struct pn_slice *shown, size_t *width)
{
	uint32_t code_point;
	size_t size = pn_utf8_next(text, &code_point);

	*shown = PN_SLICE("?");
	*width = 1;
	if (size == 0)
		return 1;
	if (!pn_utf8_is_control(code_point)) {
		*shown = pn_slice_make(text.data, size);
		*width = (size_t)utf8proc_charwidth((utf8proc_int32_t)code_point);
	}
	return size;
}

static size_t width_of(struct pn_slice text)
{
	size_t columns = 0;

	while (text.size > 0) {
		struct pn_slice shown;
		size_t width;

		text = pn_slice_behind(text, next_character(text, &shown, &width));
		columns += width;
	}
	return columns;
}

void pn_queue_print_text(struct pn_slice text, size_t columns, bool fill)
{
	size_t wanted = width_of(text);
	size_t room = wanted > columns ? columns - 1 : columns;
	size_t used = 0;

	while (text.size > 0) {
		struct pn_slice shown;
		size_t width;
		size_t size = next_character(text, &shown, &width);

		if (used + width > room)
			break;
		fwrite(shown.data, 1, shown.size, stdout);
		used += width;
		text = pn_slice_behind(text, size);
	}
	if (wanted > columns) {
		fputs("…", stdout);
		used++;
	}
	for (; fill && used < columns; used++)
		putchar(' ');
}

/* ---- JSON ---- */

static void put_string(struct pn_buffer *out, const char *key, struct pn_slice value)
{
	(void)!pn_buffer_print(out, ",\"%s\":", key);
	(void)!pn_json_append_string(out, value);
}

static void put_time(struct pn_buffer *out, const char *key, int64_t wall_ms)
{
	char date[PN_DATE_SIZE];

	(void)!pn_buffer_print(out, ",\"%s\":\"%s\"", key, pn_date_rfc3339(wall_ms, date));
}

void pn_queue_row_json(struct pn_buffer *out, const struct pn_queue_row *row)
{
	(void)!pn_buffer_print(out, "{\"id\":%llu,\"state\":\"%s\",\"attempts\":%u,\"priority\":%u",
	                       (unsigned long long)row->id,
	                       row->state == PN_QUEUE_HELD ? "held" : "due", row->attempts,
	                       row->priority);
	put_time(out, "due", row->due_ms);
	put_time(out, "arrived", row->arrived_ms);
	put_time(out, "expires", row->expires_ms);
	put_string(out, "transaction", row->transaction);
	put_string(out, "sender", row->sender);
	put_string(out, "recipient", row->recipient);
	put_string(out, "destination", row->destination);
	put_string(out, "tenant", row->tenant);
	put_string(out, "reason", row->reason);
	(void)!pn_buffer_append(out, PN_SLICE("}"));
}

/* ---- the table ---- */

static size_t terminal_columns(void)
{
	struct winsize size;
	const char *text = getenv("COLUMNS");
	uint64_t columns;

	if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
	    size.ws_col > 0)
		return size.ws_col;
	if (text != NULL && pn_parse_count(pn_slice_of(text), &columns) == PN_OK && columns < 10000)
		return (size_t)columns;
	return 0;
}

void pn_queue_table_begin(struct pn_queue_table *table, bool as_json)
{
	*table = (struct pn_queue_table){
		.now_ms = pn_clock_wall_ms(), .as_json = as_json, .columns = terminal_columns()};
}

/* How wide sender and recipient are, and the reason; a narrow terminal has no room for it. */
static size_t address_columns(const struct pn_queue_table *table, size_t *reason_out)
{
	size_t left = table->columns > FIXED_COLUMNS ? table->columns - FIXED_COLUMNS : 0;
	size_t columns;

	*reason_out = SIZE_MAX;
	if (table->columns == 0)
		return ADDRESS_COLUMNS;
	if (left >= 3 * LEAST_COLUMNS + 4) {
		columns = (left - 4) / 3 < ADDRESS_COLUMNS ? (left - 4) / 3 : ADDRESS_COLUMNS;
		*reason_out = left - 2 * columns - 4;
		return columns;
	}
	*reason_out = 0;
	columns = left > 2 ? (left - 2) / 2 : 0;
	return columns < NARROW_COLUMNS ? NARROW_COLUMNS : columns;
}

static void print_heading(const struct pn_queue_table *table)
{
	size_t reason;
	int columns = (int)address_columns(table, &reason);

	printf("%8s  %5s  %5s  %5s  %-*s  ", "ID", "AGE", "NEXT", "TRIES", columns, "SENDER");
	if (reason > 0)
		printf("%-*s  REASON\n", columns, "RECIPIENT");
	else
		puts("RECIPIENT");
}

static void print_json(const struct pn_queue_row *row)
{
	struct pn_buffer out;

	pn_buffer_init(&out, JSON_LIMIT);
	pn_queue_row_json(&out, row);
	printf("%.*s\n", PN_SLICE_ARGS(pn_buffer_slice(&out)));
	pn_buffer_clear(&out);
}

void pn_queue_table_row(struct pn_queue_table *table, const struct pn_queue_row *row)
{
	size_t reason;
	size_t columns = address_columns(table, &reason);
	char age[PN_QUEUE_AGE_ROOM];
	char next[PN_QUEUE_AGE_ROOM];

	table->count++;
	if (table->as_json) {
		print_json(row);
		return;
	}
	if (table->count == 1)
		print_heading(table);
	printf("%8llu  %5s  %5s  %5u  ", (unsigned long long)row->id,
	       pn_queue_age(table->now_ms - row->arrived_ms, age),
	       row->state == PN_QUEUE_HELD ? "held"
	                                   : pn_queue_age(row->due_ms - table->now_ms, next),
	       row->attempts);
	pn_queue_print_text(row->sender.size == 0 ? PN_SLICE("<>") : row->sender, columns, true);
	fputs("  ", stdout);
	pn_queue_print_text(row->recipient, columns, row->reason.size > 0 && reason > 0);
	if (reason > 0 && row->reason.size > 0) {
		fputs("  ", stdout);
		pn_queue_print_text(row->reason, reason, false);
	}
	putchar('\n');
}
