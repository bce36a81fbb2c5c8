/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The note reader against files made by hand, cut short at every byte, and with
 * every bit turned. AddressSanitizer sees reads past their ends.
 */
#include "../exact.h"
#include "suites.h"

#include "module/note.h"

#include <postern/module.h>
#include <postern/text.h>

#include <elf.h>
#include <stdio.h>

#if defined(__x86_64__)
enum { THIS_MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { THIS_MACHINE = EM_AARCH64 };
#else
enum { THIS_MACHINE = EM_RISCV };
#endif

/* A shared object with a note of somebody else and ours, in one segment and one section. */
struct file {
	Elf64_Ehdr header;
	Elf64_Phdr segments[2];
	Elf64_Shdr sections[2];
	struct {
		Elf64_Nhdr header;
		char owner[4];
		char description[20];
	} other;
	struct pn_note note;
};

static struct file good_file(void)
{
	struct file file = {
		.header = {.e_type = ET_DYN,
	                   .e_machine = THIS_MACHINE,
	                   .e_version = EV_CURRENT,
	                   .e_phoff = offsetof(struct file, segments),
	                   .e_shoff = offsetof(struct file, sections),
	                   .e_phentsize = sizeof(Elf64_Phdr),
	                   .e_phnum = 2,
	                   .e_shentsize = sizeof(Elf64_Shdr),
	                   .e_shnum = 2},
		.segments = {{.p_type = PT_LOAD},
	                     {.p_type = PT_NOTE,
	                      .p_offset = offsetof(struct file, other),
	                      .p_filesz = sizeof(struct file) - offsetof(struct file, other),
	                      .p_align = 4}},
		.sections = {{.sh_type = SHT_NULL},
	                     {.sh_type = SHT_NOTE,
	                      .sh_offset = offsetof(struct file, other),
	                      .sh_size = sizeof(struct file) - offsetof(struct file, other),
	                      .sh_addralign = 4}},
		.other = {.header = {4, 20, 3}, .owner = "GNU"},
		.note = {.owner_size = 8,
	                 .description_size = 12 + PN_NOTE_NAME_SIZE,
	                 .type = PN_NOTE_TYPE,
	                 .owner = PN_NOTE_OWNER,
	                 .abi_major = PN_ABI_MAJOR,
	                 .abi_minor = PN_ABI_MINOR,
	                 .struct_size = sizeof(struct pn_module),
	                 .name = "hello"},
	};

	memcpy(file.header.e_ident, ELFMAG, SELFMAG);
	file.header.e_ident[EI_CLASS] = ELFCLASS64;
	file.header.e_ident[EI_DATA] = ELFDATA2LSB;
	file.header.e_ident[EI_VERSION] = EV_CURRENT;
	return file;
}

/* Reads the first `size` bytes; `expected` is a part of the sentence, NULL where it must work. */
static void check_read(const struct file *file, size_t size, const char *expected)
{
	struct pn_slice copy = exact(pn_slice_make((const char *)file, size));
	struct pn_module_note note;
	struct pn_error error;
	enum pn_status status = pn_note_read(copy, &note, &error);

	if (expected == NULL) {
		ck_assert_msg(status == PN_OK, "%s", error.text);
		ck_assert_str_eq(note.name, "hello");
		ck_assert_uint_eq(note.abi_major, PN_ABI_MAJOR);
		ck_assert_uint_eq(note.abi_minor, PN_ABI_MINOR);
		ck_assert_uint_eq(note.struct_size, sizeof(struct pn_module));
	} else {
		ck_assert_int_eq(status, PN_FAILED);
		ck_assert_msg(strstr(error.text, expected) != NULL, "%s", error.text);
	}
	free((char *)copy.data);
}

START_TEST(reads_the_note_from_segments_and_failing_that_from_sections)
{
	struct file file = good_file();

	check_read(&file, sizeof(file), NULL);
	file.header.e_phnum = 0;
	check_read(&file, sizeof(file), NULL);
	file.header.e_shnum = 0;
	check_read(&file, sizeof(file), "no Postern note");
}
END_TEST

START_TEST(says_what_a_file_is_not)
{
	struct file file = good_file();

	check_read(&file, 0, "not an ELF file");
	check_read(&file, 3, "not an ELF file");
	check_read(&file, 4, "damaged");
	file.header.e_machine = EM_S390;
	check_read(&file, sizeof(file), "another architecture");
	file = good_file();
	file.header.e_ident[EI_CLASS] = ELFCLASS32;
	check_read(&file, sizeof(file), "another architecture");
	file = good_file();
	file.header.e_ident[EI_DATA] = ELFDATA2MSB;
	check_read(&file, sizeof(file), "another architecture");
	file = good_file();
	file.header.e_type = ET_EXEC;
	check_read(&file, sizeof(file), "not a shared object");
	file = good_file();
	file.note.type = 2;
	check_read(&file, sizeof(file), "no Postern note");
	file = good_file();
	file.note.owner[0] = 'p';
	check_read(&file, sizeof(file), "no Postern note");
}
END_TEST

START_TEST(says_that_a_file_is_damaged)
{
	struct file file = good_file();

	file.segments[1].p_offset = UINT64_MAX;
	check_read(&file, sizeof(file), "damaged");
	file = good_file();
	file.segments[1].p_filesz = UINT64_MAX;
	check_read(&file, sizeof(file), "damaged");
	file = good_file();
	file.header.e_phoff = UINT64_MAX - 10;
	check_read(&file, sizeof(file), "damaged");
	file = good_file();
	file.header.e_phentsize = 8;
	check_read(&file, sizeof(file), "damaged");
	file = good_file();
	file.other.header.n_namesz = UINT32_MAX;
	check_read(&file, sizeof(file), "damaged");
	file = good_file();
	file.other.header.n_descsz = UINT32_MAX;
	check_read(&file, sizeof(file), "damaged");
	file = good_file();
	file.note.description_size = 12;
	check_read(&file, sizeof(file), "damaged");
	file = good_file();
	memset(file.note.name, 'a', sizeof(file.note.name));
	check_read(&file, sizeof(file), "damaged");
	file = good_file();
	strcpy(file.note.name, "a/b");
	check_read(&file, sizeof(file), "damaged");
	file = good_file();
	file.note.name[0] = '\0';
	check_read(&file, sizeof(file), "damaged");
}
END_TEST

START_TEST(a_file_cut_short_anywhere_is_refused)
{
	struct file file = good_file();

	for (size_t size = 4; size < sizeof(file); size++)
		check_read(&file, size, "damaged");
}
END_TEST

/* With no segment and a section without an end, the reader walks over whatever stands there. */
START_TEST(any_turned_bit_is_survived)
{
	for (int shape = 0; shape < 2; shape++) {
		struct file file = good_file();

		if (shape == 1)
			file.header.e_phnum = 0;
		for (size_t bit = 0; bit < 8 * sizeof(file); bit++) {
			struct file turned = file;
			struct pn_slice copy;
			struct pn_module_note note;

			((unsigned char *)&turned)[bit / 8] ^= (unsigned char)(1u << bit % 8);
			copy = exact(pn_slice_make((const char *)&turned, sizeof(turned)));
			if (pn_note_read(copy, &note, NULL) == PN_OK)
				require(memchr(note.name, '\0', sizeof(note.name)) != NULL);
			free((char *)copy.data);
		}
	}
}
END_TEST

static void check_sentence(const struct pn_module_note *note, const char *expected)
{
	struct pn_error error;

	ck_assert_int_eq(pn_note_check(note, &error), PN_FAILED);
	ck_assert_msg(strstr(error.text, expected) != NULL, "%s", error.text);
}

START_TEST(compares_the_note_with_this_gateway)
{
	char sentence[200];
	const struct pn_module_note good = {PN_ABI_MAJOR, PN_ABI_MINOR, sizeof(struct pn_module),
	                                    "hello"};
	struct pn_module_note note = good;

	ck_assert_int_eq(pn_note_check(&note, NULL), PN_OK);
	note.abi_minor = 0;
	ck_assert_int_eq(pn_note_check(&note, NULL), PN_OK);
	note.struct_size -= sizeof(void *);
	ck_assert_int_eq(pn_note_check(&note, NULL), PN_OK);
	note.struct_size = 4;
	check_sentence(&note, "too few");
	note = good;
	note.abi_major = 2;
	note.abi_minor = 0;
	snprintf(sentence, sizeof(sentence),
	         "module hello was built for gateway interface 2.0; this gateway offers %d.%d. "
	         "Rebuild the module or upgrade the gateway.",
	         PN_ABI_MAJOR, PN_ABI_MINOR);
	check_sentence(&note, sentence);
	note = good;
	note.abi_minor = PN_ABI_MINOR + 1;
	snprintf(sentence, sizeof(sentence),
	         "was built for gateway interface %d.%d; this gateway offers %d.%d.", PN_ABI_MAJOR,
	         PN_ABI_MINOR + 1, PN_ABI_MAJOR, PN_ABI_MINOR);
	check_sentence(&note, sentence);
	note = good;
	note.struct_size++;
	check_sentence(&note, "Rebuild the module or upgrade the gateway.");
}
END_TEST

Suite *note_suite(void)
{
	static const TTest *tests[7];

	tests[0] = reads_the_note_from_segments_and_failing_that_from_sections;
	tests[1] = says_what_a_file_is_not;
	tests[2] = says_that_a_file_is_damaged;
	tests[3] = a_file_cut_short_anywhere_is_refused;
	tests[4] = any_turned_bit_is_survived;
	tests[5] = compares_the_note_with_this_gateway;
	return suite_of("note", tests);
}
