# SPDX-License-Identifier: Apache-2.0
"""What senders ask for with parameters: it waits, or goes on, as they wished."""

import smtplib
import time

from base import TEXT, Base, check

NAMES = "j\u00f6rg@b\u00fccher.example", "jos\u00e9@example.net"


class Wishes(Base):
    """Each method is a test with a gateway of its own."""

    def mail_is_held_for_as_long_as_its_sender_said(self):
        peer = self.peer()
        gateway = self.gateway(peer)
        self.submit(gateway, ["later@example.net"], mail_options=["HOLDFOR=3600"])
        self.submit(gateway, ["soon@example.net"], mail_options=["HOLDFOR=1"])
        self.submit(gateway, ["now@example.net"], mail_options=["HOLDUNTIL=2001-01-01T00:00:00Z"])
        check([message.recipients for message in peer.wait(2)] ==
              [["RCPT TO:<now@example.net>"], ["RCPT TO:<soon@example.net>"]], f"{peer.messages}")
        row, = self.wait_rows(gateway, lambda rows: len(rows) == 1, "one waits")
        due = time.mktime(time.strptime(row["due"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
        check(3500 < due - time.time() <= 3600, f"it is due {row['due']}")

    def priorities_stand_in_the_queue_and_go_on(self):
        peer = self.peer(offers=("MT-PRIORITY",))
        gateway = self.gateway(peer, policy='on("message.decide", function(session, message) return hold() end)')
        for priority in (-9, -1, 0, 1, 9):
            self.submit(gateway, ["x@example.net"], mail_options=[f"MT-PRIORITY={priority}"])
        rows = self.wait_rows(gateway, lambda rows: len(rows) == 5, "five wait")
        check([row["priority"] for row in rows] == [0, 3, 4, 5, 9], f"{[row['priority'] for row in rows]}")
        self.command(gateway, "queue", "release", "--domain", "example.net", "--yes")
        words = sorted(message.sender.split()[-1] for message in peer.wait(5))
        check(words == [f"MT-PRIORITY={priority}" for priority in (-1, -9, 0, 1, 9)], f"the peer was told {words}")

    @staticmethod
    def _submit_utf8(gateway, sender, recipient):
        with smtplib.SMTP("127.0.0.1", gateway.ports["submission"]) as client:
            client.ehlo("client.test")
            client.login("alice", "postern")
            client.command_encoding = "utf-8"
            for line in (f"MAIL FROM:<{sender}> SMTPUTF8", f"RCPT TO:<{recipient}>"):
                code, text = client.docmd(line)
                check(code == 250, f"{line} was answered {code} {text}")
            code, text = client.data(TEXT)
            check(code == 250, f"{code} {text}")

    def addresses_in_utf8_go_on_as_they_are(self):
        peer = self.peer()
        gateway = self.gateway(peer)
        sender, recipient = NAMES
        self._submit_utf8(gateway, sender, recipient)
        message, = peer.wait(1)
        check(message.sender.encode("latin1").decode() == f"MAIL FROM:<{sender}> SMTPUTF8", message.sender)
        check(message.recipients[0].encode("latin1").decode() == f"RCPT TO:<{recipient}>", message.recipients[0])

    def who_says_smtputf8_for_nothing_is_not_held_to_it(self):
        peer = self.peer(offers=())
        gateway = self.gateway(peer)
        self._submit_utf8(gateway, "alice@example.test", "x@example.net")
        check(peer.wait(1)[0].sender == "MAIL FROM:<alice@example.test>", peer.messages[0].sender)

    def a_server_without_smtputf8_gets_no_such_address(self):
        peer = self.peer(offers=())
        gateway = self.gateway(peer)
        self._submit_utf8(gateway, "alice@example.test", NAMES[1])
        report = list(self.wait_mail(gateway, 1)[0].iter_parts())[1]
        check(report.get_content_type() == "message/global-delivery-status", report.get_content_type())
        text = report.as_bytes().decode()
        check("Status: 5.6.7" in text and f"Final-Recipient: utf-8; {NAMES[1]}" in text, text)
        check(not peer.messages, "it was sent")

    def waiting_mail_is_tried_when_its_server_asks_for_it(self):
        ready = []
        peer = self.peer(lambda word, line: "450 4.3.0 not yet" if word == "RCPT" and not ready else None)
        gateway = self.gateway(peer, settings='retry_schedule = { "1h" }\n',
                               mx='etrn_networks = { "127.0.0.1" }, etrn_domains = { "example.net", "other.example" }')
        self.submit(gateway, ["x@example.net", "y@example.net"])
        self.submit(gateway, ["z@example.org"])
        self.submit(gateway, ["later@example.net"], mail_options=["HOLDFOR=3600"])
        self.wait_rows(gateway, lambda rows: sum(row["attempts"] == 1 for row in rows) == 3, "three were tried")
        ready.append(True)
        with smtplib.SMTP("127.0.0.1", gateway.ports["mx"]) as client:
            client.ehlo("client.test")
            check(client.docmd("ETRN other.example")[0] == 251, "nothing waits for that one")
            reply = client.docmd("ETRN Example.NET")
            check(reply == (253, b"2.0.0 2 messages for that domain are tried now"), f"{reply}")
        message, = peer.wait(1)
        check(sorted(message.recipients) == ["RCPT TO:<x@example.net>", "RCPT TO:<y@example.net>"], f"{message.recipients}")
        rows = self.wait_rows(gateway, lambda rows: len(rows) == 2, "two go on waiting")
        check(sorted(row["recipient"] for row in rows) == ["later@example.net", "z@example.org"], f"{rows}")

    def a_time_to_deliver_by_goes_on_with_what_is_left_of_it(self):
        peer = self.peer(offers=("DELIVERBY",))
        gateway = self.gateway(peer)
        self.submit(gateway, ["x@example.net"], mail_options=["BY=1000;R"])
        self.submit(gateway, ["x@example.net"], mail_options=["BY=-3;N"])
        words = sorted(message.sender.split()[-1] for message in peer.wait(2))
        check(words[0][:4] == "BY=-" and words[0].endswith(";N"), f"the peer was told {words}")
        check(words[1].startswith("BY=99") and words[1].endswith(";R"), f"the peer was told {words}")
        self.wait_empty(gateway)
        check(not self.mailbox(gateway), "nobody asked for a report")

    def it_is_returned_when_the_time_is_over(self):
        tries = []

        def answers(word, line):
            if word != "RCPT":
                return None
            tries.append(line)
            return "450 4.2.0 not yet" if len(tries) == 1 else None

        peer = self.peer(answers, offers=("DELIVERBY",))
        gateway = self.gateway(peer, settings='retry_schedule = { "1h" }\n')
        self.submit(gateway, ["x@example.net"], mail_options=["BY=1;R"])
        field, = self.report(self.wait_mail(gateway, 1)[0])
        check(field["Action"] == "failed" and field["Status"] == "5.4.7", f"{field}")
        self.wait_empty(gateway)
        check(not peer.messages, "it was delivered")

    def its_sender_is_told_when_the_time_is_over_and_it_goes_on(self):
        ready = []
        peer = self.peer(lambda word, line: "450 4.2.0 not yet" if word == "RCPT" and not ready else None,
                         offers=("DELIVERBY",))
        gateway = self.gateway(peer, settings='retry_schedule = { "1h" }\n')
        self.submit(gateway, ["x@example.net"], mail_options=["BY=1;N"])
        self.submit(gateway, ["y@example.net"], mail_options=["BY=1;N"], rcpt_options=["NOTIFY=FAILURE"])
        field, = self.report(self.wait_mail(gateway, 1)[0])
        check(field["Action"] == "delayed" and field["Status"] == "4.4.7", f"{field}")
        check("x@example.net" in field["Final-Recipient"], f"{field}")
        ready.append(True)
        self.command(gateway, "queue", "retry", "--domain", "example.net", "--yes")
        peer.wait(2)
        self.wait_empty(gateway)
        check(len(self.mailbox(gateway)) == 1, "one report is enough")

    def a_server_that_knows_nothing_of_the_time(self):
        peer = self.peer(offers=())
        gateway = self.gateway(peer)
        self.submit(gateway, ["n@example.net"], mail_options=["BY=1000;N"])
        self.submit(gateway, ["quiet@example.net"], mail_options=["BY=1000;N"], rcpt_options=["NOTIFY=NEVER"])
        check({message.sender for message in peer.wait(2)} == {"MAIL FROM:<alice@example.test>"}, f"{peer.messages}")
        field, = self.report(self.wait_mail(gateway, 1)[0])
        check(field["Action"] == "relayed" and "n@example.net" in field["Final-Recipient"], f"{field}")
        self.submit(gateway, ["r@example.net"], mail_options=["BY=1000;R"])
        field, = self.report(self.wait_mail(gateway, 2)[1])
        check(field["Action"] == "failed" and field["Status"] == "5.3.3", f"{field}")
        self.wait_empty(gateway)
        check(len(peer.messages) == 2 and len(self.mailbox(gateway)) == 2, "one went that must not, or a report that must not")

    def each_server_on_the_way_is_traced(self):
        peer = self.peer(offers=("DELIVERBY",))
        gateway = self.gateway(peer)
        self.submit(gateway, ["x@example.net"], mail_options=["BY=1000;RT"])
        check(peer.wait(1)[0].sender.endswith(";RT"), peer.messages[0].sender)
        field, = self.report(self.wait_mail(gateway, 1)[0])
        check(field["Action"] == "relayed", f"{field}")
