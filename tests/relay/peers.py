#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mail to and from Postfix, Exim and OpenSMTPD; prints "ok NAME", "not ok NAME" or "skipped: NAME".

    tests/relay/peers.py --build DIR [NAME-PART …]

Mail for others goes from the gateway to each of them, which hands it to a sink: that writes down what came
through. Mail for us comes from each of them into a mailbox that is read over IMAP. All of it over STARTTLS
(but to OpenSMTPD, whose handshakes fail), with the certificate verified on the way out. Reports are read with Python's email package.
"""

import argparse
import email
import email.policy
import hashlib
import imaplib
import json
import os
import random
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from gateway import Gateway, PASSWORD  # noqa: E402
from peers_servers import SERVERS, Missing, Place  # noqa: E402
from sink import EXTENSIONS, Sink  # noqa: E402

SECONDS = 10 * float(os.environ.get("POSTERN_TEST_SLOWNESS", "1"))
ADDRESSES = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
ALICE = "alice@example.test"
LONGEST = 998  # of a line, without its end (RFC 5321 section 4.5.3.1.6)

POLICY = """on("envelope.recipient", function(session, recipient)
	if recipient.local_part == "green" then
		recipient:expand{ "grün@" .. recipient.domain }
		return accept()
	end
end)
on("recipient.route", function(session, recipient)
	if recipient.domain == "postfix.test" or recipient.domain == "exim.test" then
		local chunks = recipient.local_part == "good60" and "chunks" or "deliver_smtp"
		recipient:route{ tls = "verified", transport = chunks }
	end
end)
"""


class Failure(Exception):
    """What was seen is not what must be."""


class Skip(Exception):
    """Not possible here."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def wait_for(question, text):
    """Asks until the answer is true."""
    deadline = time.monotonic() + SECONDS
    while not (answer := question()):
        check(time.monotonic() < deadline, f"not in time: {text}")
        time.sleep(0.02)
    return answer


def hard_body(size=0):
    """What is easily changed on the way: dots, long lines, spaces at line ends, 8 bit, empty lines."""
    lines = [b".", b"..", b"...three", b".x", b"", b"", b" ", b"ends with spaces  ", b"\ttab\t",
             b"x" * LONGEST, b"." * LONGEST, b"From here", b">From there", b"=3D=20=", b"--", b"-- ",
             "gr\u00fc\u00dfe \u4f60\u597d".encode(), bytes(range(128, 256)), b"MAIL FROM:<a@b.test>", b"QUIT"]
    generator = random.Random(size)
    total = sum(len(line) + 2 for line in lines)
    while total < size:
        line = bytes(generator.choices(b"abcdefgh ijkl.=\xc3\xa4", k=generator.randrange(0, 120)))
        line = line if generator.randrange(9) else b"." + line
        lines.append(line)
        total += len(line) + 2
    return b"\r\n".join(lines + [b".", b""]) + b"\r\n"


def message(subject, body):
    return (b"From: <alice@example.test>\r\nTo: somebody@peers.test\r\nSubject: %s\r\n"
            b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <%s@peers.test>\r\n"
            b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: 8bit\r\n\r\n%s"
            % (subject.encode(), re.sub(r"\W", "-", subject).encode(), body))


def body_of(text):
    return text[text.index(b"\r\n\r\n") + 4:]


def same(got, wanted, where):
    """Byte for byte."""
    if hashlib.sha256(got).digest() == hashlib.sha256(wanted).digest():
        return
    lines = zip(got.split(b"\r\n"), wanted.split(b"\r\n"))
    differs = [pair for pair in lines if pair[0] != pair[1]][:2]
    raise Failure(f"{where}: the body is not as it was sent: {len(got)} bytes of {len(wanted)}, {differs}"[:700])


class Report:
    """A report about deliveries, parsed."""

    def __init__(self, text):
        self.message = email.message_from_bytes(text, policy=email.policy.default)
        self.groups = []
        self.reporter = ""
        if self.message.get_content_type() != "multipart/report":
            return
        parts = list(self.message.iter_parts())
        check(parts[1].get_content_type() in ("message/delivery-status", "message/global-delivery-status"),
              f"the second part of a report is {parts[1].get_content_type()}")
        groups = parts[1].get_payload()
        if parts[1].get_content_type() == "message/global-delivery-status":  # which Python takes for a letter
            blocks = groups[0].as_bytes().replace(b"\r\n", b"\n").strip().split(b"\n\n")
            groups = [email.message_from_bytes(block, policy=email.policy.SMTPUTF8) for block in blocks]
        self.reporter = str(groups[0]["Reporting-MTA"])
        self.groups = groups[1:]

    def about(self, address):
        """The group of fields about a recipient, or None."""
        for group in self.groups:
            if str(group["Final-Recipient"]).split(";", 1)[1].strip().strip("<>").lower() == address.lower():
                return group
        return None


def waiting(gateway):
    """How many recipients wait in the queue."""
    done = subprocess.run([os.path.join(gateway.build, "postern"), "queue", "list", "--json", "--config",
                           gateway.config], capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"queue list: {done.stderr}")
    return sum(json.loads(line).get("recipients", 0) for line in done.stdout.splitlines())


class World:
    """The gateway, the sink, and the servers between them."""

    def __init__(self, build):
        self.directory = tempfile.mkdtemp(prefix="postern-peers-")
        self.sink = Sink(mark=b"\0", extensions=EXTENSIONS + ("SMTPUTF8",), addresses=("127.0.0.1",))
        self.gateway = Gateway(build, start=False, settings='zone_file = "zone"\nretry_schedule = { "200ms" }\n'
                               'relay = ""\npolicy "secure.lua"\n', more="-- the transport\n",
                               mx='xforward_networks = { "127.0.0.0/8" }')
        self.place = Place(self.directory, self.gateway.ports["mx"], self.sink.port, ADDRESSES)
        with open(self.gateway.config, encoding="utf-8") as file:
            text = file.read()
        self.gateway.write("postern.lua", text.replace(
            "-- the transport", f'module "deliver_smtp" {{ port = {self.place.port}, '
            f'trusted_certificates = "{self.place.certificate}" }}\n'
            f'module "deliver_smtp" {{ as = "chunks", port = {self.place.port}, chunking = "offered", '
            f'trusted_certificates = "{self.place.certificate}" }}'))
        zone = ""
        for server, address in zip(SERVERS, ADDRESSES):
            zone += (f"{server.name}.test 300 IN MX 10 mx.{server.name}.test.\n"
                     f"mx.{server.name}.test 300 IN A {address}\n")
        self.gateway.write("zone", zone)
        self.gateway.write("secure.lua", POLICY)
        self.number = 0
        self.seen = {}

    def stop(self):
        self.gateway.stop()
        self.sink.stop()

    def remove(self):
        self.gateway.remove()
        shutil.rmtree(self.directory, ignore_errors=True)

    def subject(self):
        self.number += 1
        return f"letter {self.number}"

    def submit(self, recipients, text, options=(), rcpt_options=()):
        """Sends as alice, with a login. Recipients: (address, [options]) or address."""
        with smtplib.SMTP("127.0.0.1", self.gateway.ports["submission"]) as client:
            client.login(ALICE, PASSWORD)
            client.sendmail(ALICE, recipients, text, list(options), list(rcpt_options))

    def arrived(self, recipient, subject, count=1):
        """What came to the sink for a recipient with that subject; waits for so many."""
        mark = b"Subject: %s\r\n" % subject.encode()

        def question():
            found = [arrival for arrival in self.sink.arrivals.get(recipient, ()) if mark in arrival.text[:4000]]
            return found if len(found) >= count else None
        found = wait_for(question, f"{subject} for {recipient} at the sink")
        check(len(found) == count, f"{len(found)} copies of {subject} for {recipient}")
        return found

    def mailbox(self):
        """All messages of alice: UID to text."""
        with imaplib.IMAP4("127.0.0.1", self.gateway.ports["imap"]) as client:
            client.login(ALICE, PASSWORD)
            client.select("INBOX", readonly=True)
            uids = client.uid("SEARCH", "ALL")[1][0].split()
            for uid in uids:
                if uid not in self.seen:
                    self.seen[uid] = client.uid("FETCH", uid, "(BODY.PEEK[])")[1][0][1]
            return dict(self.seen)

    def letters(self, subject):
        """Messages of alice with that subject, reports not counted."""
        mark = b"\r\nSubject: %s\r\n" % subject.encode()
        return [text for text in self.mailbox().values() if mark in text[:4000] and b"multipart/report" not in text]

    def reports(self, texts, subject):
        """The reports among texts whose original has that subject."""
        mark = b"Subject: %s\r\n" % subject.encode()
        return [Report(text) for text in texts if b"multipart/report" in text and
                mark in text.replace(b"\n", b"\r\n").replace(b"\r\r\n", b"\r\n")]

    def reports_for_alice(self, subject):
        return wait_for(lambda: self.reports(self.mailbox().values(), subject), f"a report for alice about {subject}")

    def reports_at_sink(self, address, subject):
        return wait_for(lambda: self.reports([arrival.text for arrival in self.sink.arrivals.get(address, ())],
                                             subject), f"a report for {address} about {subject}")

    def log(self):
        with open(self.gateway.log, encoding="utf-8", errors="replace") as file:
            return file.read()


class Tests:
    """Each is run with each server: its name is {} in the names."""

    def __init__(self, world, server):
        self.world = world
        self.server = server

    def at(self, name):
        return f"{name}@{self.server.domain}"

    # ---- from us ----

    def delivers_to_NAME_byte_for_byte(self):
        subject, body = self.world.subject(), hard_body()
        self.world.submit([self.at("good1")], message(subject, body), ["BODY=8BITMIME"])
        arrival, = self.world.arrived(self.at("good1"), subject)
        same(body_of(arrival.text), body, "at the sink")
        check(arrival.sender == ALICE, f"the sender is {arrival.sender}")
        hop = arrival.text.split(b"\r\nReceived:")[0] + b"".join(
            b"\r\nReceived:" + part for part in arrival.text.split(b"\r\nReceived:")[1:2])
        check(bool(re.search(rb"ESMTPS|using TLS|TLSv1|tls TLS", hop, re.I)) == self.server.has_tls,
              f"TLS or not: {hop[:600]!r}")

    def delivers_to_NAME_in_chunks(self):
        if self.server.name == "opensmtpd":
            raise Skip("it offers no CHUNKING")
        subject, body = self.world.subject(), hard_body(2 << 20)
        self.world.submit([self.at("good60")], message(subject, body), ["BODY=8BITMIME"])
        arrival, = self.world.arrived(self.at("good60"), subject)
        same(body_of(arrival.text), body, "at the sink")
        check("> BDAT " in self.world.log(), "it did not go with BDAT")

    def delivers_a_large_message_to_NAME(self):
        subject, body = self.world.subject(), hard_body(9 << 20)
        self.world.submit([self.at("good2")], message(subject, body), ["BODY=8BITMIME"])
        arrival, = self.world.arrived(self.at("good2"), subject)
        same(body_of(arrival.text), body, "at the sink")

    def delivers_sixty_messages_to_NAME_in_flights(self):
        subjects = [self.world.subject() for _ in range(60)]
        with smtplib.SMTP("127.0.0.1", self.world.gateway.ports["submission"]) as client:
            client.login(ALICE, PASSWORD)
            for number, subject in enumerate(subjects):
                client.sendmail(ALICE, [self.at(f"good{number}")], message(subject, hard_body()), ["BODY=8BITMIME"])
        for number, subject in enumerate(subjects):
            self.world.arrived(self.at(f"good{number}"), subject)
        if self.server.name != "opensmtpd":  # which does not offer PIPELINING
            flight = f'"> MAIL FROM:<{ALICE}>[^"]*","> RCPT TO:<good59@{self.server.domain}>[^"]*","> DATA","<'
            check(re.search(flight, self.world.log()), "MAIL, RCPT and DATA did not go together")

    def tells_alice_whom_NAME_refused(self):
        subject, body = self.world.subject(), hard_body()
        self.world.submit([self.at("good3"), self.at("nobody"), self.at("good4")], message(subject, body))
        for name in ("good3", "good4"):
            same(body_of(self.world.arrived(self.at(name), subject)[0].text), body, name)
        report, = self.world.reports_for_alice(subject)
        check(len(report.groups) == 1, f"the report is about {len(report.groups)} recipients")
        group = report.about(self.at("nobody"))
        check(group is not None, f"the report is about {report.groups[0]['Final-Recipient']}")
        check(group["Action"] == "failed", f"Action: {group['Action']}")
        check(str(group["Status"]).startswith("5."), f"Status: {group['Status']}")
        check("550" in str(group["Diagnostic-Code"]), f"Diagnostic-Code: {group['Diagnostic-Code']}")
        check(self.server.host in str(group["Remote-MTA"]), f"Remote-MTA: {group['Remote-MTA']}")
        check("mx.example.test" in report.reporter, f"Reporting-MTA: {report.reporter}")
        check(report.message["To"].strip("<>") == ALICE, f"To: {report.message['To']}")

    def passes_on_to_NAME_that_success_is_to_be_reported(self):
        subject = self.world.subject()
        self.world.submit([self.at("good5")], message(subject, b"x\r\n"), ["RET=HDRS", "ENVID=e+2B1"],
                          ["NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;{self.at('asked')}"])
        self.world.arrived(self.at("good5"), subject)
        asked = f'RCPT TO:<{self.at("good5")}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;{self.at("asked")}'
        check(asked in self.world.log(), "NOTIFY and ORCPT were not passed on")
        if not self.server.reports:
            wait_for(lambda: waiting(self.world.gateway) == 0, "an empty queue")
            check(not self.world.reports(self.world.mailbox().values(), subject), "we reported what they will")
            return
        report, = self.world.reports_for_alice(subject)
        group = report.about(self.at("good5"))
        check(group is not None and group["Action"] in ("relayed", "delivered"), f"the report says {report.groups}")
        check(self.server.host in report.reporter, f"Reporting-MTA: {report.reporter}")
        check(self.at("asked") in str(group["Original-Recipient"]), f"ORCPT: {group['Original-Recipient']}")
        check("e+1" in report.message.as_string() or self.server.name != "postfix", "the ENVID is lost")

    def tells_nobody_of_what_NAME_refused_where_that_is_asked_for(self):
        quiet, loud = self.world.subject(), self.world.subject()
        self.world.submit([self.at("nobody")], message(quiet, b"x\r\n"), [], ["NOTIFY=NEVER"])
        wait_for(lambda: '"silent":"its sender asked for no report"' in self.world.log(), "nobody is told")
        self.world.submit([self.at("nobody")], message(loud, b"x\r\n"), [], ["NOTIFY=FAILURE"])
        self.world.reports_for_alice(loud)
        check(not self.world.reports(self.world.mailbox().values(), quiet), "alice was told")

    def sends_utf8_addresses_to_NAME(self):
        """Those who send cannot name them; an alias of a policy can."""
        subject = self.world.subject()
        self.world.submit([self.at("green")], message(subject, hard_body()), ["BODY=8BITMIME"])
        if self.server.has_utf8:
            same(body_of(self.world.arrived(self.at("grün"), subject)[0].text), hard_body(), "at the sink")
            return
        report, = self.world.reports_for_alice(subject)
        group, = report.groups
        check(group["Action"] == "failed" and group["Status"] == "5.6.7", f"it says {group}")
        check("green" in str(group["Original-Recipient"]), f"it says {group}")

    def relays_everything_through_NAME(self):
        gateway, line = self.world.gateway, f'relay = "{self.server.host}:{self.server.port}"'
        with open(gateway.config, encoding="utf-8") as file:
            text = file.read()
        gateway.write("postern.lua", re.sub(r'relay = "[^"]*"', line, text))
        try:
            self.reload()
            subject = self.world.subject()
            self.world.submit(["far@away.test"], message(subject, hard_body()), ["BODY=8BITMIME"])
            arrival, = self.world.arrived("far@away.test", subject)
            same(body_of(arrival.text), hard_body(), "at the sink")
            check(self.server.host.encode() in arrival.text[:2000], f"it came another way: {arrival.text[:600]!r}")
        finally:
            gateway.write("postern.lua", text)
            self.reload()

    def reload(self):
        gateway = self.world.gateway
        done = subprocess.run([os.path.join(gateway.build, "postern"), "reload", "--config", gateway.config],
                              capture_output=True, text=True, check=False)
        check(done.returncode == 0, f"reload: {done.stderr}")

    # ---- to us ----

    def send_through(self, recipients, text, options=("BODY=8BITMIME",), rcpt_options=()):
        with smtplib.SMTP(self.server.address, self.server.port, timeout=SECONDS) as client:
            client.sendmail(self.at("good9"), recipients, text, list(options), list(rcpt_options))

    def receives_from_NAME_byte_for_byte(self):
        subject, body = self.world.subject(), hard_body(300 << 10)
        self.send_through([ALICE], message(subject, body))
        text, = wait_for(lambda: self.world.letters(subject), f"{subject} for alice")
        same(body_of(text), body, "in the mailbox")
        check(b"with ESMTPS" in text[:600], f"it came without TLS: {text[:400]!r}")
        check(text.startswith(b"Return-Path: <%s>" % self.at("good9").encode()), f"{text[:100]!r}")

    def hears_from_NAME_where_it_has_a_message_from(self):
        if self.server.name != "postfix":
            raise Skip("it knows no XFORWARD")
        subject = self.world.subject()
        self.send_through([ALICE], message(subject, b"x\r\n"), ())
        wait_for(lambda: self.world.letters(subject), f"{subject} for alice")
        told = wait_for(lambda: [json.loads(line) for line in self.world.log().splitlines()
                                 if '"forwarded.address"' in line and line.startswith("{")], "the facts of XFORWARD")
        facts = told[-1]["facts"]
        check(facts["forwarded.address"].startswith("127.") and facts["forwarded.protocol"] == "ESMTP", f"{facts}")

    def receives_forty_messages_from_NAME(self):
        subjects = [self.world.subject() for _ in range(40)]
        with smtplib.SMTP(self.server.address, self.server.port, timeout=SECONDS) as client:
            for subject in subjects:
                client.sendmail(self.at("good9"), [ALICE, "bob@example.test"], message(subject, hard_body()),
                                ["BODY=8BITMIME"])
        for subject in subjects:
            wait_for(lambda: self.world.letters(subject), f"{subject} for alice")
        for subject in subjects:
            check(len(self.world.letters(subject)) == 1, f"{subject} came twice")

    def refuses_unknown_users_so_that_NAME_tells_their_senders(self):
        subject, address = self.world.subject(), "nobody@example.test"
        self.send_through([ALICE, address], message(subject, hard_body()))
        wait_for(lambda: self.world.letters(subject), f"{subject} for alice")
        if self.server.name == "opensmtpd":  # its bounces have no part for programs
            texts = wait_for(lambda: [arrival.text for arrival in self.world.sink.arrivals.get(self.at("good9"), ())
                                      if b"Subject: %s\r\n" % subject.encode() in arrival.text], "a bounce")
            check(address.encode() in texts[0] and b"550" in texts[0], f"it says {texts[0][:2000]!r}")
            return
        report, = self.world.reports_at_sink(self.at("good9"), subject)
        group = report.about(address)
        check(group is not None and group["Action"] == "failed", f"it says {[str(one) for one in report.groups]}")
        check("5.1.1" in str(group["Diagnostic-Code"]) or group["Status"] == "5.1.1", f"{group}")

    def reports_success_to_senders_at_NAME(self):
        subject = self.world.subject()
        with smtplib.SMTP(self.server.address, self.server.port, timeout=SECONDS) as client:
            client.ehlo()
            if not client.has_extn("dsn"):
                raise Skip(f"{self.server.name} offers no DSN")
        self.send_through([ALICE], message(subject, b"x\r\n"), (), ["NOTIFY=SUCCESS"])
        report, = self.world.reports_at_sink(self.at("good9"), subject)
        group = report.about(ALICE)
        check(group is not None and group["Action"] == "delivered", f"it says {[str(one) for one in report.groups]}")
        check("mx.example.test" in report.reporter, f"Reporting-MTA: {report.reporter}")


def run_server(world, server, words):
    """All tests with one server; how many failed."""
    failed = 0
    names = [name for name in vars(Tests) if "NAME" in name]
    chosen = [name for name in names if not words or any(word in name.replace("NAME", server.name) for word in words)]
    if not chosen:
        return 0
    try:
        server.start()
    except Missing as missing:
        print(f"skipped: {len(chosen)} tests with {server.name}: {missing}", flush=True)
        return 0
    try:
        for name in chosen:
            told = name.replace("NAME", server.name)
            began = time.monotonic()
            try:
                getattr(Tests(world, server), name)()
                print(f"ok {told}", flush=True)
            except Skip as reason:
                print(f"skipped: {told}: {reason}", flush=True)
            except Exception as error:
                failed += 1
                text = str(error) if isinstance(error, Failure) else traceback.format_exc()
                print(f"not ok {told}\n# {text}\n{server.log()}", flush=True)
            if time.monotonic() - began > 4:
                print(f"# {told} took {time.monotonic() - began:.1f} s", flush=True)
    finally:
        server.stop()
    return failed


def main():
    """Runs what is named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "main"))
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    world = World(arguments.build)
    failed = 0
    try:
        world.gateway.start()
        for server, address in zip(SERVERS, ADDRESSES):
            failed += run_server(world, server(world.place, address), arguments.words)
        world.stop()
        if world.sink.problems:
            failed += 1
            print(f"not ok what_the_sink_was_told\n# {world.sink.problems[:3]}", flush=True)
    except Exception:
        failed += 1
        print(f"not ok runs_to_its_end\n# {traceback.format_exc()}\n{world.gateway.log_tail(20)}", flush=True)
    if failed:
        print(f"# {failed} failed; the directories: {world.gateway.directory} and {world.directory}", flush=True)
        world.gateway.kill()
    else:
        world.remove()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
