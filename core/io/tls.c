/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts, on OpenSSL. */
#include "io/tls.h"

#include <postern/log.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct pn_tls_server {
	SSL_CTX **contexts; /* one for each certificate; the first is the default */
	size_t count;
};

const char *pn_tls_error_text(char *room, size_t size)
{
	unsigned long number = ERR_peek_last_error();

	if (number == 0)
		snprintf(room, size, "the connection ended");
	else
		ERR_error_string_n(number, room, size);
	ERR_clear_error();
	return room;
}

static int choose_certificate(SSL *ssl, int *alert, void *user)
{
	struct pn_tls_server *server = user;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	if (name == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	for (size_t i = 0; i < server->count; i++) {
		X509 *certificate = SSL_CTX_get0_certificate(server->contexts[i]);

		if (X509_check_host(certificate, name, 0, 0, NULL) == 1) {
			SSL_set_SSL_CTX(ssl, server->contexts[i]);
			return SSL_TLSEXT_ERR_OK;
		}
	}
	/* An unknown name gets the default: the client judges it. */
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *new_context(const SSL_METHOD *method)
{
	SSL_CTX *context = SSL_CTX_new(method);

	if (context == NULL)
		abort();
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					     SSL_OP_CIPHER_SERVER_PREFERENCE |
					     SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* An idle session holds no TLS buffers. */
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return context;
}

/* A gateway has nobody to ask. */
static int no_passphrase(char *room, int size, int is_writing, void *user)
{
	(void)room;
	(void)size;
	(void)is_writing;
	(void)user;
	return 0;
}

static enum pn_status use_key(SSL_CTX *context, const struct pn_tls_certificate *certificate,
			      struct pn_error *error)
{
	char why[256];
	EVP_PKEY *key = NULL;
	BIO *file;
	int result;
	int descriptor = certificate->key_descriptor >= 0
				 ? dup(certificate->key_descriptor)
				 : open(certificate->key_path, O_RDONLY | O_CLOEXEC);

	if (descriptor < 0)
		return pn_fail_errno(error, errno, "cannot read the private key %s",
				     certificate->key_path);
	/* The descriptor is shared with other workers: each reads from the beginning. */
	lseek(descriptor, 0, SEEK_SET);
	file = BIO_new_fd(descriptor, BIO_CLOSE);
	key = PEM_read_bio_PrivateKey(file, NULL, no_passphrase, NULL);
	BIO_free(file);
	if (key == NULL)
		return pn_fail(error, "%s holds no private key in PEM form: %s",
			       certificate->key_path, pn_tls_error_text(why, sizeof(why)));
	result = SSL_CTX_use_PrivateKey(context, key);
	EVP_PKEY_free(key);
	if (result != 1 || SSL_CTX_check_private_key(context) != 1) {
		ERR_clear_error();
		return pn_fail(error,
			       "the private key %s does not belong to the certificate %s: give the "
			       "key that the certificate was made for",
			       certificate->key_path, certificate->chain_path);
	}
	return PN_OK;
}

static enum pn_status load(SSL_CTX *context, const struct pn_tls_certificate *certificate,
			   struct pn_error *error)
{
	char why[256];

	if (access(certificate->chain_path, R_OK) != 0)
		return pn_fail_errno(error, errno, "cannot read the certificate %s",
				     certificate->chain_path);
	if (SSL_CTX_use_certificate_chain_file(context, certificate->chain_path) != 1)
		return pn_fail(error, "%s holds no certificate in PEM form: %s",
			       certificate->chain_path, pn_tls_error_text(why, sizeof(why)));
	if (use_key(context, certificate, error) != PN_OK)
		return PN_FAILED;
	if (X509_cmp_current_time(X509_get0_notAfter(SSL_CTX_get0_certificate(context))) < 0)
		pn_log(PN_LOG_WARNING, "certificate", "the certificate %s has expired",
		       certificate->chain_path);
	return PN_OK;
}

enum pn_status pn_tls_server_new(const struct pn_tls_certificate *certificates, size_t count,
				 struct pn_tls_server **server_out, struct pn_error *error)
{
	struct pn_tls_server *server = calloc(1, sizeof(*server));

	if (server == NULL || (server->contexts = calloc(count, sizeof(SSL_CTX *))) == NULL)
		abort();
	for (size_t i = 0; i < count; i++) {
		SSL_CTX *context = new_context(TLS_server_method());

		server->contexts[server->count++] = context;
		SSL_CTX_set_session_id_context(context, (const unsigned char *)"postern", 7);
		SSL_CTX_set_tlsext_servername_callback(context, choose_certificate);
		SSL_CTX_set_tlsext_servername_arg(context, server);
		if (load(context, &certificates[i], error) != PN_OK) {
			pn_tls_server_free(&server);
			return PN_FAILED;
		}
	}
	*server_out = server;
	return PN_OK;
}

void pn_tls_server_free(struct pn_tls_server **server)
{
	if (*server == NULL)
		return;
	for (size_t i = 0; i < (*server)->count; i++)
		SSL_CTX_free((*server)->contexts[i]);
	free((*server)->contexts);
	free(*server);
	*server = NULL;
}

SSL *pn_tls_accept(struct pn_tls_server *server)
{
	SSL *ssl = SSL_new(server->contexts[0]);

	if (ssl == NULL)
		abort();
	SSL_set_accept_state(ssl);
	return ssl;
}

SSL *pn_tls_connect(const char *verify_name)
{
	static SSL_CTX *context;
	SSL *ssl;

	if (context == NULL) {
		context = new_context(TLS_client_method());
		SSL_CTX_set_default_verify_paths(context);
	}
	ssl = SSL_new(context);
	if (ssl == NULL)
		abort();
	if (verify_name != NULL) {
		SSL_set_tlsext_host_name(ssl, verify_name);
		SSL_set1_host(ssl, verify_name);
		SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	}
	SSL_set_connect_state(ssl);
	return ssl;
}
