/* SPDX-License-Identifier: Apache-2.0 */
/* Password hashes, by libxcrypt: yescrypt, bcrypt, SHA-512 and what else it holds to be strong. */
#include "table.h"

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

enum pn_status auth_file_hash_verify(const char *hash, struct pn_slice secret,
                                     struct pn_error *error)
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
