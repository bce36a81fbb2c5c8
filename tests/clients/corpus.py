# SPDX-License-Identifier: Apache-2.0
"""200 varied messages: those of Python's own tests of its e-mail package, where they are
installed, and generated ones. The same for the same seed. Lines end with CRLF."""

import os
import random

SEED = 20261121
COUNT = 200
LARGE = 30 * 1024 * 1024

CHARSETS = ["utf-8", "iso-8859-1", "iso-8859-15", "koi8-r", "shift_jis", "euc-jp", "big5",
            "gb18030", "windows-1252", "utf-16", "iso-2022-jp", "utf-7", "mac-roman", "cp437"]
TEXT = "Zażółć gęślą jaźń ÄÖÜß Ελληνικά Привет 日本語 한국어 emoji \N{ENVELOPE WITH LIGHTNING} "


def with_crlf(data):
    """Line ends as mail has them; NULs and bare CRs, which are refused, taken out."""
    return (data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\0", b"")
            .replace(b"\n", b"\r\n"))


def end_with_crlf(data):
    return data if data.endswith(b"\r\n") or not data else data + b"\r\n"


def pythons_own():
    """(name, bytes) of the messages of Python's test suite."""
    try:
        import test.test_email as package
    except ImportError:
        return []
    folder = os.path.join(os.path.dirname(package.__file__), "data")
    if not os.path.isdir(folder):
        return []
    return [(f"python_{name}", with_crlf(open(os.path.join(folder, name), "rb").read()))
            for name in sorted(os.listdir(folder)) if name.endswith(".txt")]


def header(name, **more):
    fields = {"From": "sender@client.example", "To": "alice@example.test", "Subject": name}
    fields.update({key.replace("_", "-"): value for key, value in more.items()})
    return "".join(f"{key}: {value}\r\n" for key, value in fields.items()).encode(
        "utf-8", "surrogateescape")


def nested(depth):
    """multipart in multipart in multipart …"""
    out = b""
    for level in range(depth):
        out += (f'Content-Type: multipart/mixed; boundary="level{level}"\r\n\r\n'
                f"--level{level}\r\n").encode()
    out += b"Content-Type: text/plain\r\n\r\nthe innermost\r\n"
    for level in reversed(range(depth)):
        out += f"--level{level}--\r\n".encode()
    return out


def special():
    """Messages with a point."""
    line = b"0123456789abcdef" * 8
    all_bytes = bytes(byte for byte in range(1, 256) if byte not in (10, 13))
    yield "empty", b""
    yield "one_empty_line", b"\r\n"
    yield "header_only", header("header only")
    yield "empty_body", header("empty body") + b"\r\n"
    yield "no_header", b"\r\njust a body\r\n"
    yield "not_a_header", b"this is no header at all\r\nnor is this\r\n\r\nbody\r\n"
    yield "begins_with_a_fold", b" folded\r\nSubject: x\r\n\r\nbody\r\n"
    yield "from_line", b"From sender Sat Nov 21 20:43:00 2026\r\n" + header("mbox") + b"\r\nx\r\n"
    yield "dots", header("dots") + b"\r\n.\r\n..\r\n...\r\n.x\r\n. \r\n" + b"." * 500 + b"\r\n"
    yield "dot_at_the_end", header("dot") + b"\r\n."  # its CRLF is that of the end
    yield "blank_lines_at_the_end", header("blank") + b"\r\nx\r\n\r\n\r\n\r\n"
    yield "all_bytes", header("bytes") + b"\r\n" + all_bytes + b"\r\n" + all_bytes * 50 + b"\r\n"
    yield "eight_bit_header", b"Subject: \xff\xfe\x80 caf\xe9\r\nX-\xe4: y\r\n\r\n\xff\r\n"
    yield "utf8_header", "Subject: zażółć 日本語\r\nFrom: é@é.example\r\n\r\nbody\r\n".encode()
    for size in (998, 999, 1000, 1001, 4096, 65535, 65536, 65537, 300000):
        yield f"line_of_{size}", header(f"line {size}") + b"\r\n" + b"y" * size + b"\r\nz\r\n"
    for size in (998, 5000, 60000, 200000):
        yield f"header_line_of_{size}", b"X-Long: " + b"h" * size + b"\r\n\r\nbody\r\n"
    yield "folded_header", (b"References: " + b"\r\n ".join(b"<%d@a.example>" % i
                                                             for i in range(3000)) +
                            b"\r\n\r\nbody\r\n")
    yield "many_fields", b"".join(b"X-Field-%d: %d\r\n" % (i, i) for i in range(900)) + b"\r\nx\r\n"
    yield "empty_fields", b"Subject:\r\nX-Empty: \r\nX-Fold:\r\n \r\n\r\nbody\r\n"
    yield "strange_fields", b"Subject : x\r\n:novalue\r\nX-Tab:\tt\r\nX\r\n\r\nbody\r\n"
    yield "trace_fields_of_others", (b"Return-Path: <other@b.example>\r\nReceived: from a by b;\r\n"
                                     b"\tSat, 21 Nov 2026 20:43:00 +0000\r\n" + header("trace") +
                                     b"\r\nbody\r\n")
    for depth in (1, 10, 100, 500):
        yield f"mime_depth_{depth}", header(f"depth {depth}", MIME_Version="1.0") + nested(depth)
    yield "boundary_never_closed", (header("b", MIME_Version="1.0",
                                           Content_Type='multipart/mixed; boundary="x"') +
                                    b"\r\n--x\r\n\r\nfirst\r\n--x\r\nContent-Type: text/html\r\n")
    yield "boundary_missing", header("b", Content_Type="multipart/mixed") + b"\r\n--x\r\n\r\n--x--\r\n"
    yield "bad_base64", (header("b64", Content_Transfer_Encoding="base64") +
                         b"\r\n====not base64====\r\n")
    yield "bad_encoding", header("e", Content_Transfer_Encoding="x-uuencode-17") + b"\r\nbegin 644\r\n"
    for power in (12, 15, 16, 17, 18, 19, 20, 22):
        size = 1 << power
        body = (line + b"\r\n") * (size // (len(line) + 2))
        for name, slack in (("below", 0), ("at", 17), ("above", 200)):
            yield f"size_2_to_{power}_{name}", header(name) + b"\r\n" + body + b"s" * slack + b"\r\n"


def random_message(random_source, number):
    """A message of a random make: charset, encoding, parts, line lengths."""
    charset = random_source.choice(CHARSETS)
    text = (TEXT * random_source.randrange(1, 40)).encode(charset, "replace")
    if charset == "utf-16":  # has NULs, so it goes in base64
        import base64
        text = base64.encodebytes(text)
    parts = b""
    for part in range(random_source.randrange(1, 6)):
        body = bytes(random_source.choice(b" .-=\t\xa0abcdefgh\xe4\xff")
                     for _ in range(random_source.randrange(0, 3000)))
        width = random_source.choice((1, 60, 76, 500, 998))
        lines = b"\r\n".join(body[i:i + width] for i in range(0, len(body), width))
        parts += b"--part\r\nContent-Type: application/octet-stream\r\n\r\n" + lines + b"\r\n"
    return (header(f"random {number}", MIME_Version="1.0",
                   Content_Type='multipart/alternative; boundary="part"') +
            b"X-Charset: " + charset.encode() + b"\r\n\r\n--part\r\nContent-Type: text/plain; "
            b"charset=" + charset.encode() + b"\r\n\r\n" + with_crlf(text) + b"\r\n" + parts +
            b"--part--\r\n")


def large(random_source):
    line = bytes(random_source.choice(b"abcdefghijklmnopqrstuvwxyz .") for _ in range(76)) + b"\r\n"
    return header("large") + b"\r\n" + line * (LARGE // len(line))


def messages(seed=SEED, count=COUNT):
    """(name, bytes), `count` of them; all end with CRLF but the empty one."""
    random_source = random.Random(seed)
    found = [("large", large(random_source))] + list(special()) + pythons_own()
    while len(found) < count:
        found.append((f"random_{len(found)}", random_message(random_source, len(found))))
    return [(name, end_with_crlf(data)) for name, data in found]


def tame(found, count):
    """The first messages that every client passes on as they are: a header, seven bits, short lines."""
    def fits(data):
        return (b"\r\n\r\n" in data and data.startswith(b"From: ") and data.isascii() and
                len(data) < 200000 and all(len(line) < 900 for line in data.split(b"\r\n")) and
                b"\t" not in data and b"\x7f" not in data and b"\r\n." not in data[:2000] and
                min(data) >= 10)
    return [(name, data) for name, data in found if fits(data)][:count]
