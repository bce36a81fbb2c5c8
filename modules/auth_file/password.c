/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passwords: hashes by libxcrypt (yescrypt, bcrypt, SHA-512 and what else it holds to be
 * strong), and verifiers of SCRAM, which a password can be checked against too.
 */
#include "table.h"

#include <postern/authentication.h>
#include <postern/text.h>

#include <crypt.h>
#include <stdlib.h>

bool auth_file_hash_is_good(const char *hash)
{
	return crypt_checksalt(hash) == CRYPT_SALT_OK;
}

const char *auth_file_hash_stand_in(void)
{
	return "$y$j9T$postern/stand/in/00000$";
}

static enum pn_status verify_hash(const char *hash, struct pn_slice secret, struct pn_error *error)
{
	/* 32 KiB: too much for the stack of a worker thread, and wiped before it is given back. */
	struct crypt_data *data = calloc(1, sizeof(*data));
	char phrase[CRYPT_MAX_PASSPHRASE_SIZE + 1];
	enum pn_status status = PN_DENIED;
	const char *result;

	if (data == NULL)
		return pn_fail(error, "no memory to check a password");
	if (secret.size < sizeof(phrase) && pn_slice_find(secret, '\0') == secret.size) {
		if (secret.size > 0)
			memcpy(phrase, secret.data, secret.size);
		phrase[secret.size] = '\0';
		result = crypt_rn(phrase, hash, data, (int)sizeof(*data));
		if (result != NULL &&
		    pn_equal_constant_time(pn_slice_of(result), pn_slice_of(hash)))
			status = PN_OK;
		explicit_bzero(phrase, sizeof(phrase));
	}
	explicit_bzero(data, sizeof(*data));
	free(data);
	return status;
}

bool auth_file_is_slow(const struct auth_file_entry *entry)
{
	return entry->hash != NULL || entry->secrets[AUTH_FILE_SCRAM_SHA_256].size > 0 ||
	       entry->secrets[AUTH_FILE_SCRAM_SHA_1].size > 0;
}

enum pn_status auth_file_verify(const struct auth_file_entry *entry, struct pn_slice password,
                                struct pn_error *error)
{
	if (entry->hash != NULL)
		return verify_hash(entry->hash, password, error);
	if (entry->secrets[AUTH_FILE_SCRAM_SHA_256].size > 0)
		return pn_scram_verify(entry->secrets[AUTH_FILE_SCRAM_SHA_256], password);
	return pn_scram_verify(entry->secrets[AUTH_FILE_SCRAM_SHA_1], password);
}
