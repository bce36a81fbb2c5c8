/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions that clients come back with (RFC 5077, RFC 8446 section 2.2): nothing is kept here, what
 * is needed was sealed and given to the client. All workers seal with the same keys.
 */
#include "io/tls_parts.h"

#include "io/digest.h"

#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { NAME_SIZE = 16, CIPHER_SIZE = 32, MAC_SIZE = 32, IV_SIZE = 16 };

/* How the words of a key are used. */
struct key {
	unsigned char name[NAME_SIZE];
	unsigned char cipher[CIPHER_SIZE];
	unsigned char mac[MAC_SIZE];
};

_Static_assert(sizeof(struct key) == PN_TLS_RESUMPTION_WORDS * sizeof(uint64_t),
               "a key is as long as its words");

static const struct pn_tls_resumption *shared;

void pn_tls_resumption_turn(struct pn_tls_resumption *resumption)
{
	uint32_t version = atomic_load_explicit(&resumption->version, memory_order_relaxed);
	uint64_t fresh[PN_TLS_RESUMPTION_WORDS];

	/* As many bytes as this come at once, or not at all. */
	if (getrandom(fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh))
		abort();
	atomic_store(&resumption->version, version + 1);
	for (size_t i = 0; i < PN_TLS_RESUMPTION_WORDS; i++) {
		uint64_t newest = atomic_load(&resumption->keys[0][i]);

		/* Before the second turn the one before is nobody's. */
		atomic_store(&resumption->keys[1][i], version == 0 ? fresh[i] : newest);
		atomic_store(&resumption->keys[0][i], fresh[i]);
	}
	atomic_store(&resumption->version, version + 2);
	pn_wipe(fresh, sizeof(fresh));
}

void pn_tls_resumption_use(const struct pn_tls_resumption *resumption)
{
	shared = resumption;
}

/* A whole key; false where the master is writing and does not come to an end: then this session is
 * not resumed, which costs a handshake. */
static bool read_key(size_t number, struct key *key_out)
{
	uint64_t words[PN_TLS_RESUMPTION_WORDS];

	for (int tries = 0; tries < 1000; tries++) {
		uint32_t version = atomic_load(&shared->version);

		for (size_t i = 0; i < PN_TLS_RESUMPTION_WORDS; i++)
			words[i] = atomic_load(&shared->keys[number][i]);
		if (version != 0 && version % 2 == 0 && atomic_load(&shared->version) == version) {
			memcpy(key_out, words, sizeof(words));
			pn_wipe(words, sizeof(words));
			return true;
		}
	}
	return false;
}

static bool set_mac(EVP_MAC_CTX *mac, struct key *key)
{
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

static int seal(struct key *key, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                EVP_MAC_CTX *mac)
{
	if (!read_key(0, key) || RAND_bytes(iv, IV_SIZE) != 1 ||
	    EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1 ||
	    !set_mac(mac, key))
		return 0;
	memcpy(name, key->name, NAME_SIZE);
	return 1;
}

/* 1: as it is; 2: by the key before, and the client gets a new one. */
static int unseal(struct key *key, const unsigned char *name, const unsigned char *iv,
                  EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	for (size_t i = 0; i < PN_TLS_RESUMPTION_KEYS; i++) {
		if (!read_key(i, key) || memcmp(name, key->name, NAME_SIZE) != 0)
			continue;
		if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1 ||
		    !set_mac(mac, key))
			return 0;
		return i == 0 ? 1 : 2;
	}
	return 0;
}

static int use_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                   EVP_MAC_CTX *mac, int is_sealing)
{
	struct key key;
	int result;

	(void)ssl;
	result = is_sealing ? seal(&key, name, iv, cipher, mac)
	                    : unseal(&key, name, iv, cipher, mac);
	pn_wipe(&key, sizeof(key));
	return result;
}

/* What a certificate proved, it proves for one lifetime and not longer than it is valid itself:
 * such a session is not sealed again for who comes back with it. The rest is as OpenSSL does it. */
static SSL_TICKET_RETURN judge(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                               size_t name_size, SSL_TICKET_STATUS status, void *user)
{
	const X509 *certificate;

	(void)ssl;
	(void)name;
	(void)name_size;
	(void)user;
	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	certificate = SSL_SESSION_get0_peer(session);
	if (certificate == NULL)
		return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE
		                                    : SSL_TICKET_RETURN_USE_RENEW;
	/* 0 says that the time cannot be read. */
	return X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0
	               ? SSL_TICKET_RETURN_USE
	               : SSL_TICKET_RETURN_IGNORE_RENEW;
}

void pn_tls_resumption_prepare(SSL_CTX *context, uint64_t lifetime_ms)
{
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	if (shared == NULL) {
		SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(context, 0);
		return;
	}
	SSL_CTX_set_timeout(context, (long)((lifetime_ms + 999) / 1000));
	SSL_CTX_set_num_tickets(context, 1);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(context, use_key);
	SSL_CTX_set_session_ticket_cb(context, NULL, judge, NULL);
}
