/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connected socket. TLS reads and writes the socket through a BIO of our own:
 * a plain one without buffers, whose writes never raise SIGPIPE.
 */
#include "io/stream.h"

#include "io/loop.h"
#include "io/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct pn_stream {
	int descriptor;
	struct pn_watch *watch;
	pn_stream_ready_function *ready;
	void *user;
	SSL *ssl;
	bool is_encrypted; /* the handshake is done */
	bool wants_reading;
	bool wants_writing;
	bool tls_needs_write; /* a read that must write first */
	bool tls_needs_read;
	bool is_broken;
	bool is_deaf; /* the peer: nothing can be written */
	bool has_finished;
};

static int socket_bio_write(BIO *bio, const char *bytes, size_t size, size_t *written)
{
	struct pn_stream *stream = BIO_get_data(bio);
	ssize_t result = send(stream->descriptor, bytes, size, MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (result < 0) {
		if (errno == EAGAIN || errno == EINTR)
			BIO_set_retry_write(bio);
		return 0;
	}
	*written = (size_t)result;
	return 1;
}

static int socket_bio_read(BIO *bio, char *room, size_t size, size_t *read_out)
{
	struct pn_stream *stream = BIO_get_data(bio);
	ssize_t result = recv(stream->descriptor, room, size, 0);

	BIO_clear_retry_flags(bio);
	if (result <= 0) {
		if (result < 0 && (errno == EAGAIN || errno == EINTR))
			BIO_set_retry_read(bio);
		else if (result == 0)
			BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
		return 0;
	}
	*read_out = (size_t)result;
	return 1;
}

static long socket_bio_control(BIO *bio, int command, long number, void *pointer)
{
	(void)number;
	(void)pointer;
	if (command == BIO_CTRL_FLUSH)
		return 1;
	if (command == BIO_CTRL_EOF)
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return 0;
}

static BIO *new_socket_bio(struct pn_stream *stream)
{
	static BIO_METHOD *method;
	BIO *bio;

	if (method == NULL) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "postern socket");
		if (method == NULL)
			abort();
		BIO_meth_set_write_ex(method, socket_bio_write);
		BIO_meth_set_read_ex(method, socket_bio_read);
		BIO_meth_set_ctrl(method, socket_bio_control);
	}
	bio = BIO_new(method);
	if (bio == NULL)
		abort();
	BIO_set_data(bio, stream);
	BIO_set_init(bio, 1);
	return bio;
}

static void update_watch(struct pn_stream *stream)
{
	int events = 0;

	if (stream->wants_reading || stream->tls_needs_read)
		events |= stream->tls_needs_write ? PN_WATCH_WRITE : PN_WATCH_READ;
	if (stream->wants_writing)
		events |= stream->tls_needs_read ? PN_WATCH_READ : PN_WATCH_WRITE;
	pn_watch_set(stream->watch, events);
}

static void socket_ready(void *user, int events)
{
	struct pn_stream *stream = user;
	int meaning = 0;

	/* What the socket can do now, in terms of what the owner waits for. */
	if (stream->wants_reading &&
	    (events & (stream->tls_needs_write ? PN_WATCH_WRITE : PN_WATCH_READ)) != 0)
		meaning |= PN_WATCH_READ;
	if (stream->wants_writing &&
	    (events & (stream->tls_needs_read ? PN_WATCH_READ : PN_WATCH_WRITE)) != 0)
		meaning |= PN_WATCH_WRITE;
	if (meaning == 0)
		update_watch(stream);
	else
		stream->ready(stream->user, meaning);
}

enum pn_status pn_stream_new(int descriptor, pn_stream_ready_function *ready, void *user,
                             struct pn_stream **stream_out, struct pn_error *error)
{
	struct pn_stream *stream = calloc(1, sizeof(*stream));

	if (stream == NULL)
		abort();
	stream->descriptor = descriptor;
	stream->ready = ready;
	stream->user = user;
	if (pn_watch_new(descriptor, socket_ready, stream, &stream->watch, error) != PN_OK) {
		close(descriptor);
		free(stream);
		return PN_FAILED;
	}
	*stream_out = stream;
	return PN_OK;
}

void pn_stream_free(struct pn_stream **stream)
{
	if (*stream == NULL)
		return;
	if ((*stream)->ssl != NULL)
		SSL_free((*stream)->ssl);
	pn_watch_free(&(*stream)->watch, true);
	free(*stream);
	*stream = NULL;
}

void pn_stream_want(struct pn_stream *stream, bool reading, bool writing)
{
	stream->wants_reading = reading;
	stream->wants_writing = writing;
	update_watch(stream);
}

/* After an SSL_* call that moved nothing: what it waits for. */
static enum pn_stream_result tls_result(struct pn_stream *stream, int result, bool is_write)
{
	switch (SSL_get_error(stream->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		stream->tls_needs_read = is_write;
		return PN_STREAM_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		stream->tls_needs_write = !is_write;
		return PN_STREAM_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return PN_STREAM_END;
	default:
		stream->is_broken = true;
		return PN_STREAM_BROKEN;
	}
}

enum pn_stream_result pn_stream_read(struct pn_stream *stream, char *room, size_t size,
                                     size_t *read_out)
{
	ssize_t result;

	if (stream->is_broken)
		return PN_STREAM_BROKEN;
	if (stream->ssl != NULL) {
		int done;

		stream->tls_needs_write = false;
		ERR_clear_error();
		done = SSL_read_ex(stream->ssl, room, size, read_out);
		return done == 1 ? PN_STREAM_DONE : tls_result(stream, done, false);
	}
	do
		result = recv(stream->descriptor, room, size, 0);
	while (result < 0 && errno == EINTR);
	if (result == 0)
		return PN_STREAM_END;
	if (result < 0) {
		if (errno == EAGAIN)
			return PN_STREAM_AGAIN;
		stream->is_broken = true;
		return PN_STREAM_BROKEN;
	}
	*read_out = (size_t)result;
	return PN_STREAM_DONE;
}

enum pn_stream_result pn_stream_write(struct pn_stream *stream, struct pn_slice bytes,
                                      size_t *written_out)
{
	ssize_t result;

	if (stream->is_broken || stream->is_deaf)
		return PN_STREAM_BROKEN;
	if (stream->ssl != NULL) {
		int done;

		stream->tls_needs_read = false;
		ERR_clear_error();
		done = SSL_write_ex(stream->ssl, bytes.data, bytes.size, written_out);
		return done == 1 ? PN_STREAM_DONE : tls_result(stream, done, true);
	}
	do
		result = send(stream->descriptor, bytes.data, bytes.size, MSG_NOSIGNAL);
	while (result < 0 && errno == EINTR);
	if (result < 0) {
		if (errno == EAGAIN)
			return PN_STREAM_AGAIN;
		stream->is_deaf = true; /* what it said before can be read */
		return PN_STREAM_BROKEN;
	}
	*written_out = (size_t)result;
	return PN_STREAM_DONE;
}

bool pn_stream_has_pending(const struct pn_stream *stream)
{
	return stream->ssl != NULL && SSL_has_pending(stream->ssl);
}

bool pn_stream_has_input(struct pn_stream *stream)
{
	char byte;
	size_t size;

	if (stream->is_broken)
		return false;
	if (stream->ssl == NULL)
		return recv(stream->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
	ERR_clear_error();
	/* An error shows up again at the next read. */
	return SSL_peek_ex(stream->ssl, &byte, 1, &size) == 1;
}

void pn_stream_set_tls(struct pn_stream *stream, SSL *ssl)
{
	BIO *bio = new_socket_bio(stream);

	stream->ssl = ssl;
	SSL_set_bio(ssl, bio, bio);
}

enum pn_stream_result pn_stream_handshake(struct pn_stream *stream)
{
	int done;

	stream->tls_needs_read = false;
	stream->tls_needs_write = false;
	ERR_clear_error();
	done = SSL_do_handshake(stream->ssl);
	if (done == 1) {
		stream->is_encrypted = true;
		return PN_STREAM_DONE;
	}
	switch (SSL_get_error(stream->ssl, done)) {
	case SSL_ERROR_WANT_READ:
		pn_stream_want(stream, true, false);
		return PN_STREAM_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		pn_stream_want(stream, false, true);
		return PN_STREAM_AGAIN;
	default:
		stream->is_broken = true;
		return PN_STREAM_BROKEN;
	}
}

bool pn_stream_is_encrypted(const struct pn_stream *stream)
{
	return stream->is_encrypted;
}

const char *pn_stream_tls_version(const struct pn_stream *stream)
{
	return stream->is_encrypted ? SSL_get_version(stream->ssl) : "";
}

const char *pn_stream_tls_cipher(const struct pn_stream *stream)
{
	return stream->is_encrypted ? SSL_get_cipher_name(stream->ssl) : "";
}

const char *pn_stream_tls_server_name(const struct pn_stream *stream)
{
	const char *name = stream->is_encrypted
	                           ? SSL_get_servername(stream->ssl, TLSEXT_NAMETYPE_host_name)
	                           : NULL;

	return name == NULL ? "" : name;
}

const struct pn_client_certificate *pn_stream_client_certificate(const struct pn_stream *stream,
                                                                 struct pn_arena *arena)
{
	return stream->is_encrypted ? pn_tls_client_certificate(stream->ssl, arena) : NULL;
}

bool pn_stream_has_channel_binding(const struct pn_stream *stream)
{
	return stream->is_encrypted && (SSL_version(stream->ssl) >= TLS1_3_VERSION ||
	                                SSL_get_extms_support(stream->ssl) == 1);
}

bool pn_stream_channel_binding(const struct pn_stream *stream,
                               uint8_t binding_out[PN_CHANNEL_BINDING_SIZE])
{
	static const char label[] = "EXPORTER-Channel-Binding";

	/* RFC 9266 section 2: the context is there, and is empty. */
	return pn_stream_has_channel_binding(stream) &&
	       SSL_export_keying_material(stream->ssl, binding_out, PN_CHANNEL_BINDING_SIZE, label,
	                                  sizeof(label) - 1, (const unsigned char *)"", 0, 1) == 1;
}

void pn_stream_finish_writing(struct pn_stream *stream)
{
	if (stream->has_finished || stream->is_broken || stream->is_deaf)
		return;
	stream->has_finished = true;
	if (stream->is_encrypted) {
		ERR_clear_error();
		(void)SSL_shutdown(stream->ssl);
	}
	shutdown(stream->descriptor, SHUT_WR);
}

int pn_stream_descriptor(const struct pn_stream *stream)
{
	return stream->descriptor;
}
