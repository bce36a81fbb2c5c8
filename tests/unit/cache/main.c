/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of cache_local: lifetimes, bounds, and workers that are killed. */
#include <postern/cache.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../../modules/cache_local/table.h"
#include "../exact.h"

enum { MEGABYTE = 1024 * 1024 };

static char directory[64];
static struct cache_table *table;
static char room[PN_CACHE_VALUE_MAX];

static struct cache_table *open_table(uint64_t size)
{
	struct cache_table *opened = NULL;
	struct pn_error error;

	ck_assert_msg(cache_table_open(directory, "cache", size, &opened, &error) == PN_OK, "%s",
	              error.text);
	return opened;
}

static void make_table(void)
{
	snprintf(directory, sizeof(directory), "/tmp/postern-cache-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	table = open_table(MEGABYTE);
}

static void remove_table(void)
{
	char command[128];

	cache_table_close(&table);
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}

/* ---- requests ---- */

static struct cache_request ask(struct cache_request request, int64_t now_ms)
{
	struct pn_error error;

	request.room = room;
	ck_assert_msg(cache_table_work(table, &request, now_ms, &error) == PN_OK, "%s", error.text);
	ck_assert_int_eq(request.status, PN_OK);
	return request;
}

/* The value, or NULL. */
static const char *get(const char *key, int64_t now_ms)
{
	struct cache_request request =
		ask((struct cache_request){.verb = CACHE_GET, .key = pn_slice_of(key)}, now_ms);

	room[request.size < sizeof(room) ? request.size : sizeof(room) - 1] = '\0';
	return request.found ? room : NULL;
}

static void set(const char *key, struct pn_slice value, uint64_t lifetime_ms, int64_t now_ms)
{
	ask((struct cache_request){.verb = CACHE_SET,
	                           .key = pn_slice_of(key),
	                           .value = value,
	                           .lifetime_ms = lifetime_ms},
	    now_ms);
}

static int64_t add(const char *key, int64_t amount, uint64_t lifetime_ms, int64_t now_ms)
{
	return ask((struct cache_request){.verb = CACHE_ADD,
	                                  .key = pn_slice_of(key),
	                                  .amount = amount,
	                                  .lifetime_ms = lifetime_ms},
	           now_ms)
	        .number;
}

/* ---- tests ---- */

START_TEST(entries_live_as_long_as_they_were_told)
{
	ck_assert_ptr_null(get("a", 1000));
	set("a", PN_SLICE("one"), 100, 1000);
	ck_assert_str_eq(get("a", 1099), "one");
	ck_assert_ptr_null(get("a", 1100));
	set("a", PN_SLICE("two"), 100, 1050);
	ck_assert_str_eq(get("a", 1149), "two");
	set("a", PN_SLICE(""), 100, 1149);
	ck_assert_str_eq(get("a", 1150), "");
	set("b", PN_SLICE("for ever"), UINT64_MAX, 1000);
	ck_assert_str_eq(get("b", 1000000000), "for ever");
}
END_TEST

START_TEST(counters_begin_with_their_first_use)
{
	ck_assert_int_eq(add("n", 5, 100, 1000), 5);
	ck_assert_int_eq(add("n", 2, 100, 1099), 7);
	ck_assert_int_eq(add("n", 1, 100, 1100), 1);
	ck_assert_int_eq(add("n", -3, 100, 1150), -2);
	ck_assert_str_eq(get("n", 1150), "-2");
	ck_assert_int_eq(add("n", INT64_MAX, 100, 1150), INT64_MAX - 2);
	ck_assert_int_eq(add("n", 100, 100, 1150), INT64_MAX);
	ck_assert_int_eq(add("m", INT64_MIN, 100, 1150), INT64_MIN);
	ck_assert_int_eq(add("m", -1, 100, 1150), INT64_MIN);
	/* A text is no counter, and the other way round. */
	set("n", PN_SLICE("text"), 100, 1160);
	ck_assert_int_eq(add("n", 1, 100, 1160), 1);
	set("n", PN_SLICE("text"), 100, 1160);
	ck_assert_str_eq(get("n", 1160), "text");
}
END_TEST

START_TEST(many_requests_are_one_transaction_in_their_order)
{
	struct cache_request requests[3] = {
		{.verb = CACHE_ADD, .key = PN_SLICE("n"), .amount = 1, .lifetime_ms = 100},
		{.verb = CACHE_GET, .key = PN_SLICE("n"), .room = room},
		{.verb = CACHE_ADD, .key = PN_SLICE("n"), .amount = 1, .lifetime_ms = 100},
	};
	struct pn_error error;

	requests[0].next = &requests[1];
	requests[1].next = &requests[2];
	ck_assert_int_eq(cache_table_work(table, requests, 1000, &error), PN_OK);
	ck_assert_int_eq(requests[0].number, 1);
	ck_assert_int_eq(requests[1].number, 1);
	ck_assert_int_eq(requests[2].number, 2);
}
END_TEST

START_TEST(the_largest_key_and_value_fit)
{
	char key[PN_CACHE_KEY_MAX + 1], value[PN_CACHE_VALUE_MAX];

	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	memset(value, 'v', sizeof(value));
	for (int round = 0; round < 5; round++) {
		set(key, pn_slice_make(value, sizeof(value)), 1000, 1000);
		ck_assert_ptr_nonnull(get(key, 1500));
		ck_assert_int_eq(memcmp(room, value, sizeof(value) - 1), 0);
	}
}
END_TEST

/* Ten times as much as there is room for: the file stays small, the newest are there. */
START_TEST(what_would_end_first_makes_room)
{
	char key[32], path[128], value[1000];
	struct stat status;
	int found = 0;

	memset(value, 'v', sizeof(value));
	set("late", PN_SLICE("x"), 1000000000, 1000);
	for (int number = 0; number < 10000; number++) {
		snprintf(key, sizeof(key), "key%d", number);
		set(key, pn_slice_make(value, sizeof(value)), (uint64_t)(1000000 + number), 1000);
	}
	ck_assert_str_eq(get("late", 2000), "x");
	ck_assert_ptr_nonnull(get("key9999", 2000));
	ck_assert_ptr_null(get("key0", 2000));
	for (int number = 0; number < 10000; number++) {
		snprintf(key, sizeof(key), "key%d", number);
		found += get(key, 2000) != NULL;
	}
	ck_assert_int_gt(found, 700);
	ck_assert_int_lt(found, 1000);
	snprintf(path, sizeof(path), "%s/cache.mdb", directory);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_lt(status.st_size, 8 * MEGABYTE);
}
END_TEST

START_TEST(dead_entries_go_by_themselves)
{
	char key[32];

	for (int number = 0; number < 3000; number++) {
		snprintf(key, sizeof(key), "key%d", number);
		set(key, PN_SLICE("x"), 10, 1000 + number);
	}
	/* A living one that ends before those would have to go, if they were still counted. */
	set("first", PN_SLICE("x"), 5, 5000);
	for (int number = 0; number < 3000; number++) {
		snprintf(key, sizeof(key), "new%d", number);
		set(key, PN_SLICE("x"), 1000, 5000);
	}
	ck_assert_str_eq(get("first", 5001), "x");
}
END_TEST

START_TEST(entries_outlive_the_process_and_not_the_machine)
{
	char path[128];
	int file;

	set("a", PN_SLICE("one"), 1000000, 1000);
	cache_table_close(&table);
	table = open_table(MEGABYTE);
	ck_assert_str_eq(get("a", 2000), "one");
	cache_table_close(&table);
	/* Another run of the machine. */
	snprintf(path, sizeof(path), "%s/cache.boot", directory);
	file = open(path, O_RDWR);
	ck_assert_int_eq(pwrite(file, "another", 7, 0), 7);
	close(file);
	table = open_table(MEGABYTE);
	ck_assert_ptr_null(get("a", 2000));
	set("a", PN_SLICE("one"), 1000000, 1000);
	cache_table_close(&table);
	table = open_table(MEGABYTE);
	ck_assert_str_eq(get("a", 2000), "one");
}
END_TEST

START_TEST(a_file_that_is_none_begins_anew)
{
	char path[128];
	FILE *file;

	cache_table_close(&table);
	snprintf(path, sizeof(path), "%s/cache.mdb", directory);
	file = fopen(path, "w");
	for (int number = 0; number < 10000; number++)
		fprintf(file, "nonsense %d\n", number);
	fclose(file);
	table = open_table(MEGABYTE);
	ck_assert_ptr_null(get("a", 2000));
	set("a", PN_SLICE("one"), 1000000, 1000);
	ck_assert_str_eq(get("a", 2000), "one");
}
END_TEST

START_TEST(a_larger_size_is_used_by_those_who_had_the_smaller)
{
	struct cache_table *small = table;
	char key[32], value[4000];

	memset(value, 'v', sizeof(value));
	table = open_table(64 * MEGABYTE);
	for (int number = 0; number < 15000; number++) {
		snprintf(key, sizeof(key), "key%d", number);
		set(key, pn_slice_make(value, sizeof(value)), 1000000, 1000);
	}
	cache_table_close(&table);
	table = small;
	ck_assert_ptr_nonnull(get("key14999", 2000));
	ck_assert_int_eq(add("n", 1, 100, 1000), 1);
}
END_TEST

/* ---- workers that are killed ---- */

enum { WORKERS = 4, KILLS = 100 };

struct tally {
	_Atomic uint64_t done;
	char gap[56];
};

/* Counts to the end of its life, and says how far it came. */
static void count_on(struct tally *tally)
{
	struct cache_table *own = open_table(MEGABYTE);
	char value[200];

	memset(value, 'v', sizeof(value));
	for (uint64_t number = 0;; number++) {
		char key[32];
		struct cache_request second = {.verb = CACHE_SET,
		                               .value = pn_slice_make(value, sizeof(value)),
		                               .lifetime_ms = 500};
		struct cache_request first = {.verb = CACHE_ADD,
		                              .key = PN_SLICE("counter"),
		                              .amount = 1,
		                              .lifetime_ms = UINT64_MAX,
		                              .next = &second};
		struct pn_error error;

		snprintf(key, sizeof(key), "key%llu", (unsigned long long)(number % 5000));
		second.key = pn_slice_of(key);
		if (cache_table_work(own, &first, 1000, &error) != PN_OK)
			_exit(3);
		atomic_fetch_add(&tally->done, 1);
		sched_yield();
	}
}

static pid_t start_worker(struct tally *tally)
{
	pid_t pid = fork();

	if (pid == 0) {
		/* Nobody is left working when a check fails. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		count_on(tally);
	}
	return pid;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Whoever is killed, at whatever moment: nothing that was answered is lost, nothing counts twice,
 * and nobody waits for the dead. */
START_TEST(killed_workers_leave_no_wrong_results_and_no_locks)
{
	struct tally *tallies = mmap(NULL, WORKERS * sizeof(*tallies), PROT_READ | PROT_WRITE,
	                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t workers[WORKERS];
	uint64_t sum = 0;
	int64_t counted;

	ck_assert_ptr_ne(tallies, MAP_FAILED);
	cache_table_close(&table); /* LMDB must not be carried over a fork */
	for (int index = 0; index < WORKERS; index++)
		workers[index] = start_worker(&tallies[index]);
	for (int kill_number = 0; kill_number < KILLS; kill_number++) {
		int victim = kill_number % WORKERS, status;
		uint64_t before = atomic_load(&tallies[victim].done);
		double began = seconds();

		/* Each has done something since it was started. Who comes to the lock last may wait
		 * long where all others come back at once, on a machine that is busy otherwise. */
		while (atomic_load(&tallies[victim].done) < before + 20) {
			ck_assert_msg(seconds() - began < 100, "a worker is held up");
			nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
			ck_assert_int_eq(waitpid(workers[victim], &status, WNOHANG), 0);
		}
		kill(workers[victim], SIGKILL);
		ck_assert_int_eq(waitpid(workers[victim], &status, 0), workers[victim]);
		ck_assert(WIFSIGNALED(status));
		workers[victim] = start_worker(&tallies[victim]);
	}
	for (int index = 0; index < WORKERS; index++) {
		kill(workers[index], SIGKILL);
		waitpid(workers[index], NULL, 0);
		sum += atomic_load(&tallies[index].done);
	}
	table = open_table(MEGABYTE);
	counted = add("counter", 0, 1000, 1000);
	ck_assert_int_ge(counted, (int64_t)sum);
	ck_assert_int_le(counted, (int64_t)sum + KILLS + WORKERS);
	munmap(tallies, WORKERS * sizeof(*tallies));
}
END_TEST

static Suite *cache_suite(void)
{
	const TTest *const tests[] = {
		entries_live_as_long_as_they_were_told,
		counters_begin_with_their_first_use,
		many_requests_are_one_transaction_in_their_order,
		the_largest_key_and_value_fit,
		what_would_end_first_makes_room,
		dead_entries_go_by_themselves,
		entries_outlive_the_process_and_not_the_machine,
		a_file_that_is_none_begins_anew,
		a_larger_size_is_used_by_those_who_had_the_smaller,
		killed_workers_leave_no_wrong_results_and_no_locks,
	};
	Suite *suite = suite_create("cache_local");
	TCase *cases = tcase_create("cache_local");

	tcase_set_timeout(cases, 120);
	tcase_add_checked_fixture(cases, make_table, remove_table);
	for (size_t index = 0; index < sizeof(tests) / sizeof(tests[0]); index++)
		tcase_add_test(cases, tests[index]);
	suite_add_tcase(suite, cases);
	return suite;
}

int main(void)
{
	Suite *(*const suites[])(void) = {cache_suite, NULL};

	return run_suites(suites);
}
