# SPDX-License-Identifier: Apache-2.0
"""Tables of what a client can say wrong, step by step. Each case ends without a login, in one of the
words that are right for it. All play under TLS, where every mechanism is on offer."""

import base64

import mechanisms
from gateway import PASSWORD
from mechanisms import Scram, bearer, cram, xoauth2

TOKEN = "no.such.token"


class Case:
    def __init__(self, name, play, *words):
        self.name, self.play, self.words = name, play, words


# Lines that are no message of any mechanism, and how they are answered.
LINES = (("cancel", "*", ("cancelled",)),
         ("garbage", "!!!", ("malformed",)),
         ("no padding", "YQ", ("malformed",)),
         ("space inside", "YWJj ZGVm", ("malformed",)),
         ("bits left", "YR==", ("malformed",)),
         ("padding inside", "YQ==YQ==", ("malformed",)),
         ("too long", "A" * 13000, ("cancelled", "too long")))

# Messages that are base64, and wrong for all but the mechanisms that are named.
MESSAGES = (("empty", b""), ("one NUL", b"\0"), ("NULs", b"\0" * 5), ("commas", b",,,,,,"),
            ("binary", bytes(range(256))), ("huge", b"A" * 8000), ("equals", b"====="),
            ("almost", b"n,,"), ("UTF-8 cut off", b"\xc3"))


def steps_of(mechanism):
    """What a client says before each step: how many good messages, and whether the first of them is
    an initial response."""
    count = {"PLAIN": 1, "LOGIN": 2, "CRAM-MD5": 1, "OAUTHBEARER": 2, "XOAUTH2": 2}.get(mechanism, 3)
    for step in range(count):
        for with_initial in (False, True):
            if not (mechanism == "CRAM-MD5" and with_initial) and not (step == 0 and with_initial):
                yield step, with_initial


def client(door, mechanism):
    """A client that knows everything, as a generator; it gets what the server says."""
    if mechanism == "PLAIN":
        yield f"\0alice\0{PASSWORD}".encode()
    elif mechanism == "LOGIN":
        yield b"alice"
        yield PASSWORD.encode()
    elif mechanism == "OAUTHBEARER":
        yield bearer(TOKEN, "alice")
        yield b"\x01"
    elif mechanism == "XOAUTH2":
        yield xoauth2(TOKEN, "alice")
        yield b""
    elif mechanism.startswith("SCRAM"):
        digest = "sha1" if "SHA-1" in mechanism else "sha256"
        plus = mechanism.endswith("-PLUS")
        yield from Scram("alice", PASSWORD, digest, flag="p=tls-exporter" if plus else "n",
                         binding=door.binding() if plus else b"").messages()


def up_to(door, mechanism, step, with_initial):
    """Plays so many good messages; the answer to the last, which must be a challenge."""
    exchange = client(door, mechanism)
    if with_initial:
        answer = door.start(mechanism, next(exchange))
    else:
        answer = door.start(mechanism)
        if step > 0:
            assert answer.word == "challenge", answer
            answer = door.say(next(exchange))
    for _ in range(step - 1):
        assert answer.word == "challenge", answer
        answer = door.say(exchange.send(answer.data))
    assert answer.word == "challenge", answer
    return answer


def line_at(mechanism, step, with_initial, line):
    def play(door):
        up_to(door, mechanism, step, with_initial)
        return door.say(line)
    return play


def words_for(mechanism, step, name):
    """How a message of the table above is answered at a step."""
    if mechanism == "LOGIN" and step == 0:
        return ("malformed",) if name in ("empty", "huge") else ("challenge",)
    if mechanism == "LOGIN":
        return ("malformed",) if name in ("empty", "huge") else ("wrong",)
    if mechanism in ("OAUTHBEARER", "XOAUTH2") and step == 1:
        return ("wrong",)
    return ("malformed",)


def message_at(mechanism, step, with_initial, message):
    def play(door):
        up_to(door, mechanism, step, with_initial)
        answer = door.say(message)
        if answer.word == "challenge":
            # LOGIN takes any name.
            door.say("*")
        return answer
    return play


def initial(mechanism, line, words):
    """An initial response that is wrong."""
    def play(door):
        answer = door.start(mechanism, line)
        if answer.word == "challenge":
            door.say("*")
        return answer
    return Case(f"{mechanism}: initial response {line[:20]!r}", play, *words)


def once(mechanism, name, message, *words):
    return Case(f"{mechanism}: {name}", lambda door: door.start(mechanism, message), *words)


def scram(mechanism, name, *words, **changes):
    """A client of SCRAM that differs in something."""
    def play(door):
        plus = mechanism.endswith("-PLUS")
        given = dict(digest="sha1" if "SHA-1" in mechanism else "sha256", name="alice",
                     password=PASSWORD)
        if plus:
            given.update(flag="p=tls-exporter", binding=door.binding())
        given.update(changes)
        exchange = Scram(**given).messages()
        answer = door.start(mechanism, next(exchange))
        if answer.word == "challenge":
            answer = door.say(exchange.send(answer.data))
        if answer.word == "challenge":
            door.say("*")
        return answer
    return Case(f"{mechanism}: {name}", play, *words)


def replayed(mechanism):
    """The final message of an exchange that was right, said again in another one."""
    def play(door):
        digest = "sha1" if "SHA-1" in mechanism else "sha256"
        plus = mechanism.endswith("-PLUS")
        first = Scram("alice", PASSWORD, digest, flag="p=tls-exporter" if plus else "n",
                      binding=door.binding() if plus else b"")
        answer = door.start(mechanism, first.first())
        final = first.final(answer.data)
        door.say(final)
        door.say("*")  # as if somebody had cut it off before the end
        answer = door.start(mechanism, first.first())
        assert answer.word == "challenge", answer
        return door.say(final)
    return Case(f"{mechanism}: replayed", play, "wrong")


def scram_cases(mechanism):
    header = "p=tls-exporter,," if mechanism.endswith("-PLUS") else "n,,"
    yield replayed(mechanism)
    yield scram(mechanism, "wrong password", "wrong", password="wrong")
    yield scram(mechanism, "wrong proof", "wrong", proof=b"x" * (20 if "SHA-1" in mechanism else 32))
    yield scram(mechanism, "short proof", "wrong", proof=b"x")
    yield scram(mechanism, "empty proof", "malformed", proof=b"")
    yield scram(mechanism, "nonce of the client only", "wrong", nonce="abcdef", final_nonce="abcdef")
    yield scram(mechanism, "empty nonce", "wrong", "malformed", final_nonce="")
    yield scram(mechanism, "other header", "wrong", final_binding=b"y,,")
    yield scram(mechanism, "empty binding", "wrong", final_binding=b"")
    yield scram(mechanism, "binding cut off", "wrong", final_binding=b"n")
    yield scram(mechanism, "other binding", "wrong", final_binding=header.encode() + bytes(32))
    yield scram(mechanism, "long binding", "wrong", final_binding=b"x" * 5000)
    yield scram(mechanism, "for somebody else", "wrong", "challenge", authorization="bob")
    for name, message in (
            ("no header", b"n=alice,r=abc"), ("mandatory extension", header.encode() + b"m=x,n=alice,r=abc"),
            ("no name", header.encode() + b"r=abc"), ("empty name", header.encode() + b"n=,r=abc"),
            ("no nonce", header.encode() + b"n=alice"), ("no value", header.encode() + b"n=alice,r="),
            ("wrong order", header.encode() + b"r=abc,n=alice"),
            ("bad escape", header.encode() + b"n=al=ice,r=abc"),
            ("escape cut off", header.encode() + b"n=alice=,r=abc"),
            ("NUL in the name", header.encode() + b"n=al\0ice,r=abc"),
            ("space in the nonce", header.encode() + b"n=alice,r=a c"),
            ("long nonce", header.encode() + b"n=alice,r=" + b"a" * 513),
            ("long name", header.encode() + b"n=" + b"a" * 257 + b",r=abc"),
            ("unknown flag", b"x,,n=alice,r=abc"), ("empty flag", b",,n=alice,r=abc"),
            ("p without a name", b"p=,,n=alice,r=abc"),
            ("empty authorization", header.encode()[:-1] + b"a=,n=alice,r=abc")):
        yield once(mechanism, name, message, "malformed")


def plain_cases():
    for name, message, word in (
            ("one part", b"alice", "malformed"), ("two parts", b"\0alice", "malformed"),
            ("four parts", b"\0alice\0postern\0", "malformed"), ("no name", b"\0\0postern", "malformed"),
            ("no password", b"\0alice\0", "malformed"),
            ("password at the limit", b"\0alice\0" + b"x" * 1024, "wrong"),
            ("password past it", b"\0alice\0" + b"x" * 1025, "malformed"),
            ("name at the limit", b"\0" + b"a" * 256 + b"\0postern", "wrong"),
            ("name past it", b"\0" + b"a" * 257 + b"\0postern", "wrong"),
            ("for somebody else", b"bob\0alice\0postern", "wrong"),
            ("for somebody unknown", b"nobody\0alice\0postern", "wrong"),
            ("for the same in another domain", b"alice@elsewhere.test\0alice\0postern", "wrong"),
            ("for a very long name", b"b" * 300 + b"\0alice\0postern", "wrong"),
            ("no UTF-8", b"\0al\xffice\0postern", "wrong"),
            ("line end in the name", b"\0alice\r\n\0postern", "wrong"),
            ("quote in the name", b"\0\"alice\"\0postern", "wrong"),
            ("domain of somebody else", b"\0alice@elsewhere.test\0postern", "wrong"),
            ("two at signs", b"\0alice@x@example.test\0postern", "wrong"),
            ("wrong password", b"\0alice\0wrong", "wrong"), ("unknown name", b"\0nobody\0postern", "wrong"),
            ("password in other letters", b"\0alice\0POSTERN", "wrong")):
        yield once("PLAIN", name, message, word)


def cram_cases():
    def answer_with(name, make, *words):
        def play(door):
            answer = door.start("CRAM-MD5")
            assert answer.word == "challenge", answer
            return door.say(make(answer.data))
        return Case(f"CRAM-MD5: {name}", play, *words)

    def replay(door):
        challenge = door.start("CRAM-MD5").data
        door.say("*")
        door.start("CRAM-MD5")
        return door.say(cram("alice", PASSWORD, challenge))

    yield answer_with("no digest", lambda challenge: b"alice", "malformed")
    yield answer_with("no name", lambda challenge: cram("", PASSWORD, challenge), "malformed")
    yield answer_with("digest cut off", lambda challenge: cram("alice", PASSWORD, challenge)[:-1],
                      "malformed", "wrong")
    yield answer_with("capital letters", lambda challenge: cram("alice", PASSWORD, challenge).upper(),
                      "wrong")
    yield answer_with("wrong password", lambda challenge: cram("alice", "wrong", challenge), "wrong")
    yield answer_with("empty password", lambda challenge: cram("alice", "", challenge), "wrong")
    yield answer_with("unknown name", lambda challenge: cram("nobody", PASSWORD, challenge), "wrong")
    yield answer_with("NUL", lambda challenge: cram("al\0ice", PASSWORD, challenge), "wrong")
    yield Case("CRAM-MD5: an answer to another challenge", replay, "wrong")
    yield Case("CRAM-MD5: initial response", lambda door: door.start("CRAM-MD5", b"alice x"),
               "malformed")


def token_cases(mechanism):
    make = bearer if mechanism == "OAUTHBEARER" else xoauth2
    for name, change in (("no token", ("auth=Bearer " + TOKEN, "auth=Bearer ")),
                         ("another scheme", ("Bearer", "Basic")), ("no field", ("auth=", "autx=")),
                         ("two tokens", ("auth=Bearer " + TOKEN,
                                         f"auth=Bearer {TOKEN}\x01auth=Bearer {TOKEN}")),
                         ("token with a space", (TOKEN, "a b")), ("token with a NUL", (TOKEN, "a\0b")),
                         ("token with a quote", (TOKEN, 'a"b')),
                         ("no end", ("\x01\x01", "\x01")), ("something behind the end", ("\x01\x01", "\x01\x01x"))):
        message = make(TOKEN, "alice").replace(change[0].encode(), change[1].encode())
        yield once(mechanism, name, message, "malformed")
    if mechanism == "OAUTHBEARER":
        for name, message in (("bound", bearer(TOKEN).replace(b"n,,", b"p=tls-exporter,,")),
                              ("no header", bearer(TOKEN)[3:]),
                              ("bad name", bearer(TOKEN).replace(b"n,,", b"n,a=b=c,"))):
            yield once(mechanism, name, message, "malformed")
    else:
        yield once(mechanism, "no name", xoauth2(TOKEN, ""), "malformed")


def of(mechanism):
    """All cases of a mechanism."""
    for step, with_initial in steps_of(mechanism):
        place = f"{mechanism}: step {step + 1}{' after an initial response' if with_initial else ''}"
        for name, line, words in LINES:
            yield Case(f"{place}: {name}", line_at(mechanism, step, with_initial, line), *words)
        for name, message in MESSAGES:
            if step == 2 and name == "empty":
                continue  # the last word of SCRAM is empty
            yield Case(f"{place}: {name}", message_at(mechanism, step, with_initial, message),
                       *words_for(mechanism, step, name))
    if mechanism != "CRAM-MD5":
        yield initial(mechanism, "!!!", ("malformed",))
        yield initial(mechanism, "=", ("malformed",))
        yield initial(mechanism, base64.b64encode(b"\0").decode(),
                      ("challenge",) if mechanism == "LOGIN" else ("malformed",))
    if mechanism.startswith("SCRAM"):
        yield from scram_cases(mechanism)
    elif mechanism == "PLAIN":
        yield from plain_cases()
    elif mechanism == "CRAM-MD5":
        yield from cram_cases()
    elif mechanism in ("OAUTHBEARER", "XOAUTH2"):
        yield from token_cases(mechanism)


assert mechanisms.escape("a,=") == "a=2C=3D"
