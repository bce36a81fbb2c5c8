#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes seeds for fuzz_imap_session from what clients say in tests/conversation/imap.

    seeds.py DIRECTORY

Each test of a conversation becomes a file with its commands, in two forms: without chance, and with.
The corpus has what libFuzzer kept of them (-merge=1).
"""

import glob
import hashlib
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CHATS = os.path.join(HERE, "..", "conversation", "imap", "*.chat")
BYTES = re.compile(r"\\(r|n|t|0|\\|x[0-9a-fA-F]{2})")
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}
LARGEST = 4096
# The store of the target has one mailbox, made in the second that its clock stands at.
NAMES = {"box": "INBOX", "user": "alice", "validity": "1790000000"}
# What conversations say of messages that the store of the target does not have.
MORE = (
    b"a FETCH 1:* (BODY.PEEK[] BODYSTRUCTURE ENVELOPE)\r\nb FETCH 1:* (RFC822 RFC822.HEADER RFC822.TEXT)\r\n",
    b"a FETCH 1:* (BODY[1] BODY[2] BODY[2.1] BODY[2.1.MIME] BODY[2.HEADER] BODY[2.TEXT] BODY[3]<1.5>)\r\n",
    b"a UID FETCH 7 (BODY[TEXT]<262140.10> BODY[1]<299990.100>)\r\nb UID FETCH 7 BODY[HEADER]\r\n",
    b"a UID FETCH 7 BODY[1.MIME]\r\nb UID FETCH 7 BODYSTRUCTURE\r\nc UID FETCH 7 (FLAGS BODY[])\r\n",
    b"a FETCH 1:* BODY[HEADER.FIELDS (Subject {2}\r\nTo)]\r\nb FETCH 1:* BODY[HEADER.FIELDS.NOT (\"a b\")]\r\n",
    b"a UID SEARCH TEXT last\r\nb SEARCH SENTSINCE 1-Feb-1994 BODY nothing\r\nc SEARCH HEADER From a\r\n",
    b"a SEARCH RETURN (SAVE MIN MAX) OR BODY body SUBJECT large\r\nb FETCH $ BODY[]\r\nc MOVE $ INBOX\r\n",
    b"a IDLE\r\nDONE\r\nb STORE 1:* +FLAGS (\\Deleted x)\r\nc IDLE\r\nDONE\r\nd EXPUNGE\r\ne IDLE\r\nDONE\r\n",
)


def unescape(text):
    """The bytes that a line of a conversation stands for."""
    out = b""
    at = 0
    for match in BYTES.finditer(text):
        out += text[at:match.start()].encode()
        word = match.group(1)
        out += ESCAPES[word] if word in ESCAPES else bytes([int(word[1:], 16)])
        at = match.end()
    return out + text[at:].encode()


def expand(text):
    """A line with what stands in braces."""
    text = re.sub(r"\{\$(\w+)\}", lambda m: NAMES.get(m.group(1), "1"), text)
    text = re.sub(r"\{repeat:(\d+):([^{}]*)\}", lambda m: m.group(2) * min(int(m.group(1)), 200), text)

    def literal(match):
        size = len(unescape(match.group(2)))
        return f"{{{size}+}}\\r\\n{match.group(2)}" if match.group(1) == "literal" else str(size)

    return unescape(re.sub(r"\{(literal|size):([^{}]*)\}", literal, text))


def conversations(path):
    """What clients say in each test of a file."""
    said = b""
    with open(path, encoding="utf-8") as file:
        for line in file:
            line = line.rstrip("\n")
            if line.startswith("test "):
                yield said
                said = b""
            elif line.startswith("C: "):
                said += expand(line[3:]) + b"\r\n"
            elif line.startswith("C! "):
                said += expand(line[3:])
    yield said


def write(directory, beginning, said):
    """A seed in both forms; `beginning` is how far the session is."""
    for chance in (7, 100):
        large = 32 if b"FETCH" in said or b"SEARCH" in said else 0
        seed = bytes([large, beginning, chance]) + said[:LARGEST]
        name = hashlib.sha1(seed).hexdigest()[:16]
        with open(os.path.join(directory, name), "wb") as file:
            file.write(seed)


def main():
    """Writes the seeds."""
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    for path in sorted(glob.glob(CHATS)):
        beginning = 0 if "login" in path or "early" in path or "starttls" in path else 2
        for said in conversations(path):
            write(directory, beginning + ("resync" in path), said)
    for said in MORE:
        for beginning in (2, 3, 4):
            write(directory, beginning, said)


if __name__ == "__main__":
    main()
