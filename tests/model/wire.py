# SPDX-License-Identifier: Apache-2.0
"""IMAP on the wire, as a client reads it: framing of answers, FETCH items, sets of numbers.

Nothing here knows a mailbox. A line whose form RFC 3501 does not allow is a Fault.
"""

import re

LITERAL = re.compile(rb"\{(\d+)\}$")
STATUS = re.compile(rb"(OK|NO|BAD|BYE|PREAUTH)(?: \[([A-Z-]+)(?: ([^\]]*))?\])?(?: (.*))?$", re.S)
ITEM = re.compile(
    rb"UID (?P<uid>\d+)|MODSEQ \((?P<modseq>\d+)\)|FLAGS \((?P<flags>[^()]*)\)"
    rb"|RFC822\.SIZE (?P<size>\d+)|INTERNALDATE \"(?P<date>[^\"]*)\""
    rb"|(?P<section>BODY\[[^\]]*\])(?:<(?P<offset>\d+)>)? (?:\{(?P<literal>\d+)\}"
    rb"|\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<nil>NIL))")


class Fault(Exception):
    """The server said something that no server may say."""


class Reader:
    """Cuts a stream into answers: (line, literals), where a literal's bytes are taken out of the
    line and only their count in braces stays."""

    def __init__(self):
        self.buffer = b""
        self.head = b""
        self.literals = []
        self.wanted = None

    def feed(self, data):
        """The answers that are whole with these bytes."""
        buffer = self.buffer + data if self.buffer else data
        found = []
        at = 0
        while True:
            if self.wanted is not None:
                if len(buffer) - at < self.wanted:
                    break
                self.literals.append(buffer[at:at + self.wanted])
                at += self.wanted
                self.wanted = None
            end = buffer.find(b"\r\n", at)
            if end < 0:
                break
            line = buffer[at:end]
            at = end + 2
            if line.endswith(b"}") and (match := LITERAL.search(line)):
                self.head += line
                self.wanted = int(match.group(1))
                continue
            literals = ()
            if self.head:
                line, literals = self.head + line, self.literals
                self.head, self.literals = b"", []
            if b"\n" in line or b"\r" in line:
                raise Fault("a bare CR or LF in an answer")
            found.append((line, literals))
        self.buffer = buffer[at:]
        return found


class Items:
    """What one FETCH response says."""
    __slots__ = ("uid", "modseq", "flags", "size", "date", "sections")

    def __init__(self):
        self.uid = self.modseq = self.flags = self.size = self.date = None
        self.sections = None


FLAGS_SEEN = {}


def flags_of(text):
    """The set of flags, without \\Recent, which belongs to a session and not to the message."""
    flags = FLAGS_SEEN.get(text)
    if flags is None:
        words = text.split()
        if len(set(words)) != len(words):
            raise Fault(f"a flag is told twice: {text!r}")
        if len(FLAGS_SEEN) > 50000:
            FLAGS_SEEN.clear()
        flags = FLAGS_SEEN[text] = frozenset(words) - {b"\\Recent"}
    return flags


def parse_fetch(text, literals):
    """What stands after "FETCH "."""
    if not (text.startswith(b"(") and text.endswith(b")")):
        raise Fault(f"FETCH without a list: {text!r}")
    items = Items()
    at = 1
    end = len(text) - 1
    used = 0
    while at < end:
        match = ITEM.match(text, at)
        if match is None:
            raise Fault(f"FETCH item of no known form: {text[at:]!r}")
        kind = match.lastgroup
        if kind == "flags":
            items.flags = flags_of(match.group("flags"))
        elif kind == "uid":
            items.uid = int(match.group("uid"))
        elif kind == "modseq":
            items.modseq = int(match.group("modseq"))
        elif kind == "size":
            items.size = int(match.group("size"))
        elif kind == "date":
            items.date = match.group("date")
        else:
            value = None
            if kind == "literal":
                value = literals[used]
                used += 1
            elif kind == "quoted":
                value = re.sub(rb"\\(.)", rb"\1", match.group("quoted"))
            if items.sections is None:
                items.sections = []
            items.sections.append((match.group("section"), match.group("offset"), value))
        at = match.end()
        if at < end:
            if text[at:at + 1] != b" ":
                raise Fault(f"no space between items: {text!r}")
            at += 1
            if at == end:
                raise Fault(f"a space after the last item: {text!r}")
    return items


def parse_set(text, what="set"):
    """The numbers of a set without "*", in the order in which it names them."""
    numbers = []
    for part in text.split(b","):
        first, colon, last = part.partition(b":")
        if not first.isdigit() or (colon and not last.isdigit()):
            raise Fault(f"{what} of no known form: {text!r}")
        if colon:
            if int(last) - int(first) > 1000000:
                raise Fault(f"{what} is far too large: {text!r}")
            numbers.extend(range(int(first), int(last) + 1))
        else:
            numbers.append(int(first))
    return numbers


def format_set(numbers):
    """A set that names these ascending numbers."""
    parts = []
    first = last = None
    for number in numbers:
        if last is not None and number == last + 1:
            last = number
            continue
        if last is not None:
            parts.append(f"{first}:{last}" if first != last else str(first))
        first = last = number
    if last is not None:
        parts.append(f"{first}:{last}" if first != last else str(first))
    return ",".join(parts).encode()
