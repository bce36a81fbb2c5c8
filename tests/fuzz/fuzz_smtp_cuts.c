/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole SMTP sessions say the same, and keep the same, however the bytes of the client
 * are cut: all at once, one by one, and in pieces by chance, with what others say being
 * the same each time. (STARTTLS is not offered here: what is sent behind it in the same
 * piece is another matter.)
 */
#include "smtp_gate.h"

#include <postern/text.h>

#include "fuzz.h"

struct outcome {
	struct pn_buffer heard;
	size_t commits;
	uint64_t kept;
	bool has_closed;
};

struct setting {
	unsigned first;
	unsigned manner;
	unsigned choices;
};

/* 0: by chance. */
static struct outcome converse(const struct setting *setting, struct pn_slice text, size_t most)
{
	struct outcome outcome = {.commits = 0};
	struct gate_client *client;
	uint64_t chance = setting->choices + text.size;

	gate_set_up();
	gate.config.profile = setting->first % 3;
	gate.config.authentication = setting->first / 3 % 3;
	gate.directory_blocks = (setting->first & 128) != 0;
	gate.config.max_errors = 10;
	gate.config.max_recipients = 5;
	gate.config.max_message_size = 20 * 1000;
	/* Nothing is held: it would have to be let go at the same moment each time. */
	gate.manner = setting->manner & (GATE_HOOKS_ASK_DNS | GATE_VERDICTS_VARY | GATE_IS_FULL);
	gate.choices = setting->choices;
	client = gate_connect(false, false);
	told_turn();
	while (text.size > 0 && client->peer->stream != NULL) {
		size_t size = most;

		if (most == 0) {
			chance = chance * 6364136223846793005u + 1442695040888963407u;
			size = 1 + (chance >> 33) % ((chance >> 60) % 2 == 0 ? 4 : 100);
		}
		size = size < text.size ? size : text.size;
		told_say(client->peer, pn_slice_make(text.data, size));
		text = pn_slice_behind(text, size);
		told_turn();
	}
	client->peer->has_ended = true;
	told_turn();
	outcome.has_closed = client->peer->was_told_the_end;
	pn_buffer_init(&outcome.heard, SIZE_MAX / 2);
	require(pn_buffer_append(&outcome.heard, pn_buffer_slice(&client->heard)) == PN_OK);
	outcome.commits = gate.commits;
	outcome.kept = gate.kept;
	gate_tear_down();
	return outcome;
}

static void compare(const struct outcome *whole, struct outcome pieces)
{
	require(pn_slice_equal(pn_buffer_slice(&whole->heard), pn_buffer_slice(&pieces.heard)));
	require(whole->commits == pieces.commits && whole->kept == pieces.kept);
	require(whole->has_closed == pieces.has_closed);
	pn_buffer_clear(&pieces.heard);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct setting setting = {
		.first = take_byte(&data, &size),
		.manner = take_byte(&data, &size),
		.choices = take_byte(&data, &size),
	};
	struct pn_slice text = rest_of(data, size < 4096 ? size : 4096);
	struct outcome whole = converse(&setting, text, text.size + 1);

	compare(&whole, converse(&setting, text, 1));
	compare(&whole, converse(&setting, text, 0));
	pn_buffer_clear(&whole.heard);
	return 0;
}
