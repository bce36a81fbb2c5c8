/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All short sequences of commands, and many long ones, against the model. Every command: the
 * classes of its replies, whether a message was taken with which sender for whom, what hooks found,
 * and where no transaction is left that nothing is left of it.
 */
#include "world.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED true
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED false
#endif

enum { SEQUENCE_MAX = 100, COMMAND_MAX = 600, TIMEOUT_S = 3600 };

/* What was said so far. */
static struct {
	const struct letter *letters[SEQUENCE_MAX];
	unsigned count;
	enum profile profile;
	struct model model;
	uint64_t seed; /* of random ones, or 0 */
} run;

static const char *const profiles[] = {"mx", "submission", "lmtp"};
static uint64_t command_count;
static uint64_t sequence_count;

void world_fail(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s\n%s (seed %llu):", file, line, what, profiles[run.profile],
	        (unsigned long long)run.seed);
	for (unsigned i = 0; i < run.count; i++)
		fprintf(stderr, " %s", run.letters[i]->name);
	fprintf(stderr, "\n%.*s\n", (int)world.output_size, world.output);
	ck_abort_msg("%s", what);
	abort();
}

static bool is_long(void)
{
	const char *value = getenv("POSTERN_TEST_LONG");

	return value != NULL && value[0] != '\0';
}

/* ---- one command ---- */

/* The message, or a piece of it. What would be commands stands in it. */
static int write_body(char *text, size_t size, const struct letter *letter, bool has_header,
                      unsigned place)
{
	const char *body = letter->has_bare_lf ? "QUIT\nRSET\r\n" : "QUIT\r\nRSET\r\n";

	if (!has_header)
		return snprintf(text, size, "%s", body);
	return snprintf(text, size, "X-Serial: %u\r\n\r\n%s", place, body);
}

static void say(const char *text, int size)
{
	require(size > 0 && size < COMMAND_MAX);
	world_say(text, (size_t)size);
}

static void say_chunk(const struct letter *letter, unsigned place)
{
	char body[COMMAND_MAX / 2];
	char text[COMMAND_MAX];
	int size = write_body(body, sizeof(body), letter, !run.model.now.in_chunks, place);

	say(text, snprintf(text, sizeof(text), "BDAT %d%s\r\n%s", size,
	                   letter->verb == VERB_BDAT_LAST ? " LAST" : "", body));
}

static void say_data(const struct letter *letter, unsigned place)
{
	char text[COMMAND_MAX];
	int size = write_body(text, sizeof(text), letter, true, place);

	say("DATA\r\n", 6);
	if (world.outcome.classes[0] != '3')
		return;
	size += snprintf(text + size, sizeof(text) - (size_t)size, ".\r\n");
	say(text, size);
}

static void say_command(const struct letter *letter, unsigned place)
{
	bool is_lmtp = run.profile == PROFILE_LMTP;
	char text[COMMAND_MAX];
	int size = 0;

	switch (letter->verb) {
	case VERB_EHLO:
		size = snprintf(text, sizeof(text), "%s client.test\r\n",
		                is_lmtp ? "LHLO" : "EHLO");
		break;
	case VERB_HELO:
		size = snprintf(text, sizeof(text), "HELO client.test\r\n");
		break;
	case VERB_MAIL:
		size = snprintf(text, sizeof(text), "MAIL FROM:<s%u@sender.test>%s%s\r\n", place,
		                letter->has_wishes ? " BODY=BINARYMIME SMTPUTF8" : "",
		                letter->has_wishes && !is_lmtp ? " PRDR" : "");
		break;
	case VERB_RCPT:
		size = snprintf(text, sizeof(text), "RCPT TO:<r%u%s@example.test>\r\n", place,
		                letter->has_wishes ? "\xc3\xbc" : "");
		break;
	case VERB_DATA:
		say_data(letter, place);
		return;
	case VERB_BDAT:
	case VERB_BDAT_LAST:
		say_chunk(letter, place);
		return;
	case VERB_RSET:
		size = snprintf(text, sizeof(text), "RSET\r\n");
		break;
	case VERB_NOOP:
		size = snprintf(text, sizeof(text), "NOOP\r\n");
		break;
	case VERB_VRFY:
		size = snprintf(text, sizeof(text), "VRFY <r1@example.test>\r\n");
		break;
	case VERB_AUTH: /* \0alice\0secret */
		size = snprintf(text, sizeof(text), "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n");
		break;
	case VERB_STARTTLS:
		size = snprintf(text, sizeof(text), "STARTTLS\r\n");
		break;
	case VERB_QUIT:
		size = snprintf(text, sizeof(text), "QUIT\r\n");
		break;
	case VERBS:
		break;
	}
	say(text, size);
}

static void compare(const struct expectation *expectation)
{
	const struct outcome *outcome = &world.outcome;
	bool takes;

	require(strlen(outcome->classes) == expectation->count);
	for (size_t i = 0; i < expectation->count; i++)
		require(strchr(expectation->replies[i], outcome->classes[i]) != NULL);
	require(outcome->is_closed == expectation->closes);
	takes = expectation->takes;
	require(outcome->messages == (takes ? 1 : 0));
	if (!takes)
		return;
	require(outcome->serial == expectation->serial);
	require(outcome->sender == expectation->sender);
	require(outcome->recipient_count == expectation->recipient_count);
	for (size_t i = 0; i < outcome->recipient_count; i++)
		require(outcome->recipients[i] == expectation->recipients[i]);
}

static void take(const struct letter *letter)
{
	unsigned place = run.count;
	struct expectation expectation;
	char first;

	run.letters[run.count++] = letter;
	command_count++;
	model_expect(&run.model, letter, place, &expectation);
	world_begin(letter, &run.model);
	say_command(letter, place);
	compare(&expectation);
	first = world.outcome.classes[0];
	model_move(&run.model, letter, place, first == '2' || first == '3');
	if (!run.model.is_closed && !run.model.now.has_sender)
		world_check_fresh(&run.model);
}

static void begin(enum profile profile)
{
	sequence_count++;
	run.count = 0;
	run.profile = profile;
	model_begin(&run.model, profile);
	world_connect(profile);
}

static const struct letter *letter_named(const char *name, size_t size)
{
	for (size_t i = 0; i < letter_count; i++) {
		if (strlen(letters[i].name) == size && memcmp(letters[i].name, name, size) == 0)
			return &letters[i];
	}
	require(!"a letter of that name");
}

static void take_all(const char *names)
{
	while (*names != '\0') {
		size_t size = strcspn(names, " ");

		take(letter_named(names, size));
		names += size;
		names += strspn(names, " ");
	}
}

/* ---- all of them ---- */

enum { PLAIN = 1u << 0, WHOLE = 1u << 1 };

struct family {
	enum profile profile;
	const char *prefix;
	unsigned flags; /* PLAIN: nothing goes wrong in what follows. WHOLE: nothing is left out */
	unsigned depth; /* commands that follow */
	unsigned long_depth;
};

static const struct family families[] = {
	{PROFILE_MX, "", PLAIN, 6, 8},
	{PROFILE_MX, "", PLAIN | WHOLE, 4, 6},
	{PROFILE_MX, "", 0, 4, 5},
	{PROFILE_MX, "", WHOLE, 2, 4},
	{PROFILE_MX, "EHLO MAIL RCPT", 0, 3, 5},
	{PROFILE_MX, "EHLO MAIL RCPT", WHOLE, 2, 4},
	{PROFILE_MX, "EHLO MAIL+wishes RCPT RCPT", 0, 3, 4},
	{PROFILE_MX, "EHLO MAIL RCPT BDAT", 0, 3, 4},
	{PROFILE_SUBMISSION, "", PLAIN, 6, 8},
	{PROFILE_SUBMISSION, "EHLO AUTH", 0, 3, 5},
	{PROFILE_LMTP, "", PLAIN, 5, 8},
	{PROFILE_LMTP, "EHLO MAIL RCPT RCPT/discard", 0, 3, 5},
	{PROFILE_LMTP, "EHLO MAIL RCPT RCPT BDAT", 0, 2, 4},
};

static size_t next_letter(const struct family *family, size_t index)
{
	while (index < letter_count && (family->flags & PLAIN) != 0 && !letters[index].is_plain)
		index++;
	return index;
}

/* The sequence at those places; how many of them were taken. Behind a command that closes nothing
 * follows; what follows behind one that left everything as it was is what follows without it, which
 * is a shorter sequence of the same family, and left out unless the family is whole. */
static unsigned run_sequence(const struct family *family, const size_t *places, unsigned depth)
{
	bool goes_on = true;
	unsigned taken = 0;

	begin(family->profile);
	take_all(family->prefix);
	while (taken < depth && goes_on) {
		struct model before = run.model;

		world_remember();
		take(&letters[places[taken++]]);
		goes_on =
			!run.model.is_closed &&
			((family->flags & WHOLE) != 0 ||
		         memcmp(&before, &run.model, sizeof(before)) != 0 || !world_is_unchanged());
	}
	world_disconnect();
	return taken;
}

/* An odometer. */
static void run_family(const struct family *family, unsigned depth)
{
	size_t places[SEQUENCE_MAX] = {0};
	uint64_t sequences = sequence_count;
	uint64_t commands = command_count;

	for (;;) {
		unsigned taken = run_sequence(family, places, depth);

		while (taken > 0) {
			size_t next = next_letter(family, places[taken - 1] + 1);

			if (next < letter_count) {
				places[taken - 1] = next;
				break;
			}
			taken--;
		}
		if (taken == 0)
			break;
		memset(places + taken, 0, sizeof(places) - taken * sizeof(places[0]));
	}
	printf("# %s: all of %u %scommands behind \"%s\"%s: %llu sequences, %llu commands\n",
	       profiles[family->profile], depth, (family->flags & PLAIN) != 0 ? "plain " : "",
	       family->prefix, (family->flags & WHOLE) != 0 ? ", none left out" : "",
	       (unsigned long long)(sequence_count - sequences),
	       (unsigned long long)(command_count - commands));
}

START_TEST(every_short_sequence_does_what_the_model_says)
{
	const struct family *family = &families[_i];
	unsigned depth = is_long() ? family->long_depth : family->depth;

	run_family(family, IS_SANITIZED && depth > 2 ? 2 : depth);
}
END_TEST

/* ---- many of them ---- */

static uint64_t state;

static unsigned choose(unsigned count)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)((state >> 33) % count);
}

static unsigned toss(void)
{
	return choose(3) == 0;
}

static unsigned cut(unsigned size)
{
	return choose(4) == 0 ? 1 + choose(size) : size;
}

/* Mostly the way of a message, or few would ever be one; QUIT seldom. */
static const struct letter *choose_letter(void)
{
	static const enum verb way[] = {VERB_MAIL, VERB_RCPT, VERB_RCPT,
	                                VERB_BDAT, VERB_DATA, VERB_BDAT_LAST};
	const struct letter *letter = &letters[choose((unsigned)letter_count)];

	if (choose(4) != 0) {
		enum verb verb = way[choose(6)];

		if (!run.model.now.has_sender)
			verb = run.model.greeted == GREETED_NOT ? VERB_EHLO : VERB_MAIL;
		while (letter->verb != verb)
			letter = &letters[choose((unsigned)letter_count)];
	}
	if (letter->verb == VERB_QUIT || letter->verdict == PN_VERDICT_DROP || letter->has_bare_lf)
		return choose(20) == 0 ? letter : choose_letter();
	return letter;
}

static void run_random(uint64_t seed, uint64_t sequences)
{
	uint64_t messages = 0;

	run.seed = seed;
	state = seed * 2 + 1;
	world.waits = toss;
	world.cut = cut;
	printf("# seed %llu\n", (unsigned long long)seed);
	for (uint64_t i = 0; i < sequences; i++) {
		begin((enum profile)choose(3));
		for (unsigned n = 5 + choose(SEQUENCE_MAX - 5);
		     n > 0 && run.count < SEQUENCE_MAX && !run.model.is_closed; n--) {
			take(choose_letter());
			messages += world.outcome.messages;
		}
		world_disconnect();
	}
	world.waits = NULL;
	world.cut = NULL;
	run.seed = 0;
	printf("# %llu sequences, %llu commands, %llu messages\n",
	       (unsigned long long)sequence_count, (unsigned long long)command_count,
	       (unsigned long long)messages);
}

START_TEST(many_long_sequences_do_too_however_they_are_cut_and_whoever_waits)
{
	const char *given = getenv("POSTERN_TEST_SEED");
	uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);

	run_random(seed, is_long() ? 1000 * 1000 : IS_SANITIZED ? 500 : 8000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("states");
	TCase *tests = tcase_create("sequences");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tests, TIMEOUT_S);
	tcase_add_checked_fixture(tests, world_set_up, world_tear_down);
	tcase_add_loop_test(tests, every_short_sequence_does_what_the_model_says, 0,
	                    (int)(sizeof(families) / sizeof(families[0])));
	tcase_add_test(tests, many_long_sequences_do_too_however_they_are_cut_and_whoever_waits);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
