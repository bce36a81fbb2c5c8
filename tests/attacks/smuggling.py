# SPDX-License-Identifier: Apache-2.0
"""Nothing is smuggled: what somebody, somewhere, takes for the end of a message, with a second message behind it, goes
every way through the gateway. Either it is refused and the connection ends, or whoever reads on has one
message with the same content, and lenient servers see one as well. Run by run.py."""

import base64
import re

from world import World, check, Failure

LOGIN = b"AUTH PLAIN " + base64.b64encode(b"\0alice\0postern") + b"\r\n"
POLICY = """
on("message.change", function(session, message)
	if message.sender_local_part:match("^added") then message:add_header("X-Added", "yes") end
end)
"""
# What follows, if somebody believes that the message has ended. Its own end is a true one.
SECOND = (b"MAIL FROM:<smuggled@evil.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"
          b"Subject: smuggled\r\n\r\nsmuggled\r\n")

# Ends of data that were published since 2023, each for some server: they all need a bare CR, a bare LF or a NUL.
PUBLISHED = {
    "LF . LF": b"\n.\n", "LF . CRLF": b"\n.\r\n", "CRLF . LF": b"\r\n.\n", "CR . CR": b"\r.\r",
    "CR . CRLF": b"\r.\r\n", "CRLF . CR": b"\r\n.\r", "LF . CR": b"\n.\r", "CR . LF": b"\r.\n",
    "CRLF NUL . CRLF": b"\r\n\0.\r\n",
}
OWN = {
    "CRLF . NUL CRLF": b"\r\n.\0\r\n", "CR CRLF . CRLF": b"\r\r\n.\r\n", "CRLF . CR CRLF": b"\r\n.\r\r\n",
    "LF LF . LF LF": b"\n\n.\n\n", "CRLF . CRLF bare": b"\n\r\n.\r\n", "LF CR . LF CR": b"\n\r.\n\r",
    "CR NUL LF . CRLF": b"\r\0\n.\r\n", "CRLF . CR NUL LF": b"\r\n.\r\0\n", "NUL LF . LF": b"\0\n.\n",
    "CRLF . LF CR": b"\r\n.\n\r", "CR CR . CR CR": b"\r\r.\r\r", "LF . . LF": b"\n..\n", "LF . space LF": b"\n. \n",
    "CRLF CR . CRLF": b"\r\n\r.\r\n", "CRLF LF . CRLF": b"\r\n\n.\r\n", "CRLF . LF CRLF": b"\r\n.\n\r\n",
    # Without any of them: these are text, and arrive as text.
    "CRLF .. CRLF": b"\r\n..\r\n", "CRLF ... CRLF": b"\r\n...\r\n", "CRLF . space CRLF": b"\r\n. \r\n",
    "CRLF . tab CRLF": b"\r\n.\t\r\n", "CRLF .x CRLF": b"\r\n.x\r\n", "CRLF space . CRLF": b"\r\n .\r\n",
    "CRLF tab . CRLF": b"\r\n\t.\r\n", "NEL . NEL": b"\x85.\x85", "NEL as UTF-8": b"\xc2\x85.\xc2\x85",
    "U+2028": b"\xe2\x80\xa8.\xe2\x80\xa8", "U+2029": b"\xe2\x80\xa9.\xe2\x80\xa9", "FF": b"\x0c.\x0c", "VT": b"\x0b.\x0b",
    "CRLF . VT CRLF": b"\r\n.\x0b\r\n", "CRLF VT . CRLF": b"\r\n\x0b.\r\n", "SUB": b"\x1a", "EOT": b"\x04", "RS": b"\x1e.\x1e",
    "CRLF . 0x8d 0x8a": b"\r\n.\x8d\x8a", "0x8d 0x8a . 0x8d 0x8a": b"\x8d\x8a.\x8d\x8a", "fullwidth dot": b"\r\n\xef\xbc\x8e\r\n",
    "overlong LF": b"\xc0\x8a.\xc0\x8a", "quoted-printable": b"=0D=0A.=0D=0A", "URL": b"%0d%0a.%0d%0a", "backslashes": b"\\r\\n.\\r\\n",
    "BOM . CRLF": b"\r\n\xef\xbb\xbf.\r\n", "CRLF . BOM CRLF": b"\r\n.\xef\xbb\xbf\r\n", "soft break": b"=\r\n.=\r\n",
    "IAC": b"\xff\xf4\xff\xfd\x06", "comma": b"\r\n,\r\n",
}
# Lines so long that a server which cuts them would find a dot alone.
LONG = {f"behind {size} bytes": b"\r\n" + b"x" * size + b".\r\n"
        for size in (510, 512, 998, 1000, 1022, 1024, 2048, 4096, 8192, 16384, 65536)}
SEQUENCES = {**PUBLISHED, **OWN, **LONG}

PATHS = ("mx", "submission", "lmtp", "added", "relayed", "chunks", "inside")
WAYS = ("whole", "cut", "bytes", "flight", "late")


def is_bare(text):
    return re.search(rb"\0|\r(?!\n)|(?<!\r)\n", text) is not None


def unstuff(text):
    """What a strict server makes of the bytes behind DATA, or None: they are no lines."""
    end = text.index(b"\r\n.\r\n")
    return None if is_bare(text[:end + 2]) else re.sub(rb"(^|\r\n)\.", rb"\1", text[:end + 2])


# How servers find the end of a message, lenient ones as well: each of them was in use.
LENIENT = {
    "strict": lambda text: text,
    "LF is a line end": lambda text: re.sub(rb"(?<!\r)\n", b"\r\n", text),
    "CR is a line end": lambda text: re.sub(rb"\r(?!\n)", b"\r\n", text),
    "both are": lambda text: re.sub(rb"\r\n|\r|\n", b"\r\n", text),
    "CRs are dropped": lambda text: text.replace(b"\r", b"").replace(b"\n", b"\r\n"),
    "NULs are dropped": lambda text: re.sub(rb"\r\n|\n", b"\r\n", text.replace(b"\0", b"")),
    "blanks at the end are dropped": lambda text: re.sub(rb"[ \t]+\r\n", b"\r\n", text),
}


class Case:
    def __init__(self, number, name, path, way, sequence):
        self.number, self.name, self.path, self.way = number, name, path, way
        self.tag = b"case-%06d-" % number
        place = {"added": (b"", b"X-Case: %s\r\nX-Field: y" % self.tag)[number % 2]}.get(path)
        if place is None:
            place = b"X-Case: %s\r\n\r\n%s" % (self.tag, self.tag)
        # At its very beginning and in its header, too: there a field is put in front.
        self.text = place + sequence + (b"" if path != "added" else b"\r\n\r\n" + self.tag + b"\r\n") + SECOND
        self.sequence = sequence
        self.is_refused = is_bare(self.text)

    @property
    def where(self):
        return f"{self.name}, {self.path}, {self.way}"

    def envelope(self):
        sender = {"added": b"added@sender.test", "submission": b"alice@example.test", "relayed": b"alice@example.test",
                  "chunks": b"alice@example.test", "inside": b"alice@example.test"}.get(self.path, b"sender@sender.test")
        domain = {"relayed": b"plain.next.test", "chunks": b"chunks.next.test", "inside": b"lmtp.next.test"}.get(self.path)
        recipient = b"alice@example.test" if domain is None else b"u%d@" % self.number + domain
        return b"MAIL FROM:<" + sender + b">", b"RCPT TO:<" + recipient + b">"

    def is_relayed(self):
        return self.path in ("relayed", "chunks", "inside")


def pieces_of(case, text, tls):
    """How it is sent: whole, cut in each place of the sequence, byte by byte around it."""
    at = text.find(case.sequence)
    end = at + len(case.sequence)
    if case.way == "cut" or (case.way in ("bytes", "late") and len(case.sequence) > 64):
        middle = end - min(2, len(case.sequence) - 1) if len(case.sequence) > 1 else at
        return [piece for piece in (text[:middle], text[middle:end], text[end:]) if piece]
    if case.way == "bytes":
        return [text[:at]] + [text[i:i + 1] for i in range(at, end)] + [text[end:]]
    return [text]


def open_session(world, case, hello=True):
    tls = case.path == "submission" and case.number % 2 == 0
    port = {"mx": "mx", "added": "mx", "lmtp": "lmtp"}.get(case.path, "submissions" if tls else "submission")
    client = world.client(port, tls)
    client.expect(b"220")
    client.expect(b"250", (b"LHLO" if port == "lmtp" else b"EHLO") + b" client.test\r\n")
    if port.startswith("submission"):
        client.expect(b"235", LOGIN)
    return client, tls


def by_data(world, case):
    client, tls = open_session(world, case)
    mail, rcpt = case.envelope()
    text = case.text + b".\r\n"
    with client:
        if case.way == "flight":
            # All in one, and the message before it is asked for.
            client.send(b"\r\n".join((mail, rcpt, b"DATA", text + b"QUIT\r\n")))
            client.expect(b"250"), client.expect(b"250"), client.expect(b"354")
        else:
            client.expect(b"250", mail + b"\r\n")
            client.expect(b"250", rcpt + b"\r\n")
            client.expect(b"354", b"DATA\r\n")
            pieces = pieces_of(case, text, tls)
            if case.way == "late":
                # The sequence comes when the gateway has read what was before.
                client.send(pieces[0])
                client.send(*pieces[1:])
            else:
                client.send(*pieces)
            client.send(b"QUIT\r\n")
        answer(client, case)


def answer(client, case):
    """What is said to a message and the QUIT behind it."""
    reply = client.reply()
    if case.is_refused:
        check(reply.startswith(b"550 5.6.0"), f"it is answered {reply!r}")
        check(client.rest() == b"", "the connection goes on")
    else:
        check(reply.startswith(b"250 2.0.0 accepted"), f"it is answered {reply!r}")
        client.expect(b"221")
        check(client.rest() == b"", "something else is said")


def by_chunks(world, case, cut, is_last=True):
    """BDAT, cut inside of the sequence; with DATA behind a chunk that was not the last."""
    client, _ = open_session(world, case)
    mail, rcpt = case.envelope()
    at = case.text.find(case.sequence) + cut
    chunks = [case.text[:at], case.text[at:]] if 0 < cut else [case.text]
    chunks = [chunk for chunk in chunks if chunk]
    with client:
        client.expect(b"250", mail + b"\r\n")
        client.expect(b"250", rcpt + b"\r\n")
        said = b"".join(b"BDAT %d%s\r\n%s" % (len(chunk), b" LAST" if is_last and i + 1 == len(chunks) else b"", chunk)
                        for i, chunk in enumerate(chunks))
        if not is_last:
            said += b"DATA\r\n"
        client.send(said + b"QUIT\r\n")
        replies = []
        while not replies or replies[-1]:
            replies.append(client.reply())
        codes = [reply[:3] for reply in replies[:-1]]
        if case.is_refused:
            check(codes[-1] == b"550" and codes[:-1] == [b"250"] * len(codes[:-1]), f"it is answered {replies}")
        elif is_last:
            check(codes == [b"250"] * len(chunks) + [b"221"], f"it is answered {replies}")
        else:
            check(codes == [b"250"] * len(chunks) + [b"503", b"221"], f"it is answered {replies}")


def binary(world, case):
    """What is binary may have all of it, goes on in chunks, and nowhere without."""
    client, _ = open_session(world, case)
    mail, rcpt = case.envelope()
    with client:
        client.expect(b"250", mail + b" BODY=BINARYMIME\r\n")
        client.expect(b"250", rcpt + b"\r\n")
        client.expect(b"250 2.0.0 accepted", b"BDAT %d LAST\r\n" % len(case.text) + case.text)
        client.expect(b"221", b"QUIT\r\n")


def cases():
    """Every sequence by every path, in one of the ways; every published one in all ways."""
    made = []

    def add(name, path, way, sequence):
        made.append(Case(len(made), name, path, way, sequence))

    for i, (name, sequence) in enumerate(SEQUENCES.items()):
        for j, path in enumerate(PATHS):
            add(name, path, WAYS[(i + j) % len(WAYS)], sequence)
    for name, sequence in PUBLISHED.items():
        for path in ("mx", "submission"):
            for way in WAYS:
                add(name, path, way, sequence)
    for name, sequence in {**PUBLISHED, "CRLF . CRLF": b"\r\n.\r\n", "CRLF .. CRLF": b"\r\n..\r\n"}.items():
        for path in ("mx", "lmtp", "relayed", "chunks"):
            for way in ("chunk", "chunks", "chunk, then DATA"):
                add(name, path, way, sequence)
        for path in ("mx", "chunks", "relayed"):
            add(name, path, "binary", sequence)
    return made


def run_case(world, case):
    if case.way == "chunk":
        by_chunks(world, case, 0)
    elif case.way == "chunks":
        by_chunks(world, case, 1)
    elif case.way == "chunk, then DATA":
        by_chunks(world, case, 1, False)
    elif case.way == "binary":
        case.is_refused = False
        binary(world, case)
    else:
        by_data(world, case)


def content_of(case):
    """What must arrive, byte by byte; None where nothing may."""
    if case.is_refused or case.way == "chunk, then DATA":
        return None
    if case.way in ("chunk", "chunks", "binary"):
        return case.text
    return unstuff(case.text + b".\r\n")


def look_at_wire(message):
    """No server, however lenient, finds an end in what was sent to it before its end, nor a dot alone."""
    if message.is_chunk:
        return
    for name, normal in LENIENT.items():
        text = normal(message.raw)
        at = text.find(b"\r\n.\r\n")
        check(at == len(text) - 5 and not text.startswith(b".\r\n"), f"where {name}, it ends early: {text[max(0, at - 20):at + 40]!r}")


def compare(case, there):
    """`there`: what has the tag of the case."""
    wanted = content_of(case)
    if case.way == "binary" and case.path == "relayed" and is_bare(case.text):
        # That server does not take it: a report with its header comes back.
        check(not there, "it was sent all the same")
        return
    check(len(there) == (0 if wanted is None else 1), f"it is there {len(there)} times")
    if wanted is None:
        return
    data = there[0].data if case.is_relayed() else there[0]
    if case.way == "binary" and not case.is_relayed():
        data = data.replace(b"\x80", b"\0")  # IMAP has no NUL
    check(data.endswith(wanted), f"it became {data[-len(wanted):][:300]!r}")
    front = data[:-len(wanted)]
    check(b"smuggled" not in front and front.count(b"X-Added: yes\r\n") == (1 if case.path == "added" else 0),
          f"in front of it stands {front!r}")
    if case.is_relayed():
        look_at_wire(there[0])


def run(build, _is_long=False):
    """Runs all of them; prints "ok …" or "not ok …", and how many there were."""
    failures = []
    made = cases()
    world = World(build, policy=POLICY, mx="max_errors = 1000, soft_errors = 1000")
    try:
        for case in made:
            try:
                run_case(world, case)
            except (Failure, OSError) as problem:
                failures.append((case, problem))
        world.wait_empty()
        stored, relayed = world.stored(), world.relayed()
        for case in made:
            there = [message for message in relayed if case.tag in message.data] if case.is_relayed() else \
                [text for text in stored if case.tag in text and b"multipart/report" not in text]
            try:
                compare(case, there)
            except Failure as problem:
                failures.append((case, problem))
        strangers = [text for text in stored + [message.data for message in relayed] if b"case-" not in text]
        check(not strangers, f"somebody's message came alone: {strangers[:1]}")
        check(not any(message.sender.startswith(b"smuggled") for message in relayed), "a smuggled message went on")
        problems = [problem for peer in world.peers.values() for problem in peer.problems]
        check(not problems, f"servers wonder: {problems[:3]}")
    finally:
        world.close()
    for path in PATHS:
        of_path = [case for case in made if case.path == path]
        bad = [(case, problem) for case, problem in failures if case.path == path]
        for case, problem in bad:
            print(f"#   {case.where}: {problem}")
        refused = sum(content_of(case) is None for case in of_path)
        print(f"{'not ok' if bad else 'ok'} nothing is smuggled, {path}: {len(of_path)} cases, {refused} refused, "
              f"{len(of_path) - refused} arrived as one")
    print(f"# smuggling: {len(made)} cases of {len(SEQUENCES)} sequences, {len({case.where for case, _ in failures})} failed", flush=True)
    return not failures
