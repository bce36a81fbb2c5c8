/* SPDX-License-Identifier: Apache-2.0 */
/* See told_stream.h. */
#include "told_stream.h"

#include "io/loop.h"

#include "fuzz.h"

enum { TURNS_MAX = 100000 };

struct pn_stream {
	struct told_peer *peer;
	pn_stream_ready_function *ready;
	void *user;
	bool wants_reading;
	bool wants_writing;
};

struct told_peer told_peers[TOLD_PEERS];
static size_t peer_count;

int told_connect(void (*hears)(struct told_peer *peer, struct pn_slice bytes))
{
	struct told_peer *peer = &told_peers[peer_count];

	require(peer_count < TOLD_PEERS);
	memset(peer, 0, sizeof(*peer));
	pn_buffer_init(&peer->sends, SIZE_MAX / 2);
	peer->most = SIZE_MAX;
	peer->hears = hears;
	return (int)peer_count++;
}

void told_say(struct told_peer *peer, struct pn_slice bytes)
{
	if (peer->stream == NULL || peer->has_ended || peer->is_reset)
		return;
	/* Text is no handshake. */
	if (peer->tls == TOLD_SHAKING) {
		peer->has_shaken = true;
		peer->shakes = PN_STREAM_BROKEN;
		return;
	}
	peer->is_silent = false;
	require(pn_buffer_append(&peer->sends, bytes) == PN_OK);
}

void told_forget(void)
{
	for (size_t i = 0; i < peer_count; i++) {
		require(told_peers[i].stream == NULL);
		pn_buffer_clear(&told_peers[i].sends);
	}
	peer_count = 0;
}

/* ---- what happens ---- */

static bool is_readable(const struct told_peer *peer)
{
	if (peer->tls == TOLD_SHAKING)
		return peer->has_shaken || peer->is_reset;
	return peer->sends.size > 0 || peer->has_ended || peer->is_reset;
}

static bool is_writable(const struct told_peer *peer)
{
	/* What a handshake wants it waits for by itself. */
	if (peer->tls == TOLD_SHAKING)
		return false;
	return !peer->is_full || peer->is_deaf || peer->is_reset;
}

static bool tell(struct pn_stream *stream)
{
	int events = 0;

	if (stream->wants_reading && is_readable(stream->peer))
		events |= PN_WATCH_READ;
	if (stream->wants_writing && is_writable(stream->peer))
		events |= PN_WATCH_WRITE;
	if (events != 0)
		stream->ready(stream->user, events);
	return events != 0;
}

void told_turn(void)
{
	bool goes_on = true;

	for (unsigned turns = 0; goes_on; turns++) {
		require(turns < TURNS_MAX);
		goes_on = false;
		pn_loop_advance(0, false);
		for (size_t i = 0; i < peer_count; i++) {
			if (told_peers[i].stream != NULL && tell(told_peers[i].stream))
				goes_on = true;
		}
	}
}

void told_pass(uint64_t milliseconds)
{
	uint64_t until = pn_loop_simulated_ms() + milliseconds;

	told_turn();
	while (pn_loop_simulated_ms() < until &&
	       pn_loop_advance(until - pn_loop_simulated_ms(), true))
		told_turn();
	if (pn_loop_simulated_ms() < until)
		pn_loop_advance(until - pn_loop_simulated_ms(), false);
}

/* ---- io/stream.h ---- */

enum pn_status pn_stream_new(int descriptor, pn_stream_ready_function *ready, void *user,
                             struct pn_stream **stream_out, struct pn_error *error)
{
	struct pn_stream *stream = calloc(1, sizeof(*stream));

	(void)error;
	require(stream != NULL && descriptor >= 0 && (size_t)descriptor < peer_count);
	stream->peer = &told_peers[descriptor];
	require(stream->peer->stream == NULL);
	stream->peer->stream = stream;
	stream->ready = ready;
	stream->user = user;
	*stream_out = stream;
	return PN_OK;
}

void pn_stream_free(struct pn_stream **stream)
{
	if (*stream == NULL)
		return;
	(*stream)->peer->stream = NULL;
	free(*stream);
	*stream = NULL;
}

void pn_stream_want(struct pn_stream *stream, bool reading, bool writing)
{
	stream->wants_reading = reading;
	stream->wants_writing = writing;
}

enum pn_stream_result pn_stream_read(struct pn_stream *stream, char *room, size_t size,
                                     size_t *read_out)
{
	struct told_peer *peer = stream->peer;

	require(peer->tls != TOLD_SHAKING);
	if (peer->is_reset)
		return PN_STREAM_BROKEN;
	if (peer->sends.size == 0)
		return peer->has_ended ? PN_STREAM_END : PN_STREAM_AGAIN;
	if (size > peer->sends.size)
		size = peer->sends.size;
	if (size > peer->most)
		size = peer->most;
	memcpy(room, peer->sends.data, size);
	pn_buffer_consume(&peer->sends, size);
	*read_out = size;
	return PN_STREAM_DONE;
}

enum pn_stream_result pn_stream_write(struct pn_stream *stream, struct pn_slice bytes,
                                      size_t *written_out)
{
	struct told_peer *peer = stream->peer;

	require(peer->tls != TOLD_SHAKING && !peer->was_told_the_end && bytes.size > 0);
	if (peer->is_reset || peer->is_deaf)
		return PN_STREAM_BROKEN;
	if (peer->is_full)
		return PN_STREAM_AGAIN;
	*written_out = bytes.size < peer->most ? bytes.size : peer->most;
	peer->hears(peer, pn_slice_make(bytes.data, *written_out));
	return PN_STREAM_DONE;
}

bool pn_stream_has_pending(const struct pn_stream *stream)
{
	return stream->peer->tls == TOLD_SECURE && stream->peer->sends.size > 0 &&
	       !stream->peer->is_reset;
}

bool pn_stream_has_input(struct pn_stream *stream)
{
	return stream->peer->sends.size > 0 && !stream->peer->is_reset;
}

/* What was sent in the clear behind the command that began it is no handshake. */
void pn_stream_set_tls(struct pn_stream *stream, struct ssl_st *ssl)
{
	struct told_peer *peer = stream->peer;

	require(ssl != NULL && peer->tls == TOLD_CLEAR);
	peer->tls = TOLD_SHAKING;
	if (peer->sends.size > 0) {
		pn_buffer_consume(&peer->sends, peer->sends.size);
		peer->has_shaken = true;
		peer->shakes = PN_STREAM_BROKEN;
	}
}

enum pn_stream_result pn_stream_handshake(struct pn_stream *stream)
{
	struct told_peer *peer = stream->peer;

	require(peer->tls == TOLD_SHAKING);
	if (peer->is_reset)
		return PN_STREAM_BROKEN;
	if (!peer->has_shaken) {
		pn_stream_want(stream, true, false);
		return PN_STREAM_AGAIN;
	}
	if (peer->shakes == PN_STREAM_DONE) {
		peer->tls = TOLD_SECURE;
		peer->is_silent = true;
	}
	return peer->shakes;
}

bool pn_stream_is_encrypted(const struct pn_stream *stream)
{
	return stream->peer->tls == TOLD_SECURE;
}

const char *pn_stream_tls_version(const struct pn_stream *stream)
{
	return stream->peer->tls == TOLD_SECURE ? "TLSv1.3" : "";
}

const char *pn_stream_tls_cipher(const struct pn_stream *stream)
{
	return stream->peer->tls == TOLD_SECURE ? "TLS_AES_256_GCM_SHA384" : "";
}

const char *pn_stream_tls_server_name(const struct pn_stream *stream)
{
	(void)stream;
	return "";
}

const struct pn_client_certificate *pn_stream_client_certificate(const struct pn_stream *stream,
                                                                 struct pn_arena *arena)
{
	struct pn_client_certificate *shown = PN_ARENA_NEW(arena, struct pn_client_certificate);

	require(stream->peer->tls == TOLD_SECURE);
	*shown = (struct pn_client_certificate){.struct_size = sizeof(*shown),
	                                        .is_verified = true,
	                                        .problem = "",
	                                        .fingerprint = "",
	                                        .subject = "",
	                                        .issuer = "",
	                                        .name = "alice@example.test"};
	return shown;
}

bool pn_stream_has_channel_binding(const struct pn_stream *stream)
{
	return stream != NULL && stream->peer->tls == TOLD_SECURE;
}

bool pn_stream_channel_binding(const struct pn_stream *stream,
                               uint8_t binding_out[PN_CHANNEL_BINDING_SIZE])
{
	memset(binding_out, 'b', PN_CHANNEL_BINDING_SIZE);
	return stream->peer->tls == TOLD_SECURE;
}

void pn_stream_finish_writing(struct pn_stream *stream)
{
	stream->peer->was_told_the_end = true;
}

int pn_stream_descriptor(const struct pn_stream *stream)
{
	return (int)(stream->peer - told_peers);
}
