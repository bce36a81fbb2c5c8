# SPDX-License-Identifier: Apache-2.0
"""Reads every mailbox of the IMAP clients (imap_load.py) and compares it with what they were answered."""

import hashlib
import itertools
import re
import time

from imap_load import ACCOUNTS, LITERAL, MAILBOXES, MARK, Client, Connection, numbers_of
from ledger import Lost


class DeskReport:
    """What a check found."""

    def __init__(self, problems):
        self.read = 0
        self.doubtful = 0
        self.wrong = {}
        self.said = problems

    def add(self, kind, text):
        self.wrong.setdefault(kind, []).append(text)

    def lost(self):
        """How many things that were answered OK are not there."""
        return sum(len(texts) for texts in self.wrong.values()) + len(self.said)

    def problems(self):
        """Sentences, one for each kind that occurred."""
        return [f"IMAP: {len(texts)} {kind}, the first: {texts[0]}"
                for kind, texts in self.wrong.items()] + [f"IMAP: {text}" for text in self.said[:3]]

    def __str__(self):
        wrong = ", ".join(f"{len(texts)} {kind}" for kind, texts in self.wrong.items())
        return (f"IMAP: {self.read} read, {wrong or 'nothing wrong'}, {len(self.said)} wrong numbers, "
                f"{self.doubtful} unanswered ones there")


def fetched(line):
    """(UID, flags, text) of a FETCH line."""
    head, _, text = line.partition(b"\r\n")
    flags = re.search(rb"FLAGS \(([^)]*)\)", head).group(1).decode().split()
    size = int(LITERAL.search(head).group(1))
    return (int(re.search(rb"UID (\d+)", head).group(1)),
            frozenset(flag for flag in flags if flag != "\\Recent"), text[:size])


def read_mailbox(connection, desk, account, mailbox, seen, report):
    """Adds the messages of a mailbox to `seen`: {identity: [(place, digest)]}."""
    where = (account, mailbox)
    known = desk.known(where)
    answer, lines = connection.run(b"EXAMINE " + mailbox.encode())
    if not answer.startswith(b"OK"):
        if known:
            report.add("lost", f"{where}: {answer!r}")
        return
    desk.learn(where, numbers_of(lines), known)
    answer, lines = connection.run(b"UID FETCH 1:* (UID FLAGS BODY.PEEK[])")
    if not answer.startswith(b"OK"):
        report.add("unreadable", f"{where}: {answer!r}")
    for line in lines:
        if b" FETCH (" not in line[:30]:
            continue
        uid, flags, text = fetched(line)
        report.read += 1
        identity = text[len(MARK):text.find(b"\r\n")].decode("ascii", "replace")
        seen.setdefault((account, identity), []).append(
            ((mailbox, uid, flags), hashlib.sha256(text).digest()))


def is_state(state, places):
    """Whether the places found are those of a state; UIDs that nobody told may be any."""
    if len(state) != len(places):
        return False
    return any(all(one[0] == other[0] and one[1] in (None, other[1]) and one[2] == other[2]
                   for one, other in zip(state, order))
               for order in itertools.permutations(places))


def kind_of(states, places):
    """What is wrong with a message that is in none of its states."""
    counts = [len(state) for state in states]
    if len(places) < min(counts):
        return "lost"
    if len(places) > max(counts):
        return "doubled or back again"
    found = sorted(place[:2] for place in places)
    if any(found == sorted((place[0], place[1] or 0) for place in state) for state in states):
        return "with other flags"
    return "elsewhere"


def judge_doubts(desk, found, report):
    """A command that nobody answered happened for all of its messages or for none."""
    for doubt in desk.doubts:
        outcomes = set()
        for message, (before, after) in doubt.items():
            places = found.get(message.identity, ())
            if is_state(before, places) != is_state(after, places):
                outcomes.add("happened" if is_state(after, places) else "did not")
        if len(outcomes) > 1:
            report.add("half done", f"{[message.identity for message in doubt]}")
        report.doubtful += outcomes == {"happened"}


def check(ports, desk, settle=True):
    """Reads every mailbox and compares. With `settle` what was in doubt is what was found from now on."""
    seen = {}
    report = DeskReport(desk.problems)
    for account in ACCOUNTS:
        connection = Connection(ports["imap"], account)
        for mailbox in MAILBOXES:
            try:
                read_mailbox(connection, desk, account, mailbox, seen, report)
            except Lost as lost:  # what a server can do whose message ends in the middle of a literal
                report.add("unreadable", f"{account} {mailbox}: {lost}")
                connection = Connection(ports["imap"], account)
        connection.close()
    found = {}
    for (account, identity), entries in seen.items():
        message = desk.messages.get(identity)
        if message is None or not account.startswith(identity.split("-")[0] + "@"):
            report.add("invented", f"{identity!r} in {account}")
            continue
        if any(digest != message.digest for _, digest in entries):
            report.add("altered", identity)
        found[identity] = tuple(place for place, _ in entries)
    for identity, message in desk.messages.items():
        places = found.get(identity, ())
        if not any(is_state(state, places) for state in message.states):
            report.add(kind_of(message.states, places),
                       f"{identity}: {places} is none of {message.states}")
    judge_doubts(desk, found, report)
    if settle:
        for identity, message in desk.messages.items():
            message.states = [found.get(identity, ())]
        desk.doubts = []
    return report


def wait_until_working(ports, desk, seed, limit=10.0):
    """Seconds until a message can be appended and flagged again."""
    begin = time.monotonic()
    client = Client(ports, desk, ACCOUNTS[0], 9, seed, 0)
    while time.monotonic() - begin < limit:
        before = dict(desk.counts)
        try:
            client.connect()
            client.append()
            client.select("INBOX")
            for _ in range(20):
                client.store()
            if all(desk.counts.get(word, 0) > before.get(word, 0) for word in ("APPEND", "STORE")):
                return time.monotonic() - begin
        except Lost:
            time.sleep(0.01)
        finally:
            if client.connection is not None:
                client.connection.close()
    return float("inf")
