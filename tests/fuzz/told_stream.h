/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of a world that is only told, in place of core/io/stream.c: what the peer
 * sends, when it can take something, how a handshake ends and how a connection breaks
 * is what a test says, and nothing happens but in told_turn().
 */
#ifndef TESTS_FUZZ_TOLD_STREAM_H
#define TESTS_FUZZ_TOLD_STREAM_H

#include <postern/buffer.h>

#include "io/stream.h"

enum { TOLD_PEERS = 16 };

enum told_tls { TOLD_CLEAR = 0, TOLD_SHAKING, TOLD_SECURE };

/* The other end of a connection; its number is the descriptor of the stream. */
struct told_peer {
	struct pn_stream *stream; /* NULL: there is none, or it was closed */
	struct pn_buffer sends;   /* on its way to us */
	size_t most;              /* bytes that one read or write moves; never 0 */
	bool has_ended;           /* it sends nothing more */
	bool is_reset;            /* reading and writing fail */
	bool is_deaf;             /* writing fails */
	bool is_full;             /* takes nothing now */
	enum told_tls tls;
	bool is_silent;           /* it said nothing since its handshake */
	bool has_shaken;          /* how the handshake ends is known */
	enum pn_stream_result shakes;

	/* Told of every piece that we wrote. */
	void (*hears)(struct told_peer *peer, struct pn_slice bytes);
	bool was_told_the_end;    /* nothing may be written behind it */
};

extern struct told_peer told_peers[TOLD_PEERS];

/* A connection to come: a number for pn_session_accept. */
int told_connect(void (*hears)(struct told_peer *peer, struct pn_slice bytes));

void told_say(struct told_peer *peer, struct pn_slice bytes);

/* Everything that can happen now, in order, until nothing can; time stands still. Fails where that
 * never is. */
void told_turn(void);

/* Lets time pass, with everything that it brings. */
void told_pass(uint64_t milliseconds);

/* All peers as new; their streams are gone. */
void told_forget(void);

#endif
