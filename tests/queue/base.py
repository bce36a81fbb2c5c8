# SPDX-License-Identifier: Apache-2.0
"""What the tests of this folder share: gateways, stand-ins, and looking at what became of mail."""

import email
import email.policy
import imaplib
import json
import os
import smtplib
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from gateway import DOMAIN, Gateway, configuration  # noqa: E402
from stand_in import StandIn  # noqa: E402

SOON = 'retry_schedule = { "200ms" }\n'
TEXT = b"From: alice@example.test\r\nTo: x@example.net\r\nSubject: a letter\r\n\r\nDear reader.\r\n.\r\n..two\r\n"
ACCEPT = 'on("envelope.recipient", function() return accept() end)\n'


class Failure(Exception):
    """A test did not see what it should."""


def check(condition, text):
    if not condition:
        raise Failure(text)


class Base:
    """What a test has: each gets an object of its own, whose gateways and stand-ins end with it."""

    def __init__(self, build):
        self.build = build
        self.opened = []

    def gateway(self, peer=None, settings="", policy="", more="", store=None, workers=1, start=True,
                mx=""):
        """A gateway whose mail for other domains goes to the peer."""
        relay = f'relay = "127.0.0.1:{peer.port}"\n' if peer else ""
        soon = "" if "retry_schedule" in settings else SOON
        modules = 'module "deliver_smtp" { }\nmodule "deliver_lmtp" { }\n' + more
        if policy:
            modules += 'policy { "policy.lua", allow = { "dns" } }\n'
        options = {"store": store} if store else {}
        gateway = Gateway(self.build, start=False, tls=False, workers=workers, mx=mx,
                          settings=relay + soon + settings, more=modules, **options)
        self.opened.append(gateway)
        if policy:
            gateway.write("policy.lua", policy)
        if start:
            gateway.start()
        return gateway

    def peer(self, *arguments, **options):
        peer = StandIn(*arguments, **options)
        self.opened.append(peer)
        return peer

    def close(self):
        for thing in reversed(self.opened):
            if isinstance(thing, Gateway):
                try:
                    thing.stop()
                finally:
                    thing.remove()
            else:
                thing.close()
        self.opened = []

    # ---- what tests do ----

    @staticmethod
    def submit(gateway, recipients, sender="alice@example.test", text=TEXT, mail_options=(),
               rcpt_options=(), login=True):
        """Hands a message in as alice; the transaction's id."""
        with smtplib.SMTP("127.0.0.1", gateway.ports["submission" if login else "mx"]) as client:
            client.ehlo("client.test")
            if login:
                client.login("alice", "postern")
            client.sendmail(sender, recipients, text, mail_options, rcpt_options)
            return client

    @staticmethod
    def mailbox(gateway, name="alice", folder="INBOX"):
        """The messages of a mailbox, parsed."""
        client = imaplib.IMAP4("127.0.0.1", gateway.ports["imap"])
        try:
            client.login(name, "postern")
            status, _ = client.select(folder)
            if status != "OK":
                return []
            _, found = client.search(None, "ALL")
            texts = []
            for number in found[0].split():
                _, data = client.fetch(number, "(BODY.PEEK[])")
                texts.append(data[0][1])
            return [email.message_from_bytes(text, policy=email.policy.default) for text in texts]
        finally:
            client.logout()

    def wait_mail(self, gateway, count, name="alice", folder="INBOX", seconds=15):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.mailbox(gateway, name, folder)
            if len(found) >= count:
                return found
            time.sleep(0.05)
        raise Failure(f"{name} has {len(found)} messages, not {count}")

    def command(self, gateway, *words):
        result = subprocess.run([os.path.join(self.build, "postern"), *words, "--config", gateway.config],
                                capture_output=True, text=True, timeout=30)
        check(result.returncode == 0, f"postern {' '.join(words)}: {result.stderr}")
        return result.stdout

    def rows(self, gateway, *selectors):
        text = self.command(gateway, "queue", "list", "--json", "--attempts", "0+", *selectors)
        return [json.loads(line) for line in text.splitlines() if line.strip()]

    def wait_rows(self, gateway, test, what, seconds=15):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rows = self.rows(gateway)
            if test(rows):
                return rows
            time.sleep(0.05)
        raise Failure(f"{what}: {rows}")

    def wait_empty(self, gateway):
        self.wait_rows(gateway, lambda rows: not rows, "the queue is not empty")

    @staticmethod
    def events(gateway, kind, count=1, seconds=10):
        """The events of a kind, once there are so many: the log is written in the background."""
        end = time.monotonic() + seconds
        while True:
            with open(gateway.log, encoding="utf-8", errors="replace") as file:
                found = [json.loads(line) for line in file if line.startswith("{") and line.endswith("}\n")]
            found = [event for event in found if event.get("event") == kind]
            if len(found) >= count or time.monotonic() > end:
                return found
            time.sleep(0.02)

    @staticmethod
    def report(message):
        """The fields of the machine-readable part, for each recipient."""
        check(message.get_content_type() == "multipart/report", f"no report: {message}")
        part = [part for part in message.iter_parts()
                if part.get_content_type() == "message/delivery-status"][0]
        return list(part.get_payload())[1:]
