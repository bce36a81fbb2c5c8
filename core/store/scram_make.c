/* SPDX-License-Identifier: Apache-2.0 */
/* Making verifiers: see the end of <postern/authentication.h>. */
#include "store/scram.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "mail/saslprep.h"

static enum pn_status put_base64(struct pn_buffer *out, const uint8_t *bytes, size_t size)
{
	if (pn_buffer_append(out, PN_SLICE(",")) != PN_OK)
		return PN_LIMIT;
	return pn_base64_encode(out, pn_slice_make((const char *)bytes, size));
}

static enum pn_status put_verifier(struct pn_buffer *out, const struct pn_scram_verifier *verifier)
{
	size_t size = pn_digest_size(verifier->digest);

	if (pn_buffer_print(out, "{%s}%u", pn_scram_name(verifier->digest),
	                    (unsigned)verifier->iterations) != PN_OK ||
	    put_base64(out, verifier->salt, verifier->salt_size) != PN_OK ||
	    put_base64(out, verifier->stored_key, size) != PN_OK ||
	    put_base64(out, verifier->server_key, size) != PN_OK)
		return PN_LIMIT;
	return PN_OK;
}

enum pn_status pn_scram_make(const char *mechanism, struct pn_slice password, uint32_t iterations,
                             struct pn_buffer *out)
{
	struct pn_scram_verifier verifier = {.salt_size = PN_SCRAM_SALT_SIZE};
	struct pn_buffer prepared;
	enum pn_status status = PN_DENIED;

	verifier.iterations = iterations < PN_SCRAM_ITERATIONS_MIN   ? PN_SCRAM_ITERATIONS_MIN
	                      : iterations > PN_SCRAM_ITERATIONS_MAX ? PN_SCRAM_ITERATIONS_MAX
	                                                             : iterations;
	pn_buffer_init(&prepared, PN_SCRAM_PASSWORD_MAX);
	if (pn_saslprep(password, &prepared) == PN_OK && prepared.size > 0 &&
	    pn_scram_digest(pn_slice_of(mechanism), &verifier.digest)) {
		pn_random(verifier.salt, verifier.salt_size);
		pn_scram_derive(&verifier, pn_buffer_slice(&prepared));
		status = put_verifier(out, &verifier);
	}
	if (prepared.data != NULL)
		pn_wipe(prepared.data, prepared.size);
	pn_buffer_clear(&prepared);
	pn_wipe(&verifier, sizeof(verifier));
	return status;
}
