/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of small things, for comparing files and naming clients. Any thread. */
#ifndef CORE_IO_DIGEST_H
#define CORE_IO_DIGEST_H

#include <postern/types.h>

#define PN_SHA256_HEX_SIZE 65

void pn_sha256_hex(struct pn_slice bytes, char hex_out[PN_SHA256_HEX_SIZE]);

/* Overwrites secrets in a way that the compiler keeps. */
void pn_wipe(void *bytes, size_t size);

#endif
