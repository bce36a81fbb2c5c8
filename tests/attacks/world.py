# SPDX-License-Identifier: Apache-2.0
"""What the attacks of this folder share: one gateway with everything a stranger can reach, the servers it sends to,
what it stored, and a client that says bytes."""

import imaplib
import os
import re
import select
import shutil
import socket
import ssl
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from gateway import Gateway, free_ports  # noqa: E402
from peer import Peer  # noqa: E402

SECONDS = 30

POLICY = """
local hosts = {{ plain = "{plain}", chunks = "{chunks}", lmtp = "unix:{directory}/lmtp", harsh = "{harsh}" }}

on("recipient.route", function(session, recipient)
	local kind = recipient.domain:match("^(.-)[.]next[.]test$")
	if kind then
		recipient:route {{ hosts = {{ hosts[kind] }}, transport = kind == "lmtp" and "inside" or kind == "chunks" and "chunks" or "out" }}
	end
end)
{more}
"""


class Failure(Exception):
    """A case did not go as it should."""


def check(condition, text):
    if not condition:
        raise Failure(text)


class World:
    """The gateway, its peers, and what they got. `more` is Lua, put into its policy; `options` go to
    Gateway."""

    def __init__(self, build, policy="", harsh=None, **options):
        self.temporary = tempfile.mkdtemp(prefix="postern-attacks-")
        path = os.path.join(self.temporary, "lmtp")
        self.peers = {
            "plain": Peer(), "chunks": Peer(extensions=("PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME", "SMTPUTF8", "DSN")),
            "lmtp": Peer(path=path, lmtp=True), "harsh": harsh or Peer(),
        }
        for peer in self.peers.values():
            peer.keeps_raw = True
        places = {kind: f"127.0.0.1:{peer.port}" for kind, peer in self.peers.items() if peer.path is None}
        more = ('module "deliver_smtp" { as = "out" }\n'
                'module "deliver_smtp" { as = "chunks", chunking = "offered" }\n'
                'module "deliver_lmtp" { as = "inside" }\n'
                'policy { "policy.lua", allow = { "dns" } }\n') + options.pop("more", "")
        settings = 'zone_file = "zone"\nretry_schedule = { "500ms" }\nsuspend_after = 1000\n' + options.pop("settings", "")
        zone = options.pop("zone", "nothing.test. 60 IN A 127.0.0.1\n")
        files = options.pop("files", {})
        self.gateway = Gateway(build, start=False, workers=1, more=more, settings=settings, **options)
        for name, text in files.items():
            self.gateway.write(name, text)
        self.gateway.write("zone", zone)
        self.gateway.write("policy.lua", POLICY.format(directory=self.temporary, more=policy, **places))
        self.gateway.start()

    def client(self, port, tls=False):
        return Client(self.gateway.ports[port], tls)

    # ---- what came of it ----

    def stored(self, user="alice"):
        """All messages of an account, as bytes."""
        client = imaplib.IMAP4("127.0.0.1", self.gateway.ports["imap"])
        try:
            client.login(user, "postern")
            found = []
            _, names = client.list()
            for line in names:
                if isinstance(line, tuple):
                    name = line[1]
                elif line:
                    name = re.fullmatch(rb'\([^)]*\) "/" ("(?:[^"\\]|\\.)*"|[^" ]+)', line).group(1).strip(b'"')
                    name = re.sub(rb"\\(.)", rb"\1", name)
                else:
                    continue  # what follows a literal
                quoted = re.sub(r'(["\\])', r"\\\1", name.decode())
                check(client.select(f'"{quoted}"', readonly=True)[0] == "OK", f"the mailbox {name!r} cannot be opened")
                _, parts = client.fetch("1:*", "(BODY.PEEK[])")
                found += [part[1] for part in parts if isinstance(part, tuple)]
            return found
        finally:
            client.logout()

    def relayed(self):
        """All messages that servers took."""
        return [message for peer in self.peers.values() for message in peer.messages]

    def wait_empty(self, seconds=SECONDS):
        """Until nothing waits in the queue that is not held."""
        import json
        import subprocess
        end = time.monotonic() + seconds
        rows = "?"
        while time.monotonic() < end:
            done = subprocess.run([os.path.join(self.gateway.build, "postern"), "queue", "list", "--json", "--config",
                                   self.gateway.config], capture_output=True, text=True, timeout=60, check=False)
            check(done.returncode == 0, done.stderr)
            rows = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
            if not rows:
                return
            time.sleep(0.1)
        raise Failure(f"it still waits: {rows[:3]}")

    def log(self):
        with open(self.gateway.log, "rb") as file:
            return file.read()

    def close(self):
        try:
            for peer in self.peers.values():
                peer.close()
            self.gateway.stop()
        finally:
            self.gateway.remove()
            shutil.rmtree(self.temporary, ignore_errors=True)


class Client:
    """Says bytes and reads replies."""

    def __init__(self, port, tls=False):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending = b""
        if tls:
            self.start_tls()

    def start_tls(self, name="localhost", shows=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if shows:
            context.load_cert_chain(*shows)
        self.socket = context.wrap_socket(self.socket, server_hostname=name)

    def send(self, *pieces):
        """Each piece goes out by itself: a segment, or a record of TLS. What the gateway does not read
        any more is not said."""
        try:
            for piece in pieces:
                self.socket.sendall(piece)
        except (ConnectionError, ssl.SSLError):
            pass

    def read(self):
        try:
            more = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError):
            more = b""
        self.pending += more
        return more

    def reply(self):
        """The next reply, all its lines; b"" where the gateway has closed."""
        taken = b""
        while True:
            while b"\n" not in self.pending:
                if not self.read():
                    return taken + self.pending
            line, self.pending = self.pending.split(b"\n", 1)
            taken += line + b"\n"
            check(re.fullmatch(rb"[2-5][0-9][0-9][ -][ -~]*\r", line) is not None or
                  re.fullmatch(rb"[2-5][0-9][0-9]\r", line) is not None, f"this is no line of a reply: {line!r}")
            if line[3:4] != b"-":
                return taken

    def ask(self, *pieces):
        self.send(*pieces)
        return self.reply()

    def expect(self, code, *pieces):
        """Says it; the reply must begin like that."""
        reply = self.ask(*pieces)
        check(reply.startswith(code), f"{pieces!r:.200} is answered {reply!r}")
        return reply

    def is_silent(self):
        """Nothing more was said up to now."""
        return not self.pending and not select.select([self.socket], [], [], 0)[0]

    def rest(self):
        """Everything up to the end of the connection."""
        while self.read():
            pass
        taken, self.pending = self.pending, b""
        return taken

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
