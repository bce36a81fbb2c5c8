/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ELF note of a module, read from the bytes of its file before anything of it
 * runs. Called by the loader. Every offset and size in the file is a stranger's:
 * each read checks first that its bytes are there. Pure, any thread.
 */
#include "module/note.h"

#include <postern/module.h>
#include <postern/text.h>

#include <elf.h>

#if defined(__x86_64__)
enum { OUR_MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { OUR_MACHINE = EM_AARCH64 };
#elif defined(__i386__)
enum { OUR_MACHINE = EM_386 };
#elif defined(__arm__)
enum { OUR_MACHINE = EM_ARM };
#elif defined(__riscv)
enum { OUR_MACHINE = EM_RISCV };
#elif defined(__powerpc64__)
enum { OUR_MACHINE = EM_PPC64 };
#else
#error "note.c does not know the ELF number of this architecture"
#endif
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the reader knows little-endian files");

enum { OUR_CLASS = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32 };

/* What the reader needs of an ELF header, a program header or a section header, in either class. */
struct elf {
	struct pn_slice file;
	bool is_64;
	uint16_t type, machine;
	uint64_t segments_at, sections_at;
	size_t segment_size, segment_count;
	size_t section_size, section_count;
};

struct part {
	uint32_t type;
	uint64_t offset, size, alignment;
};

/* Copies bytes out of the file, if they are there. */
static bool read_at(struct pn_slice file, uint64_t offset, void *out, size_t size)
{
	if (offset > file.size || size > file.size - offset)
		return false;
	memcpy(out, file.data + offset, size);
	return true;
}

static bool read_header(struct elf *elf)
{
	Elf64_Ehdr wide;
	Elf32_Ehdr narrow;

	if (elf->is_64) {
		if (!read_at(elf->file, 0, &wide, sizeof(wide)))
			return false;
		elf->type = wide.e_type;
		elf->machine = wide.e_machine;
		elf->segments_at = wide.e_phoff;
		elf->segment_size = wide.e_phentsize;
		elf->segment_count = wide.e_phnum;
		elf->sections_at = wide.e_shoff;
		elf->section_size = wide.e_shentsize;
		elf->section_count = wide.e_shnum;
		return true;
	}
	if (!read_at(elf->file, 0, &narrow, sizeof(narrow)))
		return false;
	elf->type = narrow.e_type;
	elf->machine = narrow.e_machine;
	elf->segments_at = narrow.e_phoff;
	elf->segment_size = narrow.e_phentsize;
	elf->segment_count = narrow.e_phnum;
	elf->sections_at = narrow.e_shoff;
	elf->section_size = narrow.e_shentsize;
	elf->section_count = narrow.e_shnum;
	return true;
}

/* The counts are 16 bits wide, so the product cannot overflow; the sum is checked. */
static bool entry_offset(uint64_t table_at, size_t entry_size, size_t index, uint64_t *offset_out)
{
	return !__builtin_add_overflow(table_at, (uint64_t)entry_size * index, offset_out);
}

static bool read_segment(const struct elf *elf, size_t index, struct part *part)
{
	Elf64_Phdr wide;
	Elf32_Phdr narrow;
	uint64_t offset;

	if (!entry_offset(elf->segments_at, elf->segment_size, index, &offset))
		return false;
	if (elf->is_64) {
		if (elf->segment_size < sizeof(wide) ||
		    !read_at(elf->file, offset, &wide, sizeof(wide)))
			return false;
		*part = (struct part){wide.p_type, wide.p_offset, wide.p_filesz, wide.p_align};
		return true;
	}
	if (elf->segment_size < sizeof(narrow) ||
	    !read_at(elf->file, offset, &narrow, sizeof(narrow)))
		return false;
	*part = (struct part){narrow.p_type, narrow.p_offset, narrow.p_filesz, narrow.p_align};
	return true;
}

static bool read_section(const struct elf *elf, size_t index, struct part *part)
{
	Elf64_Shdr wide;
	Elf32_Shdr narrow;
	uint64_t offset;

	if (!entry_offset(elf->sections_at, elf->section_size, index, &offset))
		return false;
	if (elf->is_64) {
		if (elf->section_size < sizeof(wide) ||
		    !read_at(elf->file, offset, &wide, sizeof(wide)))
			return false;
		*part = (struct part){wide.sh_type, wide.sh_offset, wide.sh_size,
		                      wide.sh_addralign};
		return true;
	}
	if (elf->section_size < sizeof(narrow) ||
	    !read_at(elf->file, offset, &narrow, sizeof(narrow)))
		return false;
	*part = (struct part){narrow.sh_type, narrow.sh_offset, narrow.sh_size,
	                      narrow.sh_addralign};
	return true;
}

static size_t round_up(size_t size, size_t alignment)
{
	return (size + alignment - 1) / alignment * alignment;
}

/* Our note's description, as it is laid out in struct pn_note. */
static bool read_description(struct pn_slice description, struct pn_module_note *note)
{
	uint32_t numbers[3];
	size_t length;

	if (!read_at(description, 0, numbers, sizeof(numbers)) ||
	    !read_at(description, sizeof(numbers), note->name, PN_NOTE_NAME_SIZE))
		return false;
	note->abi_major = numbers[0];
	note->abi_minor = numbers[1];
	note->struct_size = numbers[2];
	length = pn_slice_find(pn_slice_make(note->name, PN_NOTE_NAME_SIZE), '\0');
	if (length == 0 || length == PN_NOTE_NAME_SIZE)
		return false;
	return strspn(note->name,
	              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == length;
}

enum search { SEARCH_NOTHING = 0, SEARCH_FOUND, SEARCH_DAMAGED };

/* Walks the notes in one segment or section. */
static enum search search_notes(struct pn_slice notes, size_t alignment,
                                struct pn_module_note *note)
{
	size_t at = 0;

	while (notes.size - at >= sizeof(Elf32_Nhdr)) {
		Elf32_Nhdr header; /* the same in both classes */
		size_t owner_at = at + sizeof(header);
		size_t description_at;

		memcpy(&header, notes.data + at, sizeof(header));
		if (header.n_namesz > notes.size - owner_at)
			return SEARCH_DAMAGED;
		description_at = round_up(owner_at + header.n_namesz, alignment);
		if (description_at > notes.size || header.n_descsz > notes.size - description_at)
			return SEARCH_DAMAGED;
		if (header.n_type == PN_NOTE_TYPE && header.n_namesz == sizeof(PN_NOTE_OWNER) &&
		    memcmp(notes.data + owner_at, PN_NOTE_OWNER, sizeof(PN_NOTE_OWNER)) == 0)
			return read_description(
				       pn_slice_make(notes.data + description_at, header.n_descsz),
				       note)
			               ? SEARCH_FOUND
			               : SEARCH_DAMAGED;
		at = round_up(description_at + header.n_descsz, alignment);
		if (at > notes.size)
			break;
	}
	return SEARCH_NOTHING;
}

static enum search search_part(const struct elf *elf, const struct part *part,
                               struct pn_module_note *note)
{
	if (part->offset > elf->file.size || part->size > elf->file.size - part->offset)
		return SEARCH_DAMAGED;
	return search_notes(pn_slice_make(elf->file.data + part->offset, (size_t)part->size),
	                    part->alignment == 8 ? 8 : 4, note);
}

/* The segments say what would be loaded; sections are asked where no segment holds a note. */
static enum search search_file(const struct elf *elf, struct pn_module_note *note)
{
	enum search result = SEARCH_NOTHING;
	struct part part;

	for (size_t index = 0; index < elf->segment_count && result == SEARCH_NOTHING; index++) {
		if (!read_segment(elf, index, &part))
			return SEARCH_DAMAGED;
		if (part.type == PT_NOTE)
			result = search_part(elf, &part, note);
	}
	for (size_t index = 0; index < elf->section_count && result == SEARCH_NOTHING; index++) {
		if (!read_section(elf, index, &part))
			return SEARCH_DAMAGED;
		if (part.type == SHT_NOTE)
			result = search_part(elf, &part, note);
	}
	return result;
}

enum pn_status pn_note_read(struct pn_slice file, struct pn_module_note *note_out,
                            struct pn_error *error)
{
	struct pn_module_note note;
	struct elf elf = {.file = file};
	unsigned char identity[EI_NIDENT];

	if (file.size < SELFMAG || memcmp(file.data, ELFMAG, SELFMAG) != 0)
		return pn_fail(error, "it is not an ELF file");
	if (!read_at(file, 0, identity, sizeof(identity)))
		return pn_fail(error, "the file is damaged");
	if (identity[EI_CLASS] != OUR_CLASS || identity[EI_DATA] != ELFDATA2LSB)
		return pn_fail(error, "it was built for another architecture");
	elf.is_64 = identity[EI_CLASS] == ELFCLASS64;
	if (!read_header(&elf))
		return pn_fail(error, "the file is damaged");
	if (elf.machine != OUR_MACHINE)
		return pn_fail(error, "it was built for another architecture");
	if (elf.type != ET_DYN)
		return pn_fail(error, "it is not a shared object");
	switch (search_file(&elf, &note)) {
	case SEARCH_FOUND:
		*note_out = note;
		return PN_OK;
	case SEARCH_DAMAGED:
		return pn_fail(error, "the file is damaged");
	case SEARCH_NOTHING:
		break;
	}
	return pn_fail(error, "it has no Postern note: it is no module, or PN_MODULE() is missing");
}

enum pn_status pn_note_check(const struct pn_module_note *note, struct pn_error *error)
{
	if (note->abi_major != PN_ABI_MAJOR || note->abi_minor > PN_ABI_MINOR)
		return pn_fail(error,
		               "module %s was built for gateway interface %u.%u; this gateway "
		               "offers %d.%d. Rebuild the module or upgrade the gateway.",
		               note->name, (unsigned)note->abi_major, (unsigned)note->abi_minor,
		               PN_ABI_MAJOR, PN_ABI_MINOR);
	if (note->struct_size > sizeof(struct pn_module))
		return pn_fail(
			error,
			"module %s describes itself in %u bytes; this gateway knows only %zu "
			"of them. Rebuild the module or upgrade the gateway.",
			note->name, (unsigned)note->struct_size, sizeof(struct pn_module));
	if (note->struct_size < offsetof(struct pn_module, options))
		return pn_fail(error,
		               "module %s describes itself in %u bytes, which are too few. Rebuild "
		               "the module.",
		               note->name, (unsigned)note->struct_size);
	return PN_OK;
}
