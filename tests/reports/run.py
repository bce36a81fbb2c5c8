#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Delivery reports, read with Python's email: run.py [BUILD_DIRECTORY] [SEED]

Prints "ok NAME" or "not ok NAME".
"""

import email
import email.policy
import os
import random
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "..", "build", "main")
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
ACTIONS = ("failed", "delayed", "delivered", "relayed", "expanded")
HOSTILE = (b"a\r\nBcc: x@y", b"\r\n\r\n--=_report_id_0--\r\n", b"x" * 2000, b"\xff\xfe\0\x1b[31m",
           "zürich 東京\u202e".encode(), b"=?utf-8?q?=0d=0aX:_y?=", b"\r\n.\r\n", b" ; \" \\ <> ( , \t",
           b"\r\nFinal-Recipient: rfc822; evil@evil.test\r\nAction: delivered\r\n", b"")
ORIGINAL = (b"Received: from x by y\r\nFrom: <alice@client.test>\r\nMessage-ID: <one@client.test>\r\n"
            b"Subject: hello\r\n\r\n")


class Failure(Exception):
    """A report is not as it should be."""


def check(condition, text):
    """Ends the test with a sentence."""
    if not condition:
        raise Failure(text)


def write(pairs):
    """The report about these."""
    base = {"hostname": b"mx.example.org", "id": b"id", "from": b"MAILER-DAEMON@mx.example.org"}
    lines = "".join(f"{key} {value.hex()}\n" for key, value in [*base.items(), *pairs])
    done = subprocess.run([os.path.join(BUILD, "tests", "reports", "write_report")], input=lines.encode(),
                          capture_output=True, check=False, timeout=60)
    check(done.returncode == 0, f"write_report ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def read(raw, recipients, policy=email.policy.SMTP):
    """The message and its three parts, which must be the ones that were written."""
    message = email.message_from_bytes(raw, policy=policy)
    check(not message.defects, f"defects: {message.defects}")
    check(message.get_content_type() == "multipart/report", message.get_content_type())
    parts = message.get_payload()
    check(len(parts) == 3, f"{len(parts)} parts")
    check(message.get_param("report-type") == parts[1].get_content_subtype(), "another report-type")
    blocks = blocks_of(raw, message.get_boundary())
    check(len(blocks) == recipients + 1, f"{len(blocks)} blocks for {recipients} recipients")
    for block in blocks:
        check(len(set(block.keys())) == len(block.keys()), f"fields are there twice: {block.keys()}")
    for line in raw.split(b"\r\n"):
        check(b"\r" not in line and b"\n" not in line and b"\0" not in line, f"a line has {line!r}")
        check(len(line) <= 998, f"a line has {len(line)} bytes")
    return message, parts[0], blocks, parts[2]


def blocks_of(raw, boundary):
    """The blocks of the status, each as a message with a header alone. (What email makes of a
    message/global-delivery-status is a message, whose body has the other blocks.)"""
    part = raw.split(f"\r\n--{boundary}\r\n".encode())[2]
    blocks = part.split(b"\r\n\r\n", 1)[1].strip().split(b"\r\n\r\n")
    return [email.message_from_bytes(block, policy=email.policy.SMTPUTF8) for block in blocks]


def a_failure_is_understood():
    raw = write([("to", b"alice@client.test"), ("transaction", b"t1"), ("envelope_id", b"QQ314159"),
                 ("received_from", b"2001:db8::1"), ("recipient", b"0"), ("address", b"bob@example.net"),
                 ("original", b"rfc822;Bob@example.net"), ("status", b"5.1.1"),
                 ("diagnostic", b"550 5.1.1 no such user"), ("remote", b"mx1.example.net"),
                 ("reason", b"There is no such mailbox."), ("whole", ORIGINAL + b"body\r\n")])
    message, text, blocks, original = read(raw, 1)
    check(raw.isascii(), "not 7 bit")
    check(message["Subject"] == "Your message to bob@example.net was not delivered", message["Subject"])
    check(message["To"].addresses[0].addr_spec == "alice@client.test", message["To"])
    check(message["Auto-Submitted"] == "auto-replied", message["Auto-Submitted"])
    check(message["In-Reply-To"] == "<one@client.test>", message["In-Reply-To"])
    check(blocks[0]["Original-Envelope-Id"] == "QQ314159", blocks[0])
    check(blocks[0]["Received-From-MTA"] == "dns; [IPv6:2001:db8::1]", blocks[0])
    check(blocks[1]["Final-Recipient"] == "rfc822; bob@example.net", blocks[1])
    check(blocks[1]["Original-Recipient"] == "rfc822; Bob@example.net", blocks[1])
    check(blocks[1]["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user", blocks[1])
    check("There is no such mailbox." in text.get_content(), text.get_content())
    check(original.get_content_type() == "message/rfc822", original.get_content_type())
    check(original.get_payload(0)["Subject"] == "hello", "another original")
    check(original.get_payload(0).get_payload() == "body\r\n", "another body")


def utf8_addresses_make_a_global_report():
    raw = write([("to", "jürgen@client.test".encode()), ("recipient", b"1"),
                 ("address", "用户@例え.test".encode()), ("original", "utf-8;用户@例え.test".encode()),
                 ("status", b"4.4.1"), ("diagnostic", "451 später".encode()),
                 ("header", ORIGINAL.replace(b"hello", "Grüße".encode()))])
    message, text, blocks, original = read(raw, 1, email.policy.SMTPUTF8)
    check(message.get_param("report-type") == "global-delivery-status", "report-type")
    check(blocks[1]["Final-Recipient"] == "utf-8; 用户@例え.test", blocks[1]["Final-Recipient"])
    check(blocks[1]["Action"] == "delayed" and blocks[1]["Will-Retry-Until"], blocks[1])
    check("用户@例え.test" in text.get_content(), "the text does not name the address")
    check(original.get_content_type() == "message/global-headers", original.get_content_type())
    check("Grüße".encode() in raw, "another original")


def headers_that_do_not_travel_are_quoted():
    header = b"Subject: gr\xfc\xdf \r\nX-Long: " + b"y" * 2000 + b"\r\nX-Odd: a\rb\0c=\r\n\r\n"
    raw = write([("to", b"a@b.test"), ("recipient", b"0"), ("address", b"c@d.test"), ("header", header)])
    *_, original = read(raw, 1)
    check(raw.isascii(), "not 7 bit")
    check(original.get_content_type() == "text/rfc822-headers", original.get_content_type())
    check(original.get_payload(decode=True) == header, f"another header: {original.get_payload()}")


def strangers_add_nothing():
    generator = random.Random(SEED)
    for turn in range(150):
        pairs = [(key, generator.choice(HOSTILE)) for key in
                 ("to", "transaction", "envelope_id", "received_from")]
        kinds = [generator.randrange(5) for _ in range(generator.randrange(1, 5))]
        for kind in kinds:
            pairs.append(("recipient", str(kind).encode()))
            pairs += [(key, generator.choice(HOSTILE) + generator.choice(HOSTILE)) for key in
                      ("address", "original", "status", "diagnostic", "remote", "reason")]
        pairs.append((generator.choice(("header", "whole")),
                      b"Subject: " + generator.choice(HOSTILE).replace(b"\r\n\r\n", b"") + b"\r\n\r\n"
                      + generator.choice(HOSTILE)))
        raw = write(pairs)
        try:
            message, _, blocks, _ = read(raw, len(kinds), email.policy.SMTPUTF8)
            check(len(message.keys()) <= 11, f"fields: {message.keys()}")
            check("Bcc" not in message, "a field was added")
            check([block["Action"] for block in blocks[1:]] == [ACTIONS[kind] for kind in kinds],
                  "other actions")
            check([block["Status"][1:] for block in blocks[1:]] == [".0.0"] * len(kinds), "other status")
        except Failure as failure:
            raise Failure(f"turn {turn}: {failure}\n{raw[:4000]!r}") from None


def main():
    """Runs the tests in their order."""
    print(f"# seed {SEED}")
    failed = 0
    for test in (a_failure_is_understood, utf8_addresses_make_a_global_report,
                 headers_that_do_not_travel_are_quoted, strangers_add_nothing):
        try:
            test()
            print(f"ok {test.__name__}", flush=True)
        except Failure as failure:
            failed += 1
            print(f"not ok {test.__name__}\n# {failure}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
