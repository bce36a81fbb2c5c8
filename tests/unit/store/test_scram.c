/* SPDX-License-Identifier: Apache-2.0 */
/* SCRAM: the examples of RFC 5802 section 5 and RFC 7677 section 3, and what is kept of a password.
 */
#include "suites.h"

#include <postern/text.h>

#include "store/scram.h"

static struct pn_scram_verifier derived(enum pn_digest_kind digest, const char *salt,
                                        const char *password)
{
	struct pn_scram_verifier verifier = {.digest = digest, .iterations = 4096};
	struct pn_buffer bytes;

	pn_buffer_init(&bytes, PN_SCRAM_SALT_MAX);
	ck_assert_int_eq(pn_base64_decode(&bytes, pn_slice_of(salt)), PN_OK);
	memcpy(verifier.salt, bytes.data, bytes.size);
	verifier.salt_size = bytes.size;
	pn_buffer_clear(&bytes);
	pn_scram_derive(&verifier, pn_slice_of(password));
	return verifier;
}

static bool proof_fits(const struct pn_scram_verifier *verifier, const char *messages,
                       const char *proof)
{
	struct pn_buffer bytes;
	bool fits;

	pn_buffer_init(&bytes, 64);
	ck_assert_int_eq(pn_base64_decode(&bytes, pn_slice_of(proof)), PN_OK);
	fits = pn_scram_proof_fits(verifier, pn_slice_of(messages), pn_buffer_slice(&bytes));
	pn_buffer_clear(&bytes);
	return fits;
}

static void check_signature(const struct pn_scram_verifier *verifier, const char *messages,
                            const char *wanted)
{
	uint8_t signature[PN_DIGEST_MAX];
	struct pn_buffer text;

	pn_scram_server_signature(verifier, pn_slice_of(messages), signature);
	pn_buffer_init(&text, 64);
	ck_assert_int_eq(pn_base64_encode(&text, pn_slice_make((const char *)signature,
	                                                       pn_digest_size(verifier->digest))),
	                 PN_OK);
	ck_assert(pn_slice_equal(pn_buffer_slice(&text), pn_slice_of(wanted)));
	pn_buffer_clear(&text);
}

static const char sha1_messages[] =
	"n=user,r=fyko+d2lbbFgONRv9qkxdawL,"
	"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,"
	"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j";

static const char sha256_messages[] =
	"n=user,r=rOprNGfwEbeRWgbNEkqO,"
	"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
	"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

START_TEST(takes_the_proof_of_rfc_5802)
{
	struct pn_scram_verifier verifier = derived(PN_DIGEST_SHA1, "QSXCR+Q6sek8bf92", "pencil");

	ck_assert(proof_fits(&verifier, sha1_messages, "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="));
	check_signature(&verifier, sha1_messages, "rmF9pqV8S7suAoZWja4dJRkFsKQ=");
}
END_TEST

START_TEST(takes_the_proof_of_rfc_7677)
{
	struct pn_scram_verifier verifier =
		derived(PN_DIGEST_SHA256, "W22ZaJ0SNY7soEsUEjb6gQ==", "pencil");

	ck_assert(proof_fits(&verifier, sha256_messages,
	                     "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
	check_signature(&verifier, sha256_messages, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}
END_TEST

START_TEST(refuses_every_other_proof)
{
	struct pn_scram_verifier verifier =
		derived(PN_DIGEST_SHA256, "W22ZaJ0SNY7soEsUEjb6gQ==", "pencil");
	struct pn_scram_verifier other =
		derived(PN_DIGEST_SHA256, "W22ZaJ0SNY7soEsUEjb6gQ==", "pencil ");
	const char *proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
	struct pn_buffer bytes;

	ck_assert(!proof_fits(&other, sha256_messages, proof));
	ck_assert(!proof_fits(&verifier, sha1_messages, proof));
	pn_buffer_init(&bytes, 64);
	ck_assert_int_eq(pn_base64_decode(&bytes, pn_slice_of(proof)), PN_OK);
	for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
		bytes.data[bit / 8] ^= (char)(1 << bit % 8);
		ck_assert(!pn_scram_proof_fits(&verifier, pn_slice_of(sha256_messages),
		                               pn_buffer_slice(&bytes)));
		bytes.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t size = 0; size < bytes.size; size++)
		ck_assert(!pn_scram_proof_fits(&verifier, pn_slice_of(sha256_messages),
		                               pn_slice_make(bytes.data, size)));
	ck_assert(pn_scram_proof_fits(&verifier, pn_slice_of(sha256_messages),
	                              pn_buffer_slice(&bytes)));
	pn_buffer_clear(&bytes);
}
END_TEST

#define STORED "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define SERVER "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="

START_TEST(knows_both_forms)
{
	static const char *const forms[] = {
		"{SCRAM-SHA-256}4096," SALT "," STORED "," SERVER,
		"{scram-sha-256}4096," SALT "," STORED "," SERVER,
		"SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER,
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		ck_assert_msg(pn_scram_is_good("SCRAM-SHA-256", pn_slice_of(forms[i])), "%s",
		              forms[i]);
		ck_assert(!pn_scram_is_good("SCRAM-SHA-1", pn_slice_of(forms[i])));
		ck_assert_int_eq(pn_scram_verify(pn_slice_of(forms[i]), PN_SLICE("pencil")), PN_OK);
		ck_assert_int_eq(pn_scram_verify(pn_slice_of(forms[i]), PN_SLICE("pencil2")),
		                 PN_DENIED);
	}
}
END_TEST

START_TEST(refuses_what_is_no_verifier)
{
	static const char *const wrong[] = {
		"",
		"{",
		"{SCRAM-SHA-256}",
		"{SCRAM-SHA-512}4096," SALT "," STORED "," SERVER,
		"{SCRAM-SHA-256}4095," SALT "," STORED "," SERVER,
		"{SCRAM-SHA-256}1000001," SALT "," STORED "," SERVER,
		"{SCRAM-SHA-256}-4096," SALT "," STORED "," SERVER,
		"{SCRAM-SHA-256}4096,," STORED "," SERVER,
		"{SCRAM-SHA-256}4096,AAAAAAAAAA==," STORED "," SERVER,
		"{SCRAM-SHA-256}4096," SALT "," STORED,
		"{SCRAM-SHA-256}4096," SALT ",v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=," SERVER,
		"{SCRAM-SHA-256}4096," SALT "," STORED "," SERVER ",",
		"{SCRAM-SHA-256}4096," SALT "," STORED "," SERVER " ",
		"SCRAM-SHA-256$4096:" SALT "$" STORED,
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(!pn_scram_is_good("SCRAM-SHA-256", pn_slice_of(wrong[i])), "%s",
		              wrong[i]);
	/* At the limits. */
	ck_assert(pn_scram_is_good("SCRAM-SHA-256", PN_SLICE("{SCRAM-SHA-256}1000000,AAAAAAAAAAA="
	                                                     "," STORED "," SERVER)));
}
END_TEST

START_TEST(makes_what_it_takes)
{
	static const char *const names[] = {"SCRAM-SHA-256", "SCRAM-SHA-1"};
	struct pn_buffer one;
	struct pn_buffer other;

	for (size_t i = 0; i < 2; i++) {
		pn_buffer_init(&one, 1024);
		pn_buffer_init(&other, 1024);
		ck_assert_int_eq(pn_scram_make(names[i], PN_SLICE("a b"), 4096, &one), PN_OK);
		ck_assert_int_eq(pn_scram_make(names[i], PN_SLICE("a b"), 4096, &other), PN_OK);
		ck_assert(!pn_slice_equal(pn_buffer_slice(&one), pn_buffer_slice(&other)));
		ck_assert(pn_scram_is_good(names[i], pn_buffer_slice(&one)));
		ck_assert_int_eq(pn_scram_verify(pn_buffer_slice(&one), PN_SLICE("a b")), PN_OK);
		/* RFC 4013 section 2.1: another kind of space is a space. */
		ck_assert_int_eq(pn_scram_verify(pn_buffer_slice(&one), PN_SLICE("a\xc2\xa0"
		                                                                 "b")),
		                 PN_OK);
		ck_assert_int_eq(pn_scram_verify(pn_buffer_slice(&one), PN_SLICE("a  b")),
		                 PN_DENIED);
		ck_assert_int_eq(pn_scram_verify(pn_buffer_slice(&one), PN_SLICE("a\x07")),
		                 PN_DENIED);
		ck_assert_int_eq(pn_scram_verify(pn_buffer_slice(&one), PN_SLICE("")), PN_DENIED);
		pn_buffer_clear(&one);
		pn_buffer_clear(&other);
	}
}
END_TEST

START_TEST(makes_none_of_what_no_password_can_be)
{
	static const char *const wrong[] = {"", "a\x07", "\xff", "\xc3", "\xc2\xad"};
	struct pn_buffer out;

	pn_buffer_init(&out, 1024);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_int_eq(pn_scram_make("SCRAM-SHA-256", pn_slice_of(wrong[i]), 4096, &out),
		                 PN_DENIED);
	ck_assert_int_eq(pn_scram_make("SCRAM-MD5", PN_SLICE("a"), 4096, &out), PN_DENIED);
	ck_assert_uint_eq(out.size, 0);
	pn_buffer_clear(&out);
}
END_TEST

START_TEST(a_stand_in_is_the_same_for_a_name_and_another_for_another)
{
	struct pn_scram_verifier one = {.iterations = 5000, .salt_size = 12};
	struct pn_scram_verifier again = one;
	struct pn_scram_verifier other = one;
	struct pn_scram_verifier elsewhere = one;
	struct pn_scram_verifier usual = {.iterations = 0};

	pn_scram_stand_in(&one, PN_SLICE("secret"), PN_SLICE("alice"));
	pn_scram_stand_in(&again, PN_SLICE("secret"), PN_SLICE("alice"));
	pn_scram_stand_in(&other, PN_SLICE("secret"), PN_SLICE("bob"));
	pn_scram_stand_in(&elsewhere, PN_SLICE("secret2"), PN_SLICE("alice"));
	ck_assert_mem_eq(&one, &again, sizeof(one));
	ck_assert_uint_eq(one.iterations, 5000);
	ck_assert_uint_eq(one.salt_size, 12);
	ck_assert_mem_ne(one.salt, other.salt, 12);
	ck_assert_mem_ne(one.salt, elsewhere.salt, 12);
	pn_scram_stand_in(&usual, PN_SLICE("secret"), PN_SLICE("alice"));
	ck_assert_uint_eq(usual.iterations, PN_SCRAM_ITERATIONS);
	ck_assert_uint_eq(usual.salt_size, 16);
}
END_TEST

Suite *scram_suite(void)
{
	Suite *suite = suite_create("scram");
	TCase *cases = tcase_create("scram");

	tcase_add_test(cases, takes_the_proof_of_rfc_5802);
	tcase_add_test(cases, takes_the_proof_of_rfc_7677);
	tcase_add_test(cases, refuses_every_other_proof);
	tcase_add_test(cases, knows_both_forms);
	tcase_add_test(cases, refuses_what_is_no_verifier);
	tcase_add_test(cases, makes_what_it_takes);
	tcase_add_test(cases, makes_none_of_what_no_password_can_be);
	tcase_add_test(cases, a_stand_in_is_the_same_for_a_name_and_another_for_another);
	suite_add_tcase(suite, cases);
	return suite;
}
