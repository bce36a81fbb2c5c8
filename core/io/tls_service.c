/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services behind TLS: what each wants of the certificates of its clients, and the connections
 * that they accept. A session of one service is nobody else's: where a client comes back with what
 * it got elsewhere, the handshake is done in full.
 */
#include "io/tls_parts.h"

#include "io/file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum { AUTHORITIES_FILE_MAX = 1024 * 1024 };

struct pn_tls_service {
	struct pn_tls_service *next;
	struct pn_tls_server *server;
	enum pn_tls_client_certificates client_certificates;
	const char *const *protocol_names;        /* or NULL */
	unsigned char digest[PN_TLS_DIGEST_SIZE]; /* what its sessions are bound to */
	X509_STORE *authorities;                  /* or NULL */
	STACK_OF(X509_NAME) * names;              /* theirs, told to clients */
};

static void free_service(struct pn_tls_service *service)
{
	X509_STORE_free(service->authorities);
	sk_X509_NAME_pop_free(service->names, X509_NAME_free);
	free(service);
}

void pn_tls_service_free_all(struct pn_tls_service **services)
{
	while (*services != NULL) {
		struct pn_tls_service *service = *services;

		*services = service->next;
		free_service(service);
	}
}

/* ---- authorities ---- */

static void add_authority(struct pn_tls_service *service, X509 *certificate)
{
	X509_NAME *name = X509_NAME_dup(X509_get_subject_name(certificate));

	if (name == NULL || X509_STORE_add_cert(service->authorities, certificate) != 1 ||
	    sk_X509_NAME_push(service->names, name) <= 0)
		abort();
	X509_free(certificate);
}

static bool parse_authorities(struct pn_tls_service *service, struct pn_slice text)
{
	BIO *memory = pn_tls_memory(text);
	X509 *certificate;

	service->authorities = X509_STORE_new();
	service->names = sk_X509_NAME_new_null();
	if (service->authorities == NULL || service->names == NULL)
		abort();
	while ((certificate = PEM_read_bio_X509_AUX(memory, NULL, pn_tls_no_passphrase, NULL)) !=
	       NULL)
		add_authority(service, certificate);
	BIO_free(memory);
	/* "No start line" is how the end of the file is said; anything else is damage. */
	if (sk_X509_NAME_num(service->names) == 0 ||
	    ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return false;
	ERR_clear_error();
	return true;
}

static enum pn_status read_authorities(struct pn_tls_service *service, const char *path,
                                       struct pn_tls_digest *digest, struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice text = PN_SLICE_NONE;
	char why[256];
	enum pn_status status = pn_file_read(path, AUTHORITIES_FILE_MAX, arena, &text, error);

	if (status == PN_OK && !parse_authorities(service, text))
		status = pn_fail(error, "%s holds no certificates in PEM form: %s", path,
		                 pn_tls_error_text(why, sizeof(why)));
	if (status == PN_OK)
		pn_tls_digest_add(digest, text.data, text.size);
	pn_arena_free(&arena);
	return status == PN_OK ? PN_OK : PN_FAILED;
}

enum pn_status pn_tls_service_add(struct pn_tls_server *server,
                                  const struct pn_tls_service_settings *settings,
                                  struct pn_tls_service **service_out, struct pn_error *error)
{
	struct pn_tls_service *service = calloc(1, sizeof(*service));
	struct pn_tls_digest digest;
	enum pn_status status = PN_OK;

	if (service == NULL)
		abort();
	service->server = server;
	service->client_certificates = settings->client_certificates;
	service->protocol_names = settings->protocol_names;
	pn_tls_digest_begin(&digest);
	if (server != NULL)
		pn_tls_digest_add(&digest, server->digest, sizeof(server->digest));
	pn_tls_digest_add(&digest, settings->name, strlen(settings->name));
	pn_tls_digest_add(&digest, &service->client_certificates,
	                  sizeof(service->client_certificates));
	if (settings->authorities_path != NULL)
		status = read_authorities(service, settings->authorities_path, &digest, error);
	pn_tls_digest_end(&digest, service->digest);
	if (status != PN_OK || server == NULL) {
		free_service(service);
		*service_out = NULL;
		return status;
	}
	service->next = server->services;
	server->services = service;
	*service_out = service;
	return PN_OK;
}

/* ---- connections ---- */

/* Before anything is resumed: this session belongs to this service, and to the name that was asked
 * for. A session that was sealed with another binding is not found. */
static int bind_session(SSL *ssl, int *alert, void *unused)
{
	const struct pn_tls_service *service = SSL_get_app_data(ssl);
	unsigned char binding[PN_TLS_DIGEST_SIZE];
	const unsigned char *name = NULL;
	struct pn_tls_digest digest;
	size_t size = 0;

	(void)unused;
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &name, &size) != 1)
		size = 0;
	pn_tls_digest_begin(&digest);
	pn_tls_digest_add(&digest, service->digest, sizeof(service->digest));
	pn_tls_digest_add(&digest, name, size);
	pn_tls_digest_end(&digest, binding);
	if (SSL_set_session_id_context(ssl, binding, sizeof(binding)) == 1)
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_INTERNAL_ERROR;
	return SSL_CLIENT_HELLO_ERROR;
}

/* RFC 7301 section 3.1: each name of the client's list has its length in front. */
static const unsigned char *find_name(const unsigned char *list, size_t size, const char *name)
{
	for (size_t at = 0; at < size && list[at] < size - at; at += list[at] + 1u) {
		if (list[at] == strlen(name) && memcmp(&list[at + 1], name, list[at]) == 0)
			return &list[at];
	}
	return NULL;
}

static int choose_protocol(SSL *ssl, const unsigned char **name_out, unsigned char *size_out,
                           const unsigned char *list, unsigned size, void *unused)
{
	const struct pn_tls_service *service = SSL_get_app_data(ssl);
	const unsigned char *found = NULL;

	(void)unused;
	if (service->protocol_names == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	for (size_t i = 0; service->protocol_names[i] != NULL && found == NULL; i++)
		found = find_name(list, size, service->protocol_names[i]);
	if (found == NULL)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*size_out = found[0];
	*name_out = found + 1;
	return SSL_TLSEXT_ERR_OK;
}

void pn_tls_service_prepare(SSL_CTX *context)
{
	SSL_CTX_set_client_hello_cb(context, bind_session, NULL);
	SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
}

/* Whoever it is: what the certificate proves is looked at afterwards. */
static int take_any(int is_good, X509_STORE_CTX *context)
{
	(void)is_good;
	(void)context;
	return 1;
}

static void ask_for_certificate(SSL *ssl, const struct pn_tls_service *service)
{
	if (service->client_certificates == PN_TLS_CLIENT_REQUIRED)
		SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	else
		SSL_set_verify(ssl, SSL_VERIFY_PEER, take_any);
	if (service->authorities == NULL)
		return;
	if (SSL_set1_verify_cert_store(ssl, service->authorities) != 1)
		abort();
	SSL_set_client_CA_list(ssl, SSL_dup_CA_list(service->names));
}

SSL *pn_tls_accept(struct pn_tls_service *service)
{
	SSL *ssl = SSL_new(service->server->contexts[0]);

	if (ssl == NULL)
		abort();
	SSL_set_app_data(ssl, service);
	if (service->client_certificates != PN_TLS_CLIENT_NEVER)
		ask_for_certificate(ssl, service);
	SSL_set_accept_state(ssl);
	return ssl;
}
