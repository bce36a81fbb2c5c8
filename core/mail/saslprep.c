/* SPDX-License-Identifier: Apache-2.0 */
/* SASLprep: see saslprep.h. */
#include "mail/saslprep.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <stringprep.h>

static bool is_printable_ascii(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < ' ' || text.data[i] > '~')
			return false;
	}
	return true;
}

/* libidn takes C strings. */
static bool is_text(struct pn_slice text)
{
	size_t size;

	for (; text.size > 0; text = pn_slice_behind(text, size)) {
		size = pn_utf8_next(text, NULL);
		if (size == 0 || text.data[0] == '\0')
			return false;
	}
	return true;
}

enum pn_status pn_saslprep(struct pn_slice text, struct pn_buffer *out)
{
	char *copy;
	char *prepared = NULL;
	enum pn_status status = PN_DENIED;

	if (is_printable_ascii(text))
		return pn_buffer_append(out, text);
	if (!is_text(text))
		return PN_DENIED;
	copy = strndup(text.data, text.size);
	if (copy == NULL)
		abort();
	if (stringprep_profile(copy, &prepared, "SASLprep", 0) == STRINGPREP_OK)
		status = pn_buffer_append(out, pn_slice_of(prepared));
	explicit_bzero(copy, text.size);
	free(copy);
	if (prepared != NULL)
		explicit_bzero(prepared, strlen(prepared));
	free(prepared);
	return status;
}
