/* SPDX-License-Identifier: Apache-2.0 */
/* What scripts see of sessions and messages, and that handles outlive nothing. */
#include "harness.h"

#include <postern/authentication.h>

#include <stdio.h>

#include "../exact.h"

static const char message_text[] = "From: Alice <alice@example.org>\r\n"
				   "Subject: Hello\r\n"
				   " there\r\n"
				   "Received: two\r\n"
				   "Received: one\r\n"
				   "\r\n"
				   "Body\r\n";

/* Runs a hook of that stage on a session with a message and a recipient. `nil` continues. */
static const char *outcome_at(const char *stage, const char *body)
{
	static char room[600];
	char text[4096];
	struct harness harness;
	struct pn_session *session;
	struct pn_transaction *transaction;
	struct pn_recipient *recipient = NULL;
	static const struct pn_credentials credentials = {
		.mechanism = "PLAIN",
		.identity = {"alice@example.org", 17},
		.secret = {"sesame", 6},
		.failures = 2,
	};
	bool is_auth = strcmp(stage, "auth.verify") == 0;

	snprintf(text, sizeof(text), "on(\"%s\", function(session, other) %s\nend)", stage, body);
	harness_load(&harness, text);
	ck_assert_msg(harness.set != NULL, "%s", harness.error.text);
	session = fake_session();
	transaction = fake_transaction();
	fake_add_recipient(transaction, "alice@example.org");
	fake_add_recipient(transaction, "bob@example.org");
	if (strncmp(stage, "message.", 8) == 0)
		fake_set_message(transaction, message_text);
	else if (!is_auth && strcmp(stage, "connection.open") != 0)
		recipient = &transaction->recipients[0];
	if (is_auth || strcmp(stage, "connection.open") == 0)
		transaction = NULL;
	fake_outcome(fake_run(&harness.hooks[0], session, transaction, recipient,
	                      is_auth ? &credentials : NULL),
	             room, sizeof(room));
	harness_free(&harness);
	return room;
}

/* Rows whose body checks by itself and raises where something is wrong. */
static const struct {
	const char *stage;
	const char *body;
	const char *outcome;
} rows[] = {
	{"connection.open", "assert(session.peer == \"192.0.2.1\" and session.port == 4321)",
         "continue"},
	{"connection.open",
         "assert(session.instance == \"mx\" and session.listener == \"0.0.0.0:25\" and "
         "session.hostname == \"mx.example.org\" and session.protocol == \"fake\")",
         "continue"},
	{"connection.open",
         "assert(session.is_loopback == false and session.is_encrypted == false and "
         "session.is_authenticated == false and session.identity == \"\")",
         "continue"},
	{"connection.open",
         "assert(session.tls_version == \"\" and session.tls_cipher == \"\" and "
         "session.tls_server_name == \"\" and session.peer_count == 1 and "
         "session.client_certificate == nil)",
         "continue"},
	{"connection.open",
         "assert(session.is_early_talker == false and session.unauthorised_pipelining == 0)",
         "continue"},
	{"connection.open", "assert(session.message == nil and other == nil and #session.id == 20)",
         "continue"},
	{"connection.open",
         "session:set_note(\"k\", \"v\") assert(session:note(\"k\") == \"v\" and "
         "session:note(\"x\") == nil)",
         "continue"},
	{"connection.open", "return session.per",
         "failed: test.lua:1: session has no \"per\"; did you mean \"peer\"?"},
	{"connection.open", "session.peer = 1",
         "failed: test.lua:1: what session says cannot be assigned to; it has methods for what can "
         "be changed"},
	{"connection.open", "return session.note()",
         "failed: test.lua:1: bad argument #1 to 'note' (postern.session expected, got no value)"},
	{"connection.open", "return session.note(\"x\", \"y\")",
         "failed: test.lua:1: bad argument #1 to 'note' (postern.session expected, got string)"},
	{"connection.open", "assert(getmetatable(session) == false)", "continue"},
	{"connection.open",
         "assert(tostring(session) == \"session\" and type(session) == "
         "\"userdata\")",
         "continue"},
	{"connection.open", "session:set_note((\"k\"):rep(101), \"\")",
         "failed: test.lua:1: bad argument #1 to 'set_note' (a key has 1 to 100 bytes)"},
	{"connection.open", "for i = 1, 1000 do session:set_note(\"k\", \"v\") end",
         "failed: test.lua:1: a hook makes at most 250 changes"},
	{"connection.open", "for i = 1, 1000 do log.info(\"x\") end",
         "failed: test.lua:1: a hook makes at most 250 changes"},
	/* attempts to log in */
	{"auth.verify",
         "assert(other.mechanism == \"PLAIN\" and other.identity == \"alice@example.org\" and "
         "other.failures == 2 and other.authorization == \"\")",
         "continue"},
	{"auth.verify", "assert(other:secret_is(\"sesame\") and not other:secret_is(\"sesam\"))",
         "continue"},
	{"auth.verify", "return other.secret",
         "failed: test.lua:1: attempt has no \"secret\"; did you mean \"secret_is\"?"},
	/* recipients */
	{"envelope.recipient",
         "assert(other.address == \"alice@example.org\" and other.local_part == \"alice\" and "
         "other.domain == \"example.org\" and other.original == other.address)",
         "continue"},
	{"envelope.recipient",
         "assert(other.is_local and other.account == \"alice@example.org\" and other.mailbox == "
         "\"INBOX\" and other.flags == \"\" and other:parameter(\"NOTIFY\") == nil)",
         "continue"},
	{"envelope.recipient", "assert(session.message.sender == \"sender@example.net\")",
         "continue"},
	{"envelope.recipient", "other:set_mailbox(\"Junk\")",
         "failed: test.lua:1: mailbox and flags can be changed at mailbox.deliver only"},
	{"mailbox.deliver",
         "other:set_mailbox(\"Junk\") other:set_flags(\"$Junk\") assert(other.mailbox == "
         "\"Junk\" and other.flags == \"$Junk\")",
         "continue"},
	{"envelope.recipient", "return session.note(other, \"x\")",
         "failed: test.lua:1: bad argument #1 to 'note' (postern.session expected, got recipient)"},
	/* messages */
	{"message.headers",
         "assert(other.sender == \"sender@example.net\" and other.sender_domain == "
         "\"example.net\" and other.sender_local_part == \"sender\" and other.size > 50)",
         "continue"},
	{"message.headers",
         "local r = other.recipients assert(#r == 2 and r[2] == \"bob@example.org\" and "
         "other.recipient_count == 2)",
         "continue"},
	{"message.headers",
         "assert(other:header(\"subject\") == \"Hello there\" and other:header(\"X\") == nil)",
         "continue"},
	{"message.headers",
         "assert(other:header(\"Received\") == \"two\" and other:header(\"Received\", 2) == "
         "\"one\" and other:header(\"Received\", 3) == nil)",
         "continue"},
	{"message.headers",
         "local l = other:headers(\"received\") assert(#l == 2 and l[2] == \"one\") l = "
         "other:headers() assert(#l == 4 and l[1].name == \"From\" and l[2].value == \"Hello "
         "there\")",
         "continue"},
	{"message.headers", "assert(other.text:find(\"Body\", 1, true) and not other.is_malformed)",
         "continue"},
	{"message.headers",
         "other:add_score(\"x\", 1.5) other:add_score(\"y\", 1) assert(other.score == 2.5)",
         "continue"},
	{"message.headers",
         "other:set_fact(\"spf\", \"pass\") assert(other:fact(\"spf\") == \"pass\" and "
         "other:fact(\"x\") == nil) other:set_note(\"a\", \"b\") assert(other:note(\"a\") == "
         "\"b\")",
         "continue"},
	{"message.decide",
         "assert(next(other.auth) == nil) for k, v in pairs { [\"a\"] = \"x\", [\"a.b\"] = \"y\", "
         "[\"a.b.c\"] = \"z\", [\"a.2\"] = \"one\", [\"a.2.d\"] = \"two\", [\"ab\"] = \"no\", "
         "[\"other\"] = \"no\", [\"authentication_results.a\"] = \"a=x\" } do other:set_fact(k, v) "
         "end "
         "local a = other.auth assert(a.a.result == \"x\" and a.a.b == \"y\" and a.a[\"b.c\"] == "
         "\"z\" "
         "and a.a[2].result == \"one\" and a.a[2].d == \"two\" and not a.other and not a.ab) "
         "assert(other.authentication_results == \"mx.example.org; fake\")",
         "continue"},
	{"message.headers",
         "assert(other:parameter(\"size\") == \"1000\" and not "
         "other:parameter(\"BODY\"))",
         "continue"},
	{"message.headers",
         "assert(other:add_header(\"X-A\", \"1\") and other:remove_header(\"Subject\") and not "
         "other:remove_header(\"X\") and other:replace_header(\"Received\", \"x\", 2))",
         "continue"},
	{"message.headers", "other:add_header(\"X A\", \"1\")",
         "failed: test.lua:1: this is no name or no value of a header field"},
	{"message.headers", "other:add_header(\"X\", \"1\\r\\nY: 2\")",
         "failed: test.lua:1: this is no name or no value of a header field"},
	{"message.headers", "other:header(\"X\", 0)",
         "failed: test.lua:1: bad argument #2 to 'header' (fields are counted from 1)"},
	{"envelope.recipient", "session.message:header(\"X\")",
         "failed: test.lua:1: there is no header yet: ask from message.headers on"},
};

START_TEST(handles_answer)
{
	const char *outcome = outcome_at(rows[_i].stage, rows[_i].body);

	ck_assert_msg(strcmp(outcome, rows[_i].outcome) == 0, "for %s\nwanted %s\ngot    %s",
	              rows[_i].body, rows[_i].outcome, outcome);
}
END_TEST

static const char *const ended =
	"failed: test.lua:5: session has ended: what a hook is given is good only inside that hook";

START_TEST(a_session_kept_in_a_global_has_ended)
{
	struct harness harness;
	struct pn_session *session;
	char room[600];

	harness_load(&harness, "kept = false\n"
	                       "on(\"connection.open\", function(session)\n"
	                       "  if not kept then kept = session return end\n"
	                       "  local mine = session.peer\n"
	                       "  return kept.peer\n"
	                       "end)");
	session = fake_session();
	fake_run(&harness.hooks[0], session, NULL, NULL, NULL);
	ck_assert_str_eq(fake_outcome(fake_run(&harness.hooks[0], session, NULL, NULL, NULL), room,
	                              sizeof(room)),
	                 ended);
	harness_free(&harness);
}
END_TEST

START_TEST(a_method_kept_in_a_global_asks_again)
{
	struct harness harness;
	struct pn_session *session;
	char room[600];

	harness_load(&harness, "kept, note = false, false\n"
	                       "on(\"connection.open\", function(session)\n"
	                       "  if not kept then kept, note = session, session.note return end\n"
	                       "\n"
	                       "  return note(kept, \"x\")\n"
	                       "end)");
	session = fake_session();
	fake_run(&harness.hooks[0], session, NULL, NULL, NULL);
	ck_assert_str_eq(fake_outcome(fake_run(&harness.hooks[0], session, NULL, NULL, NULL), room,
	                              sizeof(room)),
	                 ended);
	harness_free(&harness);
}
END_TEST

START_TEST(a_handle_of_a_hook_that_waits_is_not_for_another)
{
	struct harness harness;
	struct pn_session *first, *second;
	struct fake_call *waiting;
	char room[600];

	harness_load(&harness, "kept = false\n"
	                       "on(\"connection.open\", function(session)\n"
	                       "  if not kept then kept = session sleep(\"1s\") return "
	                       "session.peer == \"192.0.2.1\" and drop() or nil end\n"
	                       "\n"
	                       "  return kept.peer\n"
	                       "end)");
	first = fake_session();
	second = fake_session();
	waiting = fake_run(&harness.hooks[0], first, NULL, NULL, NULL);
	ck_assert_int_eq(waiting->verdict, PN_VERDICT_PENDING);
	ck_assert_str_eq(fake_outcome(fake_run(&harness.hooks[0], second, NULL, NULL, NULL), room,
	                              sizeof(room)),
	                 ended);
	fake_advance(1000);
	ck_assert_str_eq(fake_outcome(waiting, room, sizeof(room)), "drop");
	harness_free(&harness);
}
END_TEST

START_TEST(hooks_without_a_session_get_nil)
{
	struct harness harness;
	char room[600];

	harness_load(&harness,
	             "on(\"gateway.tick\", function(session) assert(session == nil) end)");
	ck_assert_str_eq(fake_outcome(fake_run(&harness.hooks[0], NULL, NULL, NULL, NULL), room,
	                              sizeof(room)),
	                 "continue");
	harness_free(&harness);
}
END_TEST

Suite *handle_suite(void)
{
	const TTest *const tests[] = {
		a_session_kept_in_a_global_has_ended,
		a_method_kept_in_a_global_asks_again,
		a_handle_of_a_hook_that_waits_is_not_for_another,
		hooks_without_a_session_get_nil,
		NULL,
	};
	Suite *suite = suite_of("handles", tests);
	TCase *cases = tcase_create("rows");

	tcase_add_loop_test(cases, handles_answer, 0, sizeof(rows) / sizeof(rows[0]));
	suite_add_tcase(suite, cases);
	return suite;
}
