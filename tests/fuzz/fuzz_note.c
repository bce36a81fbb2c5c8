/* SPDX-License-Identifier: Apache-2.0 */
/* The note of a module, from a file that anybody may have written. */
#include "fuzz.h"

#include "module/note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_module_note note;
	struct pn_error error = {.text = ""};

	if (pn_note_read(rest_of(data, size), &note, &error) == PN_OK) {
		require(memchr(note.name, '\0', sizeof(note.name)) != NULL && note.name[0] != '\0');
		if (pn_note_check(&note, &error) != PN_OK)
			require(strstr(error.text, note.name) != NULL);
	} else {
		require(error.text[0] != '\0');
	}
	return 0;
}
