/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a delivery report to standard output. Standard input has lines "key hex-text"; the key
 * "recipient", whose text is the number of a kind, begins another one.
 */
#include "mail/dsn.h"

#include <postern/arena.h>
#include <postern/text.h>

#include <stdio.h>
#include <stdlib.h>

enum { RECIPIENTS = 100, LINE_ROOM = 1 << 20 };

static struct pn_dsn_recipient recipients[RECIPIENTS];
static struct pn_dsn dsn = {.recipients = recipients};

static struct pn_slice read_hex(struct pn_arena *arena, const char *text)
{
	size_t size = strcspn(text, "\n") / 2;
	char *bytes = pn_arena_allocate(arena, size);

	for (size_t i = 0; i < size; i++) {
		char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};

		bytes[i] = (char)strtoul(digits, NULL, 16);
	}
	return pn_slice_make(bytes, size);
}

static void take(const char *key, struct pn_slice value)
{
	struct pn_dsn_recipient *last =
		&recipients[dsn.recipient_count == 0 ? 0 : dsn.recipient_count - 1];
	const struct {
		const char *key;
		struct pn_slice *place;
	} places[] = {
		{"hostname", &dsn.hostname},
		{"id", &dsn.id},
		{"transaction", &dsn.transaction},
		{"to", &dsn.to},
		{"envelope_id", &dsn.envelope_id},
		{"from", &dsn.from},
		{"received_from", &dsn.received_from},
		{"header", &dsn.original},
		{"whole", &dsn.original},
		{"original", &last->original},
		{"address", &last->address},
		{"status", &last->status},
		{"diagnostic", &last->diagnostic},
		{"remote", &last->remote},
		{"reason", &last->reason},
	};

	if (strcmp(key, "recipient") == 0 && dsn.recipient_count < RECIPIENTS) {
		recipients[dsn.recipient_count++] = (struct pn_dsn_recipient){
			.kind = (enum pn_dsn_kind)(value.data[0] - '0'),
			.diagnostic_is_remote = true,
			.last_attempt_ms = 1790000000000,
			.retry_until_ms = 1790000900000,
		};
		return;
	}
	dsn.original_is_whole = dsn.original_is_whole || strcmp(key, "whole") == 0;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (strcmp(key, places[i].key) == 0)
			*places[i].place = value;
	}
}

int main(void)
{
	static char line[LINE_ROOM];
	struct pn_arena *arena = pn_arena_new();
	struct pn_buffer out;
	enum pn_status status;

	dsn.now_ms = dsn.arrived_ms = 1790000000000;
	while (fgets(line, sizeof(line), stdin) != NULL) {
		char *space = strchr(line, ' ');

		if (space == NULL)
			return 2;
		*space = '\0';
		take(line, read_hex(arena, space + 1));
	}
	pn_buffer_init(&out, 64 * 1024 * 1024);
	status = pn_dsn_write(&dsn, &out);
	fwrite(out.data, 1, out.size, stdout);
	pn_buffer_clear(&out);
	pn_arena_free(&arena);
	return status == PN_OK ? 0 : 1;
}
