/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading modules. Before any code of a file runs: its directory and the file
 * itself may be written by nobody but root and us, the ELF note is there and
 * fits, and every symbol can be resolved. Only then libltdl loads it, and its
 * struct is copied, rows included, into tables of today's size.
 *
 * Main thread, at start only. Modules stay loaded until the process ends.
 */
#ifndef CORE_MODULE_LOADER_H
#define CORE_MODULE_LOADER_H

#include <postern/arena.h>
#include <postern/error.h>
#include <postern/module.h>

struct pn_loader;

/* A module that is loaded. */
struct pn_loaded_module {
	struct pn_module module; /* our copy; option_size and hook_size are today's */
	const char *path;        /* absolute */
	struct pn_loaded_module *next;
};

/*
 * A new loader that looks in these directories (absolute, in this order; NULL-terminated). The
 * loader and what it loads live until the process ends; there is one in a process.
 */
PN_MUST_CHECK enum pn_status pn_loader_new(const char *const *directories,
					   struct pn_loader **loader_out, struct pn_error *error);

/*
 * The module of that name, loaded once. PN_OK; PN_NOT_FOUND (the error names the directories and
 * the nearest name); PN_FAILED with a sentence that says what to do.
 */
PN_MUST_CHECK enum pn_status pn_loader_module(struct pn_loader *loader, const char *name,
					      const struct pn_loaded_module **module_out,
					      struct pn_error *error);

/* The same for a file by its absolute path, wherever it is. */
PN_MUST_CHECK enum pn_status pn_loader_file(struct pn_loader *loader, const char *path,
					    const struct pn_loaded_module **module_out,
					    struct pn_error *error);

/* Names of all modules that could be loaded from the directories, sorted; NULL-terminated. */
const char *const *pn_loader_names(struct pn_loader *loader, struct pn_arena *arena);

#endif
