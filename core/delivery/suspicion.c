/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that took down workers on their way in. Before a hook sees one, the slot
 * that the master reads is told what it is: by whom it was sent, its header, and the
 * beginning of its body. One that took down two workers is set aside: it waits in the
 * queue until an operator releases it, and no hook is asked. Loop thread.
 */
#include "delivery/transaction.h"

#include <postern/session.h>

#include "session/running.h"

#include <string.h>

enum { BYTES_MAX = 64 * 1024 };

/* Eight bytes at a time: every message is looked at twice. */
static uint64_t add(uint64_t hash, struct pn_slice bytes)
{
	size_t index = 0;

	for (; bytes.size - index >= sizeof(uint64_t); index += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, bytes.data + index, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 32;
	}
	for (; index < bytes.size; index++)
		hash = (hash ^ (uint8_t)bytes.data[index]) * 1099511628211u;
	return hash ^ hash >> 29;
}

static uint64_t digest_of(const struct pn_transaction *transaction, size_t size, uint64_t total)
{
	const char *peer = pn_session_peer(transaction->session);
	uint64_t hash = add(14695981039346656037u, pn_slice_of(peer));

	size = size < transaction->text.size ? size : transaction->text.size;
	size = size < BYTES_MAX ? size : BYTES_MAX;
	hash = add(hash, pn_slice_make((const char *)&total, sizeof(total)));
	hash = add(hash, pn_slice_make(transaction->text.data, size));
	return hash == 0 ? 1 : hash;
}

static bool look(struct pn_transaction *transaction, uint64_t digest)
{
	transaction->is_suspect = transaction->is_suspect || pn_suspected(digest);
	pn_running_digest(transaction->id, digest);
	return transaction->is_suspect;
}

bool pn_suspicion_header(struct pn_transaction *transaction)
{
	return look(transaction, digest_of(transaction, transaction->header_size, 0));
}

bool pn_suspicion_message(struct pn_transaction *transaction)
{
	const uint64_t digest = digest_of(transaction, transaction->text.size, transaction->size);
	const char *what;

	if (!look(transaction, digest))
		return false;
	/* It may be known by its header alone. */
	what = pn_suspected_what(digest);
	if (what == NULL)
		what = pn_suspected_what(digest_of(transaction, transaction->header_size, 0));
	for (struct pn_recipient *recipient = transaction->recipients; recipient != NULL;
	     recipient = recipient->next) {
		recipient->is_held = true;
		recipient->held_by = pn_arena_print(transaction->arena,
		                                    "the gateway: it took down two workers, %s",
		                                    what == NULL ? "a moment ago" : what);
	}
	return true;
}

void pn_suspicion_end(const struct pn_transaction *transaction)
{
	pn_running_digest(transaction->id, 0);
}
