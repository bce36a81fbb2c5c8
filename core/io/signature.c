/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys and signatures: <postern/signature.h>. */
#include <postern/signature.h>

#include "io/digest.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

enum {
	RSA_BITS_MIN = 2048,
	RSA_BITS_LEAST = 1024,
	RSA_BITS_MAX = 8192,
	RSA_DER_MAX = 16 * 1024,
	P256_SIZE = 32,
	P256_SIGNATURE_SIZE = 2 * P256_SIZE,
	ED25519_SIZE = 32,
	WHY_SIZE = 256,
};

struct pn_public_key {
	EVP_PKEY *key;
	enum pn_signature_algorithm algorithm;
};

struct pn_private_key {
	EVP_PKEY *key;
	enum pn_signature_algorithm algorithm;
};

/* The last word of OpenSSL. */
static const char *reason(char room[WHY_SIZE])
{
	unsigned long number = ERR_peek_last_error();

	room[0] = '\0';
	if (number != 0)
		ERR_error_string_n(number, room, WHY_SIZE);
	ERR_clear_error();
	return number == 0 ? "it is of another kind" : room;
}

/* ---- keys ---- */

static enum pn_signature_algorithm algorithm_of(EVP_PKEY *key, int least_bits)
{
	char group[64] = "";

	if (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= least_bits &&
	    EVP_PKEY_get_bits(key) <= RSA_BITS_MAX)
		return PN_SIGNATURE_RS256;
	if (EVP_PKEY_is_a(key, "EC") &&
	    EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
	    strcmp(group, "prime256v1") == 0)
		return PN_SIGNATURE_ES256;
	return EVP_PKEY_is_a(key, "ED25519") ? PN_SIGNATURE_EDDSA : PN_SIGNATURE_NONE;
}

/* Takes the key, which may be NULL. */
static enum pn_status wrap_with(EVP_PKEY *key, int least_bits, struct pn_public_key **key_out,
                                struct pn_error *error)
{
	struct pn_public_key *result;
	char why[WHY_SIZE];

	if (key == NULL)
		return pn_fail(error, "this is no public key: %s", reason(why));
	if (algorithm_of(key, least_bits) == PN_SIGNATURE_NONE) {
		EVP_PKEY_free(key);
		return pn_fail(error,
		               "this key is neither RSA with %d to %d bits, P-256 nor "
		               "Ed25519",
		               least_bits, RSA_BITS_MAX);
	}
	result = calloc(1, sizeof(*result));
	if (result == NULL)
		abort();
	result->key = key;
	result->algorithm = algorithm_of(key, least_bits);
	*key_out = result;
	return PN_OK;
}

static enum pn_status wrap(EVP_PKEY *key, struct pn_public_key **key_out, struct pn_error *error)
{
	return wrap_with(key, RSA_BITS_MIN, key_out, error);
}

/* The public key of a PEM block; NULL where it has none. A private one is not taken: it has no
 * business here. */
static EVP_PKEY *key_in(const char *name, const unsigned char *bytes, long size)
{
	EVP_PKEY *key = NULL;
	X509 *certificate;

	if (strcmp(name, PEM_STRING_PUBLIC) == 0)
		return d2i_PUBKEY(NULL, &bytes, size);
	if (strcmp(name, PEM_STRING_RSA_PUBLIC) == 0)
		return d2i_PublicKey(EVP_PKEY_RSA, NULL, &bytes, size);
	if (strcmp(name, PEM_STRING_X509) != 0)
		return NULL;
	certificate = d2i_X509(NULL, &bytes, size);
	if (certificate != NULL)
		key = X509_get_pubkey(certificate);
	X509_free(certificate);
	return key;
}

enum pn_status pn_public_key_read_pem(struct pn_slice *text, struct pn_public_key **key_out,
                                      struct pn_error *error)
{
	BIO *memory = BIO_new_mem_buf(text->data, text->size > INT32_MAX ? 0 : (int)text->size);
	unsigned char *bytes = NULL;
	char *header = NULL;
	char *name = NULL;
	long size = 0;
	enum pn_status status;

	if (memory == NULL)
		abort();
	ERR_clear_error();
	if (PEM_read_bio(memory, &name, &header, &bytes, &size) != 1) {
		bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
		char why[WHY_SIZE];

		status = is_end ? PN_NOT_FOUND : pn_fail(error, "this is no PEM: %s", reason(why));
		ERR_clear_error();
	} else {
		status = wrap(key_in(name, bytes, size), key_out, error);
		*text = pn_slice_behind(*text, text->size - BIO_ctrl_pending(memory));
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(bytes);
	BIO_free(memory);
	return status;
}

/* From named parts. Takes `builder`. */
static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *builder)
{
	OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (parameters == NULL || context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(context);
	OSSL_PARAM_free(parameters);
	OSSL_PARAM_BLD_free(builder);
	return key;
}

static EVP_PKEY *rsa_key(struct pn_slice modulus, struct pn_slice exponent)
{
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	BIGNUM *n = BN_bin2bn((const unsigned char *)modulus.data, (int)modulus.size, NULL);
	BIGNUM *e = BN_bin2bn((const unsigned char *)exponent.data, (int)exponent.size, NULL);
	EVP_PKEY *key;

	if (builder == NULL || n == NULL || e == NULL ||
	    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
	    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) != 1)
		abort();
	key = key_from("RSA", builder);
	BN_free(n);
	BN_free(e);
	return key;
}

enum pn_status pn_public_key_rsa(struct pn_slice modulus, struct pn_slice exponent,
                                 struct pn_public_key **key_out, struct pn_error *error)
{
	if (modulus.size > RSA_BITS_MAX / 8 + 1 || exponent.size > 8)
		return pn_fail(error, "this RSA key is too large");
	return wrap(rsa_key(modulus, exponent), key_out, error);
}

enum pn_status pn_public_key_p256(struct pn_slice x, struct pn_slice y,
                                  struct pn_public_key **key_out, struct pn_error *error)
{
	unsigned char point[1 + 2 * P256_SIZE] = {POINT_CONVERSION_UNCOMPRESSED};
	OSSL_PARAM_BLD *builder;

	if (x.size != P256_SIZE || y.size != P256_SIZE)
		return pn_fail(error, "a key on P-256 has two numbers of %d bytes", P256_SIZE);
	memcpy(point + 1, x.data, P256_SIZE);
	memcpy(point + 1 + P256_SIZE, y.data, P256_SIZE);
	builder = OSSL_PARAM_BLD_new();
	if (builder == NULL ||
	    OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) !=
	            1 ||
	    OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point,
	                                     sizeof(point)) != 1)
		abort();
	return wrap(key_from("EC", builder), key_out, error);
}

enum pn_status pn_public_key_ed25519(struct pn_slice bytes, struct pn_public_key **key_out,
                                     struct pn_error *error)
{
	if (bytes.size != ED25519_SIZE)
		return pn_fail(error, "a key of Ed25519 has %d bytes", ED25519_SIZE);
	return wrap(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
	                                        (const unsigned char *)bytes.data, bytes.size),
	            key_out, error);
}

/* What a tag of DER holds, off the beginning of the rest. False: another tag, or no length that is
 * written as it should be. */
static bool take_der(struct pn_slice *rest, unsigned char tag, struct pn_slice *content_out)
{
	const unsigned char *at = (const unsigned char *)rest->data;
	size_t begin = 2;
	size_t size;

	if (rest->size < 2 || at[0] != tag)
		return false;
	size = at[1];
	if (size >= 0x80) {
		begin += size - 0x80;
		if (begin < 3 || begin > 4 || rest->size < begin)
			return false;
		size = begin == 3 ? at[2] : (size_t)at[2] << 8 | at[3];
		if (size < (begin == 3 ? 0x80 : 0x100))
			return false;
	}
	if (size > rest->size - begin)
		return false;
	*content_out = pn_slice_make(rest->data + begin, size);
	*rest = pn_slice_behind(*rest, begin + size);
	return true;
}

/* A number above zero, without the byte that keeps it there. */
static bool take_der_number(struct pn_slice *rest, struct pn_slice *number_out)
{
	if (!take_der(rest, 0x02, number_out) || number_out->size == 0)
		return false;
	if (number_out->data[0] == 0)
		*number_out = pn_slice_behind(*number_out, 1);
	else if ((unsigned char)number_out->data[0] >= 0x80)
		return false;
	return number_out->size > 0;
}

/*
 * A key as it nearly always is written: OpenSSL's reader of all forms takes ten times as long as
 * the verification. NULL: it is in another form, or none.
 */
static EVP_PKEY *usual_rsa_key(struct pn_slice bytes)
{
	static const char algorithm[] = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
	struct pn_slice rest = bytes, whole, kind, bits, pair, modulus, exponent;

	if (!take_der(&rest, 0x30, &whole) || rest.size > 0 || !take_der(&whole, 0x30, &kind) ||
	    kind.size != sizeof(algorithm) - 1 || memcmp(kind.data, algorithm, kind.size) != 0 ||
	    !take_der(&whole, 0x03, &bits) || whole.size > 0 || bits.size == 0 || bits.data[0] != 0)
		return NULL;
	bits = pn_slice_behind(bits, 1);
	if (!take_der(&bits, 0x30, &pair) || bits.size > 0 || !take_der_number(&pair, &modulus) ||
	    !take_der_number(&pair, &exponent) || pair.size > 0 ||
	    modulus.size > RSA_BITS_MAX / 8 + 1 || exponent.size > 8)
		return NULL;
	return rsa_key(modulus, exponent);
}

enum pn_status pn_public_key_rsa_der(struct pn_slice bytes, unsigned least_bits,
                                     struct pn_public_key **key_out, struct pn_error *error)
{
	const unsigned char *at = (const unsigned char *)bytes.data;
	EVP_PKEY *key;

	if (bytes.size == 0 || bytes.size > RSA_DER_MAX)
		return pn_fail(error, "this is no RSA key");
	ERR_clear_error();
	key = usual_rsa_key(bytes);
	if (key == NULL)
		key = d2i_PUBKEY(NULL, &at, (long)bytes.size);
	if (key == NULL) {
		ERR_clear_error();
		at = (const unsigned char *)bytes.data;
		key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)bytes.size);
	}
	if (key != NULL && !EVP_PKEY_is_a(key, "RSA")) {
		EVP_PKEY_free(key);
		return pn_fail(error, "this is no RSA key");
	}
	return wrap_with(key, least_bits < RSA_BITS_LEAST ? RSA_BITS_LEAST : (int)least_bits,
	                 key_out, error);
}

void pn_public_key_free(struct pn_public_key **key)
{
	if (*key == NULL)
		return;
	EVP_PKEY_free((*key)->key);
	free(*key);
	*key = NULL;
}

enum pn_signature_algorithm pn_public_key_algorithm(const struct pn_public_key *key)
{
	return key->algorithm;
}

/* ---- signatures ---- */

static bool verify(EVP_PKEY *key, const EVP_MD *digest, struct pn_slice bytes,
                   const unsigned char *signature, size_t size)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool is_right;

	if (context == NULL)
		abort();
	is_right = EVP_DigestVerifyInit(context, NULL, digest, NULL, key) == 1 &&
	           EVP_DigestVerify(context, signature, size, (const unsigned char *)bytes.data,
	                            bytes.size) == 1;
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return is_right;
}

/* RFC 7518 section 3.4: R and S as they are; OpenSSL wants them in DER. */
static bool verify_p256(EVP_PKEY *key, struct pn_slice bytes, struct pn_slice signature)
{
	const unsigned char *numbers = (const unsigned char *)signature.data;
	ECDSA_SIG *pair = ECDSA_SIG_new();
	unsigned char *der = NULL;
	BIGNUM *r;
	BIGNUM *s;
	int size;
	bool is_right;

	if (signature.size != P256_SIGNATURE_SIZE) {
		ECDSA_SIG_free(pair);
		return false;
	}
	r = BN_bin2bn(numbers, P256_SIZE, NULL);
	s = BN_bin2bn(numbers + P256_SIZE, P256_SIZE, NULL);
	if (pair == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(pair, r, s) != 1)
		abort();
	size = i2d_ECDSA_SIG(pair, &der);
	is_right = size > 0 && verify(key, EVP_sha256(), bytes, der, (size_t)size);
	OPENSSL_free(der);
	ECDSA_SIG_free(pair);
	return is_right;
}

bool pn_public_key_verify(const struct pn_public_key *key, struct pn_slice bytes,
                          struct pn_slice signature)
{
	const unsigned char *data = (const unsigned char *)signature.data;

	switch (key->algorithm) {
	case PN_SIGNATURE_RS256:
		return verify(key->key, EVP_sha256(), bytes, data, signature.size);
	case PN_SIGNATURE_ES256:
		return verify_p256(key->key, bytes, signature);
	case PN_SIGNATURE_EDDSA:
		return verify(key->key, NULL, bytes, data, signature.size);
	case PN_SIGNATURE_NONE:
		break;
	}
	return false;
}

void pn_sha256(struct pn_slice bytes, uint8_t digest_out[32])
{
	pn_digest(PN_DIGEST_SHA256, bytes, digest_out);
}

/* ---- keys of our own ---- */

static int no_passphrase(char *room, int size, int writes, void *unused)
{
	(void)room;
	(void)size;
	(void)writes;
	(void)unused;
	return -1;
}

enum pn_status pn_private_key_read_pem(struct pn_slice text, struct pn_private_key **key_out,
                                       struct pn_error *error)
{
	BIO *memory = BIO_new_mem_buf(text.data, text.size > INT32_MAX ? 0 : (int)text.size);
	EVP_PKEY *key;
	enum pn_signature_algorithm algorithm = PN_SIGNATURE_NONE;

	if (memory == NULL)
		abort();
	key = PEM_read_bio_PrivateKey(memory, NULL, no_passphrase, NULL);
	BIO_free(memory);
	ERR_clear_error();
	if (key != NULL)
		algorithm = algorithm_of(key, RSA_BITS_LEAST);
	if (algorithm != PN_SIGNATURE_RS256 && algorithm != PN_SIGNATURE_EDDSA) {
		EVP_PKEY_free(key);
		return pn_fail(error,
		               "there is no private key of RSA (%d to %d bits) or Ed25519 in PEM "
		               "form, or it has a passphrase",
		               RSA_BITS_LEAST, RSA_BITS_MAX);
	}
	*key_out = calloc(1, sizeof(**key_out));
	if (*key_out == NULL)
		abort();
	(*key_out)->key = key;
	(*key_out)->algorithm = algorithm;
	return PN_OK;
}

enum pn_status pn_private_key_new(enum pn_signature_algorithm algorithm, unsigned bits,
                                  struct pn_private_key **key_out, struct pn_error *error)
{
	EVP_PKEY *key = NULL;

	if (algorithm == PN_SIGNATURE_RS256 && (bits < RSA_BITS_LEAST || bits > RSA_BITS_MAX))
		return pn_fail(error, "an RSA key has %d to %d bits", RSA_BITS_LEAST, RSA_BITS_MAX);
	if (algorithm == PN_SIGNATURE_RS256)
		key = EVP_RSA_gen(bits);
	else if (algorithm == PN_SIGNATURE_EDDSA)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (key == NULL) {
		ERR_clear_error();
		return pn_fail(error, "OpenSSL made no key of that kind");
	}
	*key_out = calloc(1, sizeof(**key_out));
	if (*key_out == NULL)
		abort();
	(*key_out)->key = key;
	(*key_out)->algorithm = algorithm;
	return PN_OK;
}

enum pn_status pn_private_key_write_pem(const struct pn_private_key *key, struct pn_buffer *out)
{
	BIO *memory = BIO_new(BIO_s_secmem());
	char *text = NULL;
	enum pn_status status = PN_FAILED;
	long size;

	if (memory == NULL)
		abort();
	if (PEM_write_bio_PKCS8PrivateKey(memory, key->key, NULL, NULL, 0, NULL, NULL) == 1) {
		size = BIO_get_mem_data(memory, &text);
		status = pn_buffer_append(out, pn_slice_make(text, (size_t)size));
	}
	ERR_clear_error();
	BIO_free(memory);
	return status;
}

enum pn_status pn_private_key_public(const struct pn_private_key *key, struct pn_buffer *out)
{
	unsigned char bytes[ED25519_SIZE];
	size_t size = sizeof(bytes);
	unsigned char *der = NULL;
	enum pn_status status;
	int der_size;

	if (key->algorithm == PN_SIGNATURE_EDDSA) {
		if (EVP_PKEY_get_raw_public_key(key->key, bytes, &size) != 1)
			return PN_FAILED;
		return pn_buffer_append(out, pn_slice_make((const char *)bytes, size));
	}
	der_size = i2d_PUBKEY(key->key, &der);
	if (der_size <= 0)
		return PN_FAILED;
	status = pn_buffer_append(out, pn_slice_make((const char *)der, (size_t)der_size));
	OPENSSL_free(der);
	return status;
}

void pn_private_key_free(struct pn_private_key **key)
{
	if (*key == NULL)
		return;
	EVP_PKEY_free((*key)->key);
	free(*key);
	*key = NULL;
}

enum pn_signature_algorithm pn_private_key_algorithm(const struct pn_private_key *key)
{
	return key->algorithm;
}

enum pn_status pn_private_key_sign(const struct pn_private_key *key, struct pn_slice bytes,
                                   struct pn_buffer *out, struct pn_error *error)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	const EVP_MD *digest = key->algorithm == PN_SIGNATURE_RS256 ? EVP_sha256() : NULL;
	size_t size = (size_t)EVP_PKEY_get_size(key->key);
	char why[WHY_SIZE];
	char *room;
	bool is_right;

	if (context == NULL)
		abort();
	if (pn_buffer_reserve(out, size, &room) != PN_OK) {
		EVP_MD_CTX_free(context);
		return PN_LIMIT;
	}
	ERR_clear_error();
	is_right = EVP_DigestSignInit(context, NULL, digest, NULL, key->key) == 1 &&
	           EVP_DigestSign(context, (unsigned char *)room, &size,
	                          (const unsigned char *)bytes.data, bytes.size) == 1;
	EVP_MD_CTX_free(context);
	if (!is_right)
		return pn_fail(error, "cannot sign: %s", reason(why));
	out->size += size;
	return PN_OK;
}
