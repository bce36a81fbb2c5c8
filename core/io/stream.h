/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream: one connected socket, with or without TLS on it. It reads into the
 * caller's room and writes from the caller's bytes; it buffers nothing itself, so
 * that an idle one costs next to nothing. TLS is put on it once and never taken
 * off: when TLS ends, the connection ends. Loop thread.
 */
#ifndef CORE_IO_STREAM_H
#define CORE_IO_STREAM_H

#include <postern/arena.h>
#include <postern/error.h>
#include <postern/session.h>
#include <postern/types.h>

struct pn_stream;
struct ssl_st;

enum pn_stream_result {
	PN_STREAM_DONE = 0, /* some bytes were moved */
	PN_STREAM_AGAIN,    /* none now; `ready` tells when */
	PN_STREAM_END,      /* the peer sent everything it will */
	PN_STREAM_BROKEN,
};

/* Called when the socket may be readable or writable (enum pn_watch_event). */
typedef void pn_stream_ready_function(void *user, int events);

/* Takes the descriptor, also when it fails. */
PN_MUST_CHECK enum pn_status pn_stream_new(int descriptor, pn_stream_ready_function *ready,
					   void *user, struct pn_stream **stream_out,
					   struct pn_error *error);

/* Closes the descriptor; `ready` is not called any more. */
void pn_stream_free(struct pn_stream **stream);

/* What to wait for. TLS may need the other direction for a moment: the stream sees to it. */
void pn_stream_want(struct pn_stream *stream, bool reading, bool writing);

enum pn_stream_result pn_stream_read(struct pn_stream *stream, char *room, size_t size,
				     size_t *read_out);
/* BROKEN: nothing can be written any more. Without TLS what the peer said before can be read still. */
enum pn_stream_result pn_stream_write(struct pn_stream *stream, struct pn_slice bytes,
				      size_t *written_out);

/* Bytes that TLS has already decrypted: readable without `ready`. */
bool pn_stream_has_pending(const struct pn_stream *stream);

/* Whether a read would bring bytes now; nothing is taken. Under TLS a record is read for it. */
bool pn_stream_has_input(struct pn_stream *stream);

/* Puts TLS on it (takes ssl); then call pn_stream_handshake until it is not AGAIN. */
void pn_stream_set_tls(struct pn_stream *stream, struct ssl_st *ssl);
enum pn_stream_result pn_stream_handshake(struct pn_stream *stream);

/* After the handshake. "" without TLS. */
bool pn_stream_is_encrypted(const struct pn_stream *stream);
const char *pn_stream_tls_version(const struct pn_stream *stream);
const char *pn_stream_tls_cipher(const struct pn_stream *stream);
const char *pn_stream_tls_server_name(const struct pn_stream *stream);

/* What the peer, a client, showed in its handshake (see tls.h); NULL where it showed nothing. */
const struct pn_client_certificate *
pn_stream_client_certificate(const struct pn_stream *stream, struct pn_arena *arena);

/*
 * What both ends of this TLS connection know and nobody else: channel binding "tls-exporter" (RFC
 * 9266). False where there is none that is of this connection alone: without TLS, and in TLS 1.2
 * without the extended master secret (RFC 7627), where somebody in the middle can have the same.
 */
enum { PN_CHANNEL_BINDING_SIZE = 32 };
bool pn_stream_has_channel_binding(const struct pn_stream *stream);
bool pn_stream_channel_binding(const struct pn_stream *stream,
			       uint8_t binding_out[PN_CHANNEL_BINDING_SIZE]);

/* Says "that was all" in this direction: close_notify, then FIN. */
void pn_stream_finish_writing(struct pn_stream *stream);

int pn_stream_descriptor(const struct pn_stream *stream);

#endif
