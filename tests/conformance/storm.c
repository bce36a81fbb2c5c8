/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storm: what a store that lasts must outlive. Children of this program write
 * and say what was acknowledged; they are killed, or the world fails under them;
 * another child then looks whether all that was acknowledged is there, whole, and
 * as often as it should be. Every random thing comes from a seed that is printed
 * (CONFORMANCE_SEED sets it).
 */
#include "cases.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <postern/clock.h>

enum { POINTS_MAX = 64, ARGUMENTS_MAX = 64 };

static const char *directory;
static char acks[4096];
static bool is_long;
static size_t failures;

/* ---------------------------------------------------------------------- children */

/* Starts this program again; its output goes to `output`, its input comes from `input`. */
static pid_t spawn(const char *mode, const char *worker, const char *count, const char *fault,
                   const char *input, const char *output)
{
	const char *arguments[ARGUMENTS_MAX];
	size_t setting_count;
	char *const *settings = harness_settings(&setting_count);
	size_t used = 0;
	pid_t child;

	arguments[used++] = "store_conformance";
	arguments[used++] = mode;
	if (worker != NULL) {
		arguments[used++] = worker;
		arguments[used++] = count;
	}
	arguments[used++] = harness_module_file();
	arguments[used++] = directory;
	for (size_t i = 0; i < setting_count && used < ARGUMENTS_MAX - 1; i++)
		arguments[used++] = settings[i];
	arguments[used] = NULL;
	fflush(stdout);
	child = fork();
	if (child < 0)
		abort();
	if (child > 0)
		return child;
	if (fault != NULL)
		setenv("POSTERN_FAULT", fault, 1);
	else
		unsetenv("POSTERN_FAULT");
	if (input != NULL && dup2(open(input, O_RDONLY), STDIN_FILENO) < 0)
		_exit(9);
	if (dup2(open(output, O_WRONLY | O_CREAT | O_APPEND, 0600), STDOUT_FILENO) < 0)
		_exit(9);
	execv("/proc/self/exe", (char **)(uintptr_t)arguments);
	_exit(9);
}

static int finish(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return status;
}

static void copy_out(const char *path)
{
	char line[4096];
	FILE *file = fopen(path, "r");

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (line[0] == '#' || strstr(line, "acknowledged") != NULL)
			fputs(line[0] == '#' ? line : "", stdout);
	if (file != NULL)
		fclose(file);
}

/* Whether all that stands in `acks` is there. */
static bool check(void)
{
	char output[4200];
	int status;

	snprintf(output, sizeof(output), "%s/check", directory);
	unlink(output);
	status = finish(spawn("--check", NULL, NULL, NULL, acks, output));
	if (status == 0)
		return true;
	printf("# check ended with %x\n", (unsigned)status);
	copy_out(output);
	return false;
}

static void fresh(void)
{
	clear_store(directory);
	unlink(acks);
	close(open(acks, O_WRONLY | O_CREAT, 0600));
}

static void report(const char *name, bool is_ok)
{
	report_case(name, is_ok);
	failures += !is_ok;
}

/* ------------------------------------------------------------------ fault points */

static struct {
	char name[64];
	unsigned long passes;
} points[POINTS_MAX];

static size_t find_points(void)
{
	char line[256];
	size_t count = 0;
	FILE *file;

	fresh();
	setenv("CONFORMANCE_POINTS", "1", 1);
	if (finish(spawn("--script", NULL, NULL, "no.point=EIO@1", NULL, acks)) != 0)
		printf("# the script ends badly with no fault at all\n");
	unsetenv("CONFORMANCE_POINTS");
	file = fopen(acks, "r");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL && count < POINTS_MAX)
		if (sscanf(line, "point %63s %lu", points[count].name, &points[count].passes) == 2)
			count++;
	if (file != NULL)
		fclose(file);
	return count;
}

static bool fault_run(const char *point, const char *action, unsigned long at, const char *sign)
{
	char fault[256];
	int status;
	bool is_ok;

	snprintf(fault, sizeof(fault), "%.63s=%s@%lu%s", point, action, at, sign);
	fresh();
	status = finish(spawn("--script", NULL, NULL, fault, NULL, acks));
	/* 3: it did not start, which is right where starting is what failed */
	is_ok = strcmp(action, "kill") == 0 ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
	                                    : WIFEXITED(status) && (WEXITSTATUS(status) == 0 ||
	                                                            WEXITSTATUS(status) == 3);
	if (!is_ok)
		printf("# %s: the script ended with %x\n", fault, (unsigned)status);
	if (!check()) {
		printf("# %s\n", fault);
		is_ok = false;
	}
	return is_ok;
}

static void sweep(const char *point, unsigned long passes, const char *action, const char *sign)
{
	char name[256];
	unsigned long step = is_long || passes < 4 ? 1 : passes / 4;
	unsigned runs = 0;
	bool is_ok = true;

	for (unsigned long at = 1; at <= passes; at += step, runs++)
		is_ok = fault_run(point, action, at, sign) && is_ok;
	snprintf(name, sizeof(name), "outlives_%s%s_at_%.63s (%u runs)", action,
	         *sign ? "_for_good" : "", point, runs);
	report(name, is_ok);
}

static void sweep_points(void)
{
	static const struct {
		const char *action;
		const char *sign;
	} actions[] = {
		{"kill", ""}, {"EIO", ""}, {"ENOSPC", ""}, {"short", ""}, {"EIO", "+"},
	};
	size_t count = find_points();

	report("has_fault_points", count >= 10);
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < sizeof(actions) / sizeof(actions[0]); k++)
			if (is_long || k < 2 || points[i].passes < 40)
				sweep(points[i].name, points[i].passes, actions[k].action,
				      actions[k].sign);
}

/* ------------------------------------------------------------ several processes */

static void write_some(const char *worker, const char *count)
{
	if (finish(spawn("--write", worker, count, NULL, NULL, acks)) != 0)
		printf("# a writer ended badly\n");
}

static void several_processes_commit_at_once(void)
{
	static const char *const workers[] = {"1", "2", "3"};
	pid_t children[3];
	bool is_ok = true;

	fresh();
	for (int i = 0; i < 3; i++)
		children[i] =
			spawn("--write", workers[i], is_long ? "2000" : "200", NULL, NULL, acks);
	for (int i = 0; i < 3; i++)
		is_ok = finish(children[i]) == 0 && is_ok;
	report("several_processes_commit_at_once", check() && is_ok);
}

static void random_kills(void)
{
	unsigned runs = is_long ? 100 : 10;
	unsigned killed = 0;
	bool is_ok = true;
	char name[64];
	char worker[2][16];

	fresh();
	for (unsigned i = 0; i < runs; i++) {
		pid_t children[2];
		struct timespec pause = {0, (20 + rand() % 200) * 1000000l};

		for (int k = 0; k < 2; k++) {
			snprintf(worker[k], sizeof(worker[k]), "%u", 10 + 2 * i + (unsigned)k);
			children[k] = spawn("--write", worker[k], "0", NULL, NULL, acks);
		}
		/* The moment of the kill is what is random here; nothing waits for anything. */
		nanosleep(&pause, NULL);
		for (int k = 0; k < 2; k++)
			kill(children[k], SIGKILL);
		for (int k = 0; k < 2; k++)
			killed += WIFSIGNALED(finish(children[k]));
		is_ok = check() && is_ok;
	}
	snprintf(name, sizeof(name), "outlives_random_kills (%u)", killed);
	report(name, is_ok && killed == 2 * runs);
}

/* ------------------------------------------------------------------ administration */

static void say(void *user, bool is_damage, const char *text)
{
	(void)user;
	(void)is_damage;
	if (getenv("CONFORMANCE_LOG") != NULL)
		printf("# %s\n", text);
}

static const struct pn_store_report quiet = {say, NULL};

static bool start_tool(void)
{
	struct pn_error error = {0};

	if (harness_start(directory, PN_WORKER_TOOL, 0, &error) == PN_OK)
		return true;
	printf("# start: %s\n", error.text);
	return false;
}

static bool rebuild(void)
{
	struct pn_error error = {0};
	enum pn_status status;

	if (!start_tool())
		return false;
	status = harness_entries()->rebuild(harness_instance(), &quiet, &error);
	if (status != PN_OK)
		printf("# rebuild: %s\n", error.text);
	harness_stop();
	return status == PN_OK;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return remove(path);
}

static void remove_index(void)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/store/index", directory);
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static bool checkpoint(void)
{
	struct pn_error error = {0};
	enum pn_status status;

	if (!start_tool())
		return false;
	status = harness_entries()->checkpoint(harness_instance(), &error);
	if (status != PN_OK)
		printf("# checkpoint: %s\n", error.text);
	harness_stop();
	return status == PN_OK;
}

static void rebuilds_from_segments_alone(void)
{
	bool is_ok;

	fresh();
	write_some("1", "80");
	write_some("2", "80");
	remove_index();
	is_ok = rebuild() && check();
	/* and goes on */
	write_some("3", "20");
	report("rebuilds_from_segments_alone", is_ok && check());
}

static void rebuilds_from_a_checkpoint(void)
{
	struct pn_mailbox_info before;
	struct pn_mailbox_info after;
	struct pn_row row_before;
	struct pn_row row_after;
	struct pn_queue_request request = {.struct_size = sizeof(request), .max_rows = 1000};
	struct pn_queue_rows rows;
	bool is_ok;

	fresh();
	write_some("1", "80");
	if (!start_tool())
		return;
	before = mailbox("user0@example.org", "INBOX");
	row_before = row_of("user0@example.org", before.id, 1);
	harness_stop();
	is_ok = checkpoint();
	write_some("2", "80");
	remove_index();
	is_ok = is_ok && rebuild() && check() && start_tool();
	if (harness_is_running()) {
		after = mailbox("user0@example.org", "INBOX");
		row_after = row_of("user0@example.org", after.id, 1);
		is_ok = is_ok && after.uid_validity > before.uid_validity;
		is_ok = is_ok &&
		        memcmp(&row_before.body, &row_after.body, sizeof(row_after.body)) == 0;
		is_ok = is_ok && ask_queue(&request, &rows) == PN_OK && rows.count == 40;
		for (size_t i = 0; is_ok && i < rows.count; i++)
			is_ok = rows.rows[i].state == PN_QUEUE_HELD;
		harness_stop();
	}
	report("rebuilds_from_a_checkpoint", is_ok);
}

/* What was expunged and cleared away before the checkpoint does not come back from it. */
static void rebuild_brings_nothing_back_from_before_the_checkpoint(void)
{
	struct pn_error error = {0};
	bool is_ok = false;
	struct pn_mutation_result gone;

	fresh();
	if (harness_start(directory, PN_WORKER_EDGE, 1, &error) != PN_OK)
		return;
	gone = append(ALICE, "INBOX", "gone");
	append(ALICE, "INBOX", "kept");
	expunge(ALICE, gone.mailbox, gone.first_uid, gone.first_uid);
	harness_advance(2ll * 24 * 3600 * 1000);
	if (harness_entries()->compact(harness_instance(), NULL, &error) == PN_OK &&
	    harness_entries()->checkpoint(harness_instance(), &error) == PN_OK) {
		append(ALICE, "INBOX", "later");
		harness_stop();
		remove_index();
		is_ok = rebuild() && start_tool() &&
		        rows_of(ALICE, mailbox_id(ALICE, "INBOX"), true).count == 2 &&
		        harness_entries()->verify(harness_instance(), &quiet, &error) == PN_OK;
	}
	harness_stop();
	harness_advance(-2ll * 24 * 3600 * 1000);
	report("rebuild_brings_nothing_back_from_before_the_checkpoint", is_ok);
}

/* A commit that was refused after its body was written does not come back either. */
static void rebuild_leaves_refused_bodies_alone(void)
{
	struct pn_error error = {0};
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, ALICE);
	bool is_ok;

	fresh();
	if (harness_start(directory, PN_WORKER_EDGE, 1, &error) != PN_OK)
		return;
	append(ALICE, "INBOX", "first");
	mutation->name = PN_SLICE("INBOX");
	mutation->max_account_bytes = 1;
	mutation->body.is_new = true;
	mutation->body.index = commit_body(commit, message("refused", 0));
	is_ok = try_commit(commit) == PN_LIMIT;
	append(ALICE, "INBOX", "second");
	harness_stop();
	remove_index();
	is_ok = is_ok && rebuild() && start_tool() &&
	        rows_of(ALICE, mailbox_id(ALICE, "INBOX"), true).count == 2;
	harness_stop();
	report("rebuild_leaves_refused_bodies_alone", is_ok);
}

static void rebuild_is_refused_while_the_store_is_in_use(void)
{
	struct pn_error error = {0};
	struct stat status;
	pid_t child;
	bool is_ok = false;

	fresh();
	child = spawn("--write", "1", "0", NULL, NULL, acks);
	do
		if (waitpid(child, NULL, WNOHANG) == child)
			return report("rebuild_is_refused_while_the_store_is_in_use", false);
	while (stat(acks, &status) != 0 || status.st_size == 0);
	if (start_tool())
		is_ok = harness_entries()->rebuild(harness_instance(), &quiet, &error) ==
		                PN_CONFLICT &&
		        strstr(error.text, "in use") != NULL;
	harness_stop();
	kill(child, SIGKILL);
	finish(child);
	report("rebuild_is_refused_while_the_store_is_in_use", is_ok && check());
}

static void a_damaged_index_is_refused_and_can_be_rebuilt(void)
{
	struct pn_error error = {0};
	char path[4200];
	char zeros[8192] = {0};
	int descriptor;
	bool is_ok;

	fresh();
	write_some("1", "40");
	snprintf(path, sizeof(path), "%s/store/index/data.mdb", directory);
	descriptor = open(path, O_WRONLY);
	is_ok = pwrite(descriptor, zeros, sizeof(zeros), 0) == sizeof(zeros);
	close(descriptor);
	is_ok = is_ok && harness_start(directory, PN_WORKER_EDGE, 1, &error) != PN_OK &&
	        strstr(error.text, "rebuild") != NULL;
	is_ok = is_ok && rebuild() && check();
	remove_index();
	is_ok = is_ok && harness_start(directory, PN_WORKER_EDGE, 1, &error) != PN_OK &&
	        strstr(error.text, "rebuild") != NULL;
	report("a_damaged_index_is_refused_and_can_be_rebuilt", is_ok);
}

/* -------------------------------------------------------------------------- flips */

/* A bit in a hole means nothing. */
static bool is_data(const char *path, off_t place)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	bool result = descriptor >= 0 && lseek(descriptor, place, SEEK_DATA) == place;

	if (descriptor >= 0)
		close(descriptor);
	return result;
}

static char *random_place(off_t *place_out)
{
	char folder[4200];
	static char path[8400];
	struct dirent *entry;
	DIR *open_folder;
	off_t total = 0;
	off_t place;

	snprintf(folder, sizeof(folder), "%s/store/segments", directory);
	for (int pass = 0; pass < 2; pass++) {
		place = total == 0 ? 0
		                   : (off_t)(((uint64_t)rand() << 31 | (uint64_t)rand()) %
		                             (uint64_t)total);
		open_folder = opendir(folder);
		while (open_folder != NULL && (entry = readdir(open_folder)) != NULL) {
			struct stat status;

			snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
			if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
				continue;
			if (pass == 0) {
				total += status.st_size;
			} else if (place < status.st_size) {
				*place_out = place;
				closedir(open_folder);
				return path;
			} else {
				place -= status.st_size;
			}
		}
		if (open_folder != NULL)
			closedir(open_folder);
	}
	return NULL;
}

/* A place with data in a segment, each as likely as the others. */
static char *random_segment(off_t *place_out)
{
	char *path;

	do
		path = random_place(place_out);
	while (path != NULL && !is_data(path, *place_out));
	return path;
}

struct known {
	char account[64];
	struct pn_body_id body;
	uint64_t size;
	char *bytes;
};

static struct known *known;
static size_t known_count;

static char *read_body(const char *account, struct pn_body_id body, uint64_t size)
{
	struct pn_body_request request = {.struct_size = sizeof(request),
	                                  .account = pn_slice_of(account),
	                                  .body = body,
	                                  .max_size = 1 << 20};
	struct pn_body_piece piece;
	char *bytes = malloc(size + 1);

	while (request.offset < size) {
		if (ask_body(&request, &piece) != PN_OK || piece.bytes.size == 0) {
			free(bytes);
			return NULL;
		}
		memcpy(bytes + request.offset, piece.bytes.data, piece.bytes.size);
		request.offset += piece.bytes.size;
	}
	return bytes;
}

static void learn(void)
{
	char account[64];

	for (int user = 0; user < 5; user++) {
		struct pn_rows rows;

		snprintf(account, sizeof(account), "user%d@example.org", user);
		rows = rows_of(account, mailbox_id(account, "INBOX"), false);
		known = reallocarray(known, known_count + rows.count + 1, sizeof(*known));
		for (size_t i = 0; i < rows.count; i++) {
			struct known *one = &known[known_count++];

			snprintf(one->account, sizeof(one->account), "%s", account);
			one->body = rows.rows[i].body;
			one->size = rows.rows[i].size;
			one->bytes = read_body(account, one->body, one->size);
		}
	}
}

/* Reads everything: how many bodies were refused; -1 where one came back changed. */
static int read_all(void)
{
	struct pn_body_id refused = {{0}};
	int count = 0;

	for (size_t i = 0; i < known_count; i++) {
		char *bytes = read_body(known[i].account, known[i].body, known[i].size);
		bool is_same = bytes != NULL && memcmp(bytes, known[i].bytes, known[i].size) == 0;

		if (bytes == NULL && memcmp(&refused, &known[i].body, sizeof(refused)) != 0) {
			refused = known[i].body;
			count++;
			if (strstr(last_error(), "segment") == NULL)
				return -1;
		}
		free(bytes);
		if (bytes != NULL && !is_same)
			return -1;
	}
	return count;
}

static void flip(const char *path, off_t place, unsigned bit)
{
	int descriptor = open(path, O_RDWR);
	unsigned char byte = 0;

	if (pread(descriptor, &byte, 1, place) != 1)
		abort();
	byte ^= (unsigned char)(1u << bit);
	if (pwrite(descriptor, &byte, 1, place) != 1)
		abort();
	close(descriptor);
}

static void flipped_bits_are_found_and_neighbours_served(void)
{
	unsigned runs = is_long ? 5000 : 500;
	unsigned refused = 0;
	unsigned verified = 0;
	bool is_ok = true;
	char name[128];

	fresh();
	write_some("1", "50");
	if (!start_tool())
		return report("flipped_bits_are_found_and_neighbours_served", false);
	learn();
	harness_stop();
	for (unsigned i = 0; i < runs && is_ok; i++) {
		struct pn_error error = {0};
		unsigned bit = (unsigned)rand() % 8;
		off_t place;
		char *path = random_segment(&place);
		int count;

		flip(path, place, bit);
		is_ok = start_tool();
		count = is_ok ? read_all() : -1;
		is_ok = is_ok && count >= 0 && count <= 1;
		refused += count > 0;
		/* Verifying is slow; a body that was refused must be found by it too. */
		if (is_ok && i % 10 == 0) {
			enum pn_status status =
				harness_entries()->verify(harness_instance(), &quiet, &error);

			is_ok = status == PN_CONFLICT || count == 0;
			verified += status == PN_CONFLICT;
		}
		if (!is_ok)
			printf("# %s at %lld bit %u: %d\n", path, (long long)place, bit, count);
		harness_stop();
		flip(path, place, bit);
		pn_arena_reset(harness_arena());
	}
	snprintf(name, sizeof(name),
	         "flipped_bits_are_found_and_neighbours_served (%u flips, %u refused)", runs,
	         refused);
	report(name, is_ok && refused > runs / 4 && verified > 0 && check());
	for (size_t i = 0; i < known_count; i++)
		free(known[i].bytes);
	free(known);
	known = NULL;
	known_count = 0;
}

/* A damaged record is passed over by a rebuild; the others come back. */
static void rebuild_passes_over_damaged_records(void)
{
	bool is_ok;
	off_t place;
	char *path;
	uint32_t before = 0;
	uint32_t after = 0;

	fresh();
	write_some("1", "50");
	if (!start_tool())
		return;
	for (int user = 0; user < 5; user++) {
		char account[64];

		snprintf(account, sizeof(account), "user%d@example.org", user);
		before += account_info(account).message_count;
	}
	harness_stop();
	do
		path = random_segment(&place);
	while (path != NULL && (strstr(path, ".large") != NULL || place < 4096));
	flip(path, place, 3);
	remove_index();
	is_ok = rebuild() && start_tool();
	for (int user = 0; is_ok && user < 5; user++) {
		char account[64];

		snprintf(account, sizeof(account), "user%d@example.org", user);
		after += account_info(account).message_count;
	}
	harness_stop();
	report("rebuild_passes_over_damaged_records", is_ok && after + 3 >= before);
}

size_t run_storm(const char *where, bool with_more)
{
	const char *given = getenv("CONFORMANCE_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)pn_clock_wall_ms();

	directory = where;
	is_long = with_more;
	snprintf(acks, sizeof(acks), "%s/acks", where);
	srand(seed);
	printf("# seed %u\n", seed);
	several_processes_commit_at_once();
	random_kills();
	rebuilds_from_segments_alone();
	rebuilds_from_a_checkpoint();
	rebuild_brings_nothing_back_from_before_the_checkpoint();
	rebuild_leaves_refused_bodies_alone();
	rebuild_is_refused_while_the_store_is_in_use();
	a_damaged_index_is_refused_and_can_be_rebuilt();
	rebuild_passes_over_damaged_records();
	flipped_bits_are_found_and_neighbours_served();
	sweep_points();
	clear_store(directory);
	return failures;
}
