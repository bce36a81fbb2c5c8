/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all stages of a connection share: waiting for an answer, notes for the
 * record, outcomes of recipients, and the ways in which a connection ends. Whoever
 * ends it tells the gateway here, at once; the session follows and frees the rest.
 */
#include "deliver.h"

#include <postern/clock.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void deliver_note(struct deliver_dialogue *dialogue, const char *format, ...)
{
	char text[512];
	va_list arguments;

	if (dialogue->carrier == NULL)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	pn_carrier_note(dialogue->carrier, '*', pn_slice_of(text));
}

void deliver_say(struct deliver_dialogue *dialogue, struct pn_slice line, const char *shown)
{
	pn_session_write(dialogue->session, line);
	pn_session_write(dialogue->session, PN_SLICE("\r\n"));
	if (dialogue->carrier != NULL)
		pn_carrier_note(dialogue->carrier, '>', shown == NULL ? line : pn_slice_of(shown));
}

enum pn_next deliver_await(struct deliver_dialogue *dialogue, enum deliver_stage stage,
                           const char *command, uint64_t timeout_ms)
{
	dialogue->stage = stage;
	dialogue->command = command;
	memset(&dialogue->reply, 0, sizeof(dialogue->reply));
	dialogue->reply_due_ms = pn_clock_monotonic_ms() + timeout_ms;
	pn_session_set_deadline(dialogue->session, timeout_ms);
	return PN_NEXT_ANSWER_OR_LINE;
}

/* ---- outcomes ---- */

struct pn_delivery_recipient *deliver_recipient(const struct deliver_dialogue *dialogue,
                                                size_t index)
{
	const struct pn_delivery *delivery = dialogue->delivery;

	return (struct pn_delivery_recipient *)((char *)delivery->recipients +
	                                        index * delivery->recipient_size);
}

void deliver_settle(struct deliver_dialogue *dialogue, size_t index,
                    enum pn_delivery_outcome outcome, const struct pn_reply *reply,
                    const char *command)
{
	struct pn_delivery_recipient *recipient = deliver_recipient(dialogue, index);

	recipient->outcome = outcome;
	recipient->reply = *reply;
	recipient->dsn_passed_on =
		outcome == PN_DELIVERY_DONE && (dialogue->offer.extensions & DELIVER_DSN) != 0;
	recipient->deliver_by_passed_on = outcome == PN_DELIVERY_DONE &&
	                                  (dialogue->offer.extensions & DELIVER_DELIVERBY) != 0;
	snprintf(recipient->command, sizeof(recipient->command), "%s", command);
	dialogue->places[index].state = DELIVER_RECIPIENT_SETTLED;
}

void deliver_settle_rest(struct deliver_dialogue *dialogue, enum pn_delivery_outcome outcome,
                         const struct pn_reply *reply, const char *command)
{
	for (size_t i = 0; i < dialogue->recipient_count; i++) {
		if (dialogue->places[i].state == DELIVER_RECIPIENT_WAITS ||
		    dialogue->places[i].state == DELIVER_RECIPIENT_ACCEPTED)
			deliver_settle(dialogue, i, outcome, reply, command);
	}
}

enum pn_delivery_outcome deliver_outcome_of(const struct pn_reply *reply)
{
	return deliver_reply_class(reply) == 5 ? PN_DELIVERY_REFUSED : PN_DELIVERY_DEFERRED;
}

/* Those the server had too many of: untried where this transaction got somewhere, so that trying
 * again at once comes to an end; else their answer counts. */
static void settle_too_many(struct deliver_dialogue *dialogue)
{
	bool got_somewhere = false;

	for (size_t i = 0; i < dialogue->recipient_count && !got_somewhere; i++)
		got_somewhere = deliver_recipient(dialogue, i)->outcome == PN_DELIVERY_DONE;
	for (size_t i = 0; i < dialogue->recipient_count; i++) {
		struct pn_delivery_recipient *recipient = deliver_recipient(dialogue, i);

		if (dialogue->places[i].state == DELIVER_RECIPIENT_TOO_MANY)
			recipient->outcome =
				got_somewhere ? PN_DELIVERY_UNTRIED : PN_DELIVERY_DEFERRED;
	}
}

void deliver_hand_back(struct deliver_dialogue *dialogue)
{
	struct pn_delivery *delivery = dialogue->delivery;

	settle_too_many(dialogue);
	pn_ticket_cancel(dialogue->body_ticket);
	deliver_body_forget(dialogue);
	dialogue->delivery = NULL;
	dialogue->messages += dialogue->answers > 0 ? 1 : 0;
	dialogue->recipient_count = 0;
	dialogue->accepted = 0;
	dialogue->answers = 0;
	pn_delivery_done(delivery);
}

/* ---- ends ---- */

enum pn_next deliver_end(struct deliver_dialogue *dialogue, enum pn_carrier_end end,
                         const struct pn_reply *reply)
{
	struct pn_carrier *carrier = dialogue->carrier;

	dialogue->stage = DELIVER_ENDED;
	if (carrier == NULL)
		return PN_NEXT_CLOSE;
	/* What is still to be sent has this long. */
	if (dialogue->session != NULL)
		pn_session_set_deadline(dialogue->session, dialogue->config->quit_timeout);
	if (dialogue->delivery != NULL) {
		deliver_settle_rest(dialogue, PN_DELIVERY_DEFERRED, reply, dialogue->command);
		deliver_hand_back(dialogue);
	}
	dialogue->carrier = NULL;
	pn_carrier_closed(carrier, end, reply);
	return PN_NEXT_CLOSE;
}

enum pn_next deliver_leave(struct deliver_dialogue *dialogue, enum pn_carrier_end end,
                           const struct pn_reply *reply)
{
	/* Its answer is not waited for. */
	deliver_say(dialogue, PN_SLICE("QUIT"), NULL);
	return deliver_end(dialogue, end, reply);
}

enum pn_next deliver_nonsense(struct deliver_dialogue *dialogue, const char *what)
{
	struct pn_reply reply;

	deliver_note(dialogue, "%s", what);
	deliver_reply_say(&reply, "", "%s", what);
	return deliver_end(dialogue, PN_CARRIER_BROKEN, &reply);
}

/* Nothing of this message was answered on a connection that had worked: the server had closed it
 * while it was idle, which says nothing about the message. */
static bool was_not_tried(const struct deliver_dialogue *dialogue)
{
	return dialogue->delivery != NULL && dialogue->messages > 0 && dialogue->answers == 0 &&
	       (dialogue->stage == DELIVER_IDLE || dialogue->stage == DELIVER_READING ||
	        dialogue->stage == DELIVER_ENVELOPE);
}

enum pn_next deliver_lost(struct deliver_dialogue *dialogue, const char *what)
{
	enum pn_carrier_end end = PN_CARRIER_BROKEN;
	struct pn_reply reply;

	deliver_note(dialogue, "%s", what);
	deliver_reply_say(&reply, dialogue->stage == DELIVER_CONNECTING ? "4.4.1" : "4.4.2", "%s",
	                  what);
	if (was_not_tried(dialogue)) {
		deliver_settle_rest(dialogue, PN_DELIVERY_UNTRIED, &reply, dialogue->command);
		end = PN_CARRIER_FINISHED;
	}
	if (dialogue->stage == DELIVER_IDLE || dialogue->stage == DELIVER_QUITTING)
		end = PN_CARRIER_FINISHED;
	if (dialogue->stage == DELIVER_CONNECTING)
		end = PN_CARRIER_UNREACHABLE;
	return deliver_end(dialogue, end, &reply);
}
