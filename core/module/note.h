/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the ELF note of a module from the bytes of its file. A pure function that
 * trusts nothing in them.
 */
#ifndef CORE_MODULE_NOTE_H
#define CORE_MODULE_NOTE_H

#include <postern/error.h>
#include <postern/types.h>

struct pn_module_note {
	uint32_t abi_major;
	uint32_t abi_minor;
	uint32_t struct_size;
	char name[PN_NOTE_NAME_SIZE]; /* NUL-terminated, letters, digits and '_' */
};

/*
 * PN_OK, or PN_FAILED with a sentence: not an ELF file, another architecture, not a shared
 * object, damaged, or without a note.
 */
PN_MUST_CHECK enum pn_status pn_note_read(struct pn_slice file, struct pn_module_note *note_out,
					  struct pn_error *error);

/* Whether a module with this note fits this gateway. PN_OK, or PN_FAILED with a sentence. */
PN_MUST_CHECK enum pn_status pn_note_check(const struct pn_module_note *note,
					   struct pn_error *error);

#endif
