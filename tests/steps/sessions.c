/* SPDX-License-Identifier: Apache-2.0 */
/* Whole SMTP sessions: what a client says costs in proportion to it, wherever it says it. */
#include "steps.h"

#include "../fuzz/fuzz.h"
#include "../fuzz/smtp_gate.h"

enum { MUCH = 1024 * 1024 };

static void say(struct gate_client *client, struct pn_slice text, size_t most)
{
	while (text.size > 0 && client->peer->stream != NULL) {
		size_t size = most < text.size ? most : text.size;

		told_say(client->peer, pn_slice_make(text.data, size));
		text = pn_slice_behind(text, size);
		told_turn();
	}
}

static void converse(struct pn_slice begin, struct pn_slice text, size_t most, uint64_t memory)
{
	struct gate_client *client;

	gate_set_up();
	gate.memory = memory;
	gate.config.max_errors = UINT32_MAX;
	gate.config.max_commands = UINT32_MAX;
	gate.config.max_command_length = 1000;
	client = gate_connect(false, false);
	told_turn();
	say(client, begin, begin.size);
	say(client, text, most);
	gate_tear_down();
}

static void commands(struct pn_slice text)
{
	converse(PN_SLICE("EHLO a\r\n"), text, text.size, MUCH);
}

static void commands_in_pieces(struct pn_slice text)
{
	converse(PN_SLICE("EHLO a\r\n"), text, 50, MUCH);
}

#define ENVELOPE "EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.test>\r\n"

static void data(struct pn_slice text)
{
	converse(PN_SLICE(ENVELOPE "DATA\r\n"), text, text.size, MUCH);
}

static void data_in_pieces(struct pn_slice text)
{
	converse(PN_SLICE(ENVELOPE "DATA\r\n"), text, 50, MUCH);
}

static void large_data_in_pieces(struct pn_slice text)
{
	converse(PN_SLICE(ENVELOPE "DATA\r\n"), text, 50, 4096);
}

static void chunk(struct pn_slice text)
{
	char begin[200];

	snprintf(begin, sizeof(begin), ENVELOPE "BDAT %zu LAST\r\n", text.size);
	converse(pn_slice_of(begin), text, 50, MUCH);
}

const struct reader sessions[] = {
	{"session: commands", commands, 4096},
	{"session: commands in pieces", commands_in_pieces, 4096},
	{"session: data", data, 4096},
	{"session: data in pieces", data_in_pieces, 4096},
	{"session: large data in pieces", large_data_in_pieces, 4096},
	{"session: chunk", chunk, 4096},
	{NULL, NULL, 0},
};
