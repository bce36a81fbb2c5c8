# SPDX-License-Identifier: Apache-2.0
"""What the tests of this folder share: the gateway, the names it finds, its peers, and how tests are run."""

import argparse
import email
import email.policy
import json
import os
import poplib
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from gateway import Gateway, free_ports  # noqa: E402
from peer import Peer  # noqa: E402

DOMAINS = 110
SLOWNESS = float(os.environ.get("POSTERN_TEST_SLOWNESS", "1"))
SECONDS = 15 * SLOWNESS
BODY = b"From: alice@example.test\r\nTo: x@y.test\r\nSubject: a letter\r\n\r\nDear reader,\r\n.\r\n..two\r\n"

# Short for a peer that does nothing, long for one that only has no processor at the moment.
PATIENCE = 0.7 * SLOWNESS
TIMEOUTS = ", ".join([f'{state}_timeout = "{PATIENCE * 1000:.0f}ms"'
                      for state in ("connect", "greeting", "hello", "mail", "rcpt", "data_start", "data_block", "data_end")] +
                     [f'quit_timeout = "{PATIENCE * 500:.0f}ms"'])

POLICY = """
local routes = {{
	required = {{ tls = "required" }},
	verified = {{ tls = "verified" }},
	private = {{ tls = "verified", transport = "private" }},
	promises = {{ tls = "verified", transport = "promises" }},
	strict = {{ transport = "private" }},
	chunks = {{ transport = "chunks" }},
	never = {{ tls = "never" }},
	at_once = {{ transport = "at_once", hosts = {{ "mx.at-once.test:{port}" }}, tls = "verified" }},
	lmtp = {{ transport = "inside", hosts = {{ "unix:{directory}/lmtp" }} }},
	smarthost = {{ transport = "smarthost", hosts = {{ "mx.smart.test:{port}" }}, tls = "required" }},
	wrong = {{ transport = "wrong", hosts = {{ "mx.smart.test:{port}" }} }},
	hosts = {{ transport = "out", hosts = {{ "127.0.0.1:1", "127.1.250.1:{port}" }} }},
	address = {{ transport = "private", hosts = {{ "127.1.205.1:{port}" }}, tls = "verified" }},
	other = {{ transport = "private", hosts = {{ "127.1.205.2:{port}" }}, tls = "verified" }},
	six = {{ transport = "out", hosts = {{ "[::1]:{port}" }} }},
	sink = {{ transport = "out", hosts = {{ "127.0.0.1:{sink}" }} }},
	source = {{ source = "127.9.8.7" }},
	eight = {{ transport = "seven" }},
	{more}
}}

on("recipient.route", function(session, recipient)
	local route = routes[recipient.local_part:match("^(.-)[.]")]
	if route then
		recipient:route(route)
	end
end)
"""

ZONE = []    # records that modules of tests add
ROUTES = []  # lines of the table above, with {port} and {directory} in them


class Failure(Exception):
    """A test did not see what it should."""


class Skipped(Exception):
    """What the test needs is not there."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


class Authority:
    """Certificates of our own."""

    def __init__(self, directory):
        self.directory = directory
        self.certificate = os.path.join(directory, "ca.pem")
        self.key = os.path.join(directory, "ca.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-days", "30", "-subj", "/CN=authority of the tests", "-keyout", self.key,
                "-out", self.certificate)

    def make(self, name, days=30, kind="DNS"):
        path = os.path.join(self.directory, f"{name}.{days}")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", f"/CN={name}", "-addext", f"subjectAltName={kind}:{name}", "-keyout",
                path + ".key", "-out", path + ".csr")
        openssl("x509", "-req", "-in", path + ".csr", "-CA", self.certificate, "-CAkey", self.key,
                "-days", str(days), "-copy_extensions", "copy", "-out", path + ".pem")
        return path + ".pem", path + ".key"


class World:
    """The gateway, the names, and what all tests do."""

    def __init__(self, build):
        self.build = build
        self.port = free_ports(["peers"])["peers"]
        self.sink_port = free_ports(["sink"])["sink"]
        self.temporary = tempfile.mkdtemp(prefix="postern-relay-")
        self.authority = Authority(self.temporary)
        self.used = 0
        self.peers = []
        self.gateway = self.make_gateway()

    def zone(self):
        lines = []
        for number in range(DOMAINS):
            name = f"d{number}.test."
            lines += [f"{name} 60 IN MX 10 mx.{name}", f"mx.{name} 60 IN A 127.1.{number}.1"]
        lines += ["two.test. 60 IN MX 10 first.two.test.", "two.test. 60 IN MX 20 second.two.test.",
                  "first.two.test. 60 IN A 127.1.200.1", "second.two.test. 60 IN A 127.1.200.2",
                  "none.test. 60 IN MX 0 .", "bare.test. 60 IN A 127.1.201.1",
                  "six.test. 60 IN MX 10 mx.six.test.", "mx.six.test. 60 IN AAAA ::1",
                  "both.test. 60 IN MX 10 mx.both.test.", "mx.both.test. 60 IN AAAA ::1",
                  "mx.both.test. 60 IN A 127.1.202.1",
                  "mx.smart.test. 60 IN A 127.1.203.1", "mx.at-once.test. 60 IN A 127.1.204.1"]
        return "\n".join(lines + ZONE) + "\n"

    def make_gateway(self):
        smtp = f'module "deliver_smtp" {{ port = {self.port}, {TIMEOUTS}'
        secret = os.path.join(self.temporary, "credentials")
        with open(secret, "w", encoding="ascii") as file:
            file.write("# for the smarthost\nmx.smart.test relay correct horse\n")
        os.chmod(secret, 0o600)
        with open(secret + ".wrong", "w", encoding="ascii") as file:
            file.write("* relay battery staple\n")
        os.chmod(secret + ".wrong", 0o600)
        trusted = f'trusted_certificates = "{self.authority.certificate}"'
        more = (f'{smtp}, as = "out" }}\n{smtp}, as = "private", {trusted} }}\n'
                f'{smtp}, as = "promises", {trusted}, requiretls_dnssec = false }}\n'
                f'{smtp}, as = "chunks", chunking = "offered" }}\n'
                f'{smtp}, as = "at_once", implicit_tls = true, {trusted} }}\n'
                f'{smtp}, as = "smarthost", credentials = "{secret}" }}\n'
                f'{smtp}, as = "wrong", credentials = "{secret}.wrong" }}\n'
                f'{smtp}, as = "seven", eight_bit = "refuse" }}\n'
                f'module "deliver_lmtp" {{ as = "inside", {TIMEOUTS} }}\n'
                'policy { "policy.lua", allow = { "dns" } }\n')
        gateway = Gateway(self.build, start=False, workers=1, more=more,
                          settings='zone_file = "zone"\nretry_schedule = { "300ms" }\n'
                                   'idle_connections = "1s"\nsuspend_after = 1000\n')
        gateway.write("zone", self.zone())
        places = dict(port=self.port, directory=gateway.directory, sink=self.sink_port)
        gateway.write("policy.lua", POLICY.format(
            more="\n\t".join(line.format(**places) for line in ROUTES), **places))
        gateway.start()
        return gateway

    # ---- peers ----

    def add(self, peer):
        self.peers.append(peer)
        return peer

    def peer(self, **options):
        """A peer that is the MX of a domain of its own: peer.domain."""
        number = self.used
        self.used += 1
        check(number < DOMAINS, "more tests than domains")
        if options.pop("secure", False):
            options["certificate"] = self.authority.make(f"mx.d{number}.test")
        peer = self.add(Peer(f"127.1.{number}.1", self.port, name=f"mx.d{number}.test", **options))
        peer.domain = f"d{number}.test"
        return peer

    def at(self, host, **options):
        return self.add(Peer(host, self.port, **options))

    # ---- mail ----

    def send_secured(self, *recipients, body=BODY, mail_options=(), rcpt_options=()):
        """Over TLS, which some wishes need."""
        context = ssl._create_unverified_context()
        with smtplib.SMTP_SSL("127.0.0.1", self.gateway.ports["submissions"], context=context) as client:
            client.ehlo("client.test")
            client.login("alice", "postern")
            client.sendmail("alice@example.test", recipients, body, mail_options, rcpt_options)

    def send_chunk(self, recipient, body):
        """A binary message."""
        with smtplib.SMTP("127.0.0.1", self.gateway.ports["submission"]) as client:
            client.ehlo("client.test")
            client.login("alice", "postern")
            for line in ("MAIL FROM:<alice@example.test> BODY=BINARYMIME", f"RCPT TO:<{recipient}>"):
                check(client.docmd(line)[0] == 250, line)
            client.send(b"BDAT %d LAST\r\n" % len(body) + body)
            check(client.getreply()[0] == 250, "BDAT")

    def send(self, *recipients, body=BODY, mail_options=(), rcpt_options=()):
        with smtplib.SMTP("127.0.0.1", self.gateway.ports["submission"]) as client:
            client.ehlo("client.test")
            client.login("alice", "postern")
            client.sendmail("alice@example.test", recipients, body, mail_options, rcpt_options)

    def command(self, *words):
        done = subprocess.run([os.path.join(self.build, "postern"), *words, "--config",
                               self.gateway.config], capture_output=True, text=True, timeout=30)
        check(done.returncode == 0, f"postern {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def rows(self, recipient):
        text = self.command("queue", "list", "--recipient", recipient, "--json")
        return [json.loads(line) for line in text.splitlines() if line.strip()]

    def wait_row(self, recipient, words, seconds=SECONDS):
        """Until the mail waits for a reason with these words."""
        rows = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rows = self.rows(recipient)
            if any(words.lower() in (row.get("reason") or "").lower() for row in rows):
                return rows[0]
            time.sleep(0.1)
        raise Failure(f"{recipient} does not wait because of {words!r}: {rows}")

    def is_gone(self, *recipients, seconds=SECONDS):
        """Until nothing waits for them any more."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            left = [row for recipient in recipients for row in self.rows(recipient)]
            if not left:
                return
            time.sleep(0.1)
        raise Failure(f"it still waits: {left}")

    def bounces(self, recipient):
        client = poplib.POP3("127.0.0.1", self.gateway.ports["pop3"])
        try:
            client.user("alice")
            client.pass_("postern")
            found = []
            for number in range(1, client.stat()[0] + 1):
                text = b"\r\n".join(client.retr(number)[1])
                if recipient.encode() in text:
                    found.append(email.message_from_bytes(text, policy=email.policy.default))
            return found
        finally:
            client.quit()

    def wait_bounce(self, recipient, *words, seconds=SECONDS):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for message in self.bounces(recipient):
                text = message.as_string()
                for word in words:
                    check(word in text, f"the bounce does not say {word!r}:\n{text}")
                return message
            time.sleep(0.1)
        raise Failure(f"no bounce for {recipient}; it waits: {self.rows(recipient)}")

    def arrives(self, peer, *recipients, seconds=SECONDS):
        """Each of the recipients exactly once, and nothing waits any more. The last message."""
        peer.wait(1, seconds)
        self.is_gone(*recipients, seconds=seconds)
        there = peer.recipients
        for recipient in recipients:
            check(there.count(recipient) == 1,
                  f"{recipient} came {there.count(recipient)} times\n{peer.story()}")
        check(not peer.problems, str(peer.problems))
        return peer.messages[-1]

    def forget(self, recipient):
        self.command("queue", "delete", "--recipient", recipient, "--yes")

    def close(self, has_failed):
        for peer in self.peers:
            peer.close()
        try:
            if has_failed:
                sys.stderr.write("the log of the gateway ends with\n" + self.gateway.log_tail())
            self.gateway.stop()
        finally:
            self.gateway.remove()
            shutil.rmtree(self.temporary, ignore_errors=True)


TESTS = []


def test(function):
    TESTS.append(function)
    return function


def program(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        raise Skipped(f"{name} is not installed")
    return path


def wait_port(port, seconds=20 * SLOWNESS):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Failure(f"nobody listens on {port}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/gcc")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    world = World(os.path.abspath(arguments.build))
    failures = 0
    try:
        for function in TESTS:
            name = function.__name__.replace("_", " ")
            if arguments.names and not any(part in function.__name__ for part in arguments.names):
                continue
            began = time.monotonic()
            try:
                function(world)
                print(f"ok {name}", flush=True)
            except Skipped as reason:
                print(f"skipped: {name}: {reason}", flush=True)
            except Exception:  # a test that cannot go on has failed
                failures += 1
                print("".join("#   " + line for line in
                              traceback.format_exc().splitlines(keepends=True)), end="")
                print(f"not ok {name}", flush=True)
            print(f"#   {time.monotonic() - began:.1f} seconds", flush=True)
    finally:
        world.close(failures > 0)
    return 1 if failures else 0
