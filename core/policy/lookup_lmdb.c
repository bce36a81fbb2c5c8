/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lookup table in an LMDB file, for millions of entries: nothing is read before it
 * is asked for, and all processes share its pages. Opened for reading and without
 * locks, so the file may not change under us: a new one takes its place by rename,
 * and a reload opens that. Keys in small letters, with or without a NUL behind them,
 * as the tools of mail servers write them.
 */
#include "policy/lookup.h"

#include <lmdb.h>

#include <stdlib.h>
#include <string.h>

struct lookup_lmdb {
	MDB_env *environment;
	MDB_txn *transaction; /* one for good: what we read does not change */
	MDB_dbi table;
	size_t count;
};

void lookup_lmdb_free(struct lookup_lmdb **lmdb)
{
	if (*lmdb == NULL)
		return;
	if ((*lmdb)->transaction != NULL)
		mdb_txn_abort((*lmdb)->transaction);
	if ((*lmdb)->environment != NULL)
		mdb_env_close((*lmdb)->environment);
	free(*lmdb);
	*lmdb = NULL;
}

enum pn_status lookup_lmdb_new(const char *path, const char *label, struct lookup_lmdb **lmdb_out,
                               struct pn_error *error)
{
	struct lookup_lmdb *lmdb = calloc(1, sizeof(*lmdb));
	MDB_stat numbers;
	int problem;

	if (lmdb == NULL)
		abort();
	problem = mdb_env_create(&lmdb->environment);
	if (problem == 0)
		problem = mdb_env_open(
			lmdb->environment, path,
			MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS | MDB_NORDAHEAD, 0);
	if (problem == 0)
		problem = mdb_txn_begin(lmdb->environment, NULL, MDB_RDONLY, &lmdb->transaction);
	if (problem == 0)
		problem = mdb_dbi_open(lmdb->transaction, NULL, 0, &lmdb->table);
	if (problem == 0)
		problem = mdb_stat(lmdb->transaction, lmdb->table, &numbers);
	if (problem != 0) {
		lookup_lmdb_free(&lmdb);
		return pn_fail(error, "cannot open %s as lmdb: %s", label, mdb_strerror(problem));
	}
	lmdb->count = numbers.ms_entries;
	*lmdb_out = lmdb;
	return PN_OK;
}

struct pn_slice lookup_lmdb_find(const struct lookup_lmdb *lmdb, struct pn_slice key)
{
	char small[PN_LOOKUP_KEY_MAX + 1];
	MDB_val wanted = {.mv_data = small, .mv_size = key.size};
	MDB_val value;

	/* Longer keys than LMDB's own are not in it (511 bytes, the NUL included). */
	if (key.size == 0 || key.size > PN_LOOKUP_KEY_MAX - 2)
		return PN_SLICE_NONE;
	for (size_t index = 0; index < key.size; index++)
		small[index] = key.data[index] >= 'A' && key.data[index] <= 'Z'
		                       ? (char)(key.data[index] + 32)
		                       : key.data[index];
	small[key.size] = '\0';
	if (mdb_get(lmdb->transaction, lmdb->table, &wanted, &value) != 0) {
		wanted.mv_size++;
		if (mdb_get(lmdb->transaction, lmdb->table, &wanted, &value) != 0)
			return PN_SLICE_NONE;
	}
	if (value.mv_size > 0 && ((const char *)value.mv_data)[value.mv_size - 1] == '\0')
		value.mv_size--;
	return value.mv_size == 0 ? PN_SLICE("") : pn_slice_make(value.mv_data, value.mv_size);
}

size_t lookup_lmdb_count(const struct lookup_lmdb *lmdb)
{
	return lmdb->count;
}
