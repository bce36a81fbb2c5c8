/* SPDX-License-Identifier: Apache-2.0 */
/* What modules that deliver may ask of the gateway, in straw. */
#include "straw.h"

#include <postern/clock.h>

#include "io/frame.h"

#include <stdio.h>
#include <stdlib.h>

extern const struct pn_module deliver_smtp_LTX_pn_module;
extern const struct pn_module deliver_lmtp_LTX_pn_module;

struct straw straw;

#define need(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
			        #condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static const struct pn_protocol *protocol(void)
{
	return straw.request_kept.protocol;
}

static struct pn_session *the_session(void)
{
	return (struct pn_session *)&straw;
}

static struct pn_carrier *the_carrier(void)
{
	return (struct pn_carrier *)&straw;
}

static void append(struct pn_buffer *buffer, struct pn_slice bytes)
{
	need(pn_buffer_append(buffer, bytes) == PN_OK);
}

/* ---- tickets ---- */

static struct pn_ticket open_ticket(bool is_session, pn_answered_function *answered, void *user)
{
	for (uint32_t i = 0; i < STRAW_TICKETS; i++) {
		if (straw.tickets[i].is_open)
			continue;
		memset(&straw.tickets[i], 0, sizeof(straw.tickets[i]));
		straw.tickets[i].ticket = (struct pn_ticket){i, ++straw.next_generation};
		straw.tickets[i].is_open = true;
		straw.tickets[i].is_session = is_session;
		straw.tickets[i].answered = answered;
		straw.tickets[i].user = user;
		return straw.tickets[i].ticket;
	}
	need(!"too many tickets are open");
	return (struct pn_ticket){0, 0};
}

struct pn_ticket pn_session_ticket(struct pn_session *session, uint64_t deadline_ms)
{
	need(session == the_session() && !straw.session_closed && deadline_ms > 0);
	return open_ticket(true, NULL, NULL);
}

struct pn_ticket pn_ticket_open(struct pn_session *session, pn_answered_function *answered,
                                void *user, uint64_t deadline_ms)
{
	need(session == NULL && answered != NULL && deadline_ms > 0);
	return open_ticket(false, answered, user);
}

bool pn_ticket_is_open(struct pn_ticket ticket)
{
	return ticket.generation != 0 && ticket.slot < STRAW_TICKETS &&
	       straw.tickets[ticket.slot].is_open &&
	       straw.tickets[ticket.slot].ticket.generation == ticket.generation;
}

bool pn_ticket_answer(struct pn_ticket ticket, enum pn_answer_kind kind, enum pn_status status,
                      void *result, void (*release)(void *result), const struct pn_error *error)
{
	need(result == NULL && release == NULL && error == NULL);
	if (!pn_ticket_is_open(ticket) || straw.tickets[ticket.slot].has_answer)
		return false;
	straw.tickets[ticket.slot].has_answer = true;
	straw.tickets[ticket.slot].kind = kind;
	straw.tickets[ticket.slot].status = status;
	return true;
}

void pn_ticket_cancel(struct pn_ticket ticket)
{
	if (pn_ticket_is_open(ticket))
		straw.tickets[ticket.slot].is_open = false;
}

/* ---- the session ---- */

void *pn_session_user(const struct pn_session *session)
{
	(void)session;
	return straw.request_kept.user;
}

void pn_session_write(struct pn_session *session, struct pn_slice bytes)
{
	need(session == the_session() && straw.has_session && !straw.session_closed);
	append(&straw.output, bytes);
}

static void write_piece(void *user, struct pn_slice bytes)
{
	pn_session_write(user, bytes);
}

void pn_session_write_stuffed(struct pn_session *session, struct pn_slice bytes, bool is_last)
{
	struct pn_frame_stuff stuff = {straw.stuff_state};

	pn_frame_stuff(&stuff, bytes, is_last, write_piece, session);
	straw.stuff_state = is_last ? 0 : stuff.state;
}

bool pn_session_output_is_high(const struct pn_session *session)
{
	(void)session;
	return straw.output.size > 256 * 1024;
}

void pn_session_set_deadline(struct pn_session *session, uint64_t milliseconds)
{
	need(session == the_session() && straw.has_session && milliseconds > 0);
	straw.deadline_ms = milliseconds;
}

void pn_session_set_line_limit(struct pn_session *session, size_t bytes)
{
	(void)session;
	straw.line_limit = bytes;
}

bool pn_session_is_encrypted(const struct pn_session *session)
{
	(void)session;
	return straw.is_encrypted;
}

const char *pn_session_tls_version(const struct pn_session *session)
{
	(void)session;
	return straw.is_encrypted ? "TLSv1.3" : "";
}

const char *pn_session_tls_cipher(const struct pn_session *session)
{
	(void)session;
	return straw.is_encrypted ? "STRAW" : "";
}

bool pn_session_peer_is_loopback(const struct pn_session *session)
{
	(void)session;
	return straw.loopback;
}

static void keep(char *room, size_t size, const char *text)
{
	snprintf(room, size, "%s", text == NULL ? "" : text);
}

enum pn_status pn_connect(struct pn_instance *instance, const struct pn_connect *request,
                          struct pn_error *error)
{
	(void)instance;
	need(!straw.has_session);
	straw.connects++;
	if (strstr(request->address, "nonsense") != NULL)
		return pn_fail(error, "%s makes no sense", request->address);
	if (strstr(request->address, "noroute") != NULL)
		return pn_fail_errno(error, 113, "cannot connect");
	straw.request_kept = *request;
	keep(straw.connected_to, sizeof(straw.connected_to), request->address);
	keep(straw.connected_from, sizeof(straw.connected_from), request->source_address);
	keep(straw.tls_name, sizeof(straw.tls_name), request->tls_name);
	keep(straw.server_name, sizeof(straw.server_name), request->tls_server_name);
	straw.has_session = true;
	return PN_OK;
}

/* ---- the carrier ---- */

const struct pn_next_hop *pn_carrier_hop(const struct pn_carrier *carrier)
{
	need(carrier == the_carrier() && straw.closed == 0);
	return &straw.hop;
}

struct pn_instance *pn_carrier_instance(const struct pn_carrier *carrier)
{
	need(carrier == the_carrier());
	return NULL;
}

const void *pn_carrier_config(const struct pn_carrier *carrier)
{
	need(carrier == the_carrier());
	return &straw.config;
}

const char *pn_carrier_hostname(const struct pn_carrier *carrier)
{
	need(carrier == the_carrier() && straw.closed == 0);
	return "us.example.org";
}

void pn_carrier_set_state(struct pn_carrier *carrier, void *state)
{
	need(carrier == the_carrier());
	straw.carrier_state = state;
}

void *pn_carrier_state(const struct pn_carrier *carrier)
{
	need(carrier == the_carrier() && straw.closed == 0);
	return straw.carrier_state;
}

void pn_carrier_ready(struct pn_carrier *carrier)
{
	need(carrier == the_carrier() && straw.closed == 0 && !straw.is_delivering);
	straw.ready++;
	if (straw.messages_waiting == 0)
		return;
	straw.messages_waiting--;
	straw_deliver();
}

void pn_carrier_closed(struct pn_carrier *carrier, enum pn_carrier_end end,
                       const struct pn_reply *reply)
{
	need(carrier == the_carrier() && straw.closed == 0 && !straw.is_delivering);
	straw.closed++;
	straw.end = end;
	straw.end_reply = *reply;
}

void pn_carrier_note(struct pn_carrier *carrier, char direction, struct pn_slice line)
{
	need(carrier == the_carrier() && straw.closed == 0);
	append(&straw.notes, pn_slice_make(&direction, 1));
	append(&straw.notes, line);
	append(&straw.notes, PN_SLICE("\n"));
}

struct pn_slice pn_session_unread(const struct pn_session *session)
{
	(void)session;
	return PN_SLICE("");
}

void pn_carrier_set_address(struct pn_carrier *carrier, const char *address)
{
	(void)carrier;
	(void)address;
}

void pn_carrier_fact(struct pn_carrier *carrier, const char *key, const char *value)
{
	need(carrier == the_carrier() && straw.closed == 0);
	need(pn_buffer_print(&straw.facts, "%s=%s\n", key, value) == PN_OK);
}

void pn_delivery_read(struct pn_delivery *delivery, uint64_t offset, size_t max_size,
                      struct pn_ticket ticket)
{
	need(delivery == &straw.delivery && straw.is_delivering);
	need(max_size >= 1 && max_size <= 1024 * 1024 && offset < straw.body_size);
	need(pn_ticket_is_open(ticket) && !pn_ticket_is_open(straw.asked_ticket));
	straw.reads++;
	straw.asked_body = true;
	straw.asked_offset = offset;
	straw.asked_size = max_size;
	straw.asked_ticket = ticket;
	straw.tickets[ticket.slot].is_body = true;
	if (!straw.keeps_answers)
		pn_ticket_answer(ticket, PN_ANSWER_STORE, straw.body_fails ? PN_FAILED : PN_OK,
		                 NULL, NULL, NULL);
}

void straw_answer_body(void)
{
	pn_ticket_answer(straw.asked_ticket, PN_ANSWER_STORE, straw.body_fails ? PN_FAILED : PN_OK,
	                 NULL, NULL, NULL);
	straw_run();
}

void pn_delivery_done(struct pn_delivery *delivery)
{
	need(delivery == &straw.delivery && straw.is_delivering);
	straw.is_delivering = false;
	straw.done++;
}

/* ---- the clock ---- */

uint64_t pn_clock_monotonic_ms(void)
{
	return straw.now_ms;
}

int64_t pn_clock_wall_ms(void)
{
	return STRAW_WALL_MS + (int64_t)straw.now_ms;
}

/* ---- the machine ---- */

static void close_session(enum pn_close_reason reason)
{
	straw.session_closed = true;
	for (size_t i = 0; i < STRAW_TICKETS; i++)
		straw.tickets[i].is_open = straw.tickets[i].is_open && !straw.tickets[i].is_session;
	protocol()->close(the_session(), NULL, reason);
}

static bool waits_for_lines(void)
{
	return straw.has_session && !straw.session_closed &&
	       (straw.next == PN_NEXT_LINE || straw.next == PN_NEXT_ANSWER_OR_LINE);
}

static void take_next(enum pn_next next)
{
	straw.in_entry = false;
	straw.next = next;
}

static bool feed_line(void)
{
	struct pn_line line = {.struct_size = sizeof(line)};
	size_t scanned = 0;
	size_t consumed = 0;
	char *copy;
	bool after_cr = false;

	if (!waits_for_lines() || straw.input.size == 0)
		return false;
	copy = malloc(straw.input.size);
	need(copy != NULL);
	memcpy(copy, straw.input.data, straw.input.size);
	if (!pn_frame_line(pn_slice_make(copy, straw.input.size), straw.line_limit, &scanned,
	                   &line.problem, &line.text, &consumed)) {
		free(copy);
		return false;
	}
	pn_buffer_consume(&straw.input, consumed);
	if (line.problem == PN_LINE_TOO_LONG) {
		pn_frame_skip_line(pn_buffer_slice(&straw.input), &after_cr, &consumed);
		pn_buffer_consume(&straw.input, consumed);
	}
	take_next(protocol()->line(the_session(), NULL, &line));
	free(copy);
	return true;
}

static void flush(void)
{
	if (straw.is_stalled)
		return;
	append(&straw.sent, pn_buffer_slice(&straw.output));
	straw.output.size = 0;
}

static void answer_session(const struct pn_answer *answer)
{
	if (!straw.session_closed && straw.next != PN_NEXT_CLOSE && protocol()->answered != NULL)
		take_next(protocol()->answered(the_session(), NULL, answer));
}

static void answer_body(struct pn_answer *answer)
{
	struct pn_body_piece piece = {.struct_size = sizeof(piece), .total_size = straw.body.size};
	size_t size = straw.asked_size;
	char *copy;

	if (straw.piece_size > 0 && size > straw.piece_size)
		size = straw.piece_size;
	if (straw.asked_offset > straw.body.size)
		size = 0;
	else if (size > straw.body.size - straw.asked_offset)
		size = straw.body.size - (size_t)straw.asked_offset;
	copy = malloc(size > 0 ? size : 1);
	need(copy != NULL);
	if (size > 0)
		memcpy(copy, straw.body.data + straw.asked_offset, size);
	piece.bytes = pn_slice_make(copy, size);
	answer->result = answer->status == PN_OK ? &piece : NULL;
	answer_session(answer);
	free(copy);
}

/* One answer that waits. */
static bool give_answer(void)
{
	for (size_t i = 0; i < STRAW_TICKETS; i++) {
		struct pn_answer answer = {.struct_size = sizeof(answer)};

		if (!straw.tickets[i].is_open || !straw.tickets[i].has_answer)
			continue;
		/* As the session: nobody hears during the handshake. */
		straw.tickets[i].is_open = false;
		answer.kind = straw.tickets[i].kind;
		answer.status = straw.tickets[i].status;
		answer.ticket = straw.tickets[i].ticket;
		if (!straw.tickets[i].is_session)
			straw.tickets[i].answered(straw.tickets[i].user, &answer);
		else if (straw.next == PN_NEXT_START_TLS)
			continue;
		else if (straw.tickets[i].is_body)
			answer_body(&answer);
		else
			answer_session(&answer);
		return true;
	}
	return false;
}

void straw_run(void)
{
	for (unsigned turns = 0;; turns++) {
		need(turns < 1000000);
		if (feed_line() || give_answer())
			continue;
		flush();
		if (!straw.has_session || straw.session_closed)
			return;
		if (straw.next == PN_NEXT_DRAIN && straw.output.size <= 64 * 1024) {
			take_next(protocol()->drained(the_session(), NULL));
			continue;
		}
		if (straw.next == PN_NEXT_CLOSE) {
			close_session(PN_CLOSE_FINISHED);
			continue;
		}
		return;
	}
}

/* ---- what the test does ---- */

static const struct deliver_config default_config = {
	.port = 25,
	.tls = PN_ROUTE_TLS_OPPORTUNISTIC - PN_ROUTE_TLS_NEVER,
	.hello = "",
	.max_recipients = 100,
	.connect_timeout = 30 * 1000,
	.greeting_timeout = 300 * 1000,
	.hello_timeout = 300 * 1000,
	.mail_timeout = 300 * 1000,
	.rcpt_timeout = 300 * 1000,
	.data_start_timeout = 120 * 1000,
	.data_block_timeout = 180 * 1000,
	.data_end_timeout = 600 * 1000,
	.quit_timeout = 10 * 1000,
};

void straw_begin(enum deliver_kind kind)
{
	memset(&straw, 0, sizeof(straw));
	straw.transport = kind == DELIVER_LMTP ? deliver_lmtp_LTX_pn_module.transport
	                                       : deliver_smtp_LTX_pn_module.transport;
	straw.config = default_config;
	straw.now_ms = 1000;
	straw.hop = (struct pn_next_hop){.struct_size = sizeof(straw.hop),
	                                 .name = "mx1.example.net",
	                                 .address = "192.0.2.1:25",
	                                 .domain = "example.net"};
	straw.line_limit = 1000;
	pn_buffer_init(&straw.sent, 64 * 1024 * 1024);
	pn_buffer_init(&straw.output, 64 * 1024 * 1024);
	pn_buffer_init(&straw.input, 64 * 1024 * 1024);
	pn_buffer_init(&straw.notes, 64 * 1024 * 1024);
	pn_buffer_init(&straw.facts, 64 * 1024);
	straw.body = PN_SLICE("Subject: x\r\n\r\nhi\r\n");
	straw.body_size = straw.body.size;
	straw_envelope("alice@example.org", 1);
}

void straw_end(void)
{
	if (straw.has_session && !straw.session_closed) {
		close_session(PN_CLOSE_STOPPING);
		need(straw.closed == 1);
	}
	straw_run();
	need(!straw.is_delivering);
	for (size_t i = 0; i < STRAW_TICKETS; i++)
		need(!straw.tickets[i].is_open);
	if (straw.instance != NULL)
		deliver_stop(straw.instance);
	pn_buffer_clear(&straw.sent);
	pn_buffer_clear(&straw.output);
	pn_buffer_clear(&straw.input);
	pn_buffer_clear(&straw.notes);
	pn_buffer_clear(&straw.facts);
}

static struct pn_address address_of(const char *text)
{
	struct pn_address address = {.text = pn_slice_of(text)};
	const char *at = strrchr(text, '@');

	if (at != NULL) {
		address.local_part = pn_slice_make(text, (size_t)(at - text));
		address.domain = pn_slice_of(at + 1);
	}
	for (size_t i = 0; i < address.text.size; i++)
		address.is_utf8 = address.is_utf8 || (unsigned char)text[i] >= 0x80;
	return address;
}

void straw_envelope(const char *sender, size_t recipients)
{
	need(recipients <= STRAW_RECIPIENTS_MAX);
	straw.sender = address_of(sender);
	straw.parameter_count = 0;
	straw.delivery = (struct pn_delivery){.struct_size = sizeof(straw.delivery),
	                                      .transaction_id = "0123456789abcdefghij",
	                                      .sender = &straw.sender,
	                                      .parameters = straw.parameters,
	                                      .recipients = &straw.recipients[0].recipient,
	                                      .recipient_size = sizeof(straw.recipients[0]),
	                                      .recipient_count = recipients};
	for (size_t i = 0; i < recipients; i++) {
		struct straw_recipient *recipient = &straw.recipients[i];

		memset(recipient, 0, sizeof(*recipient));
		snprintf(recipient->address, sizeof(recipient->address), "r%zu@example.net", i);
		recipient->recipient.address = address_of(recipient->address);
	}
}

void straw_parameter(const char *name, const char *value)
{
	need(straw.parameter_count < 8);
	straw.parameters[straw.parameter_count++] =
		(struct pn_parameter){pn_slice_of(name), pn_slice_of(value)};
}

struct pn_delivery_recipient *straw_recipient(size_t index)
{
	return &straw.recipients[index].recipient;
}

enum pn_status straw_open(struct pn_error *error)
{
	const struct pn_start start = {.struct_size = sizeof(start),
	                               .instance_name = "out",
	                               .config = &straw.config,
	                               .worker_kind = PN_WORKER_QUEUE};
	enum pn_status status;

	if (straw.instance == NULL && deliver_start(&start, &straw.instance, error) != PN_OK)
		return PN_FAILED;
	status = straw.transport->open(straw.instance, the_carrier(), error);
	if (status == PN_OK)
		straw_run();
	return status;
}

static void connect_is(enum pn_status status, const struct pn_error *error)
{
	const struct pn_answer answer = {.struct_size = sizeof(answer),
	                                 .kind = PN_ANSWER_CONNECT,
	                                 .status = status,
	                                 .error = error};

	take_next(protocol()->open(the_session(), NULL, &answer));
	straw_run();
}

void straw_connected(void)
{
	connect_is(PN_OK, NULL);
}

void straw_not_connected(const char *why, int number)
{
	struct pn_error error = {.system_error = number};

	snprintf(error.text, sizeof(error.text), "%s", why);
	connect_is(PN_FAILED, &error);
}

void straw_deliver(void)
{
	straw.delivery.parameter_count = straw.parameter_count;
	straw.delivery.size = straw.body_size;
	for (size_t i = 0; i < straw.delivery.recipient_count; i++) {
		straw.recipients[i].recipient.outcome = PN_DELIVERY_UNTRIED;
		memset(&straw.recipients[i].recipient.reply, 0, sizeof(struct pn_reply));
	}
	need(!straw.is_delivering && straw.closed == 0);
	straw.is_delivering = true;
	straw.transport->deliver(the_carrier(), &straw.delivery);
}

void straw_say_bytes(struct pn_slice bytes)
{
	if (!straw.has_session || straw.session_closed)
		return;
	append(&straw.input, bytes);
	straw_run();
}

void straw_say(const char *text)
{
	straw_say_bytes(pn_slice_of(text));
}

static void tell(enum pn_event_kind kind)
{
	const struct pn_session_event_info info = {.struct_size = sizeof(info), .kind = kind};
	enum pn_next next;

	next = protocol()->event(the_session(), NULL, &info);
	if (next == PN_NEXT_CLOSE)
		straw.next = PN_NEXT_CLOSE;
}

void straw_eof(void)
{
	if (!straw.has_session || straw.session_closed)
		return;
	if (straw.next == PN_NEXT_START_TLS) {
		straw_secured(false);
	} else if (waits_for_lines()) {
		tell(PN_EVENT_PEER_CLOSED);
		close_session(PN_CLOSE_BY_PEER);
	} else {
		close_session(PN_CLOSE_TROUBLE);
	}
	straw_run();
}

void straw_reset(void)
{
	if (straw.has_session && !straw.session_closed)
		close_session(PN_CLOSE_TROUBLE);
	straw_run();
}

void straw_late(void)
{
	if (!straw.has_session || straw.session_closed)
		return;
	if (straw.next != PN_NEXT_START_TLS && straw.output.size <= 256 * 1024)
		tell(PN_EVENT_DEADLINE);
	close_session(PN_CLOSE_DEADLINE);
	straw_run();
}

void straw_stop(void)
{
	if (waits_for_lines())
		tell(PN_EVENT_STOPPING);
	straw_run();
}

void straw_secured(bool is_up)
{
	struct pn_error error = {.text = "TLS with 192.0.2.1 failed: no"};
	const struct pn_answer answer = {.struct_size = sizeof(answer),
	                                 .kind = PN_ANSWER_SECURED,
	                                 .status = is_up ? PN_OK : PN_FAILED,
	                                 .error = is_up ? NULL : &error};

	need(straw.next == PN_NEXT_START_TLS);
	/* Bytes that came before it end the session. */
	if (straw.input.size > 0) {
		close_session(PN_CLOSE_TROUBLE);
		straw_run();
		return;
	}
	straw.is_encrypted = is_up;
	take_next(protocol()->answered(the_session(), NULL, &answer));
	straw_run();
}

const char *straw_sent(void)
{
	static char *text;

	free(text);
	text = malloc(straw.sent.size + 1);
	need(text != NULL);
	if (straw.sent.size > 0)
		memcpy(text, straw.sent.data, straw.sent.size);
	text[straw.sent.size] = '\0';
	straw.sent.size = 0;
	return text;
}
