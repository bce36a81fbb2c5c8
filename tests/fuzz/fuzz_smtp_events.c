/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that can happen to whole SMTP sessions, in any order: the input is what
 * happens. A line of it is a line that the client says; bytes below space are events:
 * connections begin, end, break and do not take anything, handshakes succeed or not,
 * hooks, DNS, jobs, tokens and the store answer now, late or never, time passes, the
 * worker stops. Behind the gate nothing is used that is gone, nothing is left over, no
 * reply is malformed, and what was promised is kept.
 */
#include "smtp_gate.h"

#include "fuzz.h"

enum {
	EVENT_CONNECT = 0x00, /* a byte: how */
	EVENT_OTHER = 0x01,   /* a byte: whose turn it is to do something */
	EVENT_MANNER = 0x02,  /* a byte: enum gate_manner */
	EVENT_ANSWER = 0x03,  /* a byte: which, and what */
	EVENT_ANSWER_ALL = 0x04,
	EVENT_EOF = 0x05,
	EVENT_RESET = 0x06,
	EVENT_DEAF = 0x07,
	EVENT_FULL = 0x08,     /* or not any more */
	EVENT_SHAKE = 0x0b,    /* a byte: how it ends */
	EVENT_TIME = 0x0c,     /* a byte: how much of it */
	EVENT_BYTES = 0x0e,    /* a byte: how many of what follows, as they are */
	EVENT_PIECES = 0x0f,   /* a byte: the most that is read or written at a time */
	EVENT_TOGETHER = 0x10, /* what follows happens in one turn, or not any more */
	EVENT_MUCH = 0x11,     /* a byte: so many kilobytes of text */
	EVENT_STOP = 0x12,
	EVENT_END = 0x13,
};

struct course {
	const uint8_t *data;
	size_t size;
	struct gate_client *client;
	bool is_together;
	uint64_t passed_ms;
};

static void say_line(struct course *course, unsigned first)
{
	struct told_peer *peer = course->client->peer;
	char byte = (char)first;

	while (byte != '\n') {
		told_say(peer, pn_slice_make(&byte, 1));
		if (course->size == 0)
			return;
		byte = (char)take_byte(&course->data, &course->size);
	}
	told_say(peer, PN_SLICE("\r\n"));
}

static void say_much(struct told_peer *peer, unsigned kilobytes)
{
	static const char line[] = "this is a line of the text, and it is as good as any other\r\n";

	for (size_t size = 0; size < (size_t)kilobytes * 1024; size += sizeof(line) - 1)
		told_say(peer, pn_slice_make(line, sizeof(line) - 1));
}

static void say_bytes(struct course *course, size_t size)
{
	size = size > course->size ? course->size : size;
	told_say(course->client->peer, rest_of(course->data, size));
	course->data += size;
	course->size -= size;
}

static void connect_one(struct course *course, unsigned how)
{
	if (gate.client_count < GATE_CLIENTS)
		course->client = gate_connect(how % 4 > 0, how % 4 == 3);
}

static void pass_time(struct course *course, unsigned how_much)
{
	static const uint64_t amounts[] = {0,        1,         500,       1000,
	                                   9 * 1000, 20 * 1000, 61 * 1000, 301 * 1000};
	uint64_t amount = amounts[how_much % 8];

	/* An hour is enough for everything, and looks at every ticket often. */
	if (course->passed_ms + amount > 3600 * 1000)
		return;
	course->passed_ms += amount;
	told_pass(amount);
}

static void shake(struct told_peer *peer, unsigned how)
{
	static const enum pn_stream_result results[] = {PN_STREAM_DONE, PN_STREAM_DONE,
	                                                PN_STREAM_BROKEN, PN_STREAM_END};

	if (peer->has_shaken)
		return;
	peer->has_shaken = true;
	peer->shakes = results[how % 4];
}

static void step(struct course *course)
{
	unsigned event = take_byte(&course->data, &course->size);
	struct told_peer *peer = course->client->peer;
	unsigned detail;

	if (event >= ' ' || event == '\n' || event == '\r' || event == '\t') {
		say_line(course, event);
		return;
	}
	detail = event == EVENT_ANSWER_ALL || (event >= EVENT_EOF && event <= EVENT_FULL) ||
	                         event >= EVENT_STOP || event == EVENT_TOGETHER
	                 ? 0
	                 : take_byte(&course->data, &course->size);
	switch (event) {
	case EVENT_CONNECT:
		connect_one(course, detail);
		break;
	case EVENT_OTHER:
		course->client = &gate.clients[detail % gate.client_count];
		break;
	case EVENT_MANNER:
		gate.manner = detail;
		break;
	case EVENT_ANSWER:
		if (gate.held > 0)
			gate_answer(detail / 4 % gate.held, detail % 4 > 0);
		break;
	case EVENT_ANSWER_ALL:
		for (size_t count = gate.held; count > 0 && gate.held > 0; count--)
			gate_answer(0, true);
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
		break;
	case EVENT_SHAKE:
		shake(peer, detail);
		break;
	case EVENT_TIME:
		pass_time(course, detail);
		break;
	case EVENT_BYTES:
		say_bytes(course, detail);
		break;
	case EVENT_PIECES:
		peer->most = detail == 0 ? SIZE_MAX : detail;
		break;
	case EVENT_TOGETHER:
		course->is_together = !course->is_together;
		break;
	case EVENT_MUCH:
		say_much(peer, detail);
		break;
	case EVENT_STOP:
		gate_stop();
		break;
	case EVENT_END:
		gate_end();
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct course course = {.data = data, .size = size};
	unsigned first = take_byte(&course.data, &course.size);
	unsigned second = take_byte(&course.data, &course.size);

	gate_set_up();
	gate.config.profile = first % 3;
	gate.config.authentication = first / 3 % 3;
	gate.config.banner_delay = (first & 64) != 0 ? 1000 : 0;
	gate.directory_blocks = (first & 128) != 0;
	gate.handshakes = (second & 128) != 0 ? 1 : 100;
	if (second % 4 == 0) {
		/* The limits that end a session. */
		gate.config.max_errors = 3;
		gate.config.max_login_failures = 2;
		gate.config.max_commands = 20;
		gate.config.max_transactions = 2;
		gate.config.max_recipients = 2;
		gate.config.max_message_size = 20 * 1000;
	}
	gate.choices = take_byte(&course.data, &course.size);
	connect_one(&course, second / 4);
	while (course.size > 0) {
		step(&course);
		if (!course.is_together)
			told_turn();
	}
	gate_tear_down();
	return 0;
}
