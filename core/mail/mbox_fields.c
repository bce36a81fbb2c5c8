/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of mbox files that are no part of messages. */
#include "mail/mbox_fields.h"

#include <postern/text.h>

#include <string.h>

enum pn_mbox_field pn_mbox_field_of(struct pn_slice line, struct pn_slice *value)
{
	static const struct {
		const char *name;
		enum pn_mbox_field field;
	} names[] = {
		{"Status", PN_MBOX_STATUS},
		{"X-Status", PN_MBOX_STATUS},
		{"X-Keywords", PN_MBOX_KEYWORDS},
		{"X-UID", PN_MBOX_UID},
		{PN_MBOX_BASE_NAME, PN_MBOX_BASE},
		{"X-IMAP", PN_MBOX_INTERNAL},
		{"X-Mozilla-Status", PN_MBOX_MOZILLA_STATUS},
		{"X-Mozilla-Status2", PN_MBOX_OTHER},
		{"X-Mozilla-Keys", PN_MBOX_KEYWORDS},
		{"Content-Length", PN_MBOX_OTHER},
	};
	size_t colon = pn_slice_find(line, ':');

	for (size_t i = 0; colon < line.size && i < sizeof(names) / sizeof(names[0]); i++) {
		if (!pn_slice_equal_ignore_case(pn_slice_make(line.data, colon),
		                                pn_slice_of(names[i].name)))
			continue;
		*value = pn_slice_behind(line, colon + 1);
		while (value->size > 0 && strchr("\r\n", value->data[value->size - 1]) != NULL)
			value->size--;
		*value = pn_slice_trim(*value);
		return names[i].field;
	}
	return PN_MBOX_NONE;
}
