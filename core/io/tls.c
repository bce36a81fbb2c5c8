/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts of servers, on OpenSSL; those of clients are in tls_client.c. */
#include "io/tls_parts.h"

#include <postern/log.h>

#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_FILE_MAX = 64 * 1024, CHAIN_FILE_MAX = 1024 * 1024 };

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

void pn_tls_digest_begin(struct pn_tls_digest *digest)
{
	digest->context = EVP_MD_CTX_new();
	if (digest->context == NULL || EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) != 1)
		abort();
}

void pn_tls_digest_add(struct pn_tls_digest *digest, const void *bytes, size_t size)
{
	uint64_t length = size;

	if (EVP_DigestUpdate(digest->context, &length, sizeof(length)) != 1 ||
	    EVP_DigestUpdate(digest->context, bytes, size) != 1)
		abort();
}

void pn_tls_digest_end(struct pn_tls_digest *digest, unsigned char out[PN_TLS_DIGEST_SIZE])
{
	if (EVP_DigestFinal_ex(digest->context, out, NULL) != 1)
		abort();
	EVP_MD_CTX_free(digest->context);
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

SSL_CTX *pn_tls_context_new(const SSL_METHOD *method)
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
int pn_tls_no_passphrase(char *room, int size, int is_writing, void *user)
{
	(void)room;
	(void)size;
	(void)is_writing;
	(void)user;
	return 0;
}

/* OpenSSL refuses to read from nowhere, even nothing. */
BIO *pn_tls_memory(struct pn_slice text)
{
	BIO *memory = BIO_new_mem_buf(text.size == 0 ? "" : text.data, (int)text.size);

	if (memory == NULL)
		abort();
	return memory;
}

/* The descriptor is shared with other workers, and with it the place where reading goes on: pread.
 */
static ssize_t read_key(int descriptor, char *room, size_t room_size)
{
	size_t size = 0;
	ssize_t more;

	do {
		more = pread(descriptor, room + size, room_size - size, (off_t)size);
		size += more > 0 ? (size_t)more : 0;
	} while (size < room_size && (more > 0 || (more < 0 && errno == EINTR)));
	return more < 0 ? more : (ssize_t)size;
}

static EVP_PKEY *parse_key(int descriptor)
{
	char text[KEY_FILE_MAX];
	ssize_t size = read_key(descriptor, text, sizeof(text));
	BIO *memory = pn_tls_memory(pn_slice_make(text, size < 0 ? 0 : (size_t)size));
	EVP_PKEY *key = PEM_read_bio_PrivateKey(memory, NULL, pn_tls_no_passphrase, NULL);

	BIO_free(memory);
	explicit_bzero(text, sizeof(text));
	return key;
}

static enum pn_status use_key(SSL_CTX *context, const struct pn_tls_certificate *certificate,
                              struct pn_error *error)
{
	char why[256];
	EVP_PKEY *key;
	int result;
	int descriptor = certificate->key_descriptor >= 0
	                         ? dup(certificate->key_descriptor)
	                         : open(certificate->key_path, O_RDONLY | O_CLOEXEC);

	if (descriptor < 0)
		return pn_fail_errno(error, errno, "cannot read the private key %s",
		                     certificate->key_path);
	key = parse_key(descriptor);
	close(descriptor);
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

/* The certificate, and behind it those that lead to a root. */
static bool parse_chain(SSL_CTX *context, struct pn_slice text)
{
	BIO *memory = pn_tls_memory(text);
	X509 *certificate = PEM_read_bio_X509_AUX(memory, NULL, pn_tls_no_passphrase, NULL);
	bool is_good = certificate != NULL && SSL_CTX_use_certificate(context, certificate) == 1;

	X509_free(certificate);
	while (is_good && (certificate = PEM_read_bio_X509(memory, NULL, pn_tls_no_passphrase,
	                                                   NULL)) != NULL) {
		is_good = SSL_CTX_add0_chain_cert(context, certificate) == 1;
		if (!is_good)
			X509_free(certificate);
	}
	BIO_free(memory);
	/* "No start line" is how the end of the file is said; anything else is damage. */
	if (is_good && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return false;
	if (is_good)
		ERR_clear_error();
	return is_good;
}

/* As the master copied it, with the key that it opened beside it: who renews both must not break
 * a worker that is started before the reload. */
static enum pn_status use_chain(SSL_CTX *context, const struct pn_tls_certificate *certificate,
                                struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice text = PN_SLICE_NONE;
	char why[256];
	enum pn_status status =
		pn_file_read(certificate->chain_path, CHAIN_FILE_MAX, arena, &text, error);

	if (status == PN_OK && !parse_chain(context, text))
		status = pn_fail(error, "%s holds no certificate in PEM form: %s",
		                 certificate->chain_path, pn_tls_error_text(why, sizeof(why)));
	pn_arena_free(&arena);
	return status == PN_OK ? PN_OK : PN_FAILED;
}

static bool names_are_same(X509 *one, X509 *other)
{
	int first = X509_get_ext_by_NID(one, NID_subject_alt_name, -1);
	int second = X509_get_ext_by_NID(other, NID_subject_alt_name, -1);

	if (first < 0 || second < 0)
		return first < 0 && second < 0 &&
		       X509_NAME_cmp(X509_get_subject_name(one), X509_get_subject_name(other)) == 0;
	return ASN1_OCTET_STRING_cmp(X509_EXTENSION_get_data(X509_get_ext(one, first)),
	                             X509_EXTENSION_get_data(X509_get_ext(other, second))) == 0;
}

/* A certificate of the same names with another kind of key belongs beside the one before it. */
static SSL_CTX *find_context(const struct pn_tls_server *server, SSL_CTX *fresh)
{
	X509 *certificate = SSL_CTX_get0_certificate(fresh);
	int kind = EVP_PKEY_get_base_id(X509_get0_pubkey(certificate));

	for (size_t i = 0; i < server->count; i++) {
		SSL_CTX *context = server->contexts[i];
		bool has_kind = false;
		bool is_same;

		/* Each set of names has one certificate of a kind. */
		is_same = SSL_CTX_set_current_cert(context, SSL_CERT_SET_FIRST) == 1 &&
		          names_are_same(SSL_CTX_get0_certificate(context), certificate);
		if (!is_same)
			continue;
		do
			has_kind = has_kind || EVP_PKEY_get_base_id(X509_get0_pubkey(
						       SSL_CTX_get0_certificate(context))) == kind;
		while (SSL_CTX_set_current_cert(context, SSL_CERT_SET_NEXT) == 1);
		SSL_CTX_set_current_cert(context, SSL_CERT_SET_FIRST);
		if (!has_kind)
			return context;
	}
	return NULL;
}

static enum pn_status load(SSL_CTX *context, const struct pn_tls_certificate *certificate,
                           struct pn_error *error)
{
	if (use_chain(context, certificate, error) != PN_OK)
		return PN_FAILED;
	return use_key(context, certificate, error);
}

static void add_to_digest(struct pn_tls_digest *digest, X509 *certificate)
{
	unsigned char fingerprint[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	if (X509_digest(certificate, EVP_sha256(), fingerprint, &size) != 1)
		abort();
	pn_tls_digest_add(digest, fingerprint, size);
}

static enum pn_status add_certificate(struct pn_tls_server *server,
                                      const struct pn_tls_certificate *certificate,
                                      uint64_t lifetime_ms, struct pn_tls_digest *digest,
                                      struct pn_error *error)
{
	SSL_CTX *context = pn_tls_context_new(TLS_server_method());
	enum pn_status status = load(context, certificate, error);
	SSL_CTX *shared;

	if (status != PN_OK) {
		SSL_CTX_free(context);
		return status;
	}
	if (X509_cmp_current_time(X509_get0_notAfter(SSL_CTX_get0_certificate(context))) < 0)
		pn_log(PN_LOG_WARNING, "certificate", "the certificate %s has expired",
		       certificate->chain_path);
	add_to_digest(digest, SSL_CTX_get0_certificate(context));
	shared = find_context(server, context);
	if (shared != NULL) {
		SSL_CTX_free(context);
		return load(shared, certificate, error);
	}
	server->contexts[server->count++] = context;
	SSL_CTX_set_tlsext_servername_callback(context, choose_certificate);
	SSL_CTX_set_tlsext_servername_arg(context, server);
	pn_tls_service_prepare(context);
	pn_tls_resumption_prepare(context, lifetime_ms);
	return PN_OK;
}

enum pn_status pn_tls_server_new(const struct pn_tls_certificate *certificates, size_t count,
                                 uint64_t lifetime_ms, struct pn_tls_server **server_out,
                                 struct pn_error *error)
{
	struct pn_tls_server *server = calloc(1, sizeof(*server));
	struct pn_tls_digest digest;
	enum pn_status status = PN_OK;

	if (server == NULL || (server->contexts = calloc(count, sizeof(SSL_CTX *))) == NULL)
		abort();
	pn_tls_digest_begin(&digest);
	for (size_t i = 0; status == PN_OK && i < count; i++)
		status = add_certificate(server, &certificates[i], lifetime_ms, &digest, error);
	pn_tls_digest_end(&digest, server->digest);
	if (status != PN_OK) {
		pn_tls_server_free(&server);
		return PN_FAILED;
	}
	*server_out = server;
	return PN_OK;
}

void pn_tls_server_free(struct pn_tls_server **server)
{
	if (*server == NULL)
		return;
	pn_tls_service_free_all(&(*server)->services);
	for (size_t i = 0; i < (*server)->count; i++)
		SSL_CTX_free((*server)->contexts[i]);
	free((*server)->contexts);
	free(*server);
	*server = NULL;
}
