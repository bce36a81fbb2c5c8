/* SPDX-License-Identifier: Apache-2.0 */
/* What a client's certificate says: a stranger's text, told so that it can stand in a log. */
#include "io/tls_parts.h"

#include <postern/address.h>
#include <postern/text.h>

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_TEXT_MAX = 1024 };

/* RFC 4514, in printable ASCII: control characters and all that is not ASCII are escaped. */
static const char *distinguished_name(const X509_NAME *name, struct pn_arena *arena)
{
	BIO *memory = BIO_new(BIO_s_mem());
	const char *text;
	char *bytes;
	long size;

	if (memory == NULL || X509_NAME_print_ex(memory, name, 0, XN_FLAG_RFC2253) < 0)
		abort();
	size = BIO_get_mem_data(memory, &bytes);
	text = pn_arena_keep_text(
		arena, pn_slice_make(bytes, size < NAME_TEXT_MAX ? (size_t)size : NAME_TEXT_MAX));
	BIO_free(memory);
	return text;
}

static const char *fingerprint(const X509 *certificate, struct pn_arena *arena)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	char *text;

	if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1)
		abort();
	text = pn_arena_allocate(arena, 2 * (size_t)size + 1);
	for (unsigned i = 0; i < size; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	return text;
}

/* A name that may stand for somebody: no byte in it that a name does not have. */
static const char *clean_name(const ASN1_STRING *string, struct pn_arena *arena)
{
	struct pn_slice text = pn_slice_make((const char *)ASN1_STRING_get0_data(string),
	                                     (size_t)ASN1_STRING_length(string));

	if (text.size == 0 || text.size > PN_PATH_MAX)
		return NULL;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] <= ' ' || text.data[i] == 0x7f)
			return NULL;
	}
	return pn_arena_keep_text(arena, text);
}

/* The mail address that stands first among the other names; where there is none, the common name.
 */
static const char *mail_name(const X509 *certificate, struct pn_arena *arena)
{
	GENERAL_NAMES *others = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	const X509_NAME *subject = X509_get_subject_name(certificate);
	const char *found = NULL;
	bool has_mail = false;
	int place;

	for (int i = 0; i < sk_GENERAL_NAME_num(others) && !has_mail; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(others, i);

		has_mail = name->type == GEN_EMAIL;
		if (has_mail)
			found = clean_name(name->d.rfc822Name, arena);
	}
	GENERAL_NAMES_free(others);
	place = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	/* Two common names are no name. */
	if (!has_mail && place >= 0 &&
	    X509_NAME_get_index_by_NID(subject, NID_commonName, place) < 0)
		found = clean_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, place)),
		                   arena);
	return found == NULL ? "" : found;
}

const struct pn_client_certificate *pn_tls_client_certificate(const SSL *ssl,
                                                              struct pn_arena *arena)
{
	const X509 *certificate = SSL_get0_peer_certificate(ssl);
	struct pn_client_certificate *found;
	long problem;

	if (certificate == NULL)
		return NULL;
	problem = SSL_get_verify_result(ssl);
	found = PN_ARENA_NEW(arena, struct pn_client_certificate);
	found->struct_size = sizeof(*found);
	found->is_verified = problem == X509_V_OK;
	found->problem = problem == X509_V_OK ? "" : X509_verify_cert_error_string(problem);
	found->fingerprint = fingerprint(certificate, arena);
	found->subject = distinguished_name(X509_get_subject_name(certificate), arena);
	found->issuer = distinguished_name(X509_get_issuer_name(certificate), arena);
	found->name = mail_name(certificate, arena);
	return found;
}
