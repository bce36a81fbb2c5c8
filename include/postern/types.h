/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few types that everything else is made of: a status, a borrowed piece of
 * bytes, a ticket.
 */
#ifndef POSTERN_TYPES_H
#define POSTERN_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <postern/abi.h>

/*
 * What a function that can fail returns. Enumerators are only ever added at the
 * end. PN_FAILED comes with a struct pn_error that says what happened.
 */
enum pn_status {
	PN_OK = 0,
	PN_FAILED = -1,    /* the world failed: disk, network, a file         */
	PN_NOT_FOUND = -2, /* no such thing; no error text is set             */
	PN_LIMIT = -3,     /* a limit was reached; the error says which       */
	PN_CONFLICT = -4,  /* a precondition does not hold; nothing was done  */
	PN_TIMEOUT = -5,   /* no answer before the deadline                   */
	PN_PENDING = -6,   /* not done yet: the answer comes by ticket        */
	PN_DENIED = -7,    /* asked properly, and the answer is no            */
};

/* The status in one word for logs ("ok", "failed", "not found", …). Static storage. */
PN_DECLARATIONS_BEGIN
const char *pn_status_name(enum pn_status status);
PN_DECLARATIONS_END

/*
 * A borrowed piece of bytes: not NUL-terminated, may hold any byte, valid until
 * the function it was passed to returns (or as long as its owner says). What is
 * kept longer is copied into an arena. The empty slice may have data == NULL.
 */
struct pn_slice {
	const char *data;
	size_t size;
};

#define PN_SLICE_NONE ((struct pn_slice){ NULL, 0 })

/* A slice of a string literal, size known at compile time. */
#define PN_SLICE(literal) ((struct pn_slice){ "" literal, sizeof(literal) - 1 })

/* A slice of a NUL-terminated string of our own; NULL gives the empty slice. */
static inline struct pn_slice pn_slice_of(const char *text)
{
	struct pn_slice slice = { text, text == NULL ? 0 : strlen(text) };

	return slice;
}

static inline struct pn_slice pn_slice_make(const char *data, size_t size)
{
	struct pn_slice slice = { data, size };

	return slice;
}

/* What is behind the first `skip` bytes (at most slice.size); fine for the empty slice. */
static inline struct pn_slice pn_slice_behind(struct pn_slice slice, size_t skip)
{
	return skip == 0 ? slice : pn_slice_make(slice.data + skip, slice.size - skip);
}

/* For printf: printf("%.*s", PN_SLICE_ARGS(slice)). Only for text known to be clean. */
#define PN_SLICE_ARGS(slice) (int)(slice).size, (slice).size ? (slice).data : ""

/*
 * A ticket: the right to answer one waiting party once. It is a value, not a
 * pointer: when the party is gone or was answered, the ticket is stale and
 * answering it does nothing. {0, 0} is no ticket. See ticket.h.
 */
struct pn_ticket {
	uint32_t slot;
	uint32_t generation;
};

/* Opaque; each is described where its functions are. */
struct pn_arena;
struct pn_session;
struct pn_transaction;
struct pn_recipient;
struct pn_account;
struct pn_instance;

#endif
