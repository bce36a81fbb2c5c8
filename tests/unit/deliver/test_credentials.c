/* SPDX-License-Identifier: Apache-2.0 */
/* The file of passwords, and logging in with it. */
#include "straw.h"
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64];
static struct pn_error error;
static struct deliver_credentials *credentials;

static void write_file(const char *text, mode_t mode)
{
	int descriptor;

	snprintf(path, sizeof(path), "/tmp/unit-deliver-XXXXXX");
	descriptor = mkstemp(path);
	ck_assert_int_ge(descriptor, 0);
	ck_assert_int_eq(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(descriptor, mode), 0);
	close(descriptor);
}

static enum pn_status read_file(const char *text, mode_t mode)
{
	enum pn_status status;

	write_file(text, mode);
	status = deliver_credentials_read(path, &credentials, &error);
	unlink(path);
	return status;
}

START_TEST(a_host_has_its_own_entry_before_the_one_for_all)
{
	struct deliver_login login;

	ck_assert_int_eq(
		read_file("# who\n* all any\r\n\n  smart.example.net \t me  my pass word \n"
	                  "last.example.net l p",
	                  0600),
		PN_OK);
	ck_assert(deliver_credentials_find(credentials, "SMART.example.net", &login));
	ck_assert_str_eq(login.user, "me");
	ck_assert_str_eq(login.password, "my pass word");
	ck_assert(deliver_credentials_find(credentials, "last.example.net", &login));
	ck_assert_str_eq(login.password, "p");
	ck_assert(deliver_credentials_find(credentials, "other.example.net", &login));
	ck_assert_str_eq(login.password, "any");
	deliver_credentials_free(&credentials);
	ck_assert(!deliver_credentials_find(credentials, "other.example.net", &login));
}
END_TEST

START_TEST(mistakes_are_told_with_their_line)
{
	ck_assert_int_eq(read_file("# one\nhost user\n", 0600), PN_FAILED);
	ck_assert_ptr_nonnull(strstr(error.text, ":2: a line is HOST USER PASSWORD"));
	ck_assert_int_eq(read_file("h u p\nH u p\n", 0600), PN_FAILED);
	ck_assert_ptr_nonnull(strstr(error.text, ":2: this host has a line already"));
}
END_TEST

START_TEST(a_file_that_others_may_read_is_refused)
{
	static const mode_t bad[] = {0604, 0644, 0602, 0660};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(read_file("h u p\n", bad[i]), PN_FAILED);
	ck_assert_int_eq(read_file("h u p\n", 0640), PN_OK);
	deliver_credentials_free(&credentials);
}
END_TEST

START_TEST(the_longest_password_is_taken_and_a_longer_one_is_not)
{
	char text[600] = "h u ";

	memset(text + 4, 'p', 512);
	text[516] = '\0';
	ck_assert_int_eq(read_file(text, 0600), PN_OK);
	deliver_credentials_free(&credentials);
	text[516] = 'p';
	text[517] = '\0';
	ck_assert_int_eq(read_file(text, 0600), PN_FAILED);
}
END_TEST

/* A carrier whose host has a password; up to the server's hello. */
static void open_with_password(const char *offer)
{
	straw_begin(DELIVER_SMTP);
	write_file("mx1.example.net alice secret word\n", 0600);
	straw.config.credentials = path;
	ck_assert_int_eq(straw_open(&error), PN_OK);
	unlink(path);
	straw_connected();
	straw_say("220 hi\r\n");
	straw_say(offer);
	(void)straw_sent();
}

static bool noted(const char *text)
{
	return memmem(straw.notes.data, straw.notes.size, text, strlen(text)) != NULL;
}

START_TEST(plain_is_said_in_one_line_and_noted_without_the_secret)
{
	open_with_password("250-hi\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n");
	straw_say("220 go\r\n");
	straw_secured(true);
	straw_say("250-hi\r\n250 AUTH LOGIN PLAIN\r\n");
	ck_assert_str_eq(straw_sent(), "EHLO us.example.org\r\nAUTH PLAIN "
	                               "AGFsaWNlAHNlY3JldCB3b3Jk\r\n");
	ck_assert(noted(">AUTH PLAIN ****\n"));
	ck_assert(!noted("AGFsaWNlAHNlY3JldCB3b3Jk"));
	straw_say("235 2.7.0 welcome\r\n");
	ck_assert_uint_eq(straw.ready, 1);
	straw_end();
}
END_TEST

START_TEST(login_is_said_in_three_lines)
{
	open_with_password("250-hi\r\n250-STARTTLS\r\n250 x\r\n");
	straw_say("220 go\r\n");
	straw_secured(true);
	straw_say("250-hi\r\n250 AUTH=LOGIN\r\n");
	(void)straw_sent();
	straw_say("334 VXNlcm5hbWU6\r\n");
	ck_assert_str_eq(straw_sent(), "YWxpY2U=\r\n");
	straw_say("334 UGFzc3dvcmQ6\r\n");
	ck_assert_str_eq(straw_sent(), "c2VjcmV0IHdvcmQ=\r\n");
	ck_assert(!noted("c2VjcmV0IHdvcmQ="));
	straw_say("235 ok\r\n");
	ck_assert_uint_eq(straw.ready, 1);
	straw_end();
}
END_TEST

START_TEST(no_password_goes_over_the_wire_without_tls)
{
	open_with_password("250-hi\r\n250 AUTH PLAIN\r\n");
	ck_assert_uint_eq(straw.closed, 1);
	ck_assert_int_eq(straw.end, PN_CARRIER_NOT_SECURE);
	straw_end();
}
END_TEST

START_TEST(loopback_lets_passwords_go_no_further_than_this_machine)
{
	for (int loopback = 0; loopback < 2; loopback++) {
		straw_begin(DELIVER_SMTP);
		write_file("* alice secret\n", 0600);
		straw.config.credentials = path;
		straw.config.plaintext_login = DELIVER_PLAINTEXT_LOOPBACK;
		straw.loopback = loopback == 1;
		ck_assert_int_eq(straw_open(&error), PN_OK);
		unlink(path);
		straw_connected();
		straw_say("220 hi\r\n");
		straw_say("250-hi\r\n250 AUTH PLAIN\r\n");
		ck_assert_int_eq(strstr(straw_sent(), "AUTH PLAIN ") != NULL, loopback);
		ck_assert_uint_eq(straw.closed, 1 - loopback);
		straw_end();
	}
}
END_TEST

START_TEST(a_refused_login_ends_the_carrier)
{
	static const struct {
		const char *answer;
		enum pn_carrier_end end;
	} cases[] = {{"535 5.7.8 no\r\n", PN_CARRIER_NEVER},
	             {"454 4.7.0 later\r\n", PN_CARRIER_NOT_NOW},
	             {"421 bye\r\n", PN_CARRIER_NOT_NOW},
	             {"334 more\r\n", PN_CARRIER_BROKEN}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		straw_begin(DELIVER_SMTP);
		write_file("mx1.example.net alice secret\n", 0600);
		straw.config.credentials = path;
		straw.config.plaintext_login = DELIVER_PLAINTEXT_LOOPBACK;
		straw.loopback = true;
		ck_assert_int_eq(straw_open(&error), PN_OK);
		unlink(path);
		straw_connected();
		straw_say("220 hi\r\n");
		straw_say("250-hi\r\n250 AUTH PLAIN\r\n");
		straw_say(cases[i].answer);
		ck_assert_uint_eq(straw.closed, 1);
		ck_assert_int_eq(straw.end, cases[i].end);
		straw_end();
	}
}
END_TEST

START_TEST(without_a_mechanism_of_ours_the_mail_waits)
{
	straw_begin(DELIVER_SMTP);
	write_file("* alice secret\n", 0600);
	straw.config.credentials = path;
	straw.config.plaintext_login = DELIVER_PLAINTEXT_ALWAYS;
	ck_assert_int_eq(straw_open(&error), PN_OK);
	unlink(path);
	straw_connected();
	straw_say("220 hi\r\n");
	straw_say("250-hi\r\n250 AUTH GSSAPI\r\n");
	ck_assert_int_eq(straw.end, PN_CARRIER_NOT_NOW);
	straw_end();
}
END_TEST

TCase *credentials_case(void)
{
	TCase *tcase = tcase_create("credentials");

	tcase_add_test(tcase, a_host_has_its_own_entry_before_the_one_for_all);
	tcase_add_test(tcase, mistakes_are_told_with_their_line);
	tcase_add_test(tcase, a_file_that_others_may_read_is_refused);
	tcase_add_test(tcase, the_longest_password_is_taken_and_a_longer_one_is_not);
	tcase_add_test(tcase, plain_is_said_in_one_line_and_noted_without_the_secret);
	tcase_add_test(tcase, login_is_said_in_three_lines);
	tcase_add_test(tcase, no_password_goes_over_the_wire_without_tls);
	tcase_add_test(tcase, loopback_lets_passwords_go_no_further_than_this_machine);
	tcase_add_test(tcase, a_refused_login_ends_the_carrier);
	tcase_add_test(tcase, without_a_mechanism_of_ours_the_mail_waits);
	return tcase;
}
