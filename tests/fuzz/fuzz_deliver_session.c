/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole sessions of the transports against a gateway of straw: the server says any
 * bytes at any point, bodies come late or not at all, connections break, handshakes
 * fail, the gateway closes. What must hold: commands are lines of commands, data ends
 * once and only whole; a recipient is done only where the server said 2xx behind it; a
 * delivery ends once, a carrier ends once and last; nothing is left over.
 */
#include "fuzz.h"

#include "../unit/deliver/straw.h"

enum { RECIPIENTS = 4 };

/* The final dot of a message was written, if not sent: what the kernel has is not known either. */
static bool said_data_end;

static const char *const commands[] = {"EHLO ",       "HELO ",     "LHLO ",    "STARTTLS\r\n",
                                       "MAIL FROM:<", "RCPT TO:<", "DATA\r\n", "RSET\r\n",
                                       "QUIT\r\n",    "AUTH ",     ".\r\n",    "BDAT "};

static bool begins(struct pn_slice line, const char *text)
{
	size_t size = strlen(text);

	return line.size >= size && memcmp(line.data, text, size) == 0;
}

/* Every whole line that was sent so far is a command, or data where 354 asked for it. */
static void look_at_output(void)
{
	struct pn_slice sent = pn_buffer_slice(&straw.sent);
	const char *end;

	while (sent.size > 0 && (end = memchr(sent.data, '\n', sent.size)) != NULL) {
		struct pn_slice line = pn_slice_make(sent.data, (size_t)(end - sent.data) + 1);
		bool is_command = false;

		sent = pn_slice_behind(sent, line.size);
		require(line.size >= 2 && line.data[line.size - 2] == '\r');
		for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
			is_command = is_command || begins(line, commands[i]);
		/* The bodies of this test begin each line with "y". */
		require(is_command || begins(line, "y"));
		/* A chunk says in front of it where it ends. */
		said_data_end = said_data_end || begins(line, ".\r\n") || begins(line, "BDAT ");
	}
	/* What is left is data that is not all there yet, or was broken off. */
	pn_buffer_consume(&straw.sent, straw.sent.size - sent.size);
}

static char body[DELIVER_CHECK_MAX + 5000];

static void choose_body(unsigned choice)
{
	static const size_t sizes[] = {30, 0, 3000, DELIVER_KEEP_MAX + 10, DELIVER_CHECK_MAX + 100};
	size_t size = sizes[choice % 5];

	memset(body, 'y', size);
	for (size_t i = 28; i + 1 < size; i += 30)
		memcpy(body + i, "\r\n", 2);
	if (size >= 2)
		memcpy(body + size - 2, "\r\n", 2);
	if ((choice & 8) != 0 && size > 100)
		body[size / 2] = '\r';
	straw.body = pn_slice_make(body, size);
	straw.body_size = size;
	straw.piece_size = (choice & 16) != 0 ? 7777 : 0;
	straw.body_fails = (choice & 32) != 0;
	straw.keeps_answers = (choice & 64) != 0;
}

static bool can_deliver(void)
{
	return straw.closed == 0 && !straw.is_delivering && straw.ready > straw.done;
}

static void deliver(unsigned choice)
{
	if (!can_deliver())
		return;
	choose_body(choice);
	straw_envelope("a@example.org", 1 + choice % RECIPIENTS);
	if ((choice & 128) != 0)
		straw_parameter("SMTPUTF8", "");
	straw_deliver();
	straw_run();
}

static void look_at_outcomes(void)
{
	const char *waits = straw.output.data;
	size_t size = straw.output.size;

	if (size >= 3 &&
	    (memcmp(waits, ".\r\n", 3) == 0 || memmem(waits, size, "\r\n.\r\n", 5) != NULL))
		said_data_end = true;
	for (size_t i = 0; i < straw.delivery.recipient_count; i++) {
		const struct pn_delivery_recipient *recipient = straw_recipient(i);

		if (recipient->outcome != PN_DELIVERY_DONE)
			continue;
		require(recipient->reply.code / 100 == 2);
		require(strcmp(recipient->command, "end of data") == 0);
		require(said_data_end);
	}
}

static void say(const uint8_t **data, size_t *size)
{
	static const char *const words[] = {
		"250 ok\r\n",
		"220 hi\r\n",
		"354 go\r\n",
		"550 5.1.1 no\r\n",
		"450 later\r\n",
		"421 bye\r\n",
		"250-hi\r\n250-PIPELINING\r\n250-SIZE 2000000\r\n250 8BITMIME\r\n",
		"250-hi\r\n250-STARTTLS\r\n250-DSN\r\n250-CHUNKING\r\n250 SMTPUTF8\r\n",
		"334 x\r\n",
		"235 ok\r\n",
		"452 4.5.3 x\r\n",
		"250 m\r\n250 r\r\n354 d\r\n250 ok\r\n",
		"250-",
		"\n"};
	unsigned choice = take_byte(data, size);
	size_t most;

	if (choice < 0xe0) {
		straw_say(words[choice % (sizeof(words) / sizeof(words[0]))]);
		return;
	}
	most = choice - 0xe0;
	most = most > *size ? *size : most;
	straw_say_bytes(pn_slice_make((const char *)*data, most));
	*data += most;
	*size -= most;
}

static void step(const uint8_t **data, size_t *size)
{
	switch (take_byte(data, size) % 16) {
	default:
		if (straw.next == PN_NEXT_START_TLS)
			straw_secured(take_byte(data, size) % 4 != 0);
		else
			say(data, size);
		break;
	case 8:
	case 9:
		deliver(take_byte(data, size));
		break;
	case 10:
		straw_answer_body();
		break;
	case 11:
		straw.is_stalled = !straw.is_stalled;
		straw_run();
		break;
	case 12:
		if (straw.closed == 0)
			straw.transport->close((struct pn_carrier *)&straw,
			                       take_byte(data, size) % 2 != 0);
		straw_run();
		break;
	case 13:
		straw_stop();
		break;
	case 14:
		if (take_byte(data, size) % 4 == 0)
			straw_eof();
		break;
	case 15:
		if (take_byte(data, size) % 4 == 0)
			straw_late();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned choices = take_byte(&data, &size);
	struct pn_error error;

	said_data_end = false;
	straw_begin(choices & 1 ? DELIVER_LMTP : DELIVER_SMTP);
	straw.hop.tls = (enum pn_route_tls)((choices >> 1) % 5);
	straw.config.eight_bit = (choices >> 4) & 1;
	straw.config.implicit_tls = ((choices >> 5) & 3) == 3;
	straw.config.chunking = size % 3 == 0 ? DELIVER_CHUNKING_OFFERED : DELIVER_CHUNKING_NEEDED;
	straw.config.max_recipients = (choices & 128) != 0 ? 2 : 100;
	if (straw_open(&error) == PN_OK) {
		if ((choices >> 5) == 1)
			straw_not_connected("no", 111);
		else
			straw_connected();
		while (size > 0 && !straw.session_closed) {
			unsigned done = straw.done;

			step(&data, &size);
			look_at_output();
			if (straw.done > done)
				look_at_outcomes();
			require(straw.done <= straw.ready);
		}
	}
	straw_end();
	return 0;
}
