#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Large mailboxes, messages and accounts over IMAP: everything right, memory flat, others served."""

import argparse
import hashlib
import os
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from gateway import DOMAIN, PASSWORD, SHA512, Gateway  # noqa: E402

failed = 0


def check(name, good, said=""):
    """One line of the result."""
    global failed
    failed += not good
    print(f"{'ok' if good else 'not ok'} large: {name}{'' if good else ': ' + str(said)}", flush=True)


class Client:
    """A client that counts what it hears."""

    def __init__(self, port, user):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=600)
        self.file = self.socket.makefile("rb", 1 << 20)
        self.file.readline()
        self.count = 0
        self.command(f"LOGIN {user}@{DOMAIN} {PASSWORD}")

    def send(self, data):
        self.socket.sendall(data)

    def command(self, text, each=None, expect=b"OK"):
        """Sends a command; calls each(line) for every untagged line; returns the tagged one."""
        self.count += 1
        tag = b"t%d" % self.count
        self.send(tag + b" " + (text.encode() if isinstance(text, str) else text) + b"\r\n")
        return self.finish(tag, each, expect)

    def finish(self, tag, each=None, expect=b"OK"):
        while True:
            line = self.file.readline()
            if not line:
                raise EOFError("the gateway closed the connection")
            if line.startswith(tag + b" "):
                if not line.startswith(tag + b" " + expect):
                    raise ValueError(f"answered {line!r}")
                return line
            if each is not None:
                each(line)


def workers_of(pid):
    """The processes of the gateway."""
    found = [pid]
    for parent in found:
        for task in os.listdir(f"/proc/{parent}/task"):
            with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as children:
                found += [int(child) for child in children.read().split()]
    return found


def private_megabytes(pid):
    """Memory that belongs to the gateway alone: not the pages of the index, which are the kernel's."""
    total = 0
    for each in workers_of(pid):
        with open(f"/proc/{each}/smaps_rollup", encoding="ascii") as rollup:
            for line in rollup:
                if line.startswith(("Private_Dirty:", "Anonymous:")):
                    total = total + (int(line.split()[1]) if line.startswith("Anonymous:") else 0)
    return total / 1024


class Watch:
    """Takes the highest memory while something runs."""

    def __init__(self, pid):
        self.pid = pid
        self.before = private_megabytes(pid)
        self.highest = self.before
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.over.wait(0.05):
            self.highest = max(self.highest, private_megabytes(self.pid))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.highest = max(self.highest, private_megabytes(self.pid))

    def growth(self):
        return self.highest - self.before


class Neighbour(threading.Thread):
    """Another account that goes on with small commands, and notes how long each took."""

    def __init__(self, port, user):
        super().__init__()
        self.client = Client(port, user)
        self.client.command("SELECT INBOX")
        self.over = threading.Event()
        self.waits = []
        self.trouble = None

    def run(self):
        message = b"From: a@example.test\r\nSubject: small\r\n\r\nsmall\r\n"
        try:
            while not self.over.is_set():
                for text in (b"APPEND INBOX {%d+}\r\n%b" % (len(message), message), b"NOOP",
                             b"STORE 1 +FLAGS (\\Seen)", b"STORE 1 -FLAGS (\\Seen)",
                             b"FETCH 1 (FLAGS BODY.PEEK[])"):
                    began = time.monotonic()
                    self.client.command(text)
                    self.waits.append(time.monotonic() - began)
                self.over.wait(0.005)
        except (EOFError, ValueError, OSError) as trouble:
            self.trouble = trouble

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def said(self):
        waits = sorted(self.waits) or [0]
        return (f"{len(waits)} small commands meanwhile, "
                f"99 % within {waits[len(waits) * 99 // 100] * 1000:.1f} ms, "
                f"the slowest {waits[-1] * 1000:.1f} ms")


def large_mailbox(gateway, messages):
    """Commands about all messages of a mailbox."""
    port, pid = gateway.ports["imap"], gateway.process.pid
    client = Client(port, "large")
    text = b"From: a@example.test\r\nTo: b@example.test\r\nSubject: one of many\r\n\r\nbody\r\n"
    for _ in range(min(messages, 500)):
        client.command(b"APPEND INBOX {%d+}\r\n%b" % (len(text), text))
    client.command("SELECT INBOX")
    count = min(messages, 500)
    while count < messages:
        more = min(count, messages - count)
        client.command(f"COPY 1:{more} INBOX")
        count += more
    client.command("CLOSE")
    limit = 24 + messages * 16 / 1e6
    with Neighbour(port, "neighbour") as neighbour, Watch(pid) as watch:
        heard = []
        began = time.monotonic()
        client.command("SELECT INBOX", lambda line: heard.append(line))
        print(f"# SELECT: {(time.monotonic() - began) * 1000:.1f} ms")
        check("select_tells_how_many_there_are", b"* %d EXISTS\r\n" % messages in heard, heard)
        steps = (
            ("UID FETCH 1:* (FLAGS)", messages, rb"\* (\d+) FETCH \(UID \1 FLAGS \("),
            ("FETCH 1:* (UID RFC822.SIZE INTERNALDATE)", messages, rb"\* (\d+) FETCH \(UID \1 "),
            ("STORE 1:* +FLAGS (\\Flagged)", messages, rb"\* \d+ FETCH \(FLAGS \(\\Flagged"),
            ("STORE 1:* -FLAGS.SILENT (\\Flagged)", 0, rb"x"),
            ("UID SEARCH UNFLAGGED", 1, rb"\* SEARCH 1 2 3 .* %d\r\n" % messages),
            ("UID SEARCH RETURN (COUNT) SUBJECT many", 1, rb"\* ESEARCH .* COUNT %d\r\n" % messages),
            ("FETCH 1:* ENVELOPE", messages, rb'\* \d+ FETCH \(ENVELOPE \(NIL "one of many" '),
        )
        for command, expected, pattern in steps:
            lines, wrong = [0], []
            shape = re.compile(pattern)

            def each(line, lines=lines, wrong=wrong, shape=shape):
                lines[0] += 1
                if not shape.match(line) and not wrong:
                    wrong.append(line[:200])

            began = time.monotonic()
            client.command(command, each)
            print(f"# {command}: {(time.monotonic() - began) * 1000:.0f} ms")
            check(f"{command.split(' ')[0].lower()}_of_all_tells_each_once: {command}",
                  lines[0] == expected and not wrong, (lines[0], wrong))
        gone = []
        client.command("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        began = time.monotonic()
        client.command("EXPUNGE", gone.append)
        print(f"# EXPUNGE: {(time.monotonic() - began) * 1000:.0f} ms")
        check("expunge_of_all_tells_each_once", len(gone) == messages and gone[-1] == b"* 1 EXPUNGE\r\n",
              (len(gone), gone[-1:]))
    check("others_are_served_meanwhile", neighbour.trouble is None and len(neighbour.waits) > 20,
          neighbour.trouble)
    print(f"# {neighbour.said()}")
    check(f"memory_stays_flat_with_{messages}_messages", watch.growth() < limit,
          f"grew by {watch.growth():.1f} MB, at most {limit:.1f} are fine")
    print(f"# memory grew by {watch.growth():.1f} MB")


def large_message(gateway, megabytes):
    """A message that is larger than what a session may hold."""
    port, pid = gateway.ports["imap"], gateway.process.pid
    client = Client(port, "large")
    client.command("CREATE big")
    head = (b"From: a@example.test\r\nSubject: big\r\nMIME-Version: 1.0\r\n"
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst needle-in-front\r\n--b\r\n"
            b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
    tail = b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nlast needle-behind\r\n--b--\r\n"
    line = b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\r\n"
    block = line * 13000
    blocks = megabytes * 1000000 // len(block) + 1
    size = len(head) + blocks * len(block) + len(tail)
    sent = hashlib.sha256(head)
    with Watch(pid) as watch:
        client.send(b"a APPEND big {%d}\r\n" % size)
        check("a_large_message_is_asked_for", client.file.readline().startswith(b"+ "))
        client.send(head)
        for _ in range(blocks):
            client.send(block)
            sent.update(block)
        client.send(tail + b"\r\n")
        sent.update(tail)
        client.finish(b"a")
        client.command("SELECT big")
        client.send(b"b FETCH 1 (RFC822.SIZE BODY.PEEK[])\r\n")
        opening = client.file.readline()
        check("a_large_message_has_its_size",
              opening == b"* 1 FETCH (RFC822.SIZE %d BODY[] {%d}\r\n" % (size, size), opening)
        got, left = hashlib.sha256(), size
        while left:
            piece = client.file.read(min(left, 1 << 20))
            got.update(piece)
            left -= len(piece)
        client.file.readline()
        client.finish(b"b")
        check("a_large_message_comes_back_as_it_went", got.digest() == sent.digest())
        heard = []
        client.command("FETCH 1 (BODYSTRUCTURE BODY.PEEK[3] BODY.PEEK[2]<1000000.20>)",
                       heard.append)
        said = b"".join(heard)
        check("parts_of_a_large_message_are_found",
              b"last needle-behind" in said and b'"base64" %d ' % (blocks * len(block)) in said
              and b"BODY[2]<1000000> {20}\r\n" in said, said[:400])
        for text, found in (("needle-in-front", b"* SEARCH 1\r\n"), ("needle-behind", b"* SEARCH 1\r\n"),
                            ("needle-nowhere", b"* SEARCH\r\n")):
            heard = []
            client.command(f"SEARCH TEXT {text}", heard.append)
            check(f"a_large_message_is_searched: {text}", heard == [found], heard)
    check(f"memory_stays_flat_with_{megabytes}_MB", watch.growth() < 40,
          f"grew by {watch.growth():.1f} MB")
    print(f"# memory grew by {watch.growth():.1f} MB for a message of {megabytes} MB")


def many_mailboxes(gateway, mailboxes):
    """An account of very many mailboxes."""
    client = Client(gateway.ports["imap"], "collector")
    for first in range(0, mailboxes, 500):
        numbers = range(first, min(first + 500, mailboxes))
        client.send(b"".join(b"c%d CREATE folder%d/box%d\r\n" % (n, n % 100, n) for n in numbers))
        for number in numbers:
            client.finish(b"c%d" % number)
    names = set()
    began = time.monotonic()
    client.command('LIST "" *', names.add)
    print(f"# LIST of {len(names)}: {(time.monotonic() - began) * 1000:.0f} ms")
    wanted = mailboxes + min(mailboxes, 100) + 1
    check("list_tells_every_mailbox", len(names) == wanted, (len(names), wanted))
    told = []
    client.command('LIST "" * RETURN (STATUS (MESSAGES UIDNEXT))', told.append)
    check("list_status_tells_every_mailbox", len(told) == 2 * wanted, (len(told), wanted))
    last = f"folder{(mailboxes - 1) % 100}/box{mailboxes - 1}"
    began = time.monotonic()
    client.command(f"SELECT {last}")
    client.command(f"STATUS {last} (MESSAGES)")
    print(f"# SELECT and STATUS of one: {(time.monotonic() - began) * 1000:.1f} ms")
    client.command(f"RENAME {last} elsewhere")
    client.command("DELETE elsewhere")
    check("one_of_many_mailboxes_is_worked_with", True)


def main():
    """Reads the arguments and runs the three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--messages", type=int, default=60000)
    parser.add_argument("--mailboxes", type=int, default=2000)
    parser.add_argument("--megabytes", type=int, default=60)
    arguments = parser.parse_args()
    users = "".join(f"{name}@{DOMAIN}:{SHA512}:\n" for name in ("large", "neighbour", "collector"))
    store = 'module "store_local" { as = "local", map_size = "16G" }'
    with Gateway(os.path.abspath(arguments.build), users=users, store=store) as gateway:
        large_mailbox(gateway, arguments.messages)
        large_message(gateway, arguments.megabytes)
        many_mailboxes(gateway, arguments.mailboxes)
    sys.exit(1 if failed else 0)


main()
