#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What becomes of mail that waits: run.py [--build DIR] [NAME …]"""

import argparse
import os
import smtplib
import sys
import time
import traceback

from base import ACCEPT, DOMAIN, HERE, TEXT, Base, Failure, Gateway, check
from stand_in import StandIn
from ends import Ends
from hooks import Hooks
from operators import Operators
from moments import Moments
from names import Names
from shaping import Shaping
from wishes import Wishes


class Tests(Base):
    """Each method is a test with a gateway of its own."""

    def mail_goes_on_as_it_is(self):
        peer = self.peer()
        gateway = self.gateway(peer)
        self.submit(gateway, ["x@example.net"])
        message, = peer.wait(1)
        check(message.sender == "MAIL FROM:<alice@example.test>", message.sender)
        check(message.recipients == ["RCPT TO:<x@example.net>"], message.recipients)
        check(message.text.endswith(TEXT[TEXT.index(b"\r\n\r\n"):]), f"it became {message.text}")
        check(message.text.startswith(b"Received: from "), "Return-Path went along, or no trace")
        self.wait_empty(gateway)

    def here_and_elsewhere_in_one_message(self):
        peer = self.peer()
        gateway = self.gateway(peer)
        self.submit(gateway, ["bob@example.test", "x@example.net", "y@example.net", "z@example.org"])
        messages = peer.wait(1)
        check(sum(len(message.recipients) for message in messages) == 3, "three go away")
        check(len(self.wait_mail(gateway, 1, "bob")) == 1, "one stays")
        self.wait_empty(gateway)

    def one_refused_one_deferred_one_taken(self):
        calls = []

        def answers(word, line):
            if word == "RCPT" and "bad@" in line:
                return "550 5.1.1 no such user"
            if word == "RCPT" and "later@" in line:
                calls.append(line)
                return "451 4.3.0 not now" if len(calls) < 3 else None
            return None

        peer = self.peer(answers)
        gateway = self.gateway(peer)
        self.submit(gateway, ["bad@example.net", "later@example.net", "good@example.net"])
        check(len(peer.wait(2)) == 2, "two deliveries")
        reports = self.wait_mail(gateway, 1)
        fields, = self.report(reports[0])
        check(fields["Final-Recipient"] == "rfc822; bad@example.net" and fields["Action"] == "failed"
              and fields["Status"] == "5.1.1", f"the report says {fields}")
        check("5.1.1 no such user" in fields["Diagnostic-Code"], f"the report says {fields}")
        check(reports[0]["Return-Path"] == "<>", "the report has a sender")
        self.wait_empty(gateway)
        check(len(self.mailbox(gateway)) == 1, "more than one report")
        check(len(calls) == 3, f"it was tried {len(calls)} times")

    def refused_ones_share_a_report(self):
        peer = self.peer(lambda word, line: "550 5.1.1 nobody" if word == "RCPT" else None)
        gateway = self.gateway(peer)
        self.submit(gateway, [f"r{i}@example.net" for i in range(5)])
        reports = self.wait_mail(gateway, 1)
        check(len(self.report(reports[0])) == 5, "not all of them in one report")
        self.wait_empty(gateway)
        check(len(self.mailbox(gateway)) == 1, "more than one report")

    def a_message_that_is_refused_at_its_end(self):
        peer = self.peer(lambda word, line: "554 5.6.0 not this" if word == "end" else None)
        gateway = self.gateway(peer)
        self.submit(gateway, ["x@example.net"])
        fields, = self.report(self.wait_mail(gateway, 1)[0])
        check(fields["Status"] == "5.6.0", f"the report says {fields}")

    def nobody_is_told_of_a_bounce_that_bounces(self):
        peer = self.peer(lambda word, line: "550 5.1.1 nobody" if word == "RCPT" else None)
        gateway = self.gateway(peer, policy=ACCEPT)
        self.submit(gateway, ["x@example.net"], sender="", login=False)
        self.submit(gateway, ["x@example.net"], sender="stranger@example.org", login=False)
        self.wait_empty(gateway)
        kinds = sorted(event.get("silent", "") for event in self.events(gateway, "bounce", 3))
        check(kinds[-2:] == ["it has no sender", "it has no sender"], f"the record says {kinds}")
        check(not peer.messages, "something was delivered")

    def policy_is_not_turned_into_backscatter(self):
        peer = self.peer()
        policy = ACCEPT + '''
            local seen = {}
            on("recipient.route", function(session, recipient)
                if session == nil and recipient.domain == "example.net" then return reject(550, "5.7.1", "not any more") end
            end)'''
        gateway = self.gateway(peer, policy=policy)
        self.submit(gateway, ["x@example.net"], sender="stranger@example.org", login=False)
        self.wait_empty(gateway)
        check(not peer.messages, "something was sent to a stranger")
        self.submit(gateway, ["x@example.net"])
        fields, = self.report(self.wait_mail(gateway, 1)[0])
        check(fields["Status"] == "5.7.1", f"who authenticated is told: {fields}")

    def what_cannot_be_delivered_expires(self):
        peer = self.peer(lambda word, line: "451 4.3.0 never" if word == "RCPT" else None)
        gateway = self.gateway(peer, settings='queue_lifetime = "1s"\n')
        self.submit(gateway, ["x@example.net"])
        fields, = self.report(self.wait_mail(gateway, 1)[0])
        check(fields["Status"] == "4.4.7", f"the report says {fields}")
        self.wait_empty(gateway)

    def a_delay_is_told_once(self):
        open_at = time.monotonic() + 4
        peer = self.peer(lambda word, line: "451 4.3.0 later" if word == "RCPT"
                         and time.monotonic() < open_at else None)
        gateway = self.gateway(peer, settings='delay_warning = "1s"\n')
        self.submit(gateway, ["x@example.net"])
        warning = self.wait_mail(gateway, 1)[0]
        fields, = self.report(warning)
        check(fields["Action"] == "delayed" and fields["Will-Retry-Until"], f"it says {fields}")
        check(len(peer.wait(1)) == 1, "it never arrived")
        self.wait_empty(gateway)
        check(len(self.mailbox(gateway)) == 1, "told more than once")

    def a_destination_that_is_down_and_then_up(self):
        peer = StandIn()
        port = peer.port
        gateway = self.gateway(peer)
        peer.close()
        for number in range(5):
            self.submit(gateway, [f"x{number}@example.net"])
        rows = self.wait_rows(gateway, lambda rows: len(rows) == 5 and all(row["attempts"] for row in rows),
                              "no attempt was made")
        check(all("refused" in row["reason"].lower() for row in rows), f"the reasons are {rows}")
        peer = self.peer(port=port)
        check(len(peer.wait(5, 20)) == 5, "it came up, and not all came")
        self.wait_empty(gateway)

    def held_and_released(self):
        peer = self.peer()
        policy = '''on("message.decide", function(session, message)
            if message:header("X-Hold") then return hold() end end)'''
        gateway = self.gateway(peer, policy=policy)
        text = b"X-Hold: yes\r\n" + TEXT
        self.submit(gateway, ["x@example.net", "bob@example.test"], text=text)
        rows = self.wait_rows(gateway, lambda rows: len(rows) == 2, "two rows")
        check(all(row["state"] == "held" and "policy.lua" in row["reason"] for row in rows), f"{rows}")
        self.submit(gateway, ["y@example.net"])
        check(len(peer.wait(1)) == 1 and "y@" in peer.messages[0].recipients[0], "the other goes on")
        self.command(gateway, "queue", "release", "--state", "held")
        check(len(peer.wait(2)) == 2, "released, and not delivered")
        check(self.wait_mail(gateway, 1, "bob")[0]["X-Hold"] == "yes", "bob's was lost")
        self.wait_empty(gateway)

    def operators_give_up_and_delete(self):
        peer = self.peer(lambda word, line: "451 4.3.0 later" if word == "RCPT" else None)
        gateway = self.gateway(peer, settings='retry_schedule = { "1h" }\n')
        self.submit(gateway, ["bounced@example.net"])
        self.submit(gateway, ["deleted@example.org"])
        self.wait_rows(gateway, lambda rows: len(rows) == 2 and all(row["attempts"] for row in rows), "tried")
        self.command(gateway, "queue", "bounce", "--domain", "example.net")
        fields, = self.report(self.wait_mail(gateway, 1)[0])
        check(fields["Action"] == "failed", f"the report says {fields}")
        self.command(gateway, "queue", "delete", "--domain", "example.org")
        self.wait_empty(gateway)
        check(len(self.mailbox(gateway)) == 1, "a deleted one was reported")

    def a_destination_is_suspended_and_resumed(self):
        peer = self.peer()
        gateway = self.gateway(peer)
        destination = f"hosts:127.0.0.1:{peer.port}"
        self.command(gateway, "queue", "suspend", "--destination", destination)
        self.submit(gateway, ["x@example.net", "bob@example.test"])
        self.wait_mail(gateway, 1, "bob")
        self.wait_rows(gateway, lambda rows: len(rows) == 1, "it waits")
        check(not peer.messages, "it went all the same")
        self.command(gateway, "queue", "resume", "--destination", destination)
        check(len(peer.wait(1)) == 1, "resumed, and not delivered")

    def an_operator_sends_it_elsewhere(self):
        first = self.peer(lambda word, line: "451 4.3.0 later" if word == "RCPT" else None)
        second = self.peer()
        gateway = self.gateway(first)
        self.submit(gateway, ["x@example.net"])
        self.wait_rows(gateway, lambda rows: rows and rows[0]["attempts"], "tried")
        self.command(gateway, "queue", "requeue", "--domain", "example.net",
                     "--route", f"hosts:127.0.0.1:{second.port}")
        check(len(second.wait(1)) == 1, "it did not come")

    def routes_are_asked_again_at_each_attempt(self):
        first = self.peer(lambda word, line: "451 4.3.0 later" if word == "RCPT" else None)
        second = self.peer()
        policy = f'''on("recipient.route", function(session, recipient, message)
            if session then recipient:route{{ hosts = {{ "127.0.0.1:{first.port}" }} }}
            else recipient:route{{ hosts = {{ "127.0.0.1:{first.port if 0 else second.port}" }} }} end
            if message.sender ~= "alice@example.test" then return reject() end end)'''
        gateway = self.gateway(policy=policy)
        self.submit(gateway, ["x@example.net"])
        check(len(second.wait(1)) == 1, "it did not come")

    def aliases_lead_to_several(self):
        peer = self.peer()
        policy = '''on("envelope.recipient", function(session, recipient)
            if recipient.address == "alice+team@example.test" then
                recipient:expand{ "bob@example.test", "x@example.net", "y@example.org", "nobody@example.test" }
                return accept()
            elseif recipient.address == "alice+empty@example.test" then
                recipient:expand{ "nobody@example.test" } end end)'''
        gateway = self.gateway(peer, policy=policy)
        self.submit(gateway, ["alice+team@example.test"], sender="stranger@example.org", login=False)
        message, = peer.wait(1)
        check(sorted(message.recipients) == ["RCPT TO:<x@example.net>", "RCPT TO:<y@example.org>"],
              f"{message.recipients}")
        self.wait_mail(gateway, 1, "bob")
        try:
            self.submit(gateway, ["alice+empty@example.test"], login=False)
            raise Failure("an alias to nobody was taken")
        except smtplib.SMTPRecipientsRefused as error:
            check(list(error.recipients.values())[0][0] == 550, f"{error.recipients}")
        check(len(self.mailbox(gateway)) == 0, "alice has it as well")

    def redirects_of_message_and_recipient(self):
        peer = self.peer()
        policy = '''on("message.decide", function(session, message)
                if message:header("X-To") then return redirect(message:header("X-To")) end end)
            on("recipient.decide", function(session, recipient)
                if recipient.local_part == "bob" then return redirect("carol@example.net") end end)'''
        gateway = self.gateway(peer, policy=policy)
        self.submit(gateway, ["bob@example.test"])
        check(peer.wait(1)[0].recipients == ["RCPT TO:<carol@example.net>"], "of a recipient")
        self.submit(gateway, ["x@example.net", "y@example.net"], text=b"X-To: alice@example.test\r\n" + TEXT)
        self.wait_mail(gateway, 1)
        self.wait_empty(gateway)
        check(len(peer.messages) == 1, "of the message: it also went where it was sent to")

    def reports_of_success(self):
        peer = self.peer()
        with_dsn = self.peer(dsn=True)
        policy = f'''on("envelope.recipient", function() end)
            on("recipient.route", function(session, recipient)
                if recipient.domain == "example.org" then
                    recipient:route{{ hosts = {{ "127.0.0.1:{with_dsn.port}" }} }} end end)'''
        gateway = self.gateway(peer, policy=policy)
        self.submit(gateway, ["x@example.net"], mail_options=["RET=HDRS", "ENVID=abc"],
                    rcpt_options=["NOTIFY=SUCCESS", "ORCPT=rfc822;orig@example.net"])
        report = self.wait_mail(gateway, 1)[0]
        fields, = self.report(report)
        check(fields["Action"] == "relayed" and fields["Original-Recipient"] == "rfc822; orig@example.net",
              f"the report says {fields}")
        self.submit(gateway, ["x@example.org"], mail_options=["RET=HDRS", "ENVID=abc"],
                    rcpt_options=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;orig@example.net"])
        message = with_dsn.wait(1)[0]
        check("ENVID=abc" in message.sender and "NOTIFY=SUCCESS,FAILURE" in message.recipients[0],
              f"the peer was told {message.sender} {message.recipients}")
        self.wait_empty(gateway)
        check(len(self.mailbox(gateway)) == 1, "told of what the peer reports")

    def reports_of_success_in_mailboxes_of_ours(self):
        gateway = self.gateway(self.peer())
        self.submit(gateway, ["bob@example.test", "carol@example.test"], mail_options=["RET=FULL", "ENVID=home"],
                    rcpt_options=["NOTIFY=SUCCESS"])
        report = self.wait_mail(gateway, 1)[0]
        fields = self.report(report)
        check({(one["Action"], one["Final-Recipient"], one["Status"]) for one in fields} ==
              {("delivered", f"rfc822; {name}@example.test", "2.1.5") for name in ("bob", "carol")},
              f"the report says {fields}")
        check(list(report.iter_parts())[2].get_content_type() == "text/rfc822-headers", "the text came back")
        self.submit(gateway, ["bob@example.test"], rcpt_options=["NOTIFY=FAILURE,DELAY"])
        self.submit(gateway, ["bob@example.test"], sender="", rcpt_options=["NOTIFY=SUCCESS"], login=False)
        self.wait_mail(gateway, 3, "bob")
        self.wait_empty(gateway)
        check(len(self.mailbox(gateway)) == 1, "told of more than was asked for")

    def limits_are_those_of_hosts_and_of_domains_that_lead_there(self):
        for names, connections in (('"slow.test"', 3), ('"mx2.site.test"', 3), ('".site.test"', 3),
                                   ('"MX1.Site.Test", messages_per_connection = 9 }\ndestination { "slow.test"', 1),
                                   ('"site.test", "other.test"', 1)):
            peer = self.peer()
            gateway = self.gateway(start=False, settings='zone_file = "zone"\n',
                                   more=f"destination {{ {names}, messages_per_connection = 1 }}")
            zone = gateway.write("zone", "slow.test. 60 IN MX 10 mx1.site.test.\nslow.test. 60 IN MX 20 mx2.site.test.\n"
                                         "mx1.site.test. 60 IN A 127.0.0.1\nmx2.site.test. 60 IN A 127.0.0.1\n")
            text = open(gateway.config, encoding="utf-8").read().replace('"zone"', f'"{zone}"')
            gateway.write("postern.lua", text.replace('"deliver_smtp" {', f'"deliver_smtp" {{ port = {peer.port}'))
            gateway.start()
            for count in range(1, 4):
                self.submit(gateway, ["x@slow.test"])
                peer.wait(count)
                self.wait_empty(gateway)
            check(peer.connections == connections, f"destination {{ {names} }}: {peer.connections} connections")
            self.close()

    def who_wants_no_report_gets_none(self):
        peer = self.peer(lambda word, line: "550 5.1.1 nobody" if word == "RCPT" else None)
        gateway = self.gateway(peer)
        self.submit(gateway, ["x@example.net"], rcpt_options=["NOTIFY=NEVER"])
        self.wait_empty(gateway)
        check(not self.mailbox(gateway), "a report came")

    def the_whole_message_comes_back_where_that_was_asked(self):
        peer = self.peer(lambda word, line: "550 5.1.1 nobody" if word == "RCPT" else None)
        gateway = self.gateway(peer)
        self.submit(gateway, ["x@example.net"], mail_options=["RET=FULL"])
        report = self.wait_mail(gateway, 1)[0]
        enclosed = list(report.iter_parts())[2]
        check(enclosed.get_content_type() == "message/rfc822", enclosed.get_content_type())
        check("Dear reader." in enclosed.as_string(), "the text is missing")

    def bounces_by_policy(self):
        peer = self.peer(lambda word, line: "550 5.1.1 nobody" if word == "RCPT" else None)
        policy = '''on("bounce.create", function(session, delivery, recipient, message)
            if recipient.local_part == "silent" then return discard("not worth it") end
            if recipient.local_part == "other" then return redirect("bob@example.test") end
            if delivery.bounce_kind ~= "failed" or delivery.class ~= "unknown_recipient" then error("what?") end end)'''
        gateway = self.gateway(peer, policy=policy)
        self.submit(gateway, ["silent@example.net"])
        self.submit(gateway, ["other@example.net"])
        self.submit(gateway, ["usual@example.net"])
        self.wait_mail(gateway, 1, "bob")
        self.wait_mail(gateway, 1)
        self.wait_empty(gateway)
        check(len(self.mailbox(gateway)) == 1, "a suppressed one was sent")

    def hooks_see_responses(self):
        peer = self.peer(lambda word, line: "451 4.3.0 later" if word == "RCPT" else None)
        policy = '''on("delivery.response", function(session, delivery, recipient, message)
            if delivery.code == 451 and delivery.attempts == 2 then
                return reject(550, "5.4.4", "two are enough") end end)'''
        gateway = self.gateway(peer, policy=policy)
        self.submit(gateway, ["x@example.net"])
        fields, = self.report(self.wait_mail(gateway, 1)[0])
        check(fields["Action"] == "failed", f"the report says {fields}")
        check(len(self.events(gateway, "delivery", 2)) == 2, "not two attempts")

    def mail_that_comes_back_to_us_is_stopped(self):
        gateway = self.gateway(settings='zone_file = "zone"\n', start=False)
        gateway.write("zone", f"loop.test. 60 IN MX 10 mx.{DOMAIN}.\nnull.test. 60 IN MX 0 .\n"
                      "later.test. 60 IN MX 0 SERVFAIL\ngone.test. 60 IN MX 5 away.gone.test.\n")
        text = open(gateway.config, encoding="utf-8").read().replace('"zone"', f'"{gateway.directory}/zone"')
        gateway.write("postern.lua", text)
        gateway.start()
        for domain, status in (("loop.test", "5.4.6"), ("null.test", "5.1.10"), ("absent.test", "5.1.2"),
                               ("gone.test", "5.4.4")):
            before = len(self.mailbox(gateway))
            self.submit(gateway, [f"x@{domain}"])
            report = self.wait_mail(gateway, before + 1)[-1]
            fields, = self.report(report)
            check(fields["Status"] == status, f"{domain}: {fields}")

    def several_workers_share_the_work(self):
        peer = self.peer()
        policy = f'''on("recipient.route", function(session, recipient)
            recipient:route{{ hosts = {{ "127.0.0." .. (tonumber(recipient.local_part:match("%d+")) % 7 + 1) .. ":{peer.port}",
                                         "127.0.0.1:{peer.port}" }} }} end)'''
        gateway = self.gateway(policy=policy, settings="queue_workers = 3\n")
        with smtplib.SMTP("127.0.0.1", gateway.ports["submission"]) as client:
            client.login("alice", "postern")
            for number in range(60):
                client.sendmail("alice@example.test", [f"x{number}@example.net"], TEXT)
        messages = peer.wait(60, 20)
        check(len(messages) == 60, f"{len(messages)} of 60 came")
        self.wait_empty(gateway)
        check(len({message.recipients[0] for message in peer.messages}) == len(peer.messages) == 60, "twice")
        check(len({event["worker"] for event in self.events(gateway, "delivery", 20)}) > 1, "one did it all")

    def a_reload_in_the_middle_loses_nothing(self):
        peer = self.peer()
        gateway = self.gateway(peer)
        with smtplib.SMTP("127.0.0.1", gateway.ports["submission"]) as client:
            client.login("alice", "postern")
            for number in range(200):
                client.sendmail("alice@example.test", [f"x{number}@example.net"], TEXT)
                if number % 40 == 20:
                    self.command(gateway, "reload")
        messages = peer.wait(200, 30)
        self.wait_empty(gateway)
        check(len({message.recipients[0] for message in messages}) == 200 and len(peer.messages) == 200,
              f"{len(peer.messages)} came")

    def a_large_message_goes_on(self):
        peer = self.peer()
        gateway = self.gateway(peer)
        text = TEXT + b"0123456789abcdef" * 4 + b"\r\n" + (b"." * 70 + b"\r\n") * 40000
        self.submit(gateway, ["x@example.net", "bob@example.test"], text=text)
        message, = peer.wait(1, 20)
        check(message.text.endswith(text[text.index(b"\r\n\r\n"):]), "it was altered")
        check(len(self.wait_mail(gateway, 1, "bob")) == 1, "bob's")

    def another_store_is_reached_through_the_queue(self):
        gateway = self.gateway(store='module "store_local" { as = "local" }\n'
                               'module "store_memory" { as = "other" }\n'
                               'domain "other.test" { store = "other" }', start=False)
        with open(os.path.join(gateway.directory, "users"), encoding="utf-8") as file:
            users = file.read()
        bob = [line for line in users.splitlines() if line.startswith("bob@")][0]
        gateway.write("users", users + bob.replace("bob@example.test", "eve@other.test") + "\n")
        gateway.start()
        with smtplib.SMTP("127.0.0.1", gateway.ports["mx"]) as client:
            client.ehlo("c.test")
            client.mail("a@example.net")
            codes = [client.rcpt(one)[0] for one in ("alice@example.test", "eve@other.test")]
            check(codes == [250, 250], f"RCPT said {codes}")
            check(client.data(TEXT)[0] == 250, "DATA")
        self.wait_mail(gateway, 1)
        self.wait_empty(gateway)
        message = self.events(gateway, "message")[-1]
        check([one["fate"] for one in message["recipients"]] == ["stored", "queued"], f"{message}")

    def what_was_said_is_explained(self):
        peer = self.peer(lambda word, line: "550 5.1.1 no such user" if word == "RCPT" else None)
        gateway = self.gateway(peer)
        self.submit(gateway, ["x@example.net"])
        self.wait_mail(gateway, 1)
        transaction = self.events(gateway, "delivery")[0]["transaction"]
        text = self.command(gateway, "explain", transaction)
        for words in ("RCPT TO:<x@example.net>", "550 5.1.1 no such user", "bounce", "EHLO mx."):
            check(words in text, f"explain does not tell of {words}:\n{text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "gcc"))
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    groups = (Tests, Shaping, Ends, Moments, Names, Operators, Hooks, Wishes)
    tests = [(group, name) for group in groups for name, value in vars(group).items()
             if callable(value) and not name.startswith("_")]
    failed = 0
    passed = 0
    for group, name in tests:
        if arguments.names and name not in arguments.names:
            continue
        test = group(os.path.abspath(arguments.build))
        try:
            try:
                getattr(test, name)()
            except Exception:
                for gateway in test.opened:
                    if isinstance(gateway, Gateway):
                        print("# " + gateway.log_tail(8).replace("\n", "\n# ")[:4000])
                raise
            finally:
                test.close()
            print(f"ok {name}", flush=True)
            passed += 1
        except Exception:
            failed += 1
            print("# " + traceback.format_exc().replace("\n", "\n# "))
            print(f"not ok {name}", flush=True)
    print(f"# queue: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
