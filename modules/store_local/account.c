/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts in the index: by name to an id that is never used again, and what is known of each. */
#include "store_local.h"

#include <string.h>

#include <postern/text.h>

static enum pn_status account_key(struct index_access *access, struct pn_slice name, MDB_val *key)
{
	if (name.size == 0 || name.size > LOCAL_ACCOUNT_NAME_MAX)
		return pn_fail_with(PN_LIMIT, access->error,
		                    "an account's name has 1 to %d bytes; this one has %zu",
		                    LOCAL_ACCOUNT_NAME_MAX, name.size);
	*key = (MDB_val){.mv_size = name.size, .mv_data = (void *)(uintptr_t)name.data};
	return PN_OK;
}

enum pn_status account_load_id(struct index_access *access, uint64_t id, struct account *account)
{
	struct index_key key;
	MDB_val value;
	enum pn_status status;

	account->id = id;
	key_tree(&key, id, TREE_ACCOUNT);
	status = index_get(access, TABLE_TREE, &key, &value);
	if (status != PN_OK)
		return status;
	if (value.mv_size < sizeof(account->row))
		return pn_fail(access->error, "the index %s has a short row for account %llu",
		               access->index->path, (unsigned long long)id);
	memcpy(&account->row, value.mv_data, sizeof(account->row));
	account->name = pn_arena_keep(
		access->arena, pn_slice_make((const char *)value.mv_data + sizeof(account->row),
	                                     value.mv_size - sizeof(account->row)));
	return PN_OK;
}

enum pn_status account_load(struct index_access *access, struct pn_slice name,
                            struct account *account)
{
	MDB_val key;
	MDB_val value;
	uint64_t id;
	int result;

	if (account_key(access, name, &key) != PN_OK)
		return PN_NOT_FOUND;
	result = mdb_get(access->transaction, access->index->tables[TABLE_ACCOUNTS], &key, &value);
	if (result == MDB_NOTFOUND)
		return pn_fail_with(PN_NOT_FOUND, access->error, "there is no account %.*s",
		                    PN_SLICE_ARGS(name));
	if (result != 0 || value.mv_size != sizeof(id))
		return index_fail(access, result, "read an account");
	memcpy(&id, value.mv_data, sizeof(id));
	return account_load_id(access, id, account);
}

enum pn_status account_save(struct index_access *access, const struct account *account)
{
	struct account_row row = account->row;
	struct index_key key;

	row.name_size = (uint32_t)account->name.size;
	key_tree(&key, account->id, TREE_ACCOUNT);
	return index_put_two(access, TABLE_TREE, &key, &row, sizeof(row), account->name);
}

enum pn_status account_create(struct index_access *access, struct pn_slice name,
                              struct account *account, bool *was_there)
{
	struct mailbox inbox;
	MDB_val key;
	MDB_val value;
	int result;
	enum pn_status status = account_key(access, name, &key);

	if (status != PN_OK)
		return status;
	status = account_load(access, name, account);
	*was_there = status == PN_OK;
	if (status != PN_NOT_FOUND)
		return status;
	*account = (struct account){.name = name, .row.next_mailbox = 1, .row.modseq = 1};
	status = index_counter(access, "next_account", 1, &account->id);
	if (status != PN_OK)
		return status;
	value = (MDB_val){.mv_size = sizeof(account->id), .mv_data = &account->id};
	result = mdb_put(access->transaction, access->index->tables[TABLE_ACCOUNTS], &key, &value,
	                 0);
	if (result != 0)
		return index_fail(access, result, "add an account");
	status = mailbox_create(access, account, PN_SLICE("INBOX"), 0, true, &inbox);
	return status == PN_OK ? account_save(access, account) : status;
}

/* Puts something into the list of what falls due. */
enum pn_status expire_at(struct index_access *access, int64_t when_ms, enum expiration_kind kind,
                         const struct index_key *rest, const void *value, size_t size)
{
	struct index_key key;

	key_start(&key);
	key_u64(&key, when_ms < 0 ? 0 : (uint64_t)when_ms);
	key_byte(&key, (uint8_t)kind);
	key_bytes(&key, rest->bytes, rest->size);
	return index_put(access, TABLE_EXPIRATIONS, &key, value, size);
}

/* It is gone at once; its rows and bodies are cleared away later, piece by piece. */
enum pn_status account_delete(struct index_access *access, struct account *account)
{
	struct index_key key;
	MDB_val name;
	int result;
	enum pn_status status = account_key(access, account->name, &name);

	if (status != PN_OK)
		return status;
	result = mdb_del(access->transaction, access->index->tables[TABLE_ACCOUNTS], &name, NULL);
	if (result != 0)
		return index_fail(access, result, "delete an account");
	key_start(&key);
	key_u64(&key, account->id);
	return expire_at(access, access->now_ms, EXPIRE_ACCOUNT, &key, NULL, 0);
}
