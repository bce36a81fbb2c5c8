/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern queue show ID`: everything of one row, and the header of its message, or
 * with --body all of it. An id that is no number is that of a transaction, of which
 * the first row is shown. Main thread.
 */
#include "process/queue_tool.h"

#include <postern/clock.h>
#include <postern/header.h>
#include <postern/text.h>

#include "delivery/queue.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PIECE = 64 * 1024,
	LINE_LIMIT = 64 * 1024,
	HEADER_LIMIT = 1024 * 1024,
	JSON_LIMIT = 16 * 1024 * 1024
};

/* ---- the row ---- */

static void line(const char *name, struct pn_slice value)
{
	printf("%-12s ", name);
	pn_queue_print_text(value, SIZE_MAX, false);
	putchar('\n');
}

static void time_line(const char *name, int64_t wall_ms, int64_t now_ms)
{
	char date[PN_DATE_SIZE];
	char age[PN_QUEUE_AGE_ROOM];

	printf("%-12s %s (%s%s%s)\n", name, pn_date_rfc3339(wall_ms, date),
	       wall_ms > now_ms ? "in " : "",
	       pn_queue_age(wall_ms > now_ms ? wall_ms - now_ms : now_ms - wall_ms, age),
	       wall_ms > now_ms ? "" : " ago");
}

static void print_row(const struct pn_queue_row *row)
{
	const int64_t now_ms = pn_clock_wall_ms();
	struct pn_queue_detail detail;
	size_t at = 0;

	printf("%-12s %llu\n", "id", (unsigned long long)row->id);
	line("transaction", row->transaction);
	line("state", row->state == PN_QUEUE_HELD ? PN_SLICE("held") : PN_SLICE("due"));
	line("sender", row->sender.size == 0 ? PN_SLICE("<>") : row->sender);
	line("recipient", row->recipient);
	line("destination", row->destination);
	line("tenant", row->tenant);
	time_line("arrived", row->arrived_ms, now_ms);
	time_line("next try", row->due_ms, now_ms);
	time_line("gives up", row->expires_ms, now_ms);
	printf("%-12s %u\n%-12s %u\n", "attempts", row->attempts, "priority", row->priority);
	line("reason", row->reason);
	puts("details");
	while (pn_queue_detail_next(row->details, &at, &detail)) {
		fputs("  ", stdout);
		pn_queue_print_text(detail.key, SIZE_MAX, false);
		fputs(": ", stdout);
		pn_queue_print_text(detail.value, SIZE_MAX, false);
		putchar('\n');
	}
}

static void put_details(struct pn_buffer *out, struct pn_slice details)
{
	struct pn_queue_detail detail;
	bool is_first = true;
	size_t at = 0;

	(void)!pn_buffer_append(out, PN_SLICE(",\"details\":{"));
	while (pn_queue_detail_next(details, &at, &detail)) {
		(void)!pn_buffer_append(out, is_first ? PN_SLICE("") : PN_SLICE(","));
		(void)!pn_json_append_string(out, detail.key);
		(void)!pn_buffer_append(out, PN_SLICE(":"));
		(void)!pn_json_append_string(out, detail.value);
		is_first = false;
	}
	(void)!pn_buffer_append(out, PN_SLICE("}"));
}

/* ---- the message ---- */

/* A piece of it; the answer is released by the caller. */
static enum pn_status ask(const struct pn_account *queue, const struct pn_queue_row *row,
                          uint64_t offset, struct pn_tool_answer *answer, struct pn_error *error)
{
	const struct pn_body_request request = {.struct_size = sizeof(request),
	                                        .body = row->body,
	                                        .offset = offset,
	                                        .max_size = PIECE};
	enum pn_status status;

	pn_store_body(queue, &request, pn_tool_ticket(answer));
	status = pn_tool_wait(answer);
	if (status == PN_NOT_FOUND)
		return pn_fail(error, "the message of row %llu is not in the store",
		               (unsigned long long)row->id);
	if (status != PN_OK)
		*error = answer->error;
	return status;
}

static enum pn_status read_header(const struct pn_account *queue, const struct pn_queue_row *row,
                                  struct pn_buffer *header, struct pn_error *error)
{
	size_t from = 0;
	size_t end = 0;
	bool has_more = true;
	enum pn_status status = PN_OK;

	while (status == PN_OK && has_more && end == 0 && header->size < HEADER_LIMIT - PIECE) {
		struct pn_tool_answer answer;
		const struct pn_body_piece *piece;

		status = ask(queue, row, header->size, &answer, error);
		piece = answer.result;
		if (status == PN_OK) {
			from = header->size;
			has_more = piece->bytes.size > 0;
			(void)!pn_buffer_append(header, piece->bytes);
			end = pn_header_end(pn_buffer_slice(header), from < 4 ? 0 : from - 4);
		}
		pn_tool_release(&answer);
	}
	if (end > 0)
		header->size = end;
	return status;
}

/* Line by line, so that nothing in it acts on a terminal. */
static void print_lines(struct pn_slice text)
{
	while (text.size > 0) {
		size_t size = pn_slice_find(text, '\n');
		struct pn_slice one = pn_slice_make(text.data, size);

		text = pn_slice_behind(text, size < text.size ? size + 1 : size);
		if (one.size > 0 && one.data[one.size - 1] == '\r')
			one.size--;
		for (struct pn_slice rest = one; rest.size > 0;) {
			size_t tab = pn_slice_find(rest, '\t');

			pn_queue_print_text(pn_slice_make(rest.data, tab), SIZE_MAX, false);
			if (tab < rest.size)
				putchar('\t');
			rest = pn_slice_behind(rest, tab < rest.size ? tab + 1 : tab);
		}
		putchar('\n');
	}
}

/* Lines that are whole; what is left waits for the rest of its line, unless there is no end to it.
 */
static void print_whole_lines(struct pn_buffer *text, bool is_last)
{
	size_t size = text->size;

	while (size > 0 && text->data[size - 1] != '\n')
		size--;
	if (is_last || (size == 0 && text->size >= LINE_LIMIT))
		size = text->size;
	print_lines(pn_slice_make(text->data, size));
	pn_buffer_consume(text, size);
}

/* As it is, where it does not go to a terminal. */
static enum pn_status print_body(const struct pn_account *queue, const struct pn_queue_row *row,
                                 struct pn_error *error)
{
	const bool is_terminal = isatty(STDOUT_FILENO);
	uint64_t offset = 0;
	bool has_more = true;
	enum pn_status status = PN_OK;
	struct pn_buffer text;

	pn_buffer_init(&text, LINE_LIMIT + PIECE);
	while (status == PN_OK && has_more) {
		struct pn_tool_answer answer;

		status = ask(queue, row, offset, &answer, error);
		if (status == PN_OK) {
			const struct pn_body_piece *piece = answer.result;

			has_more = piece->bytes.size > 0;
			offset += piece->bytes.size;
			if (!is_terminal)
				fwrite(piece->bytes.data, 1, piece->bytes.size, stdout);
			else if (pn_buffer_append(&text, piece->bytes) == PN_OK)
				print_whole_lines(&text, !has_more);
			else
				status =
					pn_fail(error, "the store gave more than it was asked for");
		}
		pn_tool_release(&answer);
	}
	pn_buffer_clear(&text);
	return status;
}

static enum pn_status print_all(const struct pn_account *queue, const struct pn_queue_row *row,
                                bool as_json, struct pn_error *error)
{
	struct pn_buffer header;
	struct pn_buffer json;
	enum pn_status status;

	pn_buffer_init(&header, HEADER_LIMIT);
	status = read_header(queue, row, &header, error);
	if (status == PN_OK && !as_json) {
		print_row(row);
		putchar('\n');
		print_lines(pn_buffer_slice(&header));
	} else if (status == PN_OK) {
		pn_buffer_init(&json, JSON_LIMIT);
		pn_queue_row_json(&json, row);
		json.size--; /* the brace */
		put_details(&json, row->details);
		(void)!pn_buffer_append(&json, PN_SLICE(",\"header\":"));
		(void)!pn_json_append_string(&json, pn_buffer_slice(&header));
		(void)!pn_buffer_append(&json, PN_SLICE("}\n"));
		fwrite(json.data, 1, json.size, stdout);
		pn_buffer_clear(&json);
	}
	pn_buffer_clear(&header);
	return status;
}

/* ---- which row ---- */

static bool take_id(void *user, const struct pn_queue_row *row)
{
	*(uint64_t *)user = row->id;
	return false;
}

static enum pn_status find(const struct pn_account *queue, const char *name, uint64_t *id,
                           struct pn_error *error)
{
	const struct pn_queue_selection selection = {.transaction = pn_slice_of(name), .limit = 1};
	const struct pn_queue_walk walk = {.take = take_id, .user = id};
	enum pn_status status;

	if (pn_parse_count(pn_slice_of(name), id) == PN_OK)
		return PN_OK;
	*id = 0;
	status = pn_queue_walk_rows(queue, &selection, &walk, error);
	if (status == PN_OK && *id == 0)
		return pn_fail_with(PN_NOT_FOUND, error,
		                    "nothing of %s waits in the queue; see postern explain %s",
		                    name, name);
	return status;
}

enum pn_status pn_queue_show(const struct pn_account *queue, const struct pn_arguments *arguments,
                             struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_queue_row row;
	uint64_t id = 0;
	enum pn_status status = find(queue, arguments->words[1], &id, error);

	if (status == PN_OK && arguments->json && pn_queue_option(arguments, "--body") != NULL)
		status = pn_fail(error, "--body prints the message as it is, and --json does not: "
		                        "one of them");
	if (status == PN_OK && id == 0)
		status = pn_fail_with(PN_NOT_FOUND, error, "ids of the queue begin with 1");
	if (status == PN_OK)
		status = pn_queue_row_read(queue, id, arena, &row, error);
	if (status == PN_OK && pn_queue_option(arguments, "--body") != NULL)
		status = print_body(queue, &row, error);
	else if (status == PN_OK)
		status = print_all(queue, &row, arguments->json, error);
	pn_arena_free(&arena);
	return status;
}
