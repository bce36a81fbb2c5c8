/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small gateway for store modules: it loads one file, gives it what the public
 * headers promise (jobs, lanes, tickets, clock, log, fault points) with plain
 * threads, and nothing else. One store and one thread of tests at a time.
 */
#ifndef TESTS_CONFORMANCE_HARNESS_H
#define TESTS_CONFORMANCE_HARNESS_H

#include <postern/arena.h>
#include <postern/error.h>
#include <postern/module.h>
#include <postern/store.h>

/* Loads FILE.so and makes its config from "name=value" texts; ends the program with a sentence. */
void harness_load(const char *file, char *const *settings, size_t setting_count);

/* Where the store of this process keeps its data. */
const char *harness_directory(void);

/* Starts the store in `directory`, as that kind of worker. */
enum pn_status harness_start(const char *directory, enum pn_worker_kind kind, unsigned worker,
			     struct pn_error *error);
void harness_stop(void);
bool harness_is_running(void);

/* The store that was started. */
const struct pn_store *harness_entries(void);
void *harness_instance(void);
const char *harness_module_file(void);
/* The texts that harness_load() was given. */
char *const *harness_settings(size_t *count_out);

/* Works off what comes from threads until *done; gives up loudly after a minute. */
void harness_wait(const bool *done);

/* The clock of the store, moved forward; and back to the real one. */
void harness_advance(int64_t milliseconds);

/* "point=action@n[+]", as in POSTERN_FAULT; NULL disarms all. */
void harness_arm(const char *faults);

/* Points that were passed while something was armed, in the order of their first pass. */
size_t harness_points(const char *const **names_out, const unsigned long **passes_out);

/* Lines that the store logged at level warning and above, since the start. */
size_t harness_warnings(void);

/* ---- commits ---- */

enum { COMMIT_BODIES = 8, COMMIT_MUTATIONS = 32 };

struct commit {
	struct pn_commit pn;
	struct pn_body_source bodies[COMMIT_BODIES];
	struct pn_slice pieces[COMMIT_BODIES];
	struct pn_mutation mutations[COMMIT_MUTATIONS];
	enum pn_status status;
	bool is_done;
};

struct commit *commit_new(void);
struct pn_mutation *commit_add(struct commit *commit, enum pn_mutation_kind kind,
			       const char *account);
/* A body whose header ends at the first empty line; returns its index. */
size_t commit_body(struct commit *commit, struct pn_slice bytes);
size_t commit_writer(struct commit *commit, struct pn_body_writer *writer);
void commit_submit(struct commit *commit);
enum pn_status commit_wait(struct commit *commit);
void commit_free(struct commit *commit);

/* ---- questions; results live in harness_arena() until it is reset ---- */

struct pn_arena *harness_arena(void);
enum pn_status ask_accounts(const struct pn_accounts_request *request, struct pn_accounts *result);
enum pn_status ask_mailboxes(const struct pn_mailboxes_request *request,
			     struct pn_mailboxes *result);
enum pn_status ask_view(const struct pn_view_request *request, struct pn_view *result);
enum pn_status ask_rows(const struct pn_rows_request *request, struct pn_rows *result);
enum pn_status ask_changes(const struct pn_changes_request *request, struct pn_changes *result);
enum pn_status ask_body(const struct pn_body_request *request, struct pn_body_piece *result);
enum pn_status ask_bodies(const struct pn_bodies_request *request, struct pn_bodies *result);
enum pn_status ask_queue(const struct pn_queue_request *request, struct pn_queue_rows *result);
/* The text of the last question that failed. */
const char *last_error(void);

/* Writers, on this thread. */
struct pn_body_writer *writer_new(void);
enum pn_status writer_append(struct pn_body_writer *writer, struct pn_slice bytes);

#endif
