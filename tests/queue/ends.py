# SPDX-License-Identifier: Apache-2.0
"""How mail ends that goes to many, in circles, or back. Run by run.py."""

import os
import smtplib
import time

from base import ACCEPT, HERE, Base, Failure, check


class Ends(Base):
    def _add_users(self, gateway, text):
        with open(os.path.join(gateway.directory, "users"), encoding="utf-8") as file:
            users = file.read()
        gateway.write("users", users + text)

    def an_alias_with_a_thousand_targets(self):
        peer = self.peer()
        policy = '''on("envelope.recipient", function(session, recipient)
            local all = {}
            for i = 1, 1000 do all[i] = "m" .. i .. "@example.net" end
            recipient:expand(all)
        end)'''
        gateway = self.gateway(peer, policy=policy)
        self.submit(gateway, ["bob@example.test"])
        end = time.monotonic() + 30
        while sum(len(message.recipients) for message in peer.messages) < 1000 and time.monotonic() < end:
            time.sleep(0.05)
        self.wait_empty(gateway)
        there = [one for message in peer.messages for one in message.recipients]
        check(len(there) == 1000 and len(set(there)) == 1000, f"{len(there)} came, {len(set(there))} different")
        check(len(peer.messages) == 10, f"in {len(peer.messages)} transactions")

    def a_thousand_that_fail_are_all_told(self):
        words = "550 5.1.1 " + "no such user here, and this is told at great length " * 9
        peer = self.peer(lambda word, line: words if word == "RCPT" else None)
        gateway = self.gateway(peer)
        self.submit(gateway, [f"m{i}@example.net" for i in range(1000)])
        self.wait_empty(gateway)
        told = [fields["Final-Recipient"] for report in self.mailbox(gateway) for fields in self.report(report)]
        check(len(set(told)) == 1000 and len(told) == 1000, f"told of {len(told)}, {len(set(told))} different")

    def reports_follow_an_alias_that_leads_away(self):
        peer = self.peer(lambda word, line: "550 5.1.1 nobody" if word == "RCPT" and "bad@" in line else None)
        gateway = self.gateway(peer, start=False)
        self._add_users(gateway, "alias shop@example.test: keeper@example.org\n")
        gateway.start()
        self.submit(gateway, ["bad@example.net"], sender="shop@example.test")
        message, = peer.wait(1)
        check(message.recipients == ["RCPT TO:<keeper@example.org>"] and message.sender == "MAIL FROM:<>",
              f"{message.sender} {message.recipients}")
        check(b"5.1.1 nobody" in message.text, "it is no report")
        self.wait_empty(gateway)

    def reports_follow_an_alias_here(self):
        peer = self.peer(lambda word, line: "550 5.1.1 nobody" if word == "RCPT" else None)
        gateway = self.gateway(peer, start=False)
        self._add_users(gateway, "alias desk@example.test: alice@example.test, bob@example.test\n")
        gateway.start()
        self.submit(gateway, ["bad@example.net"], sender="desk@example.test")
        self.wait_mail(gateway, 1)
        self.wait_mail(gateway, 1, "bob")
        self.wait_empty(gateway)
        check(len(self.mailbox(gateway)) == len(self.mailbox(gateway, "bob")) == 1, "not one for each")

    def _circle(self, settings=""):
        """Mail that we send to ourselves, from somebody and from nobody; how often that was done for each."""
        policy = ACCEPT + '''on("recipient.route", function(session, recipient)
            if recipient.domain == "circle.test" then
                recipient:route{ hosts = { "127.0.0.1:%d" } } end end)'''
        gateway = self.gateway(start=False, policy="-- to be written\n", settings=settings)
        gateway.write("policy.lua", policy % gateway.ports["mx"])
        gateway.start()
        self.submit(gateway, ["x@circle.test"])
        self.submit(gateway, ["y@circle.test"], sender="", login=False)
        fields, = self.report(self.wait_mail(gateway, 1)[0])
        check(fields["Status"] == "5.4.6" and "circles" in fields["Diagnostic-Code"], f"{fields}")
        self.wait_empty(gateway)
        check(len(self.mailbox(gateway)) == 1, "told more than once")
        silent = [event["silent"] for event in self.events(gateway, "bounce", 2) if "silent" in event]
        check(silent == ["it has no sender"], f"{silent}")
        events = self.events(gateway, "delivery", 2)
        return [sum(event["recipients"][0]["address"].startswith(one) for event in events) for one in "xy"]

    def a_circle_through_ourselves_ends_by_our_own_name(self):
        counts = self._circle("max_own_hops = 3\n")
        check(counts == [4, 4], f"it went round {counts} times")

    def a_circle_ends_by_the_number_of_hops(self):
        counts = self._circle("max_hops = 4\n")
        check(counts == [5, 5], f"it went round {counts} times")

    def forwarding_to_and_fro_ends(self):
        gateway = self.gateway(policy='''on("envelope.recipient", function(session, recipient)
            if recipient.local_part == "bob" then recipient:expand{ "carol@example.test" } end
            if recipient.local_part == "carol" then recipient:expand{ "bob@example.test" } end
            end)''')
        try:
            self.submit(gateway, ["bob@example.test"])
        except smtplib.SMTPException:
            pass
        self.wait_empty(gateway)
        check(len(self.mailbox(gateway, "bob")) + len(self.mailbox(gateway, "carol")) <= 2, "it multiplied")

    def lmtp_to_a_server_of_our_own_kind(self):
        gateway = self.gateway(policy="-- to be written\n", start=False)
        gateway.write("policy.lua", '''on("envelope.recipient", function(session, recipient)
                if session.instance ~= "lmtp" and recipient.domain == "example.test" then return accept() end end)
            on("recipient.route", function(session, recipient, message)
                if message:origin("instance") ~= "lmtp" and message.sender ~= "" then
                    recipient:route{ hosts = { "127.0.0.1:%d" }, transport = "deliver_lmtp" } end end)'''
                      % gateway.ports["lmtp"])
        gateway.start()
        self.submit(gateway, ["bob@example.test", "carol@example.test"], rcpt_options=["NOTIFY=SUCCESS,FAILURE"])
        self.wait_mail(gateway, 1, "bob")
        self.wait_mail(gateway, 1, "carol")
        self.wait_empty(gateway)
        lines = [line for event in self.events(gateway, "delivery", 1) for line in event["dialogue"]]
        check("> LHLO mx.example.test" in lines, f"{lines}")
        fields = [one for report in self.mailbox(gateway) for one in self.report(report)]
        check(sorted(one["Final-Recipient"] for one in fields) ==
              ["rfc822; bob@example.test", "rfc822; carol@example.test"], f"told of {fields}")

    def who_was_unknown_three_times_gets_no_mail(self):
        peer = self.peer(lambda word, line: "550 5.1.1 nobody" if word == "RCPT" and "ghost@" in line else None)
        gateway = self.gateway(peer, start=False, more='module "cache_local" { }\n'
                               'policy { "suppression.lua", allow = { "cache" } }\n')
        with open(os.path.join(HERE, "..", "..", "scripts", "suppression.lua"), encoding="utf-8") as file:
            gateway.write("suppression.lua", file.read())
        gateway.write("suppressed", "asked@example.net\twants no mail\n")
        gateway.start()
        for number in range(3):
            self.submit(gateway, ["ghost@example.net", "there@example.net"])
            self.wait_mail(gateway, number + 1)
            self.wait_empty(gateway)
        for address, words in (("ghost@example.net", b"nobody"), ("asked@example.net", b"wants no mail")):
            try:
                self.submit(gateway, [address])
                raise Failure(f"{address} was taken")
            except smtplib.SMTPRecipientsRefused as error:
                code, text = error.recipients[address]
                check(code == 550 and words in text, f"{error.recipients}")
        self.submit(gateway, ["there@example.net"])
        check(len(peer.wait(4)) == 4, "others get none, either")

    def a_disappeared_sender_is_no_trouble(self):
        peer = self.peer(lambda word, line: "451 4.3.0 later" if word == "RCPT" else None)
        gateway = self.gateway(peer, settings='queue_lifetime = "2s"\n')
        self.submit(gateway, ["x@example.net"], sender="ghost@example.test")
        self.wait_empty(gateway)
        check(self.events(gateway, "bounce", 2)[-1].get("silent") == "it has no sender", "who was told?")
