/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program as a child of its own tests: it writes and says what was
 * acknowledged (--script, --write), or looks whether what was acknowledged is
 * there (--check), or measures (--bench).
 *
 * An acknowledged message is a line "ack WORKER NUMBER SIZE COPIES"; its bytes
 * follow from worker and number, so that a reader needs no list of them.
 */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <postern/clock.h>
#include <postern/text.h>

enum { IN_FLIGHT = 8, ACCOUNTS = 5 };

struct sent {
	struct commit *commit;
	unsigned long number;
	size_t size;
	unsigned copies;
	char words[64];
	char accounts[3][32];
	char key[64];
	struct pn_queue_row row;
};

static size_t size_of(unsigned worker, unsigned long number)
{
	static const size_t sizes[] = {0, 900, 4096, 20000, 70, 250000};

	return sizes[(number * 7 + worker) % 6];
}

/* Every seventh is large and comes through a writer. */
static bool add_body(struct sent *sent, unsigned long number, size_t *index)
{
	struct pn_slice bytes = message(sent->words, sent->size);
	struct pn_body_writer *writer;

	if (number % 7 != 6) {
		*index = commit_body(sent->commit, bytes);
		return true;
	}
	writer = writer_new();
	if (writer == NULL)
		return false;
	*index = commit_writer(sent->commit, writer);
	for (size_t at = 0; at < bytes.size; at += 65536)
		if (writer_append(writer, pn_slice_make(bytes.data + at, bytes.size - at < 65536
		                                                                 ? bytes.size - at
		                                                                 : 65536)) != PN_OK)
			return false;
	return true;
}

static bool fill(struct sent *sent, unsigned worker, unsigned long number)
{
	size_t body = 0;

	sent->commit = commit_new();
	sent->number = number;
	sent->copies = number % 5 == 1 ? 3 : 1;
	snprintf(sent->words, sizeof(sent->words), "w%u n%lu", worker, number);
	snprintf(sent->key, sizeof(sent->key), "k %u %lu", worker, number);
	sent->size = message(sent->words, size_of(worker, number)).size;
	if (!add_body(sent, number, &body))
		return false;
	for (unsigned i = 0; i < sent->copies; i++) {
		struct pn_mutation *mutation;

		snprintf(sent->accounts[i], sizeof(sent->accounts[i]), "user%lu@example.org",
		         (number + i) % ACCOUNTS);
		mutation = commit_add(sent->commit, PN_MUTATION_APPEND, sent->accounts[i]);
		mutation->name = PN_SLICE("INBOX");
		mutation->create_missing = true;
		mutation->body.is_new = true;
		mutation->body.index = body;
		mutation->once_key = pn_slice_of(sent->key);
	}
	if (number % 4 == 2) {
		struct pn_mutation *mutation =
			commit_add(sent->commit, PN_MUTATION_QUEUE_PUT, NULL);

		sent->row = (struct pn_queue_row){.transaction = pn_slice_of(sent->words),
		                                  .recipient = PN_SLICE("x@remote.example"),
		                                  .destination = PN_SLICE("remote.example"),
		                                  .due_ms = 1};
		mutation->queue_row = &sent->row;
		mutation->body.is_new = true;
		mutation->body.index = body;
	}
	return true;
}

static void settle(struct sent *sent, unsigned worker)
{
	enum pn_status status;
	char line[128];
	int size;

	if (sent->commit == NULL)
		return;
	status = commit_wait(sent->commit);
	size = snprintf(line, sizeof(line), "%s %u %lu %zu %u\n",
	                status == PN_OK       ? "ack"
	                : status == PN_FAILED ? "failed"
	                                      : "refused",
	                worker, sent->number, sent->size, sent->copies);
	commit_free(sent->commit);
	/* One write, so that a line is whole or not there. */
	if (write(STDOUT_FILENO, line, (size_t)size) != size)
		exit(3);
}

static int begin(const char *directory, unsigned worker)
{
	struct pn_error error = {0};

	if (harness_start(directory, PN_WORKER_EDGE, worker, &error) == PN_OK)
		return 0;
	fprintf(stderr, "%s\n", error.text);
	return 3;
}

/* `count` messages (0: until killed), eight in flight. */
int run_writer(const char *directory, unsigned worker, unsigned long count)
{
	static struct sent sent[IN_FLIGHT];
	unsigned long next = 0;
	unsigned long oldest = 0;

	if (begin(directory, worker) != 0)
		return 3;
	while (count == 0 || oldest < count) {
		while (next - oldest < IN_FLIGHT && (count == 0 || next < count)) {
			bool is_filled = fill(&sent[next % IN_FLIGHT], worker, next);

			/* The world failed before there was anything to commit. */
			if (!is_filled) {
				commit_free(sent[next % IN_FLIGHT].commit);
				sent[next % IN_FLIGHT].commit = NULL;
			} else {
				commit_submit(sent[next % IN_FLIGHT].commit);
			}
			next++;
		}
		settle(&sent[oldest++ % IN_FLIGHT], worker);
		if (oldest % 64 == 0 && next == oldest)
			pn_arena_reset(harness_arena());
	}
	harness_stop();
	return 0;
}

static void print_points(void)
{
	const char *const *names;
	const unsigned long *passes;
	size_t count = harness_points(&names, &passes);

	for (size_t i = 0; i < count; i++)
		printf("point %s %lu\n", names[i], passes[i]);
	fflush(stdout);
}

/* A short life with something of everything, for the sweeps over fault points. */
int run_script(const char *directory)
{
	static struct sent sent;
	struct pn_error error;

	if (begin(directory, 9) != 0)
		return 3;
	for (unsigned long number = 0; number < 14; number++) {
		if (!fill(&sent, 9, number)) {
			commit_free(sent.commit);
			continue;
		}
		commit_submit(sent.commit);
		settle(&sent, 9);
		if (number == 7 && harness_entries()->checkpoint != NULL)
			(void)!harness_entries()->checkpoint(harness_instance(), &error);
	}
	harness_stop();
	if (getenv("CONFORMANCE_POINTS") != NULL)
		print_points();
	return 0;
}

/* ------------------------------------------------------------------------- check */

struct found {
	unsigned worker;
	unsigned long number;
	unsigned copies;
};

static struct found *found;
static size_t found_count;
static size_t found_capacity;

static struct found *find(unsigned worker, unsigned long number)
{
	for (size_t i = 0; i < found_count; i++)
		if (found[i].worker == worker && found[i].number == number)
			return &found[i];
	if (found_count == found_capacity) {
		found_capacity = found_capacity * 2 + 64;
		found = reallocarray(found, found_capacity, sizeof(*found));
		if (found == NULL)
			abort();
	}
	found[found_count] = (struct found){worker, number, 0};
	return &found[found_count++];
}

/* Reads a body in pieces and compares it with what it must be. */
static bool is_whole(struct pn_slice account, struct pn_body_id body, unsigned *worker,
                     unsigned long *number)
{
	struct pn_body_request request = {.struct_size = sizeof(request),
	                                  .account = account,
	                                  .body = body,
	                                  .max_size = 1 << 20};
	struct pn_body_piece piece;
	char words[64] = "";

	if (ask_body(&request, &piece) != PN_OK || piece.bytes.size != piece.total_size)
		return false;
	snprintf(words, sizeof(words), "%.*s", (int)(piece.bytes.size < 60 ? piece.bytes.size : 60),
	         piece.bytes.data);
	if (sscanf(words, "Subject: w%u n%lu", worker, number) != 2)
		return false;
	snprintf(words, sizeof(words), "w%u n%lu", *worker, *number);
	return pn_slice_equal(piece.bytes, message(words, size_of(*worker, *number)));
}

static size_t look_through(void)
{
	struct pn_accounts_request request = {.struct_size = sizeof(request),
	                                      .max_accounts = 10000};
	struct pn_accounts accounts;
	size_t bad = 0;

	CHECK_OK(ask_accounts(&request, &accounts));
	for (size_t i = 0; i < accounts.count; i++) {
		char *name = pn_arena_keep_text(harness_arena(), accounts.accounts[i].name);
		struct pn_rows rows = rows_of(name, mailbox_id(name, "INBOX"), false);

		for (size_t k = 0; k < rows.count; k++) {
			unsigned worker;
			unsigned long number;

			if (is_whole(accounts.accounts[i].name, rows.rows[k].body, &worker,
			             &number)) {
				find(worker, number)->copies++;
				continue;
			}
			printf("# %s uid %u is not whole: %s\n", name, rows.rows[k].uid,
			       last_error());
			bad++;
		}
	}
	return bad;
}

static void say(void *user, bool is_damage, const char *text)
{
	(void)user;
	if (is_damage)
		printf("# verify: %s\n", text);
}

/* Reads lines of --write and --script; exits 0 if all that was acknowledged is there. */
int run_check(const char *directory)
{
	struct pn_store_report report = {say, NULL};
	struct pn_error error = {0};
	char line[256];
	char word[16];
	unsigned worker;
	unsigned long number;
	size_t size;
	unsigned copies;
	size_t lost = 0;
	size_t twice = 0;
	size_t acknowledged = 0;
	size_t bad;

	if (begin(directory, 8) != 0)
		return 3;
	bad = look_through();
	while (fgets(line, sizeof(line), stdin) != NULL) {
		struct found *one;

		if (strchr(line, '\n') == NULL ||
		    sscanf(line, "%15s %u %lu %zu %u", word, &worker, &number, &size, &copies) != 5)
			continue;
		one = find(worker, number);
		if (strcmp(word, "ack") == 0) {
			acknowledged++;
			if (one->copies < copies) {
				lost++;
				printf("# lost: %s", line);
			}
		} else if (strcmp(word, "refused") == 0 && one->copies != 0) {
			twice++;
			printf("# refused and yet there: %s", line);
		}
		if (one->copies > copies) {
			twice++;
			printf("# there too often (%u): %s", one->copies, line);
		}
	}
	if (harness_entries()->verify != NULL &&
	    harness_entries()->verify(harness_instance(), &report, &error) != PN_OK) {
		printf("# verify: %s\n", error.text);
		bad++;
	}
	harness_stop();
	printf("%zu acknowledged, %zu lost, %zu too often, %zu damaged\n", acknowledged, lost,
	       twice, bad);
	return lost + twice + bad == 0 ? 0 : 1;
}

/* ------------------------------------------------------------------------- bench */

int run_bench(const char *directory, unsigned in_flight, unsigned long count, size_t size)
{
	struct commit **commits = calloc(in_flight, sizeof(*commits));
	struct pn_slice bytes = message("bench", size);
	uint64_t started;
	double seconds;
	struct rusage usage;
	unsigned long next = 0;

	if (commits == NULL || begin(directory, 1) != 0)
		return 3;
	make_account("warm@example.org");
	started = pn_clock_monotonic_ns();
	for (unsigned long done = 0; done < count; done++) {
		while (next < count && next - done < in_flight) {
			struct commit *commit = commit_new();
			char name[32];
			struct pn_mutation *mutation;

			snprintf(name, sizeof(name), "user%lu@example.org", next % 100);
			mutation = commit_add(commit, PN_MUTATION_APPEND, NULL);
			mutation->account = pn_arena_keep(commit->pn.arena, pn_slice_of(name));
			mutation->name = PN_SLICE("INBOX");
			mutation->create_missing = true;
			mutation->body.is_new = true;
			mutation->body.index = commit_body(commit, bytes);
			commit_submit(commit);
			commits[next++ % in_flight] = commit;
		}
		CHECK_OK(commit_wait(commits[done % in_flight]));
		commit_free(commits[done % in_flight]);
	}
	seconds = (double)(pn_clock_monotonic_ns() - started) / 1e9;
	getrusage(RUSAGE_SELF, &usage);
	printf("%lu commits of %zu bytes, %u in flight: %.0f/s, %.1f us CPU each\n", count,
	       bytes.size, in_flight, (double)count / seconds,
	       ((double)usage.ru_utime.tv_sec * 1e6 + (double)usage.ru_utime.tv_usec +
	        (double)usage.ru_stime.tv_sec * 1e6 + (double)usage.ru_stime.tv_usec) /
	               (double)count);
	harness_stop();
	free(commits);
	return 0;
}
