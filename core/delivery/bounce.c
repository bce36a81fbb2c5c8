/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounces, warnings of delay, and reports of success: one message for all recipients of a
 * transaction that came to the same end at the same time (RFC 3464). It is put into the
 * queue by the commit that ends (or puts off) the rows it is about: nobody is told twice,
 * and nobody not at all.
 *
 * Nothing is sent to a null sender (RFC 5321 section 4.5.5), nor for what our own policy
 * refused to a sender who did not authenticate: that could have been refused when it was
 * offered, and who is named as its sender may have nothing to do with it. Loop thread.
 */
#include "delivery/scheduler.h"

#include <postern/clock.h>
#include <postern/fault.h>
#include <postern/header.h>
#include <postern/mime.h>
#include <postern/text.h>

#include "delivery/details.h"
#include "io/log.h"
#include "io/world.h"
#include "mail/dsn.h"
#include "session/ticket.h"
#include "store/watch.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	ENCLOSED_MAX = 256 * 1024, /* of the original, read for the report */
	WHOLE_MAX = 64 * 1024,     /* RET=FULL is honoured up to this size */
	HEADER_MAX = 32 * 1024,    /* of the original's header, enclosed */
	REPORT_MAX = 2 * 1024 * 1024,
	READ_MS = 60 * 1000,
};

/* A report on its way. */
struct report {
	struct pn_arena *arena;
	struct queued *rows;
	enum pn_dsn_kind kind;
	struct pn_slice to;
	char id[PN_ID_SIZE];
	struct pn_attempt subject;
	struct pn_slice original;
	bool original_is_whole;
	uint64_t skip; /* bytes of it that are not the original: Return-Path */
};

static size_t reports; /* being written */

bool pn_bounce_is_busy(void)
{
	return reports > 0;
}

void pn_bounce_stop(void)
{
	reports = 0;
}

static struct pn_slice detail(const struct queued *queued, const char *key)
{
	return pn_queue_detail_of(queued->row.details, pn_slice_of(key));
}

static bool notifies(const struct queued *queued, const char *word)
{
	return pn_notify_has(detail(queued, "rcpt.NOTIFY"), word);
}

/* The time that its sender set with BY is over (RFC 2852 section 4.1.3). A time that was over when
 * the message came is an earlier server's business: it has told of it. */
static bool is_past_its_time(const struct queued *queued, int64_t now_ms)
{
	const struct pn_deliver_by by = pn_details_by(queued->row.details);

	return by.mode == PN_DELIVER_BY_NOTIFY && by.moment_ms <= now_ms &&
	       by.moment_ms > queued->row.arrived_ms;
}

bool pn_warns_of_delay(const struct queued *queued, int64_t now_ms)
{
	const struct pn_queue_limits *limits = &pn_scheduler.generation->queue;
	bool was_asked = detail(queued, "rcpt.NOTIFY").size > 0;

	if (is_past_its_time(queued, now_ms))
		return queued->row.sender.size > 0 && detail(queued, "warned").size == 0 &&
		       notifies(queued, "DELAY");
	return queued->row.sender.size > 0 && detail(queued, "warned").size == 0 &&
	       limits->delay_warning_ms < limits->lifetime_ms &&
	       now_ms - queued->row.arrived_ms >= (int64_t)limits->delay_warning_ms &&
	       notifies(queued, "DELAY") &&
	       (was_asked || detail(queued, "origin.identity").size > 0);
}

static enum pn_dsn_kind kind_of(const struct queued *queued)
{
	if (queued->outcome == PN_DELIVERY_DONE)
		return strcmp(queued->command, "account") == 0 ? PN_DSN_DELIVERED : PN_DSN_RELAYED;
	return queued->outcome == PN_DELIVERY_REFUSED ? PN_DSN_FAILED : PN_DSN_DELAYED;
}

static const char *kind_name(enum pn_dsn_kind kind)
{
	static const char *const names[] = {"failed", "delayed", "delivered", "relayed",
	                                    "expanded"};

	return names[kind];
}

/* Whether somebody is to be told of it at all; else why not. */
static const char *why_silent(const struct queued *queued)
{
	if (queued->row.sender.size == 0)
		return "it has no sender";
	if (kind_of(queued) != PN_DSN_FAILED)
		return NULL;
	if (!notifies(queued, "FAILURE"))
		return "its sender asked for no report";
	if (queued->is_local_refusal && detail(queued, "origin.identity").size == 0)
		return "it was refused by policy, and its sender did not authenticate";
	return NULL;
}

static void record(const struct queued *queued, const char *what, const char *text)
{
	struct pn_event *event;

	if (!pn_log_wants(PN_LOG_INFO))
		return;
	event = pn_event_new(PN_LOG_INFO, "bounce");
	pn_event_id(event, "transaction",
	            pn_arena_keep_text(queued->transaction->arena, queued->row.transaction));
	pn_event_text(event, "recipient", queued->row.recipient);
	pn_event_text(event, "kind", pn_slice_of(kind_name(kind_of(queued))));
	pn_event_text(event, "class", pn_slice_of(pn_answer_class_name(queued->answer_class)));
	pn_event_text(event, what, pn_slice_of(text));
	pn_event_text(event, "reason", pn_slice_of(queued->reason));
	pn_event_send(&event);
}

/* ---- the end of a report ---- */

static void free_report(struct report *report)
{
	struct pn_arena *arena = report->arena;

	reports--;
	pn_arena_free(&arena);
}

static size_t count_rows(const struct queued *rows)
{
	size_t count = 0;

	for (; rows != NULL; rows = rows->next)
		count++;
	return count;
}

/* The rows alone: nobody is told. */
static void end_silently(struct report *report, const char *why)
{
	struct queued *rows = report->rows;
	struct pn_commit *commit = pn_commit_new(0, count_rows(rows));

	for (struct queued *queued = rows; queued != NULL; queued = queued->next) {
		pn_queued_restore(queued);
		record(queued, "silent", why);
		pn_settle_add(queued, commit);
	}
	free_report(report);
	pn_settle_with(rows, commit);
}

/* ---- the message ---- */

static struct pn_slice reply_text(struct pn_arena *arena, const struct pn_reply *reply)
{
	if (reply->code == 0)
		return PN_SLICE_NONE;
	return pn_slice_of(pn_arena_print(arena, "%u %s%s%s", (unsigned)reply->code,
	                                  reply->enhanced, reply->enhanced[0] == '\0' ? "" : " ",
	                                  reply->text));
}

static const char *status_of(const struct queued *queued)
{
	const char *enhanced = queued->reply.enhanced;

	switch (kind_of(queued)) {
	case PN_DSN_FAILED:
		if (queued->answer_class == PN_CLASS_EXPIRED &&
		    pn_details_by(queued->row.details).mode == PN_DELIVER_BY_RETURN)
			return "5.4.7";
		if (queued->answer_class == PN_CLASS_EXPIRED)
			return "4.4.7";
		return enhanced[0] == '5' ? enhanced : "5.0.0";
	case PN_DSN_DELAYED:
		if (is_past_its_time(queued, pn_clock_wall_ms()))
			return "4.4.7";
		return enhanced[0] == '4' ? enhanced : "4.0.0";
	default:
		return enhanced[0] == '2' ? enhanced : "2.0.0";
	}
}

static struct pn_slice decoded(struct pn_arena *arena, struct pn_slice xtext)
{
	struct pn_slice text;

	return pn_xtext_decode(arena, xtext, &text) == PN_OK ? text : PN_SLICE_NONE;
}

static void fill_recipient(struct pn_dsn_recipient *recipient, const struct queued *queued,
                           struct pn_arena *arena)
{
	struct pn_slice original = decoded(arena, detail(queued, "rcpt.ORCPT"));

	if (original.size == 0 && detail(queued, "original").size > 0)
		original = pn_slice_of(pn_arena_print(arena, "rfc822;%.*s",
		                                      PN_SLICE_ARGS(detail(queued, "original"))));
	*recipient = (struct pn_dsn_recipient){
		.kind = kind_of(queued),
		.original = original,
		.address = queued->row.recipient,
		.status = pn_slice_of(status_of(queued)),
		.diagnostic = reply_text(arena, &queued->reply),
		.diagnostic_is_remote = queued->hop_name[0] != '\0' && !queued->is_local_refusal,
		.remote = pn_slice_of(queued->hop_name),
		/* What the peer said speaks for itself. */
		.reason = queued->reply.code != 0 ? PN_SLICE_NONE : pn_slice_of(queued->reason),
		.last_attempt_ms = pn_clock_wall_ms(),
		.retry_until_ms = queued->row.expires_ms,
	};
}

/* RFC 8689 section 5: whoever wants a message to arrive without TLS wants to hear of it, too. */
static bool has_optional_tls(const struct report *report)
{
	return pn_details_tls(report->rows->row.details) == PN_ROUTE_TLS_OPPORTUNISTIC;
}

static enum pn_status write_report(const struct report *report, struct pn_buffer *out)
{
	const struct queued *first = report->rows;
	size_t count = count_rows(report->rows);
	struct pn_dsn_recipient *recipients =
		PN_ARENA_ARRAY(report->arena, count, struct pn_dsn_recipient);
	struct pn_dsn dsn = {
		.hostname = pn_slice_of(pn_scheduler.generation->hostname),
		.id = pn_slice_of(report->id),
		.transaction = first->row.transaction,
		.to = report->to,
		.envelope_id = decoded(report->arena, detail(first, "mail.ENVID")),
		.from = pn_slice_of(pn_arena_print(report->arena, "MAILER-DAEMON@%s",
	                                           pn_scheduler.generation->hostname)),
		.received_from = detail(first, "origin.hello"),
		.arrived_ms = first->row.arrived_ms,
		.now_ms = pn_clock_wall_ms(),
		.recipients = recipients,
		.recipient_count = count,
		.original = report->original,
		.original_is_whole = report->original_is_whole,
		.tls_is_optional = has_optional_tls(report),
	};
	size_t index = 0;

	for (const struct queued *queued = first; queued != NULL; queued = queued->next)
		fill_recipient(&recipients[index++], queued, report->arena);
	return pn_dsn_write(&dsn, out);
}

static void fill_row(const struct report *report, struct pn_queue_row *row, struct pn_arena *arena,
                     struct pn_slice details)
{
	size_t at = report->to.size;
	struct pn_slice domain;
	int64_t now = pn_clock_wall_ms();

	while (at > 0 && report->to.data[at - 1] != '@')
		at--;
	domain = pn_slice_behind(report->to, at);
	row->due_ms = now;
	row->arrived_ms = now;
	row->expires_ms = now + (int64_t)pn_scheduler.generation->queue.bounce_lifetime_ms;
	row->priority = 4;
	row->transaction = pn_arena_keep(arena, pn_slice_of(report->id));
	row->recipient = pn_arena_keep(arena, report->to);
	row->destination = pn_route_usual(pn_scheduler.generation, domain, arena);
	row->tenant = pn_arena_keep(arena, report->rows->row.tenant);
	row->details = pn_arena_keep(arena, details);
}

static struct pn_slice summarize(struct pn_slice text, struct pn_arena *arena,
                                 uint32_t *header_size_out)
{
	struct pn_mime_parser *parser = pn_mime_new();
	struct pn_slice result = PN_SLICE_NONE;
	struct pn_buffer summary;

	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	pn_mime_feed(parser, text);
	if (pn_mime_finish(parser, &summary) == PN_OK)
		result = pn_arena_keep(arena, pn_buffer_slice(&summary));
	*header_size_out = (uint32_t)pn_mime_header_size(parser);
	pn_buffer_clear(&summary);
	pn_mime_free(&parser);
	return result;
}

/* Return-Path as for all mail in the store; then the report as it is written. */
static enum pn_status add_body(const struct report *report, struct pn_commit *commit,
                               struct pn_buffer *details)
{
	struct pn_slice return_path = PN_SLICE("Return-Path: <>\r\n");
	struct pn_body_source *body = &commit->bodies[commit->body_count++];
	struct pn_slice *pieces = PN_ARENA_ARRAY(commit->arena, 1, struct pn_slice);
	char number[30];
	struct pn_buffer text;
	enum pn_status status;

	pn_buffer_init(&text, REPORT_MAX);
	status = pn_buffer_append(&text, return_path);
	if (status == PN_OK)
		status = write_report(report, &text);
	pieces[0] = pn_arena_keep(commit->arena, pn_buffer_slice(&text));
	pn_buffer_clear(&text);
	body->pieces = pieces;
	body->piece_count = 1;
	body->summary = summarize(pieces[0], commit->arena, &body->header_size);
	body->transaction = pn_arena_keep(commit->arena, pn_slice_of(report->id));
	snprintf(number, sizeof(number), "%zu", pieces[0].size);
	if (status == PN_OK)
		status = pn_details_add(details, PN_SLICE("stored"), pn_slice_of(number));
	snprintf(number, sizeof(number), "%zu", return_path.size);
	if (status == PN_OK)
		status = pn_details_add(details, PN_SLICE("skip"), pn_slice_of(number));
	if (status == PN_OK && has_optional_tls(report))
		status = pn_details_add(details, PN_SLICE("tls"), PN_SLICE("optional"));
	return status == PN_OK
	               ? pn_details_add(details, PN_SLICE("report"), report->rows->row.transaction)
	               : status;
}

static void commit_report(struct report *report)
{
	struct queued *rows = report->rows;
	struct pn_commit *commit = pn_commit_new(1, count_rows(rows) + 1);
	struct pn_queue_row *row = PN_ARENA_NEW(commit->arena, struct pn_queue_row);
	struct pn_mutation *put;
	struct pn_buffer details;
	enum pn_status status;

	pn_details_init(&details);
	status = add_body(report, commit, &details);
	fill_row(report, row, commit->arena, pn_buffer_slice(&details));
	pn_buffer_clear(&details);
	if (status != PN_OK) {
		pn_commit_free(&commit);
		end_silently(report, "the report became too large");
		return;
	}
	put = pn_commit_add(commit, PN_MUTATION_QUEUE_PUT);
	put->body.is_new = true;
	put->queue_row = row;
	for (struct queued *queued = rows; queued != NULL; queued = queued->next) {
		pn_queued_restore(queued);
		record(queued, "report", report->id);
		queued->is_reported = true;
		pn_settle_add(queued, commit);
	}
	free_report(report);
	pn_fault("queue.report.before", &(int){0});
	pn_settle_with(rows, commit);
	if (pn_change_bus.queued != NULL)
		pn_change_bus.queued();
}

/* ---- the original ---- */

static bool wants_whole(const struct queued *queued)
{
	/* RFC 8689 section 5: it must not come back in the clear. What is binary has no place in a
	 * report, which is made of lines (RFC 3030). */
	return kind_of(queued) == PN_DSN_FAILED &&
	       pn_details_tls(queued->row.details) != PN_ROUTE_TLS_VERIFIED &&
	       !pn_slice_equal_ignore_case(detail(queued, "mail.BODY"), PN_SLICE("BINARYMIME")) &&
	       pn_slice_equal_ignore_case(detail(queued, "mail.RET"), PN_SLICE("FULL"));
}

/* What of it is enclosed: all, where that was asked for and it is small; else its header, as far as
 * a report should carry it. Without it the report is sent all the same. */
static void original_read(void *user, const struct pn_answer *answer)
{
	struct report *report = user;
	const struct pn_body_piece *piece = answer->result;

	if (answer->status == PN_OK) {
		struct pn_slice text = piece->bytes;
		size_t header = pn_header_end(text, 0);

		if (wants_whole(report->rows) && piece->total_size == report->skip + text.size &&
		    text.size <= WHOLE_MAX) {
			report->original_is_whole = true;
		} else {
			text.size = header > 0 ? header : text.size;
			if (text.size > HEADER_MAX)
				text.size = HEADER_MAX;
		}
		report->original = pn_arena_keep(report->arena, text);
	}
	commit_report(report);
}

static void read_original(struct report *report)
{
	struct pn_body_request request = {
		.struct_size = sizeof(request),
		.body = report->rows->row.body,
		.max_size = ENCLOSED_MAX,
	};

	if (pn_parse_count(detail(report->rows, "skip"), &report->skip) != PN_OK)
		report->skip = 0;
	request.offset = report->skip;
	pn_store_body(pn_scheduler.home, &request,
	              pn_ticket_open(NULL, original_read, report, READ_MS));
}

/* ---- policy ---- */

static void judged(void *user, const struct pn_stage_result *result)
{
	struct report *report = user;
	struct pn_address address;

	if (result->verdict == PN_VERDICT_DISCARD) {
		end_silently(report, result->argument == NULL ? "policy" : result->argument);
		return;
	}
	if (result->verdict == PN_VERDICT_REDIRECT && result->argument != NULL &&
	    pn_address_parse(
		    pn_slice_of(pn_arena_keep_text(report->arena, pn_slice_of(result->argument))),
		    true, report->arena, &address) == PN_OK)
		report->to = address.text;
	read_original(report);
}

static void begin(struct queued *rows)
{
	struct pn_arena *arena = pn_arena_new();
	struct report *report = PN_ARENA_NEW(arena, struct report);
	const char *why = why_silent(rows);
	struct pn_stage_request request;

	reports++;
	report->arena = arena;
	report->rows = rows;
	report->kind = kind_of(rows);
	report->to = pn_arena_keep(arena, rows->row.sender);
	pn_id_make(report->id);
	if (why != NULL) {
		end_silently(report, why);
		return;
	}
	if (!pn_queue_has_hooks(PN_STAGE_BOUNCE_CREATE)) {
		read_original(report);
		return;
	}
	report->subject = (struct pn_attempt){
		.struct_size = sizeof(report->subject),
		.destination = rows->hop_name,
		.hop_name = rows->hop_name,
		.hop_address = "",
		.outcome = rows->outcome,
		.answer_class = rows->answer_class,
		.reply = rows->reply,
		.command = rows->command,
		.bounce_kind = kind_name(report->kind),
		.bounce_to = pn_arena_keep_text(arena, rows->row.sender),
	};
	request = pn_queued_stage(rows, PN_STAGE_BOUNCE_CREATE, &report->subject, arena);
	pn_stage_run(&request, judged, report);
}

static bool belong_together(const struct queued *left, const struct queued *right)
{
	return pn_slice_equal(left->row.transaction, right->row.transaction) &&
	       pn_slice_equal(left->row.sender, right->row.sender) &&
	       kind_of(left) == kind_of(right) &&
	       (why_silent(left) == NULL) == (why_silent(right) == NULL);
}

void pn_bounce(struct queued *rows)
{
	while (rows != NULL) {
		struct queued *first = rows;
		struct queued **last = &first->next;
		struct queued *others = NULL;
		struct queued *queued = first->next;

		*last = NULL;
		while (queued != NULL) {
			struct queued *next = queued->next;

			queued->next = NULL;
			if (belong_together(first, queued)) {
				*last = queued;
				last = &queued->next;
			} else {
				queued->next = others;
				others = queued;
			}
			queued = next;
		}
		rows = others;
		begin(first);
	}
}
