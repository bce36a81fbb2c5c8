/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contents of an account file in memory: made whole from the file, never
 * changed, found by address. Any thread.
 */
#ifndef MODULES_AUTH_FILE_TABLE_H
#define MODULES_AUTH_FILE_TABLE_H

#include <postern/arena.h>
#include <postern/error.h>
#include <postern/types.h>

#include <sys/stat.h>
#include <time.h>

/* What an account may have beside a hash: verifiers of SCRAM, and the secret itself for CRAM-MD5. */
enum auth_file_secret {
	AUTH_FILE_SCRAM_SHA_256 = 0,
	AUTH_FILE_SCRAM_SHA_1,
	AUTH_FILE_PLAIN,
	AUTH_FILE_SECRET_COUNT,
};

/* An account, or an alias where there are targets. */
struct auth_file_entry {
	struct pn_slice name; /* canonical address, ASCII letters in lower case */
	const char *hash;     /* as crypt(3) writes it; or NULL */
	struct pn_slice secrets[AUTH_FILE_SECRET_COUNT]; /* "" where there is none */
	struct pn_slice store;
	uint64_t quota_bytes;
	const struct pn_slice *targets;
	uint32_t target_count;
	bool is_disabled;
	uint32_t line;
};

/* Which version of the file it was. */
struct auth_file_stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
};

struct auth_file_table {
	struct pn_arena *arena;
	struct auth_file_entry *entries;
	size_t count;
	uint32_t *slots;      /* index + 1 into entries; 0 is empty */
	size_t slot_count;    /* a power of two */
	struct auth_file_entry stand_in; /* what time is spent on where there is no password */
	uint32_t *having[AUTH_FILE_SECRET_COUNT]; /* who has one: indices into entries */
	size_t having_count[AUTH_FILE_SECRET_COUNT];
	struct auth_file_stamp stamp;
	uint32_t references; /* counted by its owner, under the owner's lock */
};

/* Reads the file. PN_OK, or PN_FAILED with "FILE:LINE: what is wrong and what to do". */
PN_MUST_CHECK enum pn_status
auth_file_table_read(const char *path, struct auth_file_table **table_out, struct pn_error *error);
void auth_file_table_free(struct auth_file_table **table);

/* Somebody's secret of that kind, for a name that has none: always the same one for a name. "" where
 * nobody has one. */
struct pn_slice auth_file_table_somebody(const struct auth_file_table *table,
                                         enum auth_file_secret kind, struct pn_slice name);

/* The entry of a canonical address in lower case, or NULL. */
const struct auth_file_entry *auth_file_table_find(const struct auth_file_table *table,
                                                   struct pn_slice name);

/* Puts entries[index] into the table. False where an entry of that name is there already;
 * *other_out is its index. */
bool auth_file_table_add(struct auth_file_table *table, size_t index, size_t *other_out);

/* Whether the file is another one now, or has changed. */
bool auth_file_stamp_differs(const struct auth_file_stamp *stamp, const struct stat *status);
void auth_file_stamp_take(struct auth_file_stamp *stamp, const struct stat *status);

/* A copy in the arena with ASCII letters in lower case. */
struct pn_slice auth_file_lower(struct pn_arena *arena, struct pn_slice text);

/* parse.c: fills in entries and slots from the text. */
PN_MUST_CHECK enum pn_status auth_file_parse(struct auth_file_table *table, const char *path,
                                             struct pn_slice text, struct pn_error *error);

/* password.c */
/* Whether crypt(3) knows the hash, and it is strong enough to be used. */
bool auth_file_hash_is_good(const char *hash);
/* Whether time is spent on checking a password against this entry: it has a hash or a verifier. */
bool auth_file_is_slow(const struct auth_file_entry *entry);
/* PN_OK: the password fits what is slow of the entry: its hash, else a verifier. PN_DENIED: it does
 * not. PN_FAILED: no memory. Takes its time. */
PN_MUST_CHECK enum pn_status auth_file_verify(const struct auth_file_entry *entry,
                                              struct pn_slice password, struct pn_error *error);
/* Of the kind that new accounts should have, for a file without any. */
const char *auth_file_hash_stand_in(void);

#endif
