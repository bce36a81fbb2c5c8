# SPDX-License-Identifier: Apache-2.0
"""IMAP clients for the load, and the ledger of what they were answered.

    desk = Desk()
    load = DeskLoad(gateway.ports, desk, seed)           # clients that work until load.stop()
    report = imap_check.check(gateway.ports, desk)       # reads every mailbox and compares

Two clients work in each account, in the same mailboxes, each on messages of its own: it appends, sets
and takes flags and keywords, copies, moves and expunges. What a message may look like is therefore
known at every moment: before a command is sent both what is and what shall be are possible, after OK
only the new, after NO only the old. Where a connection ends meanwhile both stay possible, but for all
messages of the command alike: a command happens whole or not at all.
"""

import hashlib
import random
import re
import socket
import threading

from gateway import DOMAIN, SHA512, PASSWORD
from ledger import Lost, TIMEOUT

ACCOUNTS = [f"desk{number}@{DOMAIN}" for number in range(1, 4)]
USERS = "".join(f"{account}:{SHA512}:\n" for account in ACCOUNTS)
MAILBOXES = ("INBOX", "Archive")
CLIENTS_PER_ACCOUNT = 2
MOST_MESSAGES = 30   # of a client; then it expunges more than it appends
MOST_PLACES = 3      # copies of one message
LARGE = 400 << 10    # above what is held in memory while it comes
MARK = b"X-Desk-Id: "
FLAGS = ("\\Seen", "\\Answered", "\\Flagged", "\\Draft")
LITERAL = re.compile(rb"\{(\d+)\}\Z")
CODE = re.compile(rb"\[(APPENDUID|COPYUID) (\d+) ([\d:,]+)(?: ([\d:,]+))?\]")
NUMBER = {name: re.compile(rb"\[" + name.encode() + rb" (\d+)\]")
          for name in ("UIDVALIDITY", "UIDNEXT", "HIGHESTMODSEQ")}


class NotNow(Lost):
    """The login was refused for now."""


class Connection:
    """An IMAP connection that is logged in."""

    def __init__(self, port, account):
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise Lost(str(error)) from None
        self.pending = bytearray()
        self.number = 0
        if not self.line().startswith(b"* OK"):
            raise Lost("no greeting")
        answer, _ = self.run(b"LOGIN %s %s" % (account.encode(), PASSWORD.encode()))
        if not answer.startswith(b"OK"):
            self.socket.close()
            raise NotNow(answer)

    def more(self):
        try:
            piece = self.socket.recv(262144)
        except OSError as error:
            raise Lost(str(error)) from None
        if not piece:
            raise Lost("closed")
        self.pending += piece

    def take(self, size):
        while len(self.pending) < size:
            self.more()
        taken = bytes(self.pending[:size])
        del self.pending[:size]
        return taken

    def line(self):
        """A line with its literals."""
        whole = b""
        start = 0
        while True:
            end = self.pending.find(b"\r\n", start)
            if end < 0:
                start = max(0, len(self.pending) - 1)
                self.more()
                continue
            text = self.take(end + 2)[:-2]
            start = 0
            whole += text
            literal = LITERAL.search(text)
            if literal is None:
                return whole
            whole += b"\r\n" + self.take(int(literal.group(1)))

    def run(self, command):
        """The tagged answer without its tag, and the untagged lines before it."""
        self.number += 1
        tag = b"t%d " % self.number
        try:
            self.socket.sendall(tag + command + b"\r\n")
        except OSError as error:
            raise Lost(str(error)) from None
        untagged = []
        while True:
            line = self.line()
            if line.startswith(tag):
                return line[len(tag):], untagged
            if line.startswith(b"* BYE"):
                raise Lost(repr(line))
            untagged.append(line)

    def close(self):
        self.socket.close()


class Message:
    """One message. A state is a tuple of places, and a place is (mailbox, UID, flags), the UID None
    where no answer told it. What is true is one of `states`."""

    __slots__ = ("identity", "digest", "states")

    def __init__(self, identity, digest):
        self.identity = identity
        self.digest = digest
        self.states = [()]

    def is_settled(self):
        return len(self.states) == 1 and all(place[1] for place in self.states[0])


class Desk:
    """All messages of a run, and what is known of the mailboxes."""

    def __init__(self):
        self.lock = threading.Lock()
        self.messages = {}   # by identity
        self.numbers = {}    # of (account, mailbox): UIDVALIDITY, UIDNEXT, HIGHESTMODSEQ at least
        self.doubts = []     # commands without an answer: {message: (before, after)}
        self.acknowledged = 0
        self.counts = {}
        self.refusals = {}
        self.endings = 0     # connections that ended in the middle
        self.problems = []
        self.no_may_happen = False  # a NO leaves open what happened

    def count(self, word):
        with self.lock:
            self.acknowledged += 1
            self.counts[word] = self.counts.get(word, 0) + 1

    def refuse(self, answer):
        words = answer.split(b"]")[0].replace(b"[", b"").decode("ascii", "replace")
        with self.lock:
            self.refusals[words] = self.refusals.get(words, 0) + 1

    def complain(self, text):
        with self.lock:
            self.problems.append(text)

    def known(self, where):
        with self.lock:
            return dict(self.numbers.get(where, {}))

    def learn(self, where, numbers, known):
        """Compares what is said now with what was known before the question."""
        if known.get("UIDVALIDITY", numbers["UIDVALIDITY"]) != numbers["UIDVALIDITY"]:
            self.complain(f"{where}: UIDVALIDITY was {known} and is {numbers}")
        for name, value in numbers.items():
            if value < known.get(name, 0):
                self.complain(f"{where}: {name} was {known[name]} and is {value}")
        with self.lock:
            mine = self.numbers.setdefault(where, {})
            for name, value in numbers.items():
                mine[name] = max(value, mine.get(name, 0))


def numbers_of(lines):
    """UIDVALIDITY, UIDNEXT and HIGHESTMODSEQ as SELECT says them."""
    found = {}
    for line in lines:
        for name, pattern in NUMBER.items():
            match = pattern.search(line)
            if match:
                found[name] = int(match.group(1))
    return found


def expand(text):
    """The UIDs of a set."""
    uids = []
    for part in text.split(b","):
        first, _, last = part.partition(b":")
        uids += range(int(first), int(last or first) + 1)
    return uids


def set_of(uids):
    return b",".join(b"%d" % uid for uid in sorted(uids))


class Client:
    """One client: its own messages of an account."""

    def __init__(self, ports, desk, account, number, seed, pause):
        self.port = ports["imap"]
        self.desk = desk
        self.account = account
        self.generator = random.Random(seed)
        self.pause = pause
        self.keywords = [f"c{number}k{index}" for index in range(4)]
        self.prefix = f"{account.split('@', maxsplit=1)[0]}-{number}-"
        self.connection = None
        self.selected = None

    def mine(self):
        """Messages whose state is known; the others rest until they were looked at."""
        with self.desk.lock:
            return [message for identity, message in self.desk.messages.items()
                    if identity.startswith(self.prefix) and message.is_settled()]

    def connect(self):
        self.connection = Connection(self.port, self.account)
        self.selected = None
        self.connection.run(b"CREATE Archive")
        self.select(self.generator.choice(MAILBOXES))

    def select(self, mailbox):
        where = (self.account, mailbox)
        known = self.desk.known(where)
        self.selected = None
        answer, lines = self.connection.run(b"SELECT " + mailbox.encode())
        if answer.startswith(b"OK"):
            self.selected = mailbox
            self.desk.learn(where, numbers_of(lines), known)
        else:
            self.desk.refuse(answer)

    def attempt(self, word, command, changes, understand=None):
        """Sends a command that takes each message of `changes` from what it is to what is given
        there. `understand` puts UIDs that the answer tells into what is given."""
        before = {message: message.states[0] for message in changes}
        for message, after in changes.items():
            message.states = [before[message], after]
        doubt = {message: (before[message], after) for message, after in changes.items()}
        with self.desk.lock:
            self.desk.doubts.append(doubt)
        answer, lines = self.connection.run(command)
        if answer.startswith(b"OK"):
            if understand is not None:  # RFC 6851 section 4.3: COPYUID comes before the end of a MOVE
                told = [line for line in lines if line.startswith(b"* OK [COPYUID")]
                changes = understand((told + [answer])[0], changes)
            for message, after in changes.items():
                message.states = [after]
            self.desk.count(word)
        elif answer.startswith(b"NO"):
            self.desk.refuse(answer)
            if self.desk.no_may_happen:
                return
            for message in changes:
                message.states = [before[message]]
        else:
            raise AssertionError(f"{command[:200]!r}: {answer!r}")
        with self.desk.lock:
            self.desk.doubts.remove(doubt)

    def uids_told(self, answer, word, wanted, target):
        """Source UIDs and target UIDs of APPENDUID or COPYUID, checked."""
        where = (self.account, target)
        code = CODE.search(answer)
        if code is None or code.group(1) != word:
            raise AssertionError(f"no {word!r} in {answer!r}")
        sources = expand(code.group(3))
        targets = expand(code.group(4)) if code.group(4) else sources
        known = self.desk.known(where)
        if len(targets) != wanted or len(set(targets)) != wanted:
            self.desk.complain(f"{where}: {answer!r} for {wanted} messages")
        if int(code.group(2)) != known.get("UIDVALIDITY", int(code.group(2))):
            self.desk.complain(f"{where}: {answer!r}, UIDVALIDITY was {known}")
        with self.desk.lock:
            mine = self.desk.numbers.setdefault(where, {})
            mine["UIDNEXT"] = max(mine.get("UIDNEXT", 0), max(targets) + 1)
        return sources, targets

    # ---- commands ----

    def some_flags(self):
        return frozenset(flag for flag in (*FLAGS, *self.keywords) if self.generator.random() < 0.3)

    def make(self):
        """A new message: its text and what is written down of it."""
        identity = self.prefix + f"{self.generator.getrandbits(96):024x}"
        size = self.generator.randrange(20, 3000)
        if self.generator.randrange(25) == 0:
            size = self.generator.randrange(1, LARGE)
        line = self.generator.randbytes(30).hex().encode() + b"\r\n"
        text = MARK + b"%s\r\nSubject: %s\r\n\r\n" % (identity.encode(), identity.encode())
        text += line * (size // len(line) + 1)
        return text, Message(identity, hashlib.sha256(text).digest())

    def append(self):
        text, message = self.make()
        mailbox = self.generator.choice(MAILBOXES)
        flags = self.some_flags()
        with self.desk.lock:
            self.desk.messages[message.identity] = message

        def understand(answer, changes):
            _, targets = self.uids_told(answer, b"APPENDUID", 1, mailbox)
            return {message: ((mailbox, targets[0], flags),) for message in changes}

        self.attempt("APPEND", b"APPEND %s (%s) {%d+}\r\n%s" %
                     (mailbox.encode(), " ".join(sorted(flags)).encode(), len(text), text),
                     {message: ((mailbox, None, flags),)}, understand)

    def choose(self, most_places=MOST_PLACES):
        """Some messages of one's own in the selected mailbox: {message: place there}."""
        if self.selected is None or self.generator.randrange(6) == 0:
            self.select(self.generator.choice(MAILBOXES))
        found = {}
        for message in self.mine():
            places = [place for place in message.states[0] if place[0] == self.selected]
            if places and len(message.states[0]) <= most_places:
                found[message] = self.generator.choice(places)
        chosen = self.generator.sample(list(found), min(len(found), self.generator.choice((1, 1, 2, 5))))
        return {message: found[message] for message in chosen}

    def replaced(self, chosen, new_place):
        """What the messages look like with new_place(place) instead of the place chosen (None: gone)."""
        changes = {}
        for message, old in chosen.items():
            new = new_place(old)
            kept = tuple(place for place in message.states[0] if place is not old)
            changes[message] = kept + ((new,) if new else ())
        return changes

    def store(self):
        chosen = self.choose()
        if not chosen:
            return
        flags = self.some_flags() or frozenset(FLAGS[:1])
        how = self.generator.choice((b"+", b"-", b""))
        silent = self.generator.choice((b"", b".SILENT"))
        merge = {b"+": lambda old: old | flags, b"-": lambda old: old - flags, b"": lambda old: flags}
        self.attempt("STORE", b"UID STORE %s %sFLAGS%s (%s)" %
                     (set_of(place[1] for place in chosen.values()), how, silent,
                      " ".join(sorted(flags)).encode()),
                     self.replaced(chosen, lambda place: (place[0], place[1], merge[how](place[2]))))

    def expunge(self):
        chosen = self.choose()
        if not chosen:
            return
        uids = set_of(place[1] for place in chosen.values())
        marked = self.replaced(chosen, lambda place: (place[0], place[1], place[2] | {"\\Deleted"}))
        self.attempt("STORE", b"UID STORE %s +FLAGS.SILENT (\\Deleted)" % uids, marked)
        if not all(message.is_settled() and message.states[0] == marked[message] for message in chosen):
            return
        marked = {message: marked[message][-1] for message in chosen}
        self.attempt("EXPUNGE", b"UID EXPUNGE " + uids, self.replaced(marked, lambda place: None))

    def transfer(self, word, chosen):
        """COPY or MOVE to one of the mailboxes."""
        if not chosen:
            return
        target = [name for name in MAILBOXES if name != self.selected][0]
        if word == "COPY":
            changes = {message: message.states[0] + ((target, None, place[2]),)
                       for message, place in chosen.items()}
        else:
            changes = self.replaced(chosen, lambda place: (target, None, place[2]))

        def understand(answer, changes):
            sources, targets = self.uids_told(answer, b"COPYUID", len(chosen), target)
            new_uid = dict(zip(sources, targets))
            if set(new_uid) != {place[1] for place in chosen.values()}:
                raise AssertionError(f"COPYUID names others: {answer!r} for {list(chosen.values())}")
            return {message: places[:-1] + ((target, new_uid[chosen[message][1]], places[-1][2]),)
                    for message, places in changes.items()}

        self.attempt(word, b"UID %s %s %s" % (word.encode(),
                                              set_of(place[1] for place in chosen.values()),
                                              target.encode()), changes, understand)

    def step(self):
        """One thing that a client does."""
        count = len(self.mine())
        choice = self.generator.random()
        if choice < (0.35 if count < MOST_MESSAGES else 0.1):
            self.append()
        elif choice < 0.6:
            self.store()
        elif choice < 0.7:
            self.transfer("COPY", self.choose(MOST_PLACES - 1))
        elif choice < 0.85:
            self.transfer("MOVE", self.choose())
        else:
            self.expunge()

    def work(self, ending, failures):
        """Steps until the end, over as many connections as it takes."""
        try:
            while not ending.is_set():
                try:
                    self.connect()
                    for _ in range(self.generator.randrange(5, 60)):
                        self.step()
                        if ending.wait(self.generator.random() * 2 * self.pause):
                            break
                except NotNow as answer:
                    self.desk.refuse(answer.args[0])
                    ending.wait(0.02)
                except Lost:
                    with self.desk.lock:
                        self.desk.endings += 1
                    ending.wait(0.02)
                finally:
                    if self.connection is not None:
                        self.connection.close()
        except Exception as error:  # a mistake of the test, or an answer that none may get
            failures.append(f"{self.account}: {error!r}")
            raise


class DeskLoad:
    """The clients, in threads, until they are stopped."""

    def __init__(self, ports, desk, seed, pause=0.02):
        self.ending = threading.Event()
        self.failures = []
        self.threads = []
        for account in ACCOUNTS:
            for number in range(CLIENTS_PER_ACCOUNT):
                client = Client(ports, desk, account, number, f"{seed}.{account}.{number}", pause)
                self.threads.append(threading.Thread(target=client.work, daemon=True,
                                                     args=(self.ending, self.failures)))
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(TIMEOUT + 5)
            if thread.is_alive():
                self.failures.append("an IMAP client hangs")
