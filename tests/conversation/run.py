#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plays conversations (*.chat, see README.md) with a gateway; prints "ok NAME" or "not ok NAME".

    tests/conversation/run.py --build DIR [--store local|memory] [FILE or NAME-PART …]

Files that ask for the same options share a gateway.
"""

import argparse
import base64
import os
import re
import select
import signal
import socket
import ssl
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from gateway import DOMAIN, SHA512, USERS, Gateway, GatewayError, configuration  # noqa: E402

TIMEOUT = 20
# An account for each test that wants one of its own.
OWN_ACCOUNTS = 1000
STORES = {
    "local": dict(store='module "store_local" { as = "local" }'),
    # A mailbox in memory is that of one worker.
    "memory": dict(store='module "store_memory" { as = "local" }', workers=1),
}


class Failure(Exception):
    """A line of a conversation that did not go as it says."""


# ---- reading ----

class Line:
    """One line of a chat file, or a block of them that is repeated."""

    def __init__(self, place, text, block=None, times=1):
        self.place = place
        self.text = text
        self.block = block
        self.times = times


class Test:
    def __init__(self, name, options, lines, fresh, store):
        self.name = name
        self.store = store  # the only one it is for, or ""
        self.options = options
        self.lines = lines
        self.fresh = fresh


def raw_lines(path):
    """(place, text) of the lines that say something, includes put in."""
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            text = text.rstrip("\n")
            if text.startswith("include "):
                yield from raw_lines(os.path.join(os.path.dirname(path), text[8:].strip()))
            elif text.strip() and not text.startswith("#"):
                yield f"{os.path.relpath(path, HERE)}:{number}", text


def parse_block(lines, place, closes):
    """Lines up to "end" (or to the end of the list)."""
    block = []
    while lines:
        here, text = lines.pop(0)
        words = text.split(None, 2)
        if words[0] == "end" and closes:
            return block
        if words[0] == "repeat" and len(words) == 2:
            block.append(Line(here, text, parse_block(lines, here, True), int(words[1])))
        elif words[0] == "repeat":
            block.append(Line(here, text, [Line(here, words[2])], int(words[1])))
        else:
            block.append(Line(here, text))
    if closes:
        raise Failure(f"{place}: repeat without end")
    return block


def parse_file(path):
    """The tests of a file: options, a preamble, and a section for each."""
    options, preamble, sections, fresh, store = {}, [], [], False, ""
    for place, text in raw_lines(path):
        word, _, rest = text.partition(" ")
        if word == "with":
            key, _, value = rest.partition(":")
            options.setdefault(key.strip(), []).append(value.strip())
        elif word == "fresh":
            fresh = True
        elif word == "only":
            store = rest.strip()
        elif word == "test":
            sections.append((rest.strip(), []))
        elif sections:
            sections[-1][1].append((place, text))
        else:
            preamble.append((place, text))
    options = {key: "\n".join(value) if key == "policy" else " ".join(value)
               for key, value in options.items()}
    stem = os.path.relpath(path, HERE)[:-len(".chat")]
    return [Test(f"{stem}: {name}", options, parse_block(preamble + lines, path, False), fresh,
                 store)
            for name, lines in sections]


# ---- text ----

ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


def with_names(text, names):
    """With what `take` has kept, and the name of the test's mailbox."""
    def value(match):
        if match.group(1) not in (names or {}):
            raise Failure(f"nothing was taken as {match.group(1)}")
        return names[match.group(1)]
    return re.sub(r"\{\$(\w+)\}", value, text)


def to_bytes(text, index, names=None):
    """Escapes (\\r \\n \\0 \\xNN) and macros: {base64:…} {repeat:N:…} {literal:…} {size:…} {i} {$NAME}."""
    def macro(match):
        kind, _, rest = match.group(1).partition(":")
        if kind == "i":
            return str(index)
        if kind == "size":
            return str(len(to_bytes(rest, index, names)))
        if kind == "literal":
            return f"{{{len(to_bytes(rest, index, names))}+}}\\r\\n{rest}"
        if kind == "base64":
            return base64.b64encode(to_bytes(rest, index)).decode()
        if kind == "repeat":
            count, _, what = rest.partition(":")
            return what * int(count)
        raise Failure(f"unknown macro {{{kind}}}")

    text = with_names(text, names)
    text = re.sub(r"\{((?:base64|repeat|literal|size):[^}]*|i)\}", macro, text)
    out = bytearray()
    position = 0
    while position < len(text):
        escape = text.find("\\", position)
        if escape != position:
            end = escape if escape >= 0 else len(text)
            out += text[position:end].encode()
            position = end
            continue
        following = text[position + 1:position + 2]
        if following == "x":
            out += bytes([int(text[position + 2:position + 4], 16)])
            position += 4
        elif following in ESCAPES and following:
            out += ESCAPES[following]
            position += 2
        else:
            out += b"\\"
            position += 1
    return bytes(out)


def matches(pattern, line, is_imap=False):
    """Whether the line is like the pattern, in which "*" stands for anything (but for the one that
    IMAP begins its untagged answers with)."""
    start = ""
    if is_imap and pattern.startswith("* "):
        start, pattern = re.escape("* "), pattern[2:]
    expression = start + ".*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(expression, line, re.DOTALL) is not None


# ---- playing ----

class Connection:
    def __init__(self, port, encrypted, is_imap=False):
        self.is_imap = is_imap
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.buffer = b""
        if encrypted:
            self.secure()

    def secure(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, suppress_ragged_eofs=True)

    def more(self):
        """Reads something; false at the end."""
        try:
            piece = self.socket.recv(65536)
        except socket.timeout:
            raise Failure(f"no answer within {TIMEOUT} s (so far: {self.buffer!r})") from None
        except (ConnectionError, ssl.SSLError) as error:
            raise Failure(f"the connection broke: {error}") from None
        if not piece and self.buffer:
            raise Failure(f"the end came inside a line: {self.buffer!r}")
        self.buffer += piece
        return bool(piece)

    def read_line(self):
        """A line without its CRLF; None at the end. IMAP: with its literals, as {size} and the
        bytes, whose line ends are \\r\\n."""
        text = ""
        while True:
            while b"\n" not in self.buffer:
                if not self.more():
                    if text:
                        raise Failure(f"the end came inside a line: {text!r}")
                    return None
            line, self.buffer = self.buffer.split(b"\n", 1)
            if not line.endswith(b"\r"):
                raise Failure(f"the gateway sent a bare LF: {line!r}")
            text += line[:-1].decode("latin-1")
            size = re.search(r"\{(\d+)\}$", text) if self.is_imap else None
            if size is None:
                return text
            while len(self.buffer) < int(size.group(1)):
                if not self.more():
                    raise Failure("the end came inside a literal")
            literal = self.buffer[:int(size.group(1))]
            self.buffer = self.buffer[int(size.group(1)):]
            text += literal.decode("latin-1").replace("\r", "\\r").replace("\n", "\\n")

    def expect_end(self):
        try:
            rest = self.buffer or self.socket.recv(65536)
        except socket.timeout:
            raise Failure(f"the gateway did not close within {TIMEOUT} s") from None
        except (ConnectionResetError, ssl.SSLError):
            rest = b""
        if rest:
            raise Failure(f"instead of the end came {rest!r}")


class Player:
    """Plays one test."""
    count = 0

    def __init__(self, gateway):
        self.gateway = gateway
        self.connections = {}
        self.current = None
        self.last = []  # the lines of the last reply
        self.transcript = []
        Player.count += 1
        self.names = {"box": f"box{Player.count}z", "user": f"user{Player.count}"}

    def note(self, who, what):
        text = what if len(what) < 200 else f"{what[:200]}… ({len(what)} bytes)"
        self.transcript.append(f"    {who} {text}")

    def receive(self):
        line = self.connection().read_line()
        self.note("S:", "(end)" if line is None else line)
        if line is None:
            raise Failure("the gateway closed the connection")
        return line

    def connection(self):
        if self.current is None:
            raise Failure("connect comes first")
        return self.connections[self.current]

    def do_connect(self, argument, _index):
        name, _, label = argument.partition(" as ")
        port = self.gateway.ports[name]
        self.current = label or name
        self.note("--", f"connect {name}")
        self.connections[self.current] = Connection(port, name in ("submissions", "pop3s", "imaps"),
                                                    name.startswith("imap"))

    def do_use(self, argument, _index):
        self.current = argument

    def is_imap(self):
        return self.current is not None and self.connection().is_imap

    def do_server(self, pattern, _index):
        pattern = with_names(pattern, self.names)
        line = self.receive()
        self.last = [line]
        # A pattern with a tag: the untagged answers before it belong to it.
        if self.is_imap() and pattern[:1] not in "*+":
            while line.startswith("* "):
                line = self.receive()
                self.last.append(line)
        # "250 …" is the end of a reply: lines with "250-" belong to it.
        if re.match(r"\d\d\d ", pattern):
            while re.match(re.escape(pattern[:3]) + "-", line):
                line = self.receive()
                self.last.append(line)
        if not matches(pattern, line, self.is_imap()):
            raise Failure(f"expected {pattern!r}, came {line!r}")

    def do_lines(self, _argument, _index):
        """The lines up to a lone dot."""
        self.last = []
        while (line := self.receive()) != ".":
            self.last.append(line[1:] if line.startswith(".") else line)

    def do_has(self, pattern, _index):
        pattern = with_names(pattern, self.names)
        if not any(matches(pattern, line, self.is_imap()) for line in self.last):
            raise Failure(f"no line like {pattern!r} in {self.last!r}")

    def do_lacks(self, pattern, _index):
        pattern = with_names(pattern, self.names)
        if any(matches(pattern, line, self.is_imap()) for line in self.last):
            raise Failure(f"a line like {pattern!r} in {self.last!r}")

    def do_take(self, argument, _index):
        """take NAME EXPRESSION: keeps what its group matches in the last reply."""
        name, _, expression = argument.partition(" ")
        for line in self.last:
            match = re.search(expression, line)
            if match is not None:
                self.names[name] = match.group(1)
                return
        raise Failure(f"nothing like {expression!r} in {self.last!r}")

    def do_count(self, argument, _index):
        if len(self.last) != int(argument):
            raise Failure(f"{len(self.last)} lines instead of {argument}: {self.last!r}")

    def send(self, data):
        self.note("C:", repr(data)[2:-1])
        try:
            self.connection().socket.sendall(data)
        except OSError as error:
            raise Failure(f"cannot send: {error}") from None

    def do_client(self, text, index):
        self.send(to_bytes(text, index, self.names) + b"\r\n")

    def do_raw(self, text, index):
        self.send(to_bytes(text, index, self.names))

    def do_tls(self, _argument, _index):
        self.note("--", "TLS")
        try:
            self.connection().secure()
        except (ssl.SSLError, OSError) as error:
            raise Failure(f"TLS failed: {error}") from None

    def do_close(self, _argument, _index):
        self.connection().socket.close()
        del self.connections[self.current]
        self.current = None

    def do_half_close(self, _argument, _index):
        self.connection().socket.shutdown(socket.SHUT_WR)

    def do_expect_close(self, _argument, _index):
        self.connection().expect_end()
        self.do_close("", 0)

    def do_write(self, argument, index):
        """write FILE text: puts a file into the gateway's directory (the account file, say)."""
        name, _, text = argument.partition(" ")
        self.gateway.write(name, to_bytes(text, index).decode())

    def do_eventually(self, argument, index):
        """eventually COMMAND => pattern: sends the line until the reply is like the pattern."""
        command, _, pattern = argument.partition(" => ")
        pattern = with_names(pattern, self.names)
        deadline = time.monotonic() + TIMEOUT
        while True:
            self.do_client(command, index)
            line = self.receive()
            if self.is_imap():
                self.last = [line]
                while line.startswith("* "):
                    line = self.receive()
                    self.last.append(line)
                if any(matches(pattern, each, True) for each in self.last):
                    return
            elif matches(pattern, line):
                return
            if time.monotonic() > deadline:
                raise Failure(f"never came {pattern!r}, last {line!r}")
            time.sleep(0.05)

    def do_dribble(self, argument, index):
        """dribble TEXT => pattern: sends the text again and again, slowly, until something is said,
        which is like the pattern."""
        text, _, pattern = argument.partition(" => ")
        connection = self.connection()
        end = time.monotonic() + TIMEOUT
        while not connection.buffer and not select.select([connection.socket], [], [], 0.05)[0]:
            self.send(to_bytes(text, index, self.names))
            if time.monotonic() > end:
                raise Failure(f"never came {pattern!r}")
        self.do_server(pattern, index)

    def do_until_log(self, argument, index):
        """until-log COMMAND => pattern: the same until the log of the gateway has such a line."""
        command, _, pattern = argument.partition(" => ")
        deadline = time.monotonic() + TIMEOUT
        while not any(matches("*" + pattern + "*", line.rstrip("\n"))
                      for line in self.gateway.log_tail(1000).splitlines()):
            self.do_client(command, index)
            self.receive()
            if time.monotonic() > deadline:
                raise Failure(f"never in the log: {pattern!r}")
            time.sleep(0.05)

    def do_terminate(self, _argument, _index):
        """The gateway is told to stop, and nobody waits for it here."""
        self.gateway.process.send_signal(signal.SIGTERM)

    def do_damage(self, argument, index):
        """damage TEXT: turns one bit in what the gateway keeps, where it has these bytes."""
        text = to_bytes(argument, index)
        found = 0
        for folder, _, names in os.walk(os.path.join(self.gateway.directory, "data")):
            for name in names:
                path = os.path.join(folder, name)
                if not os.path.isfile(path):
                    continue
                with open(path, "r+b") as file:
                    data = file.read()
                    at = data.find(text)
                    if at >= 0:
                        found += 1
                        file.seek(at)
                        file.write(bytes([data[at] ^ 1]))
        if not found:
            raise Failure("nothing to damage was found")

    COMMANDS = {
        "connect": do_connect, "use": do_use, "S:": do_server, "lines": do_lines, "has": do_has,
        "lacks": do_lacks, "take": do_take, "count": do_count, "C:": do_client, "C!": do_raw, "tls": do_tls,
        "starttls": do_tls, "close": do_close, "half-close": do_half_close,
        "expect-close": do_expect_close, "write": do_write, "eventually": do_eventually,
        "until-log": do_until_log, "dribble": do_dribble, "terminate": do_terminate, "damage": do_damage,
    }

    def play(self, lines, index=0):
        for line in lines:
            if line.block is not None:
                for times in range(line.times):
                    self.play(line.block, times + 1)
                continue
            word, _, rest = line.text.partition(" ")
            if word not in self.COMMANDS:
                raise Failure(f"{line.place}: unknown word {word!r}")
            try:
                self.COMMANDS[word](self, rest, index)
            except Failure as failure:
                if failure.args[0].startswith(line.place.split(":")[0]):
                    raise
                raise Failure(f"{line.place}: {line.text}\n    {failure}") from None
            except OSError as error:
                raise Failure(f"{line.place}: {line.text}\n    {error}") from None

    def finish(self):
        for connection in self.connections.values():
            connection.socket.close()


def with_policy(build, directory, ports, policy="", **options):
    """configuration(), with the policy of the chat file beside it."""
    if policy:
        with open(os.path.join(directory, "policy.lua"), "w", encoding="utf-8") as file:
            file.write(policy + "\n")
        options["more"] = options.get("more", "") + f'\npolicy {{ "{directory}/policy.lua" }}'
    return configuration(build, directory, ports, **options)


def run_group(build, tests, store, ports=None):
    """The tests that share a gateway; returns the number that failed."""
    failed = 0
    options = dict(STORES[store])
    for key, value in tests[0].options.items():
        options[key] = value
    if options.get("tls") == "no":
        options["tls"] = False
    try:
        with Elsewhere(ports) if ports else Gateway(build, configure=with_policy,
                                                    users=all_users(), **options) as gateway:
            for test in tests:
                player = Player(gateway)
                try:
                    player.play(test.lines)
                    print(f"ok {test.name}", flush=True)
                except Failure as failure:
                    failed += 1
                    print(f"not ok {test.name}\n  {failure}")
                    print("\n".join(player.transcript[-30:]), flush=True)
                finally:
                    player.finish()
    except GatewayError as error:
        failed += 1
        print(f"not ok {tests[0].name} and those that share its gateway\n  {error}", flush=True)
    return failed


def all_users():
    return USERS + "".join(f"user{number}@{DOMAIN}:{SHA512}:\n"
                           for number in range(1, OWN_ACCOUNTS + 1))


class Elsewhere:
    """Another server in the place of a gateway, to see what tests ask of it."""

    def __init__(self, ports):
        self.ports = ports

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def groups_of(tests):
    groups = {}
    for test in tests:
        key = (tuple(sorted(test.options.items())), test.name if test.fresh else "")
        groups.setdefault(key, []).append(test)
    return groups.values()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", help="where the gateway was built")
    parser.add_argument("--connect", help="ports of another server: imap=143,imaps=993")
    parser.add_argument("--store", choices=STORES, default="local")
    parser.add_argument("only", nargs="*", help="parts of the names of tests")
    arguments = parser.parse_args()
    paths = sorted(os.path.join(folder, name) for folder, _, names in os.walk(HERE)
                   for name in names if name.endswith(".chat"))
    tests = [test for path in paths for test in parse_file(path)
             if test.store in ("", arguments.store) and
             (not arguments.only or any(part in test.name for part in arguments.only))]
    ports = None
    if arguments.connect:
        ports = {name: int(port) for name, port in
                 (each.split("=") for each in arguments.connect.split(","))}
    failed = sum(run_group(arguments.build, group, arguments.store, ports)
                 for group in groups_of(tests))
    print(f"# conversation: {len(tests) - failed} passed, {failed} failed")
    return 1 if failed or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
