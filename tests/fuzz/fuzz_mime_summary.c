/* SPDX-License-Identifier: Apache-2.0 */
/* Summaries come back from disk: whatever the bytes are, opening them reads nothing beyond, and
 * what opens lies inside itself. */
#include "fuzz.h"

#include <postern/mime.h>

static volatile unsigned sum;

static void read_all(struct pn_slice text)
{
	for (size_t index = 0; index < text.size; index++)
		sum += (unsigned char)text.data[index];
}

static void read_addresses(const struct pn_mime_addresses *addresses)
{
	for (size_t index = 0; index < addresses->count; index++) {
		require(addresses->list[index].kind <= PN_MIME_GROUP_END);
		read_all(addresses->list[index].name);
		read_all(addresses->list[index].route);
		read_all(addresses->list[index].mailbox);
		read_all(addresses->list[index].host);
	}
}

static void read_parameters(const struct pn_mime_parameters *parameters)
{
	for (size_t index = 0; index < parameters->count; index++) {
		read_all(parameters->list[index].name);
		read_all(parameters->list[index].value);
	}
}

static void read_envelope(const struct pn_mime_envelope *envelope)
{
	read_all(envelope->date);
	read_all(envelope->subject);
	read_all(envelope->in_reply_to);
	read_all(envelope->message_id);
	read_all(envelope->references);
	read_addresses(&envelope->from);
	read_addresses(&envelope->sender);
	read_addresses(&envelope->reply_to);
	read_addresses(&envelope->to);
	read_addresses(&envelope->cc);
	read_addresses(&envelope->bcc);
}

static void read_part(const struct pn_mime_message *message, const struct pn_mime_part *part)
{
	require(part->parent < message->part_count && part->first_child < message->part_count &&
	        part->next_sibling < message->part_count);
	require(part->body_offset + part->body_size <= message->size);
	require(part->kind != PN_MIME_MESSAGE || part->envelope != NULL);
	require(part->kind == PN_MIME_LEAF || part->first_child > 0);
	read_all(part->type);
	read_all(part->subtype);
	read_all(part->encoding);
	read_all(part->id);
	read_all(part->description);
	read_all(part->md5);
	read_all(part->disposition);
	read_all(part->location);
	read_parameters(&part->parameters);
	read_parameters(&part->disposition_parameters);
	read_parameters(&part->languages);
	if (part->envelope != NULL)
		read_envelope(part->envelope);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice summary = exact_copy(rest_of(data, size));
	struct pn_arena *arena = pn_arena_new();
	struct pn_mime_envelope envelope;
	struct pn_mime_message message;

	if (pn_mime_open_envelope(summary, arena, &envelope) == PN_OK)
		read_envelope(&envelope);
	if (pn_mime_open(summary, arena, &message) == PN_OK) {
		read_envelope(&message.envelope);
		require(message.part_count > 0);
		for (size_t index = 0; index < message.part_count; index++)
			read_part(&message, &message.parts[index]);
	}
	pn_arena_free(&arena);
	free((char *)(uintptr_t)summary.data);
	return 0;
}
