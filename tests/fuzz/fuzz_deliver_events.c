/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that can happen to connections that deliver_smtp and deliver_lmtp make: the
 * module, the machine and tickets are the real ones, sockets and time are told, and the
 * input is what happens, as in fuzz_smtp_events.c. What must hold: a delivery ends once,
 * a carrier ends once and last, a recipient is done only where the server said 2xx behind
 * the end of the message, commands are lines of commands, and nothing is left over.
 */
#include <postern/module.h>
#include <postern/store.h>
#include <postern/text.h>

#include "../../modules/deliver_smtp/deliver.h"
#include "io/log.h"
#include "io/loop.h"
#include "io/world.h"
#include "session/generation.h"
#include "session/session.h"
#include "session/ticket.h"

#include "told_stream.h"

#include "fuzz.h"

enum { CARRIERS = 4, RECIPIENTS = 4, READS = 16, BODY_MAX = 300 * 1000 };

/* Below space: events. A line: what the server says. */
enum {
	EVENT_OPEN = 0x00,      /* a byte: how */
	EVENT_OTHER = 0x01,     /* a byte: whose turn it is */
	EVENT_CONNECTED = 0x02, /* a byte: or not */
	EVENT_DELIVER = 0x03,   /* a byte: what */
	EVENT_BODY = 0x04,      /* a byte: a piece of a body comes, or fails */
	EVENT_EOF = 0x05,
	EVENT_RESET = 0x06,
	EVENT_DEAF = 0x07,
	EVENT_FULL = 0x08,
	EVENT_SHAKE = 0x0b,  /* a byte: how it ends */
	EVENT_TIME = 0x0c,   /* a byte: how much of it */
	EVENT_CLOSE = 0x0e,  /* a byte: politely, or at once */
	EVENT_PIECES = 0x0f, /* a byte */
	EVENT_TOGETHER = 0x10,
	EVENT_BODIES_WAIT = 0x11,
	EVENT_STOP = 0x12,
	EVENT_END = 0x13,
};

struct pn_carrier {
	struct pn_next_hop hop;
	void *state;
	bool is_ready;
	struct pn_delivery *delivery;
	int number; /* of its peer; -1: there is none */
};

struct peer_state {
	struct pn_buffer line; /* that is not whole */
	bool said_data_end;
	bool was_full;
	int error;
};

static struct pn_carrier *carriers[CARRIERS];
static struct peer_state peers[TOLD_PEERS];
static size_t carrier_at;
static int last_number;
static size_t connections;
static bool bodies_wait;
static bool has_no_tls;
static uint64_t passed_ms;
static uint64_t started_ms;
static char body[BODY_MAX];

static struct {
	struct pn_ticket ticket;
	uint64_t offset;
	size_t size;
	uint64_t total;
} reads[READS];
static size_t read_count;

static struct deliver_config config;
static struct pn_generation generation;
static struct pn_instance instance;

extern const struct pn_module deliver_smtp_LTX_pn_module, deliver_lmtp_LTX_pn_module;

/* ---- the world ---- */

static int64_t wall_ms(void)
{
	return INT64_C(1800000000000) + (int64_t)(pn_loop_simulated_ms() - started_ms);
}

static uint64_t monotonic_ns(void)
{
	return (pn_loop_simulated_ms() - started_ms + 6000 * 1000) * UINT64_C(1000000);
}

static void told_random(void *bytes, size_t size)
{
	memset(bytes, 0x55, size);
}

static bool begins(struct pn_slice line, const char *text)
{
	return pn_slice_starts_with_ignore_case(line, pn_slice_of(text));
}

/* Commands, answers in an exchange, and the lines of our messages, which begin with "y". */
static void look_at_line(struct peer_state *peer, struct pn_slice line)
{
	static const char *const commands[] = {
		"EHLO ",     "HELO ",    "LHLO ",    "STARTTLS\r\n", "MAIL FROM:<",
		"RCPT TO:<", "DATA\r\n", "RSET\r\n", "QUIT\r\n",     "AUTH ",
		".\r\n",     "BDAT ",    "y"};
	bool is_known = false;

	require(line.size >= 2 && line.data[line.size - 2] == '\r');
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		is_known = is_known || begins(line, commands[i]);
	require(is_known);
	if (begins(line, ".\r\n") || begins(line, "BDAT "))
		peer->said_data_end = true;
}

static void hear(struct told_peer *told, struct pn_slice bytes)
{
	struct peer_state *peer = &peers[told - told_peers];
	const char *end;

	require(pn_buffer_append(&peer->line, bytes) == PN_OK);
	while (peer->line.size > 0 &&
	       (end = memchr(peer->line.data, '\n', peer->line.size)) != NULL) {
		size_t size = (size_t)(end - peer->line.data) + 1;

		look_at_line(peer, pn_slice_make(peer->line.data, size));
		pn_buffer_consume(&peer->line, size);
	}
}

enum pn_status __wrap_pn_socket_connect(const struct pn_socket_address *address,
                                        const char *source_address, int *descriptor_out,
                                        struct pn_error *error);
int __wrap_pn_socket_take_error(int descriptor);
struct ssl_st *__wrap_pn_tls_connect_to(const void *target);

enum pn_status __wrap_pn_socket_connect(const struct pn_socket_address *address,
                                        const char *source_address, int *descriptor_out,
                                        struct pn_error *error)
{
	(void)source_address;
	require(address->size > 0);
	if (connections == TOLD_PEERS)
		return pn_fail_errno(error, 113, "no way to go there");
	connections++;
	*descriptor_out = last_number = told_connect(hear);
	memset(&peers[last_number], 0, sizeof(peers[0]));
	pn_buffer_init(&peers[last_number].line, SIZE_MAX / 2);
	/* It is writable when it stands. */
	told_peers[last_number].is_full = true;
	return PN_OK;
}

int __wrap_pn_socket_take_error(int descriptor)
{
	return peers[descriptor].error;
}

struct ssl_st *__wrap_pn_tls_connect_to(const void *target)
{
	return has_no_tls ? NULL : (struct ssl_st *)(uintptr_t)target;
}

/* ---- the gateway that carriers belong to ---- */

static bool is_there(const struct pn_carrier *carrier)
{
	for (size_t i = 0; i < CARRIERS; i++) {
		if (carriers[i] == carrier)
			return true;
	}
	return false;
}

const struct pn_next_hop *pn_carrier_hop(const struct pn_carrier *carrier)
{
	require(is_there(carrier));
	return &carrier->hop;
}

struct pn_instance *pn_carrier_instance(const struct pn_carrier *carrier)
{
	require(is_there(carrier));
	return &instance;
}

const void *pn_carrier_config(const struct pn_carrier *carrier)
{
	require(is_there(carrier));
	return &config;
}

const char *pn_carrier_hostname(const struct pn_carrier *carrier)
{
	require(is_there(carrier));
	return "us.example.org";
}

void pn_carrier_set_state(struct pn_carrier *carrier, void *state)
{
	require(is_there(carrier));
	carrier->state = state;
}

void *pn_carrier_state(const struct pn_carrier *carrier)
{
	require(is_there(carrier));
	return carrier->state;
}

void pn_carrier_ready(struct pn_carrier *carrier)
{
	require(is_there(carrier) && carrier->delivery == NULL);
	carrier->is_ready = true;
}

void pn_carrier_closed(struct pn_carrier *carrier, enum pn_carrier_end end,
                       const struct pn_reply *reply)
{
	require(is_there(carrier) && carrier->delivery == NULL && end <= PN_CARRIER_BROKEN);
	(void)reply;
	for (size_t i = 0; i < CARRIERS; i++) {
		if (carriers[i] == carrier)
			carriers[i] = NULL;
	}
	free(carrier);
}

void pn_carrier_note(struct pn_carrier *carrier, char direction, struct pn_slice line)
{
	require(is_there(carrier) && direction != '\0');
	(void)line;
}

void pn_carrier_fact(struct pn_carrier *carrier, const char *key, const char *value)
{
	require(is_there(carrier) && key != NULL && value != NULL);
}

void pn_carrier_set_address(struct pn_carrier *carrier, const char *address)
{
	require(is_there(carrier) && address != NULL);
}

static struct pn_delivery_recipient *recipient_at(struct pn_delivery *delivery, size_t index)
{
	return &delivery->recipients[index];
}

void pn_delivery_done(struct pn_delivery *delivery)
{
	struct pn_carrier *carrier = NULL;

	for (size_t i = 0; i < CARRIERS; i++) {
		if (carriers[i] != NULL && carriers[i]->delivery == delivery)
			carrier = carriers[i];
	}
	require(carrier != NULL);
	for (size_t i = 0; i < delivery->recipient_count; i++) {
		const struct pn_delivery_recipient *recipient = recipient_at(delivery, i);

		if (recipient->outcome != PN_DELIVERY_DONE)
			continue;
		require(recipient->reply.code / 100 == 2);
		require(strcmp(recipient->command, "end of data") == 0);
		require(carrier->number >= 0 &&
		        (peers[carrier->number].said_data_end || peers[carrier->number].was_full));
	}
	carrier->delivery = NULL;
	free(delivery->recipients);
	free(delivery);
}

struct piece {
	struct pn_body_piece piece;
	char bytes[];
};

static void answer_read(size_t index, bool is_good, size_t most)
{
	size_t size = reads[index].size;
	struct pn_ticket ticket = reads[index].ticket;
	struct piece *piece;

	size = size < most ? size : most;
	if (size > reads[index].total - reads[index].offset)
		size = (size_t)(reads[index].total - reads[index].offset);
	piece = malloc(sizeof(*piece) + size);
	require(piece != NULL);
	memcpy(piece->bytes, body + reads[index].offset, size);
	piece->piece = (struct pn_body_piece){.struct_size = sizeof(piece->piece),
	                                      .bytes = pn_slice_make(piece->bytes, size),
	                                      .total_size = reads[index].total};
	read_count--;
	memmove(&reads[index], &reads[index + 1], (read_count - index) * sizeof(reads[0]));
	if (is_good) {
		(void)pn_ticket_answer(ticket, PN_ANSWER_STORE, PN_OK, piece, free, NULL);
		return;
	}
	free(piece);
	(void)pn_ticket_answer(ticket, PN_ANSWER_STORE, PN_FAILED, NULL, NULL, NULL);
}

void pn_delivery_read(struct pn_delivery *delivery, uint64_t offset, size_t max_size,
                      struct pn_ticket ticket)
{
	require(max_size >= 1 && offset < delivery->size);
	if (read_count == READS)
		answer_read(0, true, SIZE_MAX);
	reads[read_count].ticket = ticket;
	reads[read_count].offset = offset;
	reads[read_count].size = max_size;
	reads[read_count].total = delivery->size;
	read_count++;
	if (!bodies_wait)
		answer_read(read_count - 1, true, SIZE_MAX);
}

/* ---- what happens ---- */

static const struct pn_transport *transport(void)
{
	return instance.module->transport;
}

static void open_one(unsigned how)
{
	struct pn_carrier *carrier = calloc(1, sizeof(*carrier));
	struct pn_error error;

	require(carrier != NULL);
	carrier_at = (carrier_at + 1) % CARRIERS;
	if (carriers[carrier_at] != NULL) {
		free(carrier);
		return;
	}
	carrier->hop = (struct pn_next_hop){.struct_size = sizeof(carrier->hop),
	                                    .name = "mx1.example.net",
	                                    .address = "192.0.2.1:25",
	                                    .domain = "example.net",
	                                    .tls = (enum pn_route_tls)(how % 5)};
	carriers[carrier_at] = carrier;
	last_number = -1;
	if (transport()->open(instance.state, carrier, &error) != PN_OK) {
		carriers[carrier_at] = NULL;
		free(carrier);
	} else if (carriers[carrier_at] != NULL) {
		carrier->number = last_number;
	}
}

static struct pn_address address_of(const char *text)
{
	struct pn_slice rest = pn_slice_of(text);
	struct pn_address address = {.text = rest};

	address.local_part = pn_slice_cut(&rest, '@');
	address.domain = rest;
	return address;
}

static void deliver(unsigned what)
{
	static const size_t sizes[] = {30, 3000, 0, BODY_MAX};
	static const char *const addresses[] = {"a@b.example", "c@d.example", "e@f.example",
	                                        "g@h.example"};
	static struct pn_address sender;
	struct pn_carrier *carrier = carriers[carrier_at];
	struct pn_delivery *delivery;

	if (carrier == NULL || !carrier->is_ready)
		return;
	sender = address_of("us@example.org");
	delivery = calloc(1, sizeof(*delivery));
	require(delivery != NULL);
	*delivery = (struct pn_delivery){
		.struct_size = sizeof(*delivery),
		.transaction_id = "0123456789abcdefghij",
		.sender = &sender,
		.size = sizes[what % 4],
		.recipient_size = sizeof(struct pn_delivery_recipient),
		.recipient_count = 1 + what / 4 % RECIPIENTS,
		.requires_tls = (what & 128) != 0,
	};
	delivery->recipients = calloc(delivery->recipient_count, sizeof(*delivery->recipients));
	require(delivery->recipients != NULL);
	for (size_t i = 0; i < delivery->recipient_count; i++)
		delivery->recipients[i].address = address_of(addresses[i]);
	carrier->is_ready = false;
	carrier->delivery = delivery;
	if (carrier->number >= 0) {
		peers[carrier->number].said_data_end = false;
		peers[carrier->number].was_full = told_peers[carrier->number].is_full;
	}
	transport()->deliver(carrier, delivery);
}

static void say_line(struct told_peer *peer, const uint8_t **data, size_t *size, unsigned first)
{
	char byte = (char)first;

	while (byte != '\n') {
		told_say(peer, pn_slice_make(&byte, 1));
		if (*size == 0)
			return;
		byte = (char)take_byte(data, size);
	}
	told_say(peer, PN_SLICE("\r\n"));
}

static void pass_time(unsigned how_much)
{
	static const uint64_t amounts[] = {1,         1000,       10 * 1000,  31 * 1000,
	                                   61 * 1000, 121 * 1000, 301 * 1000, 601 * 1000};
	uint64_t amount = amounts[how_much % 8];

	if (passed_ms + amount > 3600 * 1000)
		return;
	passed_ms += amount;
	told_pass(amount);
}

/* What happens to a connection. */
static void disturb(int number, unsigned event, unsigned detail)
{
	struct told_peer *peer = &told_peers[number];

	switch (event) {
	case EVENT_CONNECTED:
		peers[number].error = detail % 4 == 3 ? 111 : 0;
		peer->is_full = false;
		break;
	case EVENT_EOF:
		peer->has_ended = true;
		break;
	case EVENT_RESET:
		peer->is_reset = true;
		break;
	case EVENT_DEAF:
		peer->is_deaf = true;
		break;
	case EVENT_FULL:
		peer->is_full = !peer->is_full;
		peers[number].was_full = true;
		break;
	case EVENT_PIECES:
		peer->most = detail == 0 ? SIZE_MAX : detail;
		break;
	case EVENT_SHAKE:
		if (!peer->has_shaken)
			peer->shakes = detail % 4 < 3 ? PN_STREAM_DONE : PN_STREAM_BROKEN;
		peer->has_shaken = true;
		break;
	default:
		break;
	}
}

static void step(const uint8_t **data, size_t *size, bool *is_together)
{
	unsigned event = take_byte(data, size);
	struct pn_carrier *carrier = carriers[carrier_at];
	int number = carrier == NULL ? -1 : carrier->number;
	unsigned detail = 0;

	if (event >= ' ' || event == '\n' || event == '\r' || event == '\t') {
		/* To nobody, where there is nobody. */
		static struct told_peer nobody;

		say_line(number < 0 ? &nobody : &told_peers[number], data, size, event);
		return;
	}
	if (event <= EVENT_BODY || event == EVENT_SHAKE || event == EVENT_TIME ||
	    event == EVENT_CLOSE || event == EVENT_PIECES)
		detail = take_byte(data, size);
	if (event == EVENT_OPEN)
		open_one(detail);
	else if (event == EVENT_OTHER)
		carrier_at = detail % CARRIERS;
	else if (event == EVENT_DELIVER)
		deliver(detail);
	else if (event == EVENT_BODY && read_count > 0)
		answer_read(detail / 8 % read_count, detail % 8 > 0,
		            (detail & 4) != 0 ? 777 : SIZE_MAX);
	else if (event == EVENT_TIME)
		pass_time(detail);
	else if (event == EVENT_CLOSE && carrier != NULL)
		transport()->close(carrier, detail % 2 == 1);
	else if (event == EVENT_TOGETHER)
		*is_together = !*is_together;
	else if (event == EVENT_BODIES_WAIT)
		bodies_wait = !bodies_wait;
	else if (event == EVENT_STOP)
		pn_sessions_stop();
	else if (event == EVENT_END)
		pn_sessions_end();
	else if (number >= 0)
		disturb(number, event, detail);
}

/* ---- life ---- */

static void start_loop(void)
{
	static bool is_started;
	struct pn_error error;

	if (is_started)
		return;
	is_started = true;
	require(pn_loop_new(&error) == PN_OK);
	pn_loop_simulate();
	pn_world.wall_ms = wall_ms;
	pn_world.monotonic_ns = monotonic_ns;
	pn_world.random = told_random;
	pn_log_set_level(PN_LOG_ERROR + 1);
	memset(body, 'y', sizeof(body));
	for (size_t i = 28; i + 1 < sizeof(body); i += 30)
		memcpy(body + i, "\r\n", 2);
}

static void set_up(unsigned choices)
{
	const struct pn_start start = {.struct_size = sizeof(start),
	                               .instance_name = "out",
	                               .config = &config,
	                               .worker_kind = PN_WORKER_QUEUE};
	struct pn_error error;

	start_loop();
	started_ms = pn_loop_simulated_ms();
	passed_ms = 0;
	read_count = connections = carrier_at = 0;
	bodies_wait = false;
	has_no_tls = (choices & 64) != 0;
	config = (struct deliver_config){
		.port = 25,
		.tls = PN_ROUTE_TLS_OPPORTUNISTIC - PN_ROUTE_TLS_NEVER,
		.hello = "",
		.max_recipients = (choices & 2) != 0 ? 2 : 100,
		.implicit_tls = (choices & 12) == 12,
		.chunking =
			(choices & 16) != 0 ? DELIVER_CHUNKING_OFFERED : DELIVER_CHUNKING_NEEDED,
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
	instance = (struct pn_instance){.name = "out",
	                                .module = choices & 1 ? &deliver_lmtp_LTX_pn_module
	                                                      : &deliver_smtp_LTX_pn_module};
	generation = (struct pn_generation){.references = 1,
	                                    .hostname = "us.example.org",
	                                    .tls_handshake_deadline_ms = 30 * 1000,
	                                    .max_handshakes = 1};
	pn_generation_current = &generation;
	require(deliver_start(&start, &instance.state, &error) == PN_OK);
}

static void tear_down(void)
{
	for (size_t i = 0; i < CARRIERS; i++) {
		if (carriers[i] != NULL)
			transport()->close(carriers[i], true);
	}
	told_pass(0);
	pn_sessions_end();
	while (read_count > 0)
		answer_read(0, true, SIZE_MAX);
	told_pass(60 * 1000);
	for (size_t i = 0; i < CARRIERS; i++)
		require(carriers[i] == NULL);
	require(pn_session_count() == 0 && pn_ticket_count() == 0);
	pn_tickets_stop();
	told_pass(0);
	require(generation.references == 1);
	deliver_stop(instance.state);
	for (size_t i = 0; i < connections; i++)
		pn_buffer_clear(&peers[i].line);
	told_forget();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool is_together = false;

	set_up(take_byte(&data, &size));
	open_one(take_byte(&data, &size));
	while (size > 0) {
		step(&data, &size, &is_together);
		if (!is_together)
			told_turn();
	}
	told_turn();
	tear_down();
	return 0;
}
