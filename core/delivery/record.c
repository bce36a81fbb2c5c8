/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record of a transaction: one event with the envelope, every recipient's
 * fate, scores and facts, and what every hook said at which cost. Written once,
 * when the transaction ends, accepted or not.
 */
#include "delivery/transaction.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "io/log.h"

static const char *fate_of(const struct pn_recipient *recipient)
{
	const struct pn_transaction *transaction = recipient->transaction;

	if (!transaction->was_accepted)
		return transaction->was_submitted ? "refused" : "abandoned";
	if (recipient->result.verdict == PN_VERDICT_REJECT)
		return transaction->answers_per_recipient ? "refused" : "discarded";
	if (recipient->result.verdict == PN_VERDICT_DEFER)
		return "refused";
	if (recipient->is_disposed || recipient->root->is_disposed)
		return "discarded";
	if (recipient->is_queued)
		return recipient->is_held || recipient->root->is_held ? "held" : "queued";
	return "stored";
}

static enum pn_status recipient_json(const struct pn_recipient *recipient, struct pn_buffer *out)
{
	enum pn_status status = pn_buffer_append(out, PN_SLICE("{\"address\":"));
	bool is_changed = !pn_slice_equal(recipient->original.text, recipient->address.text);

	if (status == PN_OK)
		status = pn_json_append_string(out, recipient->original.text);
	if (status == PN_OK && is_changed)
		status = pn_buffer_append(out, PN_SLICE(",\"became\":"));
	if (status == PN_OK && is_changed)
		status = pn_json_append_string(out, recipient->address.text);
	if (status == PN_OK)
		status = pn_buffer_print(out, ",\"fate\":\"%s\"", fate_of(recipient));
	if (status == PN_OK && recipient->account_count > 0)
		status = pn_buffer_append(out, PN_SLICE(",\"account\":"));
	if (status == PN_OK && recipient->account_count > 0)
		status = pn_json_append_string(out, recipient->accounts[0].name);
	if (status == PN_OK && recipient->uid > 0)
		status = pn_buffer_print(
			out, ",\"uid\":%llu,\"mailbox\":", (unsigned long long)recipient->uid);
	if (status == PN_OK && recipient->uid > 0)
		status = pn_json_append_string(out, recipient->mailbox);
	return status == PN_OK ? pn_buffer_append(out, PN_SLICE("}")) : status;
}

/* Each recipient, and what it became where others stand in its place. */
static enum pn_status recipients_json(const struct pn_transaction *transaction,
                                      struct pn_buffer *out)
{
	enum pn_status status = pn_buffer_append(out, PN_SLICE("["));
	bool is_first = true;

	for (const struct pn_recipient *recipient = transaction->recipients;
	     recipient != NULL && status == PN_OK; recipient = recipient->next) {
		const struct pn_recipient *shown =
			recipient->account_count > 0 || recipient->branches == NULL
				? recipient
				: recipient->branches;

		while (shown != NULL && status == PN_OK) {
			if (!is_first)
				status = pn_buffer_append(out, PN_SLICE(","));
			is_first = false;
			if (status == PN_OK)
				status = recipient_json(shown, out);
			shown = shown == recipient ? recipient->branches : shown->next;
		}
	}
	return status == PN_OK ? pn_buffer_append(out, PN_SLICE("]")) : status;
}

static enum pn_status facts_json(const struct pn_fact *facts, struct pn_buffer *out)
{
	enum pn_status status = pn_buffer_append(out, PN_SLICE("{"));

	for (const struct pn_fact *fact = facts; fact != NULL && status == PN_OK;
	     fact = fact->next) {
		status = pn_json_append_string(out, fact->key);
		if (status == PN_OK)
			status = pn_buffer_append(out, PN_SLICE(":"));
		if (status == PN_OK)
			status = pn_json_append_string(out, fact->value);
		if (status == PN_OK && fact->next != NULL)
			status = pn_buffer_append(out, PN_SLICE(","));
	}
	return status == PN_OK ? pn_buffer_append(out, PN_SLICE("}")) : status;
}

static enum pn_status scores_json(const struct pn_score *scores, struct pn_buffer *out)
{
	enum pn_status status = pn_buffer_append(out, PN_SLICE("{"));

	for (const struct pn_score *score = scores; score != NULL && status == PN_OK;
	     score = score->next) {
		status = pn_json_append_string(out, pn_slice_of(score->name));
		if (status == PN_OK)
			status = pn_buffer_print(out, ":%.3f%s", score->score,
			                         score->next == NULL ? "" : ",");
	}
	return status == PN_OK ? pn_buffer_append(out, PN_SLICE("}")) : status;
}

static void add_json(struct pn_event *event, const char *key, struct pn_buffer *json,
                     enum pn_status status)
{
	if (status == PN_OK)
		pn_event_json(event, key, pn_buffer_slice(json));
	json->size = 0;
}

static const char *outcome_of(const struct pn_transaction *transaction)
{
	if (transaction->was_accepted)
		return "accepted";
	if (!transaction->was_submitted)
		return "abandoned";
	return transaction->result.verdict == PN_VERDICT_REJECT ? "rejected" : "deferred";
}

void pn_transaction_record(struct pn_transaction *transaction)
{
	struct pn_event *event;
	struct pn_buffer json;

	if (!pn_log_wants(PN_LOG_INFO))
		return;
	event = pn_session_event(transaction->session, PN_LOG_INFO,
	                         transaction->deposit == NULL ? "message" : "deposit");
	pn_event_id(event, "transaction", transaction->id);
	pn_event_text(event, "outcome", pn_slice_of(outcome_of(transaction)));
	if (transaction->deposit == NULL)
		pn_event_text(event, "sender", transaction->sender.text);
	pn_event_number(event, "size", (int64_t)transaction->size);
	if (transaction->deposit == NULL)
		pn_event_number(event, "refused_recipients", (int64_t)transaction->refused_count);
	pn_event_number(event, "milliseconds", pn_clock_wall_ms() - transaction->started_wall_ms);
	if (!transaction->was_accepted && transaction->was_submitted) {
		pn_event_number(event, "code", transaction->result.reply.code);
		pn_event_text(event, "reply", pn_slice_of(transaction->result.reply.text));
		if (transaction->result.hook != NULL)
			pn_event_text(event, "hook", pn_slice_of(transaction->result.hook));
	}
	pn_buffer_init(&json, 200 * 1024);
	add_json(event, "recipients", &json, recipients_json(transaction, &json));
	if (transaction->scores != NULL)
		add_json(event, "scores", &json, scores_json(transaction->scores, &json));
	if (transaction->facts != NULL)
		add_json(event, "facts", &json, facts_json(transaction->facts, &json));
	add_json(event, "hooks", &json, pn_trail_json(&transaction->trail, &json));
	pn_buffer_clear(&json);
	pn_event_send(&event);
}
