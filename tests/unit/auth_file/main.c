/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The account file: what each name costs. Hashes and verifiers that are computed are counted;
 * whoever is asked about, it is one, and of the same kind.
 */
#include <postern/authentication.h>
#include <postern/module.h>
#include <postern/text.h>

#include <check.h>
#include <crypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern const struct pn_module auth_file_LTX_pn_module;

static unsigned hashes;
static unsigned verifiers;

char *__real_crypt_rn(const char *phrase, const char *setting, void *data, int size);
char *__wrap_crypt_rn(const char *phrase, const char *setting, void *data, int size);
enum pn_status __real_pn_scram_verify(struct pn_slice verifier, struct pn_slice password);
enum pn_status __wrap_pn_scram_verify(struct pn_slice verifier, struct pn_slice password);
void __wrap_pn_assert_on_worker(void);

char *__wrap_crypt_rn(const char *phrase, const char *setting, void *data, int size)
{
	hashes++;
	return __real_crypt_rn(phrase, setting, data, size);
}

enum pn_status __wrap_pn_scram_verify(struct pn_slice verifier, struct pn_slice password)
{
	verifiers++;
	return __real_pn_scram_verify(verifier, password);
}

/* There is one thread here. */
void __wrap_pn_assert_on_worker(void)
{
}

/* And nobody waits. */
bool pn_ticket_answer(struct pn_ticket ticket, enum pn_answer_kind kind, enum pn_status status,
                      void *result, void (*release)(void *result), const struct pn_error *error)
{
	(void)ticket;
	(void)kind;
	(void)status;
	(void)error;
	if (release != NULL)
		release(result);
	return false;
}

static char path[] = "/tmp/postern-unit-XXXXXX";
static void *instance;

/* The instance as its options would make it: the path, and no more. */
struct config {
	const char *path;
	const char *separator;
	const char *postmaster;
};

static void open_file(const char *text)
{
	const struct config config = {path, "+", ""};
	const struct pn_start start = {.struct_size = sizeof(start), .config = &config};
	struct pn_error error = {.text = ""};
	int descriptor;

	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	descriptor = mkstemp(path);
	ck_assert_int_ge(descriptor, 0);
	ck_assert_int_eq(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
	close(descriptor);
	ck_assert_msg(auth_file_LTX_pn_module.start(&start, &instance, &error) == PN_OK, "%s",
	              error.text);
	unlink(path);
}

static void close_file(void)
{
	if (instance != NULL)
		auth_file_LTX_pn_module.stop(instance);
	instance = NULL;
}

static enum pn_status verify(const char *identity, const char *secret)
{
	const struct pn_credentials credentials = {
		.struct_size = sizeof(credentials),
		.mechanism = "PLAIN",
		.identity = pn_slice_of(identity),
		.secret = pn_slice_of(secret),
	};
	struct pn_error error = {.text = ""};

	hashes = 0;
	verifiers = 0;
	return auth_file_LTX_pn_module.authentication->verify(instance, &credentials, &error);
}

#define HASH                                                                                       \
	"$6$rounds=1000$example$gMibKQIeikkbOu7V8OtIm4kd225ofTJwy/o254pxcHRjT2LMh01w/"             \
	"YYJZYOqAE2bNJg0TJ8gOk1KW9gsaDFcn0"
#define SCRAM                                                                                      \
	"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"                                            \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"                                            \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static const char everybody[] = "hash@x.test:" HASH ":\n"
				"both@x.test:" HASH " " SCRAM " {PLAIN}postern:\n"
				"plain@x.test:{PLAIN}postern:\n"
				"locked@x.test:!:\n"
				"disabled@x.test:" HASH ":disabled=yes\n"
				"alias team@x.test: hash@x.test\n";

START_TEST(every_name_costs_one_hash)
{
	static const struct {
		const char *identity;
		const char *secret;
		enum pn_status status;
	} cases[] = {
		{"hash@x.test", "postern", PN_OK},
		{"hash@x.test", "wrong", PN_DENIED},
		{"both@x.test", "postern", PN_OK},
		{"both@x.test", "wrong", PN_DENIED},
		{"plain@x.test", "postern", PN_OK},
		{"plain@x.test", "wrong", PN_DENIED},
		{"locked@x.test", "postern", PN_DENIED},
		{"disabled@x.test", "postern", PN_DENIED},
		{"team@x.test", "postern", PN_NOT_FOUND},
		{"nobody@x.test", "postern", PN_NOT_FOUND},
		{"", "postern", PN_NOT_FOUND},
	};

	open_file(everybody);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(verify(cases[i].identity, cases[i].secret) == cases[i].status, "%s",
		              cases[i].identity);
		ck_assert_msg(hashes == 1 && verifiers == 0, "%s: %u hashes, %u verifiers",
		              cases[i].identity, hashes, verifiers);
	}
}
END_TEST

START_TEST(without_hashes_every_name_costs_one_verifier)
{
	open_file("alice@x.test:" SCRAM ":\nbob@x.test:{PLAIN}postern:\n");
	ck_assert_int_eq(verify("alice@x.test", "pencil"), PN_OK);
	ck_assert_uint_eq(verifiers, 1);
	ck_assert_int_eq(verify("alice@x.test", "wrong"), PN_DENIED);
	ck_assert_uint_eq(verifiers, 1);
	ck_assert_int_eq(verify("bob@x.test", "postern"), PN_OK);
	ck_assert_uint_eq(verifiers, 1);
	/* What stands in for a password is nobody's. */
	ck_assert_int_eq(verify("bob@x.test", "pencil"), PN_DENIED);
	ck_assert_int_eq(verify("nobody@x.test", "pencil"), PN_NOT_FOUND);
	ck_assert_uint_eq(verifiers, 1);
	ck_assert_uint_eq(hashes, 0);
}
END_TEST

static enum pn_status ask_verifier(const char *identity, const char *mechanism,
                                   struct pn_arena *arena, struct pn_slice *verifier_out)
{
	struct pn_error error = {.text = ""};

	return auth_file_LTX_pn_module.authentication->verifier(
		instance, pn_slice_of(identity), mechanism, arena, verifier_out, &error);
}

START_TEST(a_verifier_is_shown_of_somebody_and_a_secret_of_nobody)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice verifier = PN_SLICE_NONE;

	open_file(everybody);
	ck_assert_int_eq(ask_verifier("both@x.test", "SCRAM-SHA-256", arena, &verifier), PN_OK);
	ck_assert(pn_slice_equal(verifier, PN_SLICE(SCRAM)));
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(ask_verifier(i == 0 ? "hash@x.test" : "nobody@x.test",
		                              "SCRAM-SHA-256", arena, &verifier),
		                 PN_NOT_FOUND);
		ck_assert(pn_slice_equal(verifier, PN_SLICE(SCRAM)));
	}
	ck_assert_int_eq(ask_verifier("both@x.test", "CRAM-MD5", arena, &verifier), PN_OK);
	ck_assert(pn_slice_equal(verifier, PN_SLICE("postern")));
	ck_assert_int_eq(ask_verifier("nobody@x.test", "CRAM-MD5", arena, &verifier), PN_NOT_FOUND);
	ck_assert_uint_eq(verifier.size, 0);
	ck_assert_int_eq(ask_verifier("both@x.test", "SCRAM-SHA-1", arena, &verifier),
	                 PN_NOT_FOUND);
	ck_assert_int_eq(ask_verifier("both@x.test", "SCRAM-SHA-512", arena, &verifier),
	                 PN_NOT_FOUND);
	pn_arena_free(&arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("auth_file");
	TCase *cases = tcase_create("auth_file");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(cases, NULL, close_file);
	tcase_add_test(cases, every_name_costs_one_hash);
	tcase_add_test(cases, without_hashes_every_name_costs_one_verifier);
	tcase_add_test(cases, a_verifier_is_shown_of_somebody_and_a_secret_of_nobody);
	suite_add_tcase(suite, cases);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
