# SPDX-License-Identifier: Apache-2.0
"""The ledger: who sent what, what was acknowledged, and what is in the mailboxes at the end.

    ledger = Ledger()
    load = Load(gateway, ledger, seed)     # threads that send until load.stop()
    problems = check(gateway, ledger)      # read every mailbox over POP3 and compare

Every message carries an id of its own. At the end each acknowledged (message, recipient) must be in
that recipient's mailbox exactly once and byte for byte as it was sent; one that was sent whole and
never answered may be there once or not; one that was refused, or not sent to its end, must not be
there; and nothing may be there that nobody sent.
"""

import hashlib
import random
import re
import socket
import threading
import time

from gateway import DOMAIN, SHA512, PASSWORD

ACCOUNTS = [f"user{number}@{DOMAIN}" for number in range(1, 21)]
USERS = "".join(f"{account}:{SHA512}:\n" for account in ACCOUNTS)
MARK = b"X-Ledger-Id: "
TIMEOUT = 20
PREFIX = re.compile(rb"Return-Path: <([^>\r\n]*)>\r\n(?:Received: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)\Z")

# What became of one (message, recipient).
REFUSED, DOUBTFUL, ACKNOWLEDGED = "refused", "in doubt", "acknowledged"


class Lost(Exception):
    """The connection ended."""


def make_pool():
    """Lines of text to cut bodies from: some begin with dots, some are long, some are 8-bit."""
    generator = random.Random(1)
    lines = []
    size = 0
    while size < 4 << 20:
        line = bytes(generator.choices(b"abcdefghij klmnop.=\xc3\xa4", k=generator.randrange(0, 150)))
        if generator.randrange(20) == 0:
            line = b"." * generator.randrange(1, 4) + line
        lines.append(line + b"\r\n")
        size += len(line) + 2
    return b"".join(lines)


class Sent:
    """One message: its digest, and what became of it for each recipient."""

    __slots__ = ("digest", "size", "outcome")

    def __init__(self, text, recipients):
        self.digest = hashlib.sha256(text).digest()
        self.size = len(text)
        self.outcome = {recipient: REFUSED for recipient in recipients}


class Ledger:
    """All messages of a run by their ids."""

    def __init__(self):
        self.lock = threading.Lock()
        self.messages = {}
        self.acknowledged = 0
        self.refusals = {}
        self.checked = set()  # ids of rounds that were read and deleted: they must not come back

    def enter(self, identity, sent):
        """Writes a message down, before its first byte is sent."""
        with self.lock:
            self.messages[identity] = sent

    def refuse(self, reply):
        """Counts a refusal by its first word."""
        with self.lock:
            word = reply[:3].decode("ascii", "replace")
            self.refusals[word] = self.refusals.get(word, 0) + 1

    def settle(self, sent, recipients, outcome):
        """Writes down what became of a message."""
        with self.lock:
            for recipient in recipients:
                sent.outcome[recipient] = outcome
            if outcome == ACKNOWLEDGED:
                self.acknowledged += len(recipients)

    def close_round(self):
        """Forgets what was checked, but for the ids."""
        with self.lock:
            self.checked.update(self.messages)
            self.messages = {}


class Client:
    """One connection that speaks SMTP or LMTP, with little in the way."""

    def __init__(self, port, hello):
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise Lost(str(error)) from None
        self.pending = b""
        self.banner = self.reply()
        if not self.banner.startswith(b"220"):
            raise Lost(repr(self.banner))
        self.command(hello + b" ledger.test")

    def send(self, text):
        try:
            self.socket.sendall(text)
        except OSError as error:
            raise Lost(str(error)) from None

    def reply(self):
        """The last line of the next reply."""
        while True:
            end = self.pending.find(b"\r\n")
            if end >= 0:
                line, self.pending = self.pending[:end], self.pending[end + 2:]
                if line[3:4] != b"-":
                    return line
                continue
            try:
                more = self.socket.recv(65536)
            except OSError as error:
                raise Lost(str(error)) from None
            if not more:
                raise Lost("closed")
            self.pending += more

    def command(self, line):
        self.send(line + b"\r\n")
        return self.reply()

    def close(self):
        self.socket.close()


def dot_stuff(text):
    text = text.replace(b"\r\n.", b"\r\n..")
    return b"." + text if text.startswith(b".") else text


def transact(client, is_lmtp, sender, recipients, sent, ledger, text):
    """One transaction; the ledger says what is known at every step. Returns whether all was taken."""
    commands = [b"MAIL FROM:<%s>" % sender] + [b"RCPT TO:<%s>" % name.encode() for name in recipients]
    client.send(b"\r\n".join(commands + [b"DATA\r\n"]))
    replies = [client.reply() for _ in commands]
    taken = [name for name, reply in zip(recipients, replies[1:]) if reply.startswith(b"250")]
    go = client.reply()
    for reply in replies:
        if not reply.startswith(b"250"):
            ledger.refuse(reply)
    if not go.startswith(b"354"):
        ledger.refuse(go)
        client.command(b"RSET")
        return False
    client.send(dot_stuff(text))
    ledger.settle(sent, taken, DOUBTFUL)  # the end may arrive even where sending it fails
    client.send(b".\r\n")
    all_taken = len(taken) == len(recipients)
    for group in [[name] for name in taken] if is_lmtp else [taken]:
        reply = client.reply()
        if reply.startswith(b"250"):
            ledger.settle(sent, group, ACKNOWLEDGED)
        else:
            ledger.settle(sent, group, REFUSED)
            ledger.refuse(reply)
            all_taken = False
    return all_taken


class Load:
    """Threads that send, each with its own seed, over mx and LMTP, until they are stopped."""

    pool = None

    def __init__(self, ports, ledger, seed, senders=12, pause=0.02, largest=2 << 20, mostly=8192,
                 start=True):
        if Load.pool is None:
            Load.pool = make_pool()
        self.ports = ports
        self.ledger = ledger
        self.pause = pause
        self.largest = largest
        self.mostly = mostly
        self.ending = threading.Event()
        self.failures = []
        self.threads = [threading.Thread(target=self.work, args=(f"{seed}.{number}", number % 3 == 2),
                                         daemon=True) for number in range(senders)]
        if start:
            for thread in self.threads:
                thread.start()

    def make(self, generator, identity):
        """A message of a random size: most are small, one in twenty-five large."""
        size = generator.randrange(1024, self.mostly)
        if generator.randrange(5) == 0:
            size = generator.randrange(self.mostly, 16 * self.mostly)
        if generator.randrange(25) == 0:
            size = generator.randrange(1, self.largest + 1)
        begin = self.pool.index(b"\r\n", generator.randrange(len(self.pool) - self.largest - 4096)) + 2
        end = self.pool.index(b"\r\n", begin + min(size, self.largest)) + 2
        return (MARK + identity + b"\r\nFrom: <%s@sender.test>\r\nTo: somebody@example.test\r\n"
                b"Subject: ledger %s\r\n\r\n" % (identity, identity) + self.pool[begin:end])

    def work(self, seed, is_lmtp):
        """One sender."""
        generator = random.Random(seed)
        try:
            while not self.ending.is_set():
                client = None
                try:
                    client = Client(self.ports["lmtp" if is_lmtp else "mx"],
                                    b"LHLO" if is_lmtp else b"EHLO")
                    for _ in range(generator.randrange(1, 8)):
                        self.send_one(client, is_lmtp, generator)
                        if self.ending.wait(generator.random() * 2 * self.pause):
                            break
                    client.command(b"QUIT")
                except Lost:
                    self.ending.wait(0.02)
                finally:
                    if client is not None:
                        client.close()
        except Exception as error:  # a mistake of the test itself must not pass for success
            self.failures.append(repr(error))
            raise

    def send_one(self, client, is_lmtp, generator):
        identity = b"%032x" % generator.getrandbits(128)
        recipients = generator.sample(ACCOUNTS, generator.choice((1, 1, 1, 2, 3, 5, 10)))
        text = self.make(generator, identity)
        sent = Sent(text, recipients)
        self.ledger.enter(identity, sent)
        transact(client, is_lmtp, identity + b"@sender.test", recipients, sent, self.ledger, text)

    def stop(self):
        """Lets every sender end what it does."""
        self.ending.set()
        for thread in self.threads:
            thread.join(TIMEOUT + 5)
            if thread.is_alive():
                self.failures.append("a sender hangs")


class Mailbox:
    """A POP3 connection that fetches everything."""

    def __init__(self, port, account):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self.pending = bytearray()
        self.account = account
        self.line()
        self.socket.sendall(b"USER %s\r\nPASS %s\r\nSTAT\r\n" % (account.encode(), PASSWORD.encode()))
        answers = [self.line() for _ in range(3)]
        if not all(answer.startswith(b"+OK") for answer in answers):
            raise Lost(f"{account}: {answers}")
        self.count = int(answers[2].split()[1])

    def more(self):
        try:
            piece = self.socket.recv(262144)
        except OSError as error:
            raise Lost(f"{self.account}: {error}") from None
        if not piece:
            raise Lost(f"{self.account}: closed while reading")
        self.pending += piece

    def until(self, mark):
        """Takes what stands before the mark, with the mark."""
        start = 0
        while True:
            end = self.pending.find(mark, start)
            if end >= 0:
                end += len(mark)
                taken = bytes(self.pending[:end])
                del self.pending[:end]
                return taken
            start = max(0, len(self.pending) - len(mark))
            self.more()

    def line(self):
        return self.until(b"\r\n")

    def messages(self):
        """All messages as they are stored; None for one that cannot be read."""
        asked = 0
        for number in range(1, self.count + 1):
            if number > asked:
                asked = min(self.count, number + 20)
                self.socket.sendall(b"".join(b"RETR %d\r\n" % n for n in range(number, asked + 1)))
            answer = self.line()
            if not answer.startswith(b"+OK"):
                yield None
                continue
            yield self.until(b"\r\n.\r\n")[:-3].replace(b"\r\n..", b"\r\n.")

    def end(self, delete):
        """QUIT, and everything deleted where asked."""
        if delete and self.count:
            self.socket.sendall(b"".join(b"DELE %d\r\n" % n for n in range(1, self.count + 1)))
            for _ in range(self.count):
                self.line()
        self.socket.sendall(b"QUIT\r\n")
        answer = self.line()
        self.socket.close()
        if delete and not answer.startswith(b"+OK"):
            raise Lost(f"{self.account}: QUIT: {answer!r}")


class Report:
    """What a check found."""

    def __init__(self):
        self.lost, self.doubled, self.altered, self.invented = [], [], [], []
        self.read = 0
        self.unreadable = []
        self.doubtful = 0

    def problems(self):
        """Sentences, one for each kind that occurred."""
        found = []
        for name in ("lost", "doubled", "altered", "invented", "unreadable"):
            items = getattr(self, name)
            if items:
                found.append(f"{len(items)} {name}, the first: {items[0]}")
        return found

    def __str__(self):
        return (f"{self.read} read, {len(self.lost)} lost, {len(self.doubled)} doubled, "
                f"{len(self.altered)} altered, {len(self.invented)} invented, "
                f"{len(self.unreadable)} unreadable, {self.doubtful} unanswered ones stored")


def judge_stored(text, account, ledger, seen, report):
    """One message out of a mailbox."""
    if text is None:
        report.unreadable.append(f"one of {account}")
        return
    report.read += 1
    begin = text.find(MARK)
    identity = text[begin + len(MARK):begin + len(MARK) + 32] if begin >= 0 else b""
    where = f"{identity.decode('ascii', 'replace')} for {account}"
    sent = ledger.messages.get(identity)
    if identity in ledger.checked:
        report.doubled.append(where + " (came back after it was deleted)")
        return
    if sent is None or account not in sent.outcome:
        report.invented.append(f"{where}: {text[:200]!r} ({len(text)} bytes)")
        return
    if seen.get((identity, account)):
        report.doubled.append(where)
        return
    seen[(identity, account)] = True
    prefix = PREFIX.match(text[:begin])
    if (prefix is None or prefix.group(1) != identity + b"@sender.test" or
            hashlib.sha256(text[begin:]).digest() != sent.digest):
        report.altered.append(f"{where}: {len(text) - begin} bytes of {sent.size}")
    elif sent.outcome[account] == REFUSED:
        report.invented.append(where + " (was refused or never sent to its end)")
    elif sent.outcome[account] == DOUBTFUL:
        report.doubtful += 1


def check(ports, ledger, delete=False):
    """Reads every mailbox and compares it with the ledger."""
    report = Report()
    seen = {}
    for account in ACCOUNTS:
        mailbox = Mailbox(ports["pop3"], account)
        for text in mailbox.messages():
            judge_stored(text, account, ledger, seen, report)
        mailbox.end(delete)
    for identity, sent in ledger.messages.items():
        for account, outcome in sent.outcome.items():
            if outcome == ACKNOWLEDGED and (identity, account) not in seen:
                report.lost.append(f"{identity.decode()} for {account}")
    return report


def wait_until_accepting(ports, ledger, generator, limit=30.0):
    """Seconds until a message is taken; it goes into the ledger like any other."""
    begin = time.monotonic()
    while time.monotonic() - begin < limit:
        client = None
        try:
            client = Client(ports["mx"], b"EHLO")
            identity = b"%032x" % generator.getrandbits(128)
            recipients = generator.sample(ACCOUNTS, 1)
            text = MARK + identity + b"\r\n\r\nAre you there?\r\n"
            sent = Sent(text, recipients)
            ledger.enter(identity, sent)
            if transact(client, False, identity + b"@sender.test", recipients, sent, ledger, text):
                return time.monotonic() - begin
        except Lost:
            pass
        finally:
            if client is not None:
                client.close()
        time.sleep(0.01)
    return float("inf")


class Results:
    """Prints `ok NAME` and `not ok NAME`, and keeps the count."""

    def __init__(self):
        self.failed = 0
        self.passed = 0

    def tell(self, name, problems=()):
        """One result; `problems` are sentences, none of which is good."""
        if problems:
            self.failed += 1
            print(f"not ok {name}", flush=True)
            for problem in problems:
                print(f"# {problem}", flush=True)
        else:
            self.passed += 1
            print(f"ok {name}", flush=True)

    def end(self, directory=None):
        """The exit status."""
        if self.failed and directory:
            print(f"# the directory of the failed run: {directory}", flush=True)
        print(f"# {self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0
