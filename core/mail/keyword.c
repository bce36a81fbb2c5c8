/* SPDX-License-Identifier: Apache-2.0 */
/* See keyword.h. */
#include "mail/keyword.h"

#include <postern/store.h>

#include <string.h>

bool pn_keyword_is_valid(struct pn_slice word)
{
	for (size_t i = 0; i < word.size; i++) {
		char byte = word.data[i];

		if (byte <= ' ' || byte >= 0x7f || strchr("(){%*\"\\]", byte) != NULL)
			return false;
	}
	return word.size > 0 && word.size <= PN_KEYWORD_MAX;
}
