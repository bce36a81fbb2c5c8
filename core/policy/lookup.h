/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lookup tables: files of keys and values that a policy opens while it is read
 * (table.open). The text stays as it is, shared by all workers; an index of four
 * bytes an entry leads into it. Keys are compared without regard to the case of
 * ASCII letters. Made once for each generation and worker, never changed.
 */
#ifndef CORE_POLICY_LOOKUP_H
#define CORE_POLICY_LOOKUP_H

#include <postern/error.h>
#include <postern/types.h>

enum {
	PN_LOOKUP_KEY_MAX = 512,
	PN_LOOKUP_VALUE_MAX = 16 * 1024, /* with the lines that continue it, and comments between */
	PN_LOOKUP_BYTES_MAX = 256 * 1024 * 1024, /* of one policy: files and indexes */
};

enum pn_lookup_format {
	PN_LOOKUP_LINES = 0, /* key, white space, value; lines that begin with a space go on */
	PN_LOOKUP_LIST,      /* one key on each line */
	PN_LOOKUP_LMDB,      /* an environment in one file, as other programs make them */
};

struct pn_lookup;

/* `path` may have `//` in it (io/file.h); `label` stands in errors: "domains:12: …". `limit` bytes at
 * most, and *used_out of them are used. PN_OK or PN_FAILED. */
PN_MUST_CHECK enum pn_status pn_lookup_new(const char *path, const char *label,
					   enum pn_lookup_format format, size_t limit,
					   struct pn_lookup **lookup_out, size_t *used_out,
					   struct pn_error *error);
void pn_lookup_free(struct pn_lookup **lookup);

/*
 * The value as it stands in the file, PN_SLICE("") for an entry of a list. data NULL: there is none. A
 * value that has a line break in it is put together with pn_lookup_next_part.
 */
struct pn_slice pn_lookup_find(const struct pn_lookup *lookup, struct pn_slice key);

/* Takes the next part of a value off its beginning: trimmed, comments left out. False at its end. */
bool pn_lookup_next_part(struct pn_slice *value, struct pn_slice *part_out);

size_t pn_lookup_count(const struct pn_lookup *lookup);
const char *pn_lookup_path(const struct pn_lookup *lookup);
enum pn_lookup_format pn_lookup_format(const struct pn_lookup *lookup);

/* ---- lookup_lmdb.c ---- */

struct lookup_lmdb;

PN_MUST_CHECK enum pn_status lookup_lmdb_new(const char *path, const char *label,
					     struct lookup_lmdb **lmdb_out,
					     struct pn_error *error);
void lookup_lmdb_free(struct lookup_lmdb **lmdb);
struct pn_slice lookup_lmdb_find(const struct lookup_lmdb *lmdb, struct pn_slice key);
size_t lookup_lmdb_count(const struct lookup_lmdb *lmdb);

#endif
