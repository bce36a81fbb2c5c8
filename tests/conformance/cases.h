/* SPDX-License-Identifier: Apache-2.0 */
/* What the cases share: a check that ends the case, and short ways to say common things. */
#ifndef TESTS_CONFORMANCE_CASES_H
#define TESTS_CONFORMANCE_CASES_H

#include "harness.h"

struct conformance_case {
	const char *name;
	void (*run)(void);
};

extern const struct conformance_case message_cases[];
extern const struct conformance_case change_cases[];
extern const struct conformance_case mailbox_cases[];
extern const struct conformance_case queue_cases[];
extern const struct conformance_case commit_cases[];
extern const struct conformance_case large_cases[];
extern const struct conformance_case import_cases[];

#define CASE(name) { #name, name }
#define CASES_END { NULL, NULL }

/* Ends the case as failed. */
void case_failed(const char *file, int line, const char *what) __attribute__((noreturn));

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			case_failed(__FILE__, __LINE__, #condition);                               \
	} while (0)

#define CHECK_OK(status)                                                                           \
	do {                                                                                       \
		enum pn_status check_status = (status);                                            \
		if (check_status != PN_OK)                                                         \
			case_failed(__FILE__, __LINE__, pn_status_name(check_status));             \
	} while (0)

#define ALICE "alice@example.org"
#define BOB "bob@example.org"

/* A message of about `size` bytes; the same for the same words. In the harness arena. */
struct pn_slice message(const char *words, size_t size);

/* Commits and checks that it is well. Results are kept in the harness arena. */
struct pn_mutation_result must(struct commit *commit);
/* Commits and gives what became of it; its text is in last_commit_error(). */
enum pn_status try_commit(struct commit *commit);
const char *last_commit_error(void);
size_t last_failed_index(void);

void make_account(const char *account);
struct pn_mutation_result append(const char *account, const char *mailbox, const char *words);
struct pn_mutation_result append_flags(const char *account, const char *mailbox,
				       const char *words, uint32_t system, const char *keyword);
uint64_t make_mailbox(const char *account, const char *name);
struct pn_mailbox_info mailbox(const char *account, const char *name);
bool has_mailbox(const char *account, const char *name);
uint64_t mailbox_id(const char *account, const char *name);

/* Everything of a mailbox, by its rows; and one of them (checked to be there). */
struct pn_rows rows_of(const char *account, uint64_t mailbox, bool with_expunged);
struct pn_row row_of(const char *account, uint64_t mailbox, uint32_t uid);
struct pn_slice body_of(const char *account, struct pn_body_id body);
bool has_keyword(struct pn_flags flags, const char *word);
struct pn_changes changes_since(const char *account, uint64_t mailbox, uint64_t since);
struct pn_mutation_result flag(const char *account, uint64_t mailbox, uint32_t first,
			       uint32_t last, enum pn_flags_how how, uint32_t system,
			       const char *keyword);
struct pn_mutation_result expunge(const char *account, uint64_t mailbox, uint32_t first,
				  uint32_t last);
struct pn_uid_set uids(uint32_t first, uint32_t last);
struct pn_account_info account_info(const char *account);

/* A text of all that can be asked of the store; equal texts mean equal stores. */
char *dump_store(void);

/* storm.c: kills, errors, flips, rebuilds; for stores that last. Returns failures. */
size_t run_storm(const char *directory, bool is_long);
int run_script(const char *directory);
int run_writer(const char *directory, unsigned worker, unsigned long count);
int run_check(const char *directory);
int run_random(const char *directory, unsigned seed, unsigned long steps);
int run_scale(const char *directory, unsigned long count);
int run_queue(const char *directory, unsigned long count, unsigned long seconds);
int run_small(const char *directory, unsigned long count);
int run_bench(const char *directory, unsigned in_flight, unsigned long count, size_t size);
void clear_store(const char *directory);
void report_case(const char *name, bool is_ok);

#endif
