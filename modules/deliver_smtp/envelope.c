/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope: [RSET] MAIL RCPT … DATA, in one flight where the server offers
 * PIPELINING (RFC 2920), else one command after the other. Two places are kept in
 * the flight: what is sent next, and what is answered next.
 */
#include "deliver.h"

#include <postern/clock.h>
#include <postern/text.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A command while it is written. */
struct command {
	char text[DELIVER_COMMAND_MAX];
	size_t size;
};

/* Nothing of what does not fit: a parameter that is cut off would be another one. */
static void add(struct command *command, const char *format, ...) PN_PRINTF(2, 3);

static void add(struct command *command, const char *format, ...)
{
	size_t room = sizeof(command->text) - command->size;
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(command->text + command->size, room, format, arguments);
	va_end(arguments);
	if (size > 0 && (size_t)size < room)
		command->size += (size_t)size;
}

static bool is_printable(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] <= ' ' || text.data[i] > '~')
			return false;
	}
	return text.size > 0;
}

static const struct pn_parameter *find(const struct pn_parameter *parameters, size_t count,
                                       const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (pn_slice_equal_ignore_case(parameters[i].name, pn_slice_of(name)))
			return &parameters[i];
	}
	return NULL;
}

/* " NAME=value", where it was given and can be passed on. */
static void pass_on(struct command *command, const struct pn_parameter *parameters, size_t count,
                    const char *name)
{
	const struct pn_parameter *parameter = find(parameters, count, name);

	if (parameter != NULL && is_printable(parameter->value) && parameter->value.size <= 1000)
		add(command, " %s=%.*s", name, PN_SLICE_ARGS(parameter->value));
}

static bool offers(const struct deliver_dialogue *dialogue, enum deliver_extension extension)
{
	return (dialogue->offer.extensions & extension) != 0;
}

static bool body_is(const struct pn_delivery *delivery, const char *value)
{
	const struct pn_parameter *body =
		find(delivery->parameters, delivery->parameter_count, "BODY");

	return body != NULL && pn_slice_equal_ignore_case(body->value, pn_slice_of(value));
}

/* Known where all of it was looked at; else what was declared, and with nothing declared it may be.
 */
static bool may_have_eight_bit(const struct deliver_dialogue *dialogue)
{
	return dialogue->is_checked ? dialogue->check.has_eight_bit
	                            : !body_is(dialogue->delivery, "7BIT");
}

/* ---- commands ---- */

/* What is left of the time, in seconds; RFC 2852 section 4: 9 digits. */
static int64_t seconds_left(const struct pn_delivery *delivery)
{
	int64_t seconds = (delivery->by.moment_ms - pn_clock_wall_ms()) / 1000;

	if (seconds > 999999999)
		return 999999999;
	return seconds < -999999999 ? -999999999 : seconds;
}

static void add_by(struct command *command, const struct pn_delivery *delivery)
{
	add(command, " BY=%lld;%s%s", (long long)seconds_left(delivery),
	    delivery->by.mode == PN_DELIVER_BY_RETURN ? "R" : "N", delivery->by.traces ? "T" : "");
}

static void say_mail(struct deliver_dialogue *dialogue)
{
	const struct pn_delivery *delivery = dialogue->delivery;
	const struct pn_parameter *parameters = delivery->parameters;
	size_t count = delivery->parameter_count;
	struct command command = {.size = 0};

	add(&command, "MAIL FROM:<%.*s>", PN_SLICE_ARGS(delivery->sender->text));
	if (offers(dialogue, DELIVER_SIZE))
		add(&command, " SIZE=%llu", (unsigned long long)delivery->size);
	if (dialogue->is_binary)
		add(&command, " BODY=BINARYMIME");
	else if (offers(dialogue, DELIVER_8BITMIME) && may_have_eight_bit(dialogue))
		add(&command, " BODY=8BITMIME");
	if (dialogue->wants_utf8)
		add(&command, " SMTPUTF8");
	if (offers(dialogue, DELIVER_DSN)) {
		pass_on(&command, parameters, count, "RET");
		pass_on(&command, parameters, count, "ENVID");
	}
	if (offers(dialogue, DELIVER_MT_PRIORITY))
		pass_on(&command, parameters, count, "MT-PRIORITY");
	if (offers(dialogue, DELIVER_DELIVERBY) && delivery->by.mode != PN_DELIVER_BY_NEVER)
		add_by(&command, delivery);
	if (offers(dialogue, DELIVER_REQUIRETLS) && delivery->requires_tls)
		add(&command, " REQUIRETLS");
	deliver_say(dialogue, pn_slice_make(command.text, command.size), NULL);
}

static void say_rcpt(struct deliver_dialogue *dialogue, size_t index)
{
	const struct pn_delivery_recipient *recipient = deliver_recipient(dialogue, index);
	struct command command = {.size = 0};

	add(&command, "RCPT TO:<%.*s>", PN_SLICE_ARGS(recipient->address.text));
	if (offers(dialogue, DELIVER_DSN)) {
		pass_on(&command, recipient->parameters, recipient->parameter_count, "NOTIFY");
		pass_on(&command, recipient->parameters, recipient->parameter_count, "ORCPT");
	}
	deliver_say(dialogue, pn_slice_make(command.text, command.size), NULL);
}

static void say_step(struct deliver_dialogue *dialogue, struct deliver_step step)
{
	switch (step.kind) {
	case DELIVER_STEP_RSET:
		deliver_say(dialogue, PN_SLICE("RSET"), NULL);
		break;
	case DELIVER_STEP_MAIL:
		say_mail(dialogue);
		break;
	case DELIVER_STEP_RCPT:
		say_rcpt(dialogue, step.recipient);
		break;
	case DELIVER_STEP_DATA:
		deliver_say(dialogue, PN_SLICE("DATA"), NULL);
		break;
	case DELIVER_STEP_END:
		break;
	}
}

static struct deliver_step step_behind(const struct deliver_dialogue *dialogue,
                                       struct deliver_step step)
{
	size_t index = step.kind == DELIVER_STEP_RCPT ? step.recipient + 1 : 0;

	if (step.kind == DELIVER_STEP_RSET)
		return (struct deliver_step){DELIVER_STEP_MAIL, 0};
	if (step.kind >= DELIVER_STEP_DATA)
		return (struct deliver_step){DELIVER_STEP_END, 0};
	while (index < dialogue->recipient_count && !dialogue->places[index].is_named)
		index++;
	/* The chunk is sent when somebody was accepted: there is nothing to be asked before it. */
	if (index == dialogue->recipient_count)
		return (struct deliver_step){
			dialogue->uses_chunks ? DELIVER_STEP_END : DELIVER_STEP_DATA, 0};
	return (struct deliver_step){DELIVER_STEP_RCPT, (uint32_t)index};
}

static enum pn_next await_step(struct deliver_dialogue *dialogue)
{
	const struct deliver_config *config = dialogue->config;

	switch (dialogue->replied.kind) {
	case DELIVER_STEP_RSET:
		return deliver_await(dialogue, DELIVER_ENVELOPE, "RSET", config->mail_timeout);
	case DELIVER_STEP_MAIL:
		return deliver_await(dialogue, DELIVER_ENVELOPE, "MAIL", config->mail_timeout);
	case DELIVER_STEP_RCPT:
		return deliver_await(dialogue, DELIVER_ENVELOPE, "RCPT", config->rcpt_timeout);
	default:
		return deliver_await(dialogue, DELIVER_ENVELOPE, "DATA",
		                     config->data_start_timeout);
	}
}

enum pn_next deliver_envelope_send(struct deliver_dialogue *dialogue)
{
	dialogue->sent.kind = dialogue->needs_reset ? DELIVER_STEP_RSET : DELIVER_STEP_MAIL;
	dialogue->sent.recipient = 0;
	dialogue->needs_reset = false;
	dialogue->mail_failed = false;
	dialogue->accepted = 0;
	dialogue->answers = 0;
	dialogue->replied = dialogue->sent;
	do {
		say_step(dialogue, dialogue->sent);
		dialogue->sent = step_behind(dialogue, dialogue->sent);
	} while (offers(dialogue, DELIVER_PIPELINING) && dialogue->sent.kind != DELIVER_STEP_END);
	return await_step(dialogue);
}

/* ---- answers ---- */

/* The transaction ends before its data. */
static enum pn_next give_up(struct deliver_dialogue *dialogue)
{
	deliver_hand_back(dialogue);
	return deliver_ready(dialogue);
}

/* All of it was answered, and no DATA belongs to it. */
static enum pn_next envelope_is_over(struct deliver_dialogue *dialogue)
{
	if (dialogue->accepted > 0)
		return deliver_body_send(dialogue);
	dialogue->needs_reset = !dialogue->mail_failed;
	return give_up(dialogue);
}

static enum pn_next go_on(struct deliver_dialogue *dialogue)
{
	dialogue->replied = step_behind(dialogue, dialogue->replied);
	if (dialogue->replied.kind == DELIVER_STEP_END)
		return envelope_is_over(dialogue);
	if (dialogue->sent.kind == DELIVER_STEP_END)
		return await_step(dialogue);
	/* One by one: what would be refused anyway is not said. */
	if (dialogue->mail_failed)
		return give_up(dialogue);
	if (dialogue->sent.kind == DELIVER_STEP_DATA && dialogue->accepted == 0) {
		dialogue->needs_reset = true;
		return give_up(dialogue);
	}
	say_step(dialogue, dialogue->sent);
	dialogue->sent = step_behind(dialogue, dialogue->sent);
	return await_step(dialogue);
}

static enum pn_next nonsense(struct deliver_dialogue *dialogue)
{
	char text[80];

	snprintf(text, sizeof(text), "the server answered %s with nonsense", dialogue->command);
	return deliver_nonsense(dialogue, text);
}

static enum pn_next mail_answered(struct deliver_dialogue *dialogue, const struct pn_reply *reply)
{
	switch (deliver_reply_class(reply)) {
	case 2:
		return go_on(dialogue);
	case 4:
	case 5:
		dialogue->mail_failed = true;
		deliver_settle_rest(dialogue, deliver_outcome_of(reply), reply, "MAIL");
		return go_on(dialogue);
	default:
		return nonsense(dialogue);
	}
}

/* RFC 5321 section 4.5.3.1.10: 452, and from old servers 552. */
static bool has_too_many(const struct deliver_dialogue *dialogue, const struct pn_reply *reply)
{
	if (dialogue->accepted == 0)
		return false;
	if (reply->code == 452)
		return reply->enhanced[0] == '\0' || strcmp(reply->enhanced, "4.5.3") == 0;
	return reply->code == 552 && strcmp(reply->enhanced, "5.5.3") == 0;
}

static enum pn_next rcpt_answered(struct deliver_dialogue *dialogue, const struct pn_reply *reply)
{
	size_t index = dialogue->replied.recipient;

	switch (deliver_reply_class(reply)) {
	case 2:
		if (dialogue->mail_failed)
			break;
		dialogue->places[index].state = DELIVER_RECIPIENT_ACCEPTED;
		dialogue->accepted++;
		break;
	case 4:
	case 5:
		if (dialogue->mail_failed)
			break;
		deliver_settle(dialogue, index, deliver_outcome_of(reply), reply, "RCPT");
		if (has_too_many(dialogue, reply)) {
			deliver_recipient(dialogue, index)->outcome = PN_DELIVERY_DEFERRED;
			dialogue->places[index].state = DELIVER_RECIPIENT_TOO_MANY;
		}
		break;
	default:
		return nonsense(dialogue);
	}
	return go_on(dialogue);
}

/*
 * The server wants a message that none of its recipients is for, which a flight can lead to. RFC
 * 2920 section 3.1: it gets an empty one. LMTP answers that as often as there are recipients:
 * never.
 */
static enum pn_next send_nothing(struct deliver_dialogue *dialogue)
{
	if (dialogue->kind == DELIVER_LMTP)
		return deliver_nonsense(dialogue, "the server takes a message without recipients");
	dialogue->is_lone_dot = true;
	deliver_say(dialogue, PN_SLICE("."), NULL);
	return deliver_await(dialogue, DELIVER_ANSWERS, "end of data",
	                     dialogue->config->data_end_timeout);
}

static enum pn_next data_answered(struct deliver_dialogue *dialogue, const struct pn_reply *reply)
{
	dialogue->is_lone_dot = false;
	if (reply->code == 354)
		return dialogue->accepted == 0 ? send_nothing(dialogue)
		                               : deliver_body_send(dialogue);
	if (deliver_reply_class(reply) != 4 && deliver_reply_class(reply) != 5)
		return nonsense(dialogue);
	dialogue->needs_reset = !dialogue->mail_failed;
	deliver_settle_rest(dialogue, deliver_outcome_of(reply), reply, "DATA");
	return give_up(dialogue);
}

enum pn_next deliver_envelope_answered(struct deliver_dialogue *dialogue,
                                       const struct pn_reply *reply)
{
	dialogue->answers++;
	switch (dialogue->replied.kind) {
	case DELIVER_STEP_RSET:
		return deliver_reply_class(reply) == 2 ? go_on(dialogue) : nonsense(dialogue);
	case DELIVER_STEP_MAIL:
		return mail_answered(dialogue, reply);
	case DELIVER_STEP_RCPT:
		return rcpt_answered(dialogue, reply);
	default:
		return data_answered(dialogue, reply);
	}
}

/* ---- who can be tried ---- */

static void refuse(struct deliver_dialogue *dialogue, size_t index, const char *command,
                   const char *enhanced, const char *text)
{
	struct pn_reply reply;

	deliver_reply_say(&reply, enhanced, "%s", text);
	deliver_settle(dialogue, index, PN_DELIVERY_REFUSED, &reply, command);
}

/* Addresses were parsed when they came; nothing else may ever add a command. */
static bool is_sendable(const struct pn_address *address)
{
	for (size_t i = 0; i < address->text.size; i++) {
		if ((unsigned char)address->text.data[i] < ' ' || address->text.data[i] == 0x7f)
			return false;
	}
	return address->text.size <= DELIVER_COMMAND_MAX / 4;
}

static void refuse_everybody(struct deliver_dialogue *dialogue, const char *enhanced,
                             const char *format, ...) PN_PRINTF(3, 4);

static void refuse_everybody(struct deliver_dialogue *dialogue, const char *enhanced,
                             const char *format, ...)
{
	char text[200];
	va_list arguments;
	struct pn_reply reply;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	deliver_reply_say(&reply, enhanced, "%s", text);
	deliver_settle_rest(dialogue, PN_DELIVERY_REFUSED, &reply, "MAIL");
}

static void make_places(struct deliver_dialogue *dialogue)
{
	size_t count = dialogue->delivery->recipient_count;

	if (count > dialogue->config->max_recipients)
		count = dialogue->config->max_recipients;
	if (count > dialogue->place_capacity) {
		free(dialogue->places);
		dialogue->places = calloc(count, sizeof(*dialogue->places));
		if (dialogue->places == NULL)
			abort();
		dialogue->place_capacity = count;
	}
	memset(dialogue->places, 0, count * sizeof(*dialogue->places));
	dialogue->recipient_count = count;
}

/* RFC 6531 section 3.2: without SMTPUTF8 such an address cannot be said. */
static void sort_out_utf8(struct deliver_dialogue *dialogue)
{
	static const char why[] = "the server does not take UTF-8 addresses (SMTPUTF8)";
	const struct pn_delivery *delivery = dialogue->delivery;
	bool is_needed = delivery->sender->is_utf8 ||
	                 find(delivery->parameters, delivery->parameter_count, "SMTPUTF8") != NULL;

	if (is_needed && !offers(dialogue, DELIVER_SMTPUTF8))
		refuse_everybody(dialogue, "5.6.7", "%s", why);
	for (size_t i = 0; i < dialogue->recipient_count; i++) {
		if (!deliver_recipient(dialogue, i)->address.is_utf8)
			continue;
		is_needed = true;
		if (!offers(dialogue, DELIVER_SMTPUTF8) &&
		    dialogue->places[i].state == DELIVER_RECIPIENT_WAITS)
			refuse(dialogue, i, "RCPT", "5.6.7", why);
	}
	dialogue->wants_utf8 = is_needed && offers(dialogue, DELIVER_SMTPUTF8);
}

/* RFC 2852 section 4.2: a server that does not know of the time would keep it past it; one that
 * wants more of it does, too. By LMTP it is delivered now. */
static void sort_out_by(struct deliver_dialogue *dialogue)
{
	const struct pn_delivery *delivery = dialogue->delivery;
	int64_t left;

	if (delivery->by.mode != PN_DELIVER_BY_RETURN)
		return;
	left = seconds_left(delivery);
	if (left <= 0)
		refuse_everybody(dialogue, "5.4.7", "%s", "the time that its sender set is over");
	else if (dialogue->kind == DELIVER_LMTP)
		return;
	else if (!offers(dialogue, DELIVER_DELIVERBY))
		refuse_everybody(dialogue, "5.3.3", "%s",
		                 "the server does not know by when it must deliver (DELIVERBY)");
	else if ((uint64_t)left < dialogue->offer.min_by)
		refuse_everybody(dialogue, "5.4.7",
		                 "the server wants at least %llu seconds to deliver in",
		                 (unsigned long long)dialogue->offer.min_by);
}

/* RFC 8689 section 4.2: the certificate was verified, the name came from somewhere that can be
 * trusted, and the server promises the same. */
static void sort_out_tls(struct deliver_dialogue *dialogue)
{
	const struct pn_next_hop *hop = pn_carrier_hop(dialogue->carrier);

	if (!dialogue->delivery->requires_tls ||
	    (dialogue->kind == DELIVER_LMTP && strncmp(hop->address, "unix:", 5) == 0))
		return;
	if (!dialogue->is_secured || dialogue->tls != PN_ROUTE_TLS_VERIFIED)
		refuse_everybody(dialogue, "5.7.30", "%s",
		                 "its sender requires TLS with a verified certificate");
	else if (hop->domain[0] != '\0' && !hop->name_is_secure &&
	         dialogue->config->requiretls_dnssec)
		refuse_everybody(
			dialogue, "5.7.30", "%s",
			"its sender requires TLS, and nobody vouches for the server's name");
	else if (!offers(dialogue, DELIVER_REQUIRETLS))
		refuse_everybody(dialogue, "5.7.30", "%s",
		                 "its sender requires TLS, which the server does not promise "
		                 "(REQUIRETLS)");
}

bool deliver_envelope_begin(struct deliver_dialogue *dialogue)
{
	const struct pn_delivery *delivery = dialogue->delivery;
	size_t left = 0;

	make_places(dialogue);
	if (!is_sendable(delivery->sender))
		refuse_everybody(dialogue, "5.1.7", "the sender's address cannot be sent");
	/* RFC 1870 section 6.1: no need to try. */
	if (dialogue->offer.max_size > 0 && delivery->size > dialogue->offer.max_size)
		refuse_everybody(dialogue, "5.3.4",
		                 "the server takes at most %llu bytes, this message has %llu",
		                 (unsigned long long)dialogue->offer.max_size,
		                 (unsigned long long)delivery->size);
	for (size_t i = 0; i < dialogue->recipient_count; i++) {
		if (dialogue->places[i].state == DELIVER_RECIPIENT_WAITS &&
		    !is_sendable(&deliver_recipient(dialogue, i)->address))
			refuse(dialogue, i, "RCPT", "5.1.3", "this address cannot be sent");
	}
	sort_out_utf8(dialogue);
	sort_out_by(dialogue);
	sort_out_tls(dialogue);
	for (size_t i = 0; i < dialogue->recipient_count; i++) {
		dialogue->places[i].is_named = dialogue->places[i].state == DELIVER_RECIPIENT_WAITS;
		left += dialogue->places[i].is_named ? 1 : 0;
	}
	return left > 0;
}
