/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS of connections that we make: one context for the system's certificates and one
 * for each file of trusted ones, and the sessions that servers gave us, each of which
 * is used once more. Called where a handshake begins; owns everything of it. Loop
 * thread.
 */
#include "io/tls_parts.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	TRUSTED_MAX = 16,   /* files; the one that was read first goes first */
	SESSIONS_MAX = 512, /* one for each place: a newer one replaces what is there */
	KEY_SIZE = 600,
};

struct trusted {
	char *path; /* NULL: the system's */
	struct timespec changed;
	SSL_CTX *context;
};

static struct {
	struct trusted system;
	struct trusted files[TRUSTED_MAX];
	unsigned next_file;
	struct {
		char *key;
		SSL_SESSION *session;
	} sessions[SESSIONS_MAX];
	int key_index;
} clients = {.key_index = -1};

/* ---- sessions ---- */

static size_t place_of(const char *key)
{
	uint64_t hash = 14695981039346656037u;

	for (; *key != '\0'; key++)
		hash = (hash ^ (unsigned char)*key) * 1099511628211u;
	return (size_t)(hash % SESSIONS_MAX);
}

static void forget_session(size_t place)
{
	free(clients.sessions[place].key);
	SSL_SESSION_free(clients.sessions[place].session);
	clients.sessions[place].key = NULL;
	clients.sessions[place].session = NULL;
}

/* 1: the session is ours now. */
static int take_session(SSL *ssl, SSL_SESSION *session)
{
	const char *key = SSL_get_ex_data(ssl, clients.key_index);
	size_t place;

	if (key == NULL)
		return 0;
	place = place_of(key);
	forget_session(place);
	clients.sessions[place].key = strdup(key);
	if (clients.sessions[place].key == NULL)
		abort();
	clients.sessions[place].session = session;
	return 1;
}

static void free_key(void *parent, void *key, CRYPTO_EX_DATA *data, int index, long number,
                     void *pointer)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)number;
	(void)pointer;
	free(key);
}

/* A session that was made under other rules proves nothing: they are part of its key. */
static void use_session(SSL *ssl, const struct pn_tls_target *target)
{
	const char *verify = target->verify_name == NULL ? "" : target->verify_name;
	const char *server = target->server_name == NULL ? "" : target->server_name;
	const char *trusted = target->trusted_path == NULL ? "" : target->trusted_path;
	char key[KEY_SIZE];
	int size =
		snprintf(key, sizeof(key), "%s|%s|%s|%s", target->address, verify, server, trusted);
	size_t place;
	char *kept;

	if (size < 0 || (size_t)size >= sizeof(key))
		return;
	kept = strdup(key);
	if (kept == NULL || SSL_set_ex_data(ssl, clients.key_index, kept) != 1)
		abort();
	place = place_of(key);
	if (clients.sessions[place].key == NULL || strcmp(clients.sessions[place].key, key) != 0)
		return;
	/* Once only: a ticket that is seen twice tells that two connections belong together, and
	 * one that breaks the handshake must not break the next. */
	SSL_set_session(ssl, clients.sessions[place].session);
	forget_session(place);
}

/* ---- contexts ---- */

static SSL_CTX *new_client_context(void)
{
	SSL_CTX *context = pn_tls_context_new(TLS_client_method());

	if (clients.key_index < 0)
		clients.key_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_key);
	SSL_CTX_set_session_cache_mode(context,
	                               SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(context, take_session);
	return context;
}

static SSL_CTX *system_context(void)
{
	if (clients.system.context == NULL) {
		clients.system.context = new_client_context();
		SSL_CTX_set_default_verify_paths(clients.system.context);
	}
	return clients.system.context;
}

static struct trusted *place_for(const char *path)
{
	struct trusted *file;

	for (size_t i = 0; i < TRUSTED_MAX; i++) {
		if (clients.files[i].path != NULL && strcmp(clients.files[i].path, path) == 0)
			return &clients.files[i];
	}
	file = &clients.files[clients.next_file++ % TRUSTED_MAX];
	free(file->path);
	SSL_CTX_free(file->context);
	memset(file, 0, sizeof(*file));
	file->path = strdup(path);
	if (file->path == NULL)
		abort();
	return file;
}

/* Read anew where the file has changed; while it cannot be read, nobody is trusted. */
static SSL_CTX *trusted_context(const char *path)
{
	struct trusted *file = place_for(path);
	struct stat status;

	if (stat(path, &status) != 0)
		memset(&status, 0, sizeof(status));
	if (file->context != NULL && status.st_mtim.tv_sec == file->changed.tv_sec &&
	    status.st_mtim.tv_nsec == file->changed.tv_nsec)
		return file->context;
	SSL_CTX_free(file->context);
	file->context = new_client_context();
	file->changed = status.st_mtim;
	if (SSL_CTX_load_verify_file(file->context, path) == 1)
		return file->context;
	SSL_CTX_free(file->context);
	file->context = NULL;
	return NULL;
}

/* ---- connections ---- */

static void verify(SSL *ssl, const char *name)
{
	unsigned char room[16];
	bool is_ip = inet_pton(AF_INET, name, room) == 1 || inet_pton(AF_INET6, name, room) == 1;
	int result;

	if (is_ip)
		result = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
	else
		result = SSL_set_tlsext_host_name(ssl, name) == 1 ? SSL_set1_host(ssl, name) : 0;
	/* No name would mean any. */
	if (result != 1 || name[0] == '\0')
		SSL_set1_host(ssl, "invalid.");
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
}

SSL *pn_tls_connect_to(const struct pn_tls_target *target)
{
	SSL_CTX *context = target->trusted_path == NULL ? system_context()
	                                                : trusted_context(target->trusted_path);
	SSL *ssl = context == NULL ? NULL : SSL_new(context);

	if (context == NULL)
		return NULL;
	if (ssl == NULL)
		abort();
	if (target->verify_name != NULL)
		verify(ssl, target->verify_name);
	else if (target->server_name != NULL)
		SSL_set_tlsext_host_name(ssl, target->server_name);
	if (target->address != NULL)
		use_session(ssl, target);
	SSL_set_connect_state(ssl);
	return ssl;
}

SSL *pn_tls_connect(const char *verify_name)
{
	const struct pn_tls_target target = {.verify_name = verify_name};

	return pn_tls_connect_to(&target);
}
