/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets: of numbers as a client writes them ("1:5,7,9:*"), and of UIDs as ranges that
 * know how many there are before them, so that sequence numbers are a search and not
 * a table: a mailbox of a million messages in a row takes twelve bytes.
 */
#ifndef MODULES_IMAP_SET_H
#define MODULES_IMAP_SET_H

#include <postern/arena.h>
#include <postern/buffer.h>
#include <postern/store.h>

/* UINT32_MAX + 1 stands for "*", which is what it is compared with. */
#define IMAP_STAR ((uint64_t)UINT32_MAX + 1)

struct imap_set_range {
	uint64_t first; /* as written: may be greater than last */
	uint64_t last;
};

/* As written. `is_saved`: "$" (RFC 5182). */
struct imap_set {
	const struct imap_set_range *ranges;
	size_t count;
	bool is_saved;
};

struct imap_range {
	uint32_t first;
	uint32_t last;
	uint32_t before; /* how many UIDs are in the ranges before this one */
};

/* UIDs in ascending order: ranges that do not touch. */
struct imap_uids {
	struct imap_range *ranges;
	size_t count;
	size_t capacity;
};

/* The empty set is {0}. Everything that is not in an arena is given back with clear. */
void imap_uids_clear(struct imap_uids *uids);
void imap_uids_copy(struct imap_uids *uids, const struct imap_uids *from);
void imap_uids_take(struct imap_uids *uids, struct pn_uid_set set);

uint32_t imap_uids_count(const struct imap_uids *uids);
uint32_t imap_uids_last(const struct imap_uids *uids); /* 0: empty */
bool imap_uids_has(const struct imap_uids *uids, uint32_t uid);
/* The place of a UID, from 1; 0: it is not there. */
uint32_t imap_uids_sequence(const struct imap_uids *uids, uint32_t uid);
/* The UID at a place; 0: there is none. */
uint32_t imap_uids_at(const struct imap_uids *uids, uint32_t sequence);

/* UIDs at the end: above all that are there. */
void imap_uids_append(struct imap_uids *uids, uint32_t first, uint32_t last);
/* uids without `gone`; one pass. */
void imap_uids_remove(struct imap_uids *uids, const struct imap_uids *gone);
void imap_uids_add(struct imap_uids *uids, const struct imap_uids *more);
/* What is in both. */
void imap_uids_common(struct imap_uids *out, const struct imap_uids *left,
                      const struct imap_uids *right);
/* For the store: in the arena. */
struct pn_uid_set imap_uids_set(const struct imap_uids *uids, struct pn_arena *arena);

/* The same, from a UID on. */
struct pn_uid_set imap_uids_set_from(const struct imap_uids *uids, uint32_t from,
                                     struct pn_arena *arena);

/* "1:5,7"; appends to the buffer. */
void imap_put_uids(struct pn_buffer *out, const struct imap_uids *uids);
/* The same as places in `view`. */
void imap_put_sequences(struct pn_buffer *out, const struct imap_uids *view,
                        const struct imap_uids *uids);

/* A walk over single UIDs. */
struct imap_walk {
	const struct imap_uids *uids;
	size_t range;
	uint64_t next;
};
void imap_walk_begin(struct imap_walk *walk, const struct imap_uids *uids, uint32_t from);
uint32_t imap_walk_next(struct imap_walk *walk); /* 0: the end */

#endif
