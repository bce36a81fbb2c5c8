#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes seeds from what clients say in tests/conversation.

    seeds.py TARGET DIRECTORY

Each test of a conversation becomes a file with its commands, in two forms: without chance, and with.
The corpus has what libFuzzer kept of them (-merge=1). Of other targets than those below there are none.
"""

import base64
import glob
import hashlib
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CHATS = os.path.join(HERE, "..", "conversation")
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

ENVELOPE = b"EHLO a\nMAIL FROM:<a@b.example>\nRCPT TO:<alice@example.test>\n"
# What conversations cannot say: events of fuzz_smtp_events, and messages that memory does not hold.
MORE_EVENTS = (
    ENVELOPE + b"DATA\nSubject: x\n\n\x11\x08.\nQUIT\n",
    ENVELOPE + b"DATA\nSubject: x\n\n\x11\xff\x11\xff.\nQUIT\n",
    ENVELOPE + b"DATA\nSubject: x\n\n\x11\xff\x02\x08\x11\xff\x06\x03\x01",
    ENVELOPE + b"BDAT 6000\nSubject: x\n\n\x11\x06BDAT 0 LAST\n",
    ENVELOPE + b"\x02\x10DATA\n\n\x11\x08.\n\x0c\x05\x0c\x05\x03\x01NOOP\n",
    ENVELOPE + b"\x02\x08DATA\n\n\x11\xff\x11\xff\x0c\x06\x03\x01.\n\x0c\x06\x03\x01NOOP\n",
    ENVELOPE + b"\x02\x08DATA\n\n\x11\x08.\n\x0c\x06\x03\x01NOOP\n",
    ENVELOPE + b"\x02\x10DATA\n\n.\n\x06\x00\x01EHLO b\n\x03\x01",
    ENVELOPE + b"\x02\x01DATA\n\n.\n\x10\x03\x01\x06\x10\x02\x00\x00\x01EHLO b\n",
    b"\x02\x08EHLO a\nAUTH PLAIN AGFsaWNlAHBvc3Rlcm4=\n\x06\x00\x01\x03\x01EHLO b\n",
    b"\x02\x08EHLO a\nAUTH PLAIN AGFsaWNlAHBvc3Rlcm4=\n\x13",
    b"\x02\x08EHLO a\nAUTH PLAIN AGFsaWNlAHBvc3Rlcm4=\n\x13\x03\x01",
    b"\x02\x08EHLO a\nAUTH PLAIN AGFsaWNlAHBvc3Rlcm4=\n\x0c\x06\x03\x01",
    b"\x02\x20EHLO a\nAUTH OAUTHBEARER bixhPWFsaWNlLAFhdXRoPUJlYXJlciB0b2tlbgEB\n\x0c\x06\x03\x01\nNOOP\n",
    b"\x02\x06EHLO a\nMAIL FROM:<>\n\x06\x00\x01\x03\x01\x03\x01EHLO b\n",
    b"EHLO a\nSTARTTLS\nNOOP\n\x0b\x00",
    b"EHLO a\n\x0e\x10STARTTLS\r\nNOOP\r\n\x0b\x00NOOP\n",
    b"EHLO a\nSTARTTLS\n\x0b\x00EHLO a\n\x02\x08AUTH EXTERNAL =\n\x12\x03\x01",
    b"EHLO a\n\x08" + b"HELP\nEHLO a\n" * 100 + b"\x0f\x05\x08QUIT\n",
    ENVELOPE + b"DATA\n\x12\n.\n\x13",
)
# Handshakes that wait for each other.
SHAKING = (
    b"EHLO a\nSTARTTLS\n\x00\x03\x00\x03\x01\x00\x0b\x00\x01\x01\x0b\x00EHLO b\n\x01\x02\x0b\x02",
    b"EHLO a\nSTARTTLS\n\x00\x03\x00\x03\x0c\x04\x01\x01\x0b\x00\x0c\x05\x06\x0c\x06",
    b"EHLO a\nSTARTTLS\n\x00\x03\x00\x03\x06\x01\x00\x06\x01\x01\x0b\x00EHLO b\n\x13",
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

    text = re.sub(r"\{base64:([^{}]*)\}", lambda m: base64.b64encode(unescape(m.group(1))).decode(), text)
    return unescape(re.sub(r"\{(literal|size):([^{}]*)\}", literal, text))


def chats(protocol):
    """Its conversations."""
    return sorted(glob.glob(os.path.join(CHATS, protocol, "*.chat")))


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


def put(directory, seed):
    """A seed, named after what it is."""
    with open(os.path.join(directory, hashlib.sha1(seed).hexdigest()[:16]), "wb") as file:
        file.write(seed)


def write_imap(directory, beginning, said):
    """A seed in both forms; `beginning` is how far the session is."""
    for chance in (7, 100):
        large = 32 if b"FETCH" in said or b"SEARCH" in said else 0
        put(directory, bytes([large, beginning, chance]) + said[:LARGEST])


def imap_session(directory):
    """Commands, from where the conversation begins to be interesting."""
    for path in chats("imap"):
        beginning = 0 if "login" in path or "early" in path or "starttls" in path else 2
        for said in conversations(path):
            write_imap(directory, beginning + ("resync" in path), said)
    for said in MORE:
        for beginning in (2, 3, 4):
            write_imap(directory, beginning, said)


def smtp_profile(path):
    """Of the listener that a file is about."""
    text = open(path, encoding="utf-8").read()
    return 2 if "connect lmtp" in text else 1 if "connect submission" in text else 0


def smtp_cuts(directory):
    """What a client says, as it is."""
    for path in chats("smtp"):
        for said in conversations(path):
            for manner in (0, 0x42):
                put(directory, bytes([smtp_profile(path) + 3, manner, 9]) + said[:LARGEST])


def smtp_session(directory):
    """The same, for the session of straw."""
    for path in chats("smtp"):
        for said in conversations(path):
            put(directory, bytes([smtp_profile(path), 1, 2, 20, 9]) + said[:LARGEST])


def events(path):
    """What happens in each test of a file, as fuzz_smtp_events reads it."""
    said = b""
    with open(path, encoding="utf-8") as file:
        for line in file:
            line = line.rstrip("\n")
            if line.startswith("test "):
                yield said
                said = b""
            elif line.startswith("C: "):
                said += expand(line[3:]) + b"\n"
            elif line.startswith("C! "):
                text = expand(line[3:])
                while text:
                    said += bytes([0x0E, len(text[:255])]) + text[:255]
                    text = text[255:]
            elif line in ("starttls", "tls"):
                said += b"\x0b\x00"
            elif " as " in line and line.startswith("connect "):
                said += b"\x00\x01"
            elif line in ("close", "half-close"):
                said += b"\x05"
    yield said


def smtp_events(directory):
    """Everybody answers at once; or everybody late, and all are let go at the end of each line."""
    for path in chats("smtp"):
        profile = smtp_profile(path) + 3
        for said in events(path):
            said = said[:LARGEST]
            put(directory, bytes([profile, 5, 9]) + said)
            late = said.replace(b"\n", b"\n\x04\x04")
            put(directory, bytes([profile + 128, 5, 9, 0x02, 0x3D]) + late)
            # The worker ends, or the client goes, while the last command is being answered.
            before, end, last = said.rstrip(b"\n").rpartition(b"\n")
            pending = bytes([profile + 128, 5, 9]) + before + end + b"\x02\x3d" + last
            put(directory, pending + b"\n\x13")
            put(directory, pending + b"\n\x05\x07\x04\x0c\x05\x04\x04")
    for said in SHAKING:
        put(directory, bytes([4, 0x85, 0]) + said)
    for said in MORE_EVENTS:
        for chance in (0, 1, 2):
            put(directory, bytes([4 + chance * 64, 5, chance]) + said)
            put(directory, bytes([4 + chance * 64, 5, chance, 0x02, 0x40]) + said)


TARGETS = {
    "fuzz_imap_session": imap_session,
    "fuzz_smtp_cuts": smtp_cuts,
    "fuzz_smtp_events": smtp_events,
    "fuzz_smtp_session": smtp_session,
}


def main():
    """Writes the seeds."""
    target, directory = sys.argv[1:]
    os.makedirs(directory, exist_ok=True)
    if target in TARGETS:
        TARGETS[target](directory)


if __name__ == "__main__":
    main()
