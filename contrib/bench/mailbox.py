#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reading and changing a mailbox over IMAP and POP3, beside Dovecot on the same machine.

    mailbox.py [--build DIR] [--messages 10000] [--rounds 5] [--appends 300] [--json FILE]

Both get the same messages; each command is given to both in turns, in a new session, and medians of
its time are compared. Dovecot keeps them as a Maildir and has its indexes from a first look at
everything. Without Dovecot or root only the gateway is measured.
"""

import argparse
import json
import os
import pwd
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from bench import Postern, free_port, tree

HERE = os.path.dirname(os.path.abspath(__file__))
USER = "user1@example.test"
PASSWORD = "postern"
WORDS = ("alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november "
         "oscar papa quebec romeo sierra tango uniform victor whiskey yankee zulu").split()
DOVECOT = """
base_dir = {directory}/run
state_dir = {directory}/run
log_path = {directory}/log
listen = 127.0.0.1
protocols = imap pop3
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
mail_location = maildir:{directory}/mail
mail_fsync = optimized
first_valid_uid = 1
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={directory}/mail allow_all_users=yes
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  service_count = 0
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  service_count = 0
}}
"""
COMMANDS = (
    ("SELECT", None),
    ("FETCH FLAGS", "FETCH 1:* (UID FLAGS)"),
    ("FETCH ENVELOPE", "FETCH 1:* ENVELOPE"),
    ("STORE all", "STORE 1:* +FLAGS.SILENT (\\Flagged)"),
    ("UNSTORE all", "STORE 1:* -FLAGS.SILENT (\\Flagged)"),
    ("SEARCH SUBJECT", 'SEARCH SUBJECT "message 77"'),
    ("SEARCH TEXT", "SEARCH TEXT zzzzz"),
)


def message(number):
    """One of the messages; the same for both."""
    generator = random.Random(number)
    text = "\r\n".join(" ".join(generator.choices(WORDS, k=12)) for _ in range(24))
    return (f"From: Sender {number} <sender{number % 97}@example.org>\r\nTo: {USER}\r\n"
            f"Subject: message {number} about {generator.choice(WORDS)}\r\n"
            f"Date: Sat, 21 Nov 2026 10:{number // 60 % 60:02}:{number % 60:02} +0000\r\n"
            f"Message-ID: <{number}@example.org>\r\nMIME-Version: 1.0\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n").encode()


class Line:
    """A connection that reads to the end of an answer without looking at it much."""

    def __init__(self, port, greeting):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=300)
        self.rest = b""
        while not self.rest.startswith(greeting) or not self.rest.endswith(b"\r\n"):
            self.rest += self.socket.recv(65536)
        self.buffer = bytearray(1 << 20)

    def until(self, ends):
        """Reads until what has come ends like that; returns the last of it."""
        view = memoryview(self.buffer)
        last = b""
        while True:
            size = self.socket.recv_into(view)
            if size == 0:
                raise EOFError(f"closed after {last!r}")
            last = (last + bytes(view[max(0, size - 4000):size]))[-8000:]
            if ends(last):
                return last

    def imap(self, text):
        """A command; the time it took in seconds."""
        def is_end(last):
            line = last[last.rfind(b"\r\n", 0, -2) + 2:] if last.count(b"\r\n") > 1 else last
            return last.endswith(b"\r\n") and line.startswith(b"t ")
        began = time.perf_counter()
        self.socket.sendall(b"t " + text.encode() + b"\r\n")
        last = self.until(is_end)
        took = time.perf_counter() - began
        if b"t OK" not in last:
            raise ValueError(f"{text}: {last!r}")
        return took

    def pop(self, text, is_long=False):
        """The same for POP3."""
        began = time.perf_counter()
        self.socket.sendall(text.encode() + b"\r\n")
        last = self.until(lambda last: last.endswith(b"\r\n.\r\n" if is_long else b"\r\n"))
        if b"-ERR" in last:
            raise ValueError(f"{text}: {last!r}")
        return time.perf_counter() - began


class Target:
    """What both can be asked."""

    def session(self):
        line = Line(self.imap, b"* OK")
        line.imap(f"LOGIN {USER} {PASSWORD}")
        return line

    def measure_command(self, command):
        line = self.session()
        selecting = line.imap("SELECT INBOX")
        took = selecting if command is None else line.imap(command)
        line.socket.close()
        return took

    def measure_pop(self):
        line = Line(self.pop3, b"+OK")
        line.pop(f"USER {USER}")
        line.pop(f"PASS {PASSWORD}")
        took = {"POP3 STAT": line.pop("STAT"), "POP3 UIDL": line.pop("UIDL", True)}
        line.pop("QUIT")
        return took

    def measure_append(self, count):
        """One message after the other, each answered before the next; seconds for each."""
        line = self.session()
        line.imap(f"CREATE box{time.monotonic_ns()}")
        text = message(count)
        began = time.perf_counter()
        for _ in range(count):
            line.socket.sendall(b"t APPEND Drafts {%d}\r\n" % len(text))
            line.until(lambda last: last.startswith(b"+") and last.endswith(b"\r\n"))
            line.socket.sendall(text + b"\r\n")
            last = line.until(lambda last: last.endswith(b"\r\n"))
            if b"t OK" not in last:
                raise ValueError(last)
        took = (time.perf_counter() - began) / count
        line.socket.close()
        return took


class Gateway(Postern, Target):
    """The gateway of the quickstart."""

    def start(self):
        super().start()
        self.imap = 2143 + self.offset
        self.pop3 = 2110 + self.offset

    def fill(self, messages):
        line = self.session()
        for number in range(messages):
            text = message(number)
            line.socket.sendall(b"t APPEND INBOX {%d+}\r\n" % len(text) + text + b"\r\n")
            line.until(lambda last: last.endswith(b"\r\n"))
        line.imap("CREATE Drafts")
        line.socket.close()


class Dovecot(Target):
    """Dovecot with a configuration of its own."""

    name = "dovecot"

    def __init__(self, directory):
        self.directory = os.path.join(directory, "dovecot")
        self.imap, self.pop3 = free_port(), free_port()
        os.makedirs(f"{self.directory}/run")
        os.makedirs(f"{self.directory}/mail")
        self.owner = pwd.getpwnam("mail")
        with open(f"{self.directory}/dovecot.conf", "w", encoding="ascii") as file:
            file.write(DOVECOT.format(directory=self.directory, password=PASSWORD, imap=self.imap,
                                      pop3=self.pop3, user=self.owner.pw_uid,
                                      group=self.owner.pw_gid))
        os.chmod(directory, 0o755)

    def start(self):
        with open(f"{self.directory}/errors", "ab") as log:
            self.process = subprocess.Popen(
                ["/usr/sbin/dovecot", "-F", "-c", f"{self.directory}/dovecot.conf"], stdout=log,
                stderr=log, start_new_session=True)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                Line(self.imap, b"* OK").socket.close()
                return
            except OSError:
                time.sleep(0.05)
        with open(f"{self.directory}/errors", encoding="utf-8", errors="replace") as log:
            raise SystemExit("Dovecot does not answer:\n" + log.read()[-1000:])

    def stop(self):
        pids = tree(self.process.pid)
        self.process.terminate()
        self.process.wait(30)
        for pid in pids[1:]:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass

    def fill(self, messages):
        for name in ("cur", "new", "tmp"):
            os.makedirs(f"{self.directory}/mail/{name}", exist_ok=True)
        for number in range(messages):
            text = message(number)
            path = (f"{self.directory}/mail/cur/{1700000000 + number}.M{number}P1.bench"
                    f",S={len(text)},W={len(text)}:2,")
            with open(path, "wb") as file:
                file.write(text)
        subprocess.run(["chown", "-R", f"{self.owner.pw_uid}:{self.owner.pw_gid}",
                        f"{self.directory}/mail"], check=True)
        line = self.session()
        line.imap("CREATE Drafts")
        line.imap("SELECT INBOX")
        for command in ("FETCH 1:* (FLAGS RFC822.SIZE ENVELOPE)", 'SEARCH SUBJECT "x"'):
            line.imap(command)
        line.socket.close()


def report(rows, targets, arguments):
    """A table of medians, in milliseconds, and how many times faster the gateway was."""
    base = targets[-1].name
    print(f"{'':16}" + "".join(f"{target.name:>14}" for target in targets) + f"{'times':>8}")
    for row, times in rows.items():
        medians = [statistics.median(times[target.name]) * 1000 for target in targets]
        ratio = f"{medians[-1] / medians[0]:8.1f}" if len(targets) > 1 else ""
        print(f"{row:16}" + "".join(f"{value:11.3f} ms" for value in medians) + ratio)
    if arguments.json:
        with open(arguments.json, "a", encoding="ascii") as file:
            for row, times in rows.items():
                file.write(json.dumps({"row": row, "messages": arguments.messages, "base": base,
                                       "seconds": times}) + "\n")


def main():
    """Fills both, asks both in turns, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "gcc"))
    parser.add_argument("--messages", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--appends", type=int, default=300)
    parser.add_argument("--directory", help="where both keep their mail; on a disk")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that both are stopped then, too
    directory = tempfile.mkdtemp(prefix="postern-mailbox-", dir=arguments.directory)
    targets = [Gateway(os.path.abspath(arguments.build), directory)]
    needed = [path for path in ("/usr/sbin/dovecot", "/usr/lib/dovecot/imap", "/usr/lib/dovecot/pop3")
              if not os.path.exists(path)]
    if not needed and os.geteuid() == 0:
        targets.append(Dovecot(directory))
    else:
        print("# " + (f"{needed[0]} is not there (dovecot-imapd, dovecot-pop3d)" if needed else "not root") +
              ": only the gateway is measured", file=sys.stderr)
    rows = {}
    started = []
    try:
        for target in targets:
            target.start()
            started.append(target)
            target.fill(arguments.messages)
        for _ in range(arguments.rounds):
            for name, command in COMMANDS:
                for target in targets:
                    rows.setdefault(name, {}).setdefault(target.name, []).append(
                        target.measure_command(command))
            for target in targets:
                rows.setdefault("APPEND", {}).setdefault(target.name, []).append(
                    target.measure_append(arguments.appends))
                for name, took in target.measure_pop().items():
                    rows.setdefault(name, {}).setdefault(target.name, []).append(took)
        report(rows, targets, arguments)
    finally:
        for target in started:
            target.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
