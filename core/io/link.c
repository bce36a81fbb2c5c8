/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that block, with or without TLS: for tools, which have nothing else to do. */
#include "io/link.h"

#include "io/tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_SECONDS = 300 };

struct pn_link {
	int descriptor;
	SSL *ssl;
	char *host;
};

enum pn_status pn_link_connect(const struct pn_socket_address *address, const char *host,
                               struct pn_link **link_out, struct pn_error *error)
{
	const struct timeval limit = {.tv_sec = ANSWER_SECONDS};
	const int on = 1;
	struct pn_link *link;
	int descriptor = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (descriptor < 0)
		return pn_fail_errno(error, errno, "cannot connect to %s", host);
	setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (address->storage.ss_family != AF_UNIX)
		setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(descriptor, (const struct sockaddr *)&address->storage, address->size) != 0) {
		enum pn_status status = pn_fail_errno(error, errno, "cannot connect to %s", host);

		close(descriptor);
		return status;
	}
	link = calloc(1, sizeof(*link));
	if (link == NULL || (link->host = strdup(host)) == NULL)
		abort();
	link->descriptor = descriptor;
	*link_out = link;
	return PN_OK;
}

static enum pn_status tls_failed(struct pn_link *link, const char *what, struct pn_error *error)
{
	long result = SSL_get_verify_result(link->ssl);
	char why[256];

	if (SSL_get_verify_mode(link->ssl) != SSL_VERIFY_NONE && result != X509_V_OK) {
		ERR_clear_error();
		return pn_fail(error,
		               "the certificate of %s is not to be trusted (%s): name the host as "
		               "its certificate does",
		               link->host, X509_verify_cert_error_string(result));
	}
	return pn_fail(error, "%s %s: %s", what, link->host, pn_tls_error_text(why, sizeof(why)));
}

enum pn_status pn_link_secure(struct pn_link *link, bool verify, struct pn_error *error)
{
	link->ssl = pn_tls_connect(verify ? link->host : NULL);
	if (SSL_set_fd(link->ssl, link->descriptor) != 1)
		return tls_failed(link, "TLS with", error);
	if (!verify)
		SSL_set_tlsext_host_name(link->ssl, link->host);
	ERR_clear_error();
	if (SSL_connect(link->ssl) != 1)
		return tls_failed(link, "TLS with", error);
	return PN_OK;
}

enum pn_status pn_link_write(struct pn_link *link, struct pn_slice bytes, struct pn_error *error)
{
	while (bytes.size > 0) {
		size_t written = 0;

		if (link->ssl != NULL) {
			ERR_clear_error();
			if (SSL_write_ex(link->ssl, bytes.data, bytes.size, &written) != 1)
				return tls_failed(link, "cannot write to", error);
		} else {
			ssize_t result =
				send(link->descriptor, bytes.data, bytes.size, MSG_NOSIGNAL);

			if (result < 0 && errno == EINTR)
				continue;
			if (result < 0)
				return pn_fail_errno(error, errno, "cannot write to %s",
				                     link->host);
			written = (size_t)result;
		}
		bytes = pn_slice_behind(bytes, written);
	}
	return PN_OK;
}

enum pn_status pn_link_read(struct pn_link *link, char *room, size_t size, size_t *got_out,
                            struct pn_error *error)
{
	ssize_t result;

	if (link->ssl != NULL) {
		ERR_clear_error();
		if (SSL_read_ex(link->ssl, room, size, got_out) != 1)
			return tls_failed(link, "cannot read from", error);
		return PN_OK;
	}
	do
		result = recv(link->descriptor, room, size, 0);
	while (result < 0 && errno == EINTR);
	if (result < 0)
		return pn_fail_errno(error, errno, "cannot read from %s", link->host);
	if (result == 0)
		return pn_fail(error, "%s closed the connection", link->host);
	*got_out = (size_t)result;
	return PN_OK;
}

void pn_link_close(struct pn_link **link)
{
	if (*link == NULL)
		return;
	if ((*link)->ssl != NULL)
		SSL_free((*link)->ssl);
	close((*link)->descriptor);
	free((*link)->host);
	free(*link);
	*link = NULL;
}
