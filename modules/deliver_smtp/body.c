/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a message: read in pieces, checked, sent. A small one is read whole
 * before anything is said of it; one up to 1 MiB is checked so too, and read again; a
 * larger one is checked while it is sent. What is memory at any time: a small body,
 * or one piece and what the session has not sent yet.
 */
#include "deliver.h"

#include <postern/text.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void deliver_body_forget(struct deliver_dialogue *dialogue)
{
	dialogue->body.size = 0;
	if (dialogue->body.capacity > 16 * 1024)
		pn_buffer_clear(&dialogue->body);
	memset(&dialogue->check, 0, sizeof(dialogue->check));
	dialogue->is_checked = false;
	dialogue->is_binary = false;
	dialogue->uses_chunks = false;
	dialogue->body_offset = 0;
	dialogue->body_checked = 0;
}

static enum pn_next ask(struct deliver_dialogue *dialogue, uint64_t offset, enum pn_next next)
{
	uint64_t size = dialogue->delivery->size - offset;

	if (size > DELIVER_READ_SIZE)
		size = DELIVER_READ_SIZE;
	dialogue->body_ticket = pn_session_ticket(dialogue->session, DELIVER_READ_MS);
	pn_delivery_read(dialogue->delivery, offset, (size_t)size, dialogue->body_ticket);
	return next;
}

/* ---- before anything is said ---- */

static bool is_kept(const struct deliver_dialogue *dialogue)
{
	return dialogue->delivery->size <= DELIVER_KEEP_MAX;
}

static bool refuses_eight_bit(const struct deliver_dialogue *dialogue)
{
	return dialogue->config->eight_bit == DELIVER_EIGHT_BIT_REFUSE &&
	       (dialogue->offer.extensions & DELIVER_8BITMIME) == 0;
}

static enum pn_next refuse(struct deliver_dialogue *dialogue, const char *enhanced,
                           const char *text)
{
	struct pn_reply reply;

	deliver_note(dialogue, "%s", text);
	deliver_reply_say(&reply, enhanced, "%s", text);
	deliver_settle_rest(dialogue, PN_DELIVERY_REFUSED, &reply, "MAIL");
	deliver_hand_back(dialogue);
	return deliver_ready(dialogue);
}

/* BODY=BINARYMIME, RFC 3030: declared so. Whether it really is, a look at all of it says. */
static bool may_be_binary(const struct deliver_dialogue *dialogue)
{
	const struct pn_delivery *delivery = dialogue->delivery;

	for (size_t i = 0; i < delivery->parameter_count; i++) {
		if (pn_slice_equal_ignore_case(delivery->parameters[i].name, PN_SLICE("BODY")))
			return pn_slice_equal_ignore_case(delivery->parameters[i].value,
			                                  PN_SLICE("BINARYMIME"));
	}
	return false;
}

static bool takes(const struct deliver_dialogue *dialogue, uint32_t extensions)
{
	return (dialogue->offer.extensions & extensions) == extensions;
}

/* Section 3: such a message goes to a server that takes it, or is encoded anew, or is returned. It
 * is returned: encoding anew what others signed, in a structure that others made, breaks more than
 * it mends. What turns out to have lines, all of them whole, is an ordinary message. */
static enum pn_next checked(struct deliver_dialogue *dialogue)
{
	deliver_check_end(&dialogue->check);
	dialogue->is_checked = true;
	if (may_be_binary(dialogue) && (dialogue->check.is_bad || dialogue->check.lacks_end))
		return refuse(dialogue, "5.6.3",
		              "the message is binary, which the server does not take (BINARYMIME)");
	if (dialogue->check.is_bad)
		return refuse(dialogue, "5.6.0",
		              "the message has a bare CR, a bare LF or a NUL in it");
	if (dialogue->check.has_eight_bit && refuses_eight_bit(dialogue))
		return refuse(dialogue, "5.6.3",
		              "the message has 8-bit bytes, which the server does not take");
	return deliver_envelope_send(dialogue);
}

/* While it is read the server may speak, though it should not: what it says is looked at. */
static enum pn_next ask_to_check(struct deliver_dialogue *dialogue)
{
	if (dialogue->body_checked == dialogue->delivery->size)
		return checked(dialogue);
	return ask(dialogue, dialogue->body_checked, PN_NEXT_ANSWER_OR_LINE);
}

enum pn_next deliver_body_begin(struct deliver_dialogue *dialogue)
{
	deliver_body_forget(dialogue);
	deliver_await(dialogue, DELIVER_READING, "MAIL", 2 * (uint64_t)DELIVER_READ_MS);
	dialogue->is_binary =
		may_be_binary(dialogue) && takes(dialogue, DELIVER_BINARYMIME | DELIVER_CHUNKING);
	dialogue->uses_chunks =
		dialogue->is_binary || (dialogue->config->chunking == DELIVER_CHUNKING_OFFERED &&
	                                takes(dialogue, DELIVER_CHUNKING));
	/* What it may hold needs no look, and is read while it is sent. */
	if (dialogue->is_binary)
		return deliver_envelope_send(dialogue);
	if (dialogue->delivery->size > DELIVER_CHECK_MAX && !refuses_eight_bit(dialogue) &&
	    !may_be_binary(dialogue))
		return deliver_envelope_send(dialogue);
	return ask_to_check(dialogue);
}

static enum pn_next take_to_check(struct deliver_dialogue *dialogue, struct pn_slice bytes)
{
	deliver_check_take(&dialogue->check, bytes);
	dialogue->body_checked += bytes.size;
	if (is_kept(dialogue) && pn_buffer_append(&dialogue->body, bytes) != PN_OK)
		abort(); /* as large as it said, and that is below the limit */
	if (dialogue->check.is_bad)
		dialogue->body_checked = dialogue->delivery->size;
	return ask_to_check(dialogue);
}

/* ---- while it is sent ---- */

static enum pn_next sent_all(struct deliver_dialogue *dialogue)
{
	deliver_note(dialogue, "the message: %llu bytes",
	             (unsigned long long)dialogue->delivery->size);
	dialogue->replied.recipient = 0;
	return deliver_await(dialogue, DELIVER_ANSWERS, "end of data",
	                     dialogue->config->data_end_timeout);
}

/* Without its final dot it is no message (RFC 5321 section 4.1.1.4): the server forgets it. */
static enum pn_next break_off(struct deliver_dialogue *dialogue, enum pn_delivery_outcome outcome,
                              const char *enhanced, const char *text)
{
	struct pn_reply reply;

	deliver_note(dialogue, "broken off: %s", text);
	deliver_reply_say(&reply, enhanced, "%s", text);
	deliver_settle_rest(dialogue, outcome, &reply, "DATA");
	return deliver_end(dialogue, PN_CARRIER_FINISHED, &reply);
}

/* A chunk has its size in front of it, and nothing behind it. */
static void write_piece(struct deliver_dialogue *dialogue, struct pn_slice bytes, bool is_last)
{
	if (dialogue->uses_chunks)
		pn_session_write(dialogue->session, bytes);
	else
		pn_session_write_stuffed(dialogue->session, bytes, is_last);
}

static void say_bdat(struct deliver_dialogue *dialogue)
{
	char line[60];

	snprintf(line, sizeof(line), "BDAT %llu LAST",
	         (unsigned long long)dialogue->delivery->size);
	deliver_say(dialogue, pn_slice_of(line), NULL);
}

static enum pn_next take_to_send(struct deliver_dialogue *dialogue, struct pn_slice bytes)
{
	uint64_t size = dialogue->delivery->size;

	if (!dialogue->is_checked && !dialogue->is_binary)
		deliver_check_take(&dialogue->check, bytes);
	dialogue->body_offset += bytes.size;
	if (!dialogue->is_checked && dialogue->body_offset == size)
		deliver_check_end(&dialogue->check);
	if (dialogue->check.is_bad)
		return break_off(dialogue, PN_DELIVERY_REFUSED, "5.6.0",
		                 "the message has a bare CR, a bare LF or a NUL in it");
	write_piece(dialogue, bytes, dialogue->body_offset == size);
	if (dialogue->body_offset < size && !pn_session_output_is_high(dialogue->session))
		return ask(dialogue, dialogue->body_offset, PN_NEXT_ANSWER);
	return PN_NEXT_DRAIN;
}

enum pn_next deliver_body_send(struct deliver_dialogue *dialogue)
{
	dialogue->stage = DELIVER_BODY;
	dialogue->command = dialogue->uses_chunks ? "BDAT" : "DATA";
	pn_session_set_deadline(dialogue->session, dialogue->config->data_block_timeout);
	if (dialogue->uses_chunks)
		say_bdat(dialogue);
	if (!is_kept(dialogue) || (dialogue->is_binary && dialogue->delivery->size > 0))
		return ask(dialogue, 0, PN_NEXT_ANSWER);
	write_piece(dialogue, pn_buffer_slice(&dialogue->body), true);
	dialogue->body_offset = dialogue->delivery->size;
	return PN_NEXT_DRAIN;
}

enum pn_next deliver_body_drained(struct deliver_dialogue *dialogue)
{
	if (dialogue->body_offset == dialogue->delivery->size)
		return sent_all(dialogue);
	return ask(dialogue, dialogue->body_offset, PN_NEXT_ANSWER);
}

/* Nothing was said of the message yet: the connection is as good as before. */
static enum pn_next cannot_read(struct deliver_dialogue *dialogue, const char *why)
{
	struct pn_reply reply;

	deliver_note(dialogue, "%s", why);
	deliver_reply_say(&reply, "4.3.0", "%s", why);
	deliver_settle_rest(dialogue, PN_DELIVERY_DEFERRED, &reply, "MAIL");
	deliver_hand_back(dialogue);
	return deliver_ready(dialogue);
}

enum pn_next deliver_body_read(struct deliver_dialogue *dialogue, const struct pn_answer *answer)
{
	const struct pn_body_piece *piece = answer->result;
	bool is_reading = dialogue->stage == DELIVER_READING;
	uint64_t left = dialogue->delivery->size -
	                (is_reading ? dialogue->body_checked : dialogue->body_offset);
	const char *why = NULL;

	if (answer->kind != PN_ANSWER_STORE || answer->status != PN_OK || piece == NULL)
		why = "the message could not be read here";
	else if (piece->bytes.size == 0 || piece->bytes.size > left)
		why = "the message is not as long as it should be";
	if (why != NULL)
		return is_reading ? cannot_read(dialogue, why)
		                  : break_off(dialogue, PN_DELIVERY_DEFERRED, "4.3.0", why);
	return is_reading ? take_to_check(dialogue, piece->bytes)
	                  : take_to_send(dialogue, piece->bytes);
}

/* ---- answers to the end of the data ---- */

static void settle_by(struct deliver_dialogue *dialogue, size_t index, const struct pn_reply *reply)
{
	enum pn_delivery_outcome outcome =
		deliver_reply_class(reply) == 2 ? PN_DELIVERY_DONE : deliver_outcome_of(reply);

	deliver_settle(dialogue, index, outcome, reply, "end of data");
}

enum pn_next deliver_data_answered(struct deliver_dialogue *dialogue, const struct pn_reply *reply)
{
	size_t index = dialogue->replied.recipient;

	if (deliver_reply_class(reply) == 3)
		return deliver_nonsense(dialogue,
		                        "the server answered the end of the data with nonsense");
	/* LMTP: one answer for each that was accepted, in their order (RFC 2033 section 4.2). */
	while (!dialogue->is_lone_dot && index < dialogue->recipient_count) {
		if (dialogue->places[index].state == DELIVER_RECIPIENT_ACCEPTED) {
			settle_by(dialogue, index, reply);
			dialogue->accepted--;
			if (dialogue->kind == DELIVER_LMTP)
				break;
		}
		index++;
	}
	/* RFC 3030 section 2: behind a chunk that failed the transaction is still open. */
	if (dialogue->uses_chunks && deliver_reply_class(reply) != 2)
		dialogue->needs_reset = true;
	dialogue->replied.recipient = (uint32_t)index;
	if (dialogue->accepted > 0)
		return deliver_await(dialogue, DELIVER_ANSWERS, "end of data",
		                     dialogue->config->data_end_timeout);
	deliver_hand_back(dialogue);
	return deliver_ready(dialogue);
}
