# SPDX-License-Identifier: Apache-2.0
"""Where a connection changes from plain to TLS, and where TLS ends: nothing that was said in one layer is
heard in the other, and nothing that was half said is taken for whole."""

import base64
import re
import socket
import ssl

from support import DOMAIN, PASSWORD, check, connect, send_over
from tls import context_for

MARK = b"whoever-reads-this-read-too-much"

# How each protocol begins TLS, and a command whose answer would tell that it was heard.
PROTOCOLS = {
    "mx": (b"EHLO c.example\r\n", re.compile(rb"250 [^\r\n]*\r\n$"), b"STARTTLS\r\n", b"220 ", b"NOOP\r\n", b"250 "),
    "submission": (b"EHLO c.example\r\n", re.compile(rb"250 [^\r\n]*\r\n$"), b"STARTTLS\r\n", b"220 ", b"NOOP\r\n", b"250 "),
    "lmtp": (b"LHLO c.example\r\n", re.compile(rb"250 [^\r\n]*\r\n$"), b"STARTTLS\r\n", b"220 ", b"NOOP\r\n", b"250 "),
    "imap": (b"", re.compile(rb""), b"a STARTTLS\r\n", b"a OK", b"b NOOP\r\n", b"b OK"),
    "pop3": (b"", re.compile(rb""), b"STLS\r\n", b"+OK", b"CAPA\r\n", b"+OK"),
}


class Layered:
    """A connection whose TLS is done here, record by record, so that anything can be put between."""

    def __init__(self, gateway, port):
        self.socket = socket.create_connection(("127.0.0.1", gateway.ports[port]), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = port
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = None
        self.heard = b""
        self.until(rb"\r\n$")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close()

    # ---- plain ----

    def plain(self, data):
        self.socket.sendall(data)

    def until(self, pattern):
        """Plain bytes until they match."""
        got = b""
        while not re.search(pattern, got):
            more = self.socket.recv(4096)
            check(more, f"{self.port}: it closes instead of {pattern}: {got!r}")
            got += more
        return got

    def rest(self):
        """All that comes until the end: nothing more is sent, so that nobody waits for it."""
        got = b""
        try:
            self.socket.shutdown(socket.SHUT_WR)
            while True:
                more = self.socket.recv(65536)
                if not more:
                    return got
                got += more
        except OSError as error:
            check(not isinstance(error, TimeoutError), f"{self.port}: it does not end; it said {got!r}")
            return got

    def hello(self):
        """Up to the word that begins TLS."""
        greeting, pattern, *_ = PROTOCOLS[self.port]
        if greeting:
            self.plain(greeting)
            self.until(pattern.pattern)

    # ---- TLS ----

    def begin(self, context=None, name="mx.example.test"):
        """The word, and the handshake."""
        _, _, word, good, *_ = PROTOCOLS[self.port]
        self.plain(word)
        answer = self.until(rb"\r\n$")
        check(answer.startswith(good), f"{self.port}: {word} is answered {answer!r}")
        self.handshake(context, name)

    def client_hello(self, context=None, name="mx.example.test"):
        """The first flight, not sent."""
        self.tls = (context or context_for()).wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def handshake(self, context=None, name="mx.example.test"):
        self.plain(self.client_hello(context, name))
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if self.outgoing.pending:
                    self.plain(self.outgoing.read())
                more = self.socket.recv(65536)
                check(more, f"{self.port}: it closes in the handshake")
                self.incoming.write(more)
        self.plain(self.outgoing.read())

    def seal(self, data):
        """TLS records of it, not sent."""
        self.tls.write(data)
        return self.outgoing.read()

    def say(self, data):
        self.plain(self.seal(data))

    def goodbye(self):
        """A close_notify, not sent."""
        try:
            self.tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLError):
            pass
        return self.outgoing.read()

    def answer(self, pattern=rb"\r\n$"):
        """What comes in TLS, until it matches."""
        got = b""
        while not re.search(pattern, got):
            try:
                got += self.tls.read(65536)
            except ssl.SSLWantReadError:
                more = self.socket.recv(65536)
                check(more, f"{self.port}: it closes instead of {pattern}: {got!r}")
                self.incoming.write(more)
        return got

    def ask(self, command):
        self.say(command)
        return self.answer()


def is_tls_or_nothing(data):
    """Only records of TLS (alerts, handshake): no byte of an answer in the clear."""
    while data:
        if data[0] not in (20, 21, 22, 23) or data[1:2] != b"\x03" or len(data) < 5:
            return False
        data = data[5 + int.from_bytes(data[3:5], "big"):]
    return True


class LayerTests:
    """Mixed into Tests."""

    def _mail_of_alice(self, gateway):
        """The messages in alice's mailbox, by POP3."""
        with socket.create_connection(("127.0.0.1", gateway.ports["pop3"]), timeout=30) as line:
            file = line.makefile("rwb", buffering=0)
            said = file.readline()
            for command in (f"USER alice@{DOMAIN}", f"PASS {PASSWORD}", "STAT"):
                file.write(command.encode() + b"\r\n")
                said = file.readline()
                check(said.startswith(b"+OK"), f"{command}: {said!r}")
            return int(said.split()[1])

    def what_was_said_before_tls_is_not_heard_in_it(self):
        gateway = self.gateway(tls=True)
        for port, (_, _, word, good, command, sign) in PROTOCOLS.items():
            for what, tail in (("a command behind it", command), ("half a command behind it", command[:3]),
                               ("one byte behind it", b"\x16"), ("a line end behind it", b"\r\n"),
                               ("a thousand commands behind it", 1000 * command)):
                with Layered(gateway, port) as line:
                    line.hello()
                    line.plain(word + tail)
                    try:
                        line.plain(line.client_hello())
                    except OSError:
                        pass
                    rest = line.rest()
                    check(re.fullmatch(rb"(" + re.escape(good) + rb"[^\r\n]*\r\n)?", rest), f"{port}, {what}: it says {rest[:300]!r}")
            for what, instead in (("a command instead of a handshake", command), ("an empty line", b"\r\n"),
                                  ("the word again", word), ("many bytes", bytes(70000)),
                                  ("a handshake of SSL 2", b"\x80\x2e\x01\x00\x02" + bytes(41))):
                with Layered(gateway, port) as line:
                    line.hello()
                    line.plain(word)
                    line.until(rb"\r\n$")
                    try:
                        line.plain(instead)
                    except OSError:
                        pass
                    rest = line.rest()
                    check(is_tls_or_nothing(rest), f"{port}, {what}: it says {rest!r}")
            with Layered(gateway, port) as line:
                line.hello()
                line.plain(word)
                line.until(rb"\r\n$")
                line.plain(line.client_hello() + command)
                rest = line.rest()
                check(is_tls_or_nothing(rest) and sign not in rest, f"{port}, a command behind the ClientHello: {rest!r}")
            with Layered(gateway, port) as line:
                line.hello()
                line.begin()
                line.plain(command)
                rest = line.rest()
                check(is_tls_or_nothing(rest), f"{port}, a command in the clear after the handshake: {rest!r}")
            with Layered(gateway, port) as line:
                line.hello()
                line.begin()
                line.plain(line.seal(command)[:-1] + b"\0")
                rest = line.rest()
                check(is_tls_or_nothing(rest), f"{port}, a record that was changed: {rest!r}")

    def tls_begins_once_and_forgets_what_was_before(self):
        gateway = self.gateway(tls=True)
        for port in ("mx", "submission"):
            with Layered(gateway, port) as line:
                line.hello()
                if port == "mx":
                    line.plain(b"MAIL FROM:<a@b.example>\r\n")
                    line.until(rb"^250[^\r\n]*\r\n$")
                line.begin()
                check(line.ask(b"RCPT TO:<alice@example.test>\r\n").startswith(b"503 "), f"{port}: the transaction is still there")
                check(line.ask(b"MAIL FROM:<a@b.example>\r\n").startswith(b"503 "), f"{port}: the hello is still there")
                line.say(b"EHLO c.example\r\n")
                said = line.answer(rb"250 [^\r\n]*\r\n$")
                check(b"STARTTLS" not in said, f"{port}: it offers STARTTLS again: {said!r}")
                check(line.ask(b"STARTTLS\r\n").startswith(b"503 "), f"{port}: it takes STARTTLS again")
                check(line.ask(b"NOOP\r\n").startswith(b"250 "), f"{port}: and then it is gone")
        with Layered(gateway, "imap") as line:
            line.begin()
            said = line.ask(b"c CAPABILITY\r\n")
            check(b"STARTTLS" not in said and b"LOGINDISABLED" not in said, f"imap: {said!r}")
            check(re.search(rb"d (BAD|NO)", line.ask(b"d STARTTLS\r\n")), "imap: it takes STARTTLS again")
            check(line.ask(b"e NOOP\r\n").startswith(b"e OK"), "imap: and then it is gone")
        with Layered(gateway, "pop3") as line:
            line.plain(f"USER alice@{DOMAIN}\r\n".encode())
            line.until(rb"^\+OK[^\r\n]*\r\n$")
            line.begin()
            check(line.ask(f"PASS {PASSWORD}\r\n".encode()).startswith(b"-ERR"), "pop3: the name is still there")
            check(line.ask(b"STLS\r\n").startswith(b"-ERR"), "pop3: it takes STLS again")
            line.say(b"CAPA\r\n")
            check(b"STLS" not in line.answer(rb"\r\n\.\r\n$"), "pop3: it offers STLS again")

    def logins_wait_for_tls(self):
        gateway = self.gateway(tls=True, submission='plaintext_login = "never", ', pop3='plaintext_login = "never", ',
                               imap='plaintext_login = "never", ', start=False)
        # What is given last counts: the defaults of these gateways come first.
        with open(gateway.config, encoding="utf-8") as file:
            text = file.read()
        gateway.write("postern.lua", text.replace('plaintext_login = "loopback",', "").replace(
            'plaintext_login = "loopback"', 'max_errors = 20'))
        gateway.start()
        secret = base64.b64encode(f"\0alice@{DOMAIN}\0{PASSWORD}".encode())
        for port, tries in (("submission", ((b"AUTH PLAIN " + secret + b"\r\n", rb"^5[0-9][0-9] "), (b"AUTH LOGIN\r\n", rb"^5[0-9][0-9] "))),
                            ("imap", ((b"a LOGIN alice@example.test postern\r\n", rb"^a NO"), (b"b AUTHENTICATE PLAIN\r\n", rb"^b NO"),
                                      (b"c AUTHENTICATE PLAIN " + secret + b"\r\n", rb"^c NO"))),
                            ("pop3", ((b"USER alice@example.test\r\n", rb"^-ERR"), (b"AUTH PLAIN\r\n", rb"^-ERR"), (b"AUTH PLAIN " + secret + b"\r\n", rb"^-ERR")))):
            with Layered(gateway, port) as line:
                line.hello()
                for command, wanted in tries:
                    line.plain(command)
                    said = line.until(rb"\r\n$")
                    check(re.search(wanted, said), f"{port}: {command[:12]} without TLS is answered {said!r}")
                line.begin()
                if port == "submission":
                    line.say(b"EHLO c.example\r\n")
                    line.answer(rb"250 [^\r\n]*\r\n$")
                    said = line.ask(b"AUTH PLAIN " + secret + b"\r\n")
                elif port == "imap":
                    said = line.ask(b"d LOGIN alice@example.test postern\r\n")
                else:
                    line.ask(b"USER alice@example.test\r\n")
                    said = line.ask(b"PASS postern\r\n")
                check(re.search(rb"^(235|d OK|\* CAPABILITY|\+OK)", said), f"{port}: with TLS the login is answered {said!r}")

    def tls_that_ends_ends_the_connection(self):
        """In the middle of what is being said, with more of it in the clear behind."""
        gateway = self.gateway(tls=True)
        envelope = (b"EHLO c.example\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<alice@example.test>\r\n")
        message = b"Subject: x\r\n\r\n" + MARK + b"\r\n"
        login = b"a LOGIN alice@example.test postern\r\n"

        def mail(line):
            for command in envelope:
                line.say(command)
                line.answer(rb"250 [^\r\n]*\r\n$")

        def data(line):
            mail(line)
            line.ask(b"DATA\r\n")

        def imap(line):
            line.say(login)
            line.answer(rb"a OK[^\r\n]*\r\n$")

        def append(line):
            imap(line)
            line.say(b"b APPEND INBOX {%d}\r\n" % len(message))
            line.answer(rb"\+[^\r\n]*\r\n$")

        def auth(line):
            line.say(b"EHLO c.example\r\n")
            line.answer(rb"250 [^\r\n]*\r\n$")
            line.ask(b"AUTH LOGIN\r\n")

        def authenticate(line):
            line.ask(b"a AUTHENTICATE PLAIN\r\n")

        def idle(line):
            imap(line)
            line.say(b"b SELECT INBOX\r\n")
            line.answer(rb"b OK[^\r\n]*\r\n$")
            line.ask(b"c IDLE\r\n")

        def nothing(_):
            pass
        half = len(message) // 2
        secret = base64.b64encode(f"\0alice@{DOMAIN}\0{PASSWORD}".encode()) + b"\r\n"
        cases = (
            ("mx", "a command", nothing, b"NO", b"OP\r\n"),
            ("mx", "DATA", data, message[:half], message[half:] + b".\r\n"),
            ("mx", "the end of DATA", data, message, b".\r\n"),
            ("mx", "the dot of DATA", data, message + b".", b"\r\n"),
            ("mx", "BDAT", mail, b"BDAT %d LAST\r\n" % len(message) + message[:half], message[half:]),
            ("mx", "the last byte of BDAT", mail, b"BDAT %d LAST\r\n" % len(message) + message[:-1], message[-1:]),
            ("mx", "RCPT", mail, b"RCPT TO:<bob@exa", b"mple.test>\r\nDATA\r\n" + message + b".\r\n"),
            ("lmtp", "the end of DATA", lambda line: (line.ask(b"LHLO c.example\r\n"), line.ask(envelope[1]), line.ask(envelope[2]),
                                                      line.ask(b"DATA\r\n")), message, b".\r\n"),
            ("submission", "AUTH", auth, b"YWxpY2VAZXhhbX", b"BsZS50ZXN0\r\ncG9zdGVybg==\r\n"),
            ("imap", "a command", nothing, b"b NO", b"OP\r\n"),
            ("imap", "a literal", append, message[:half], message[half:] + b"\r\n"),
            ("imap", "the end of a literal", append, message, b"\r\n"),
            ("imap", "AUTHENTICATE", authenticate, secret[:10], secret[10:] + b"b NOOP\r\n"),
            ("imap", "IDLE", idle, b"DO", b"NE\r\nd NOOP\r\n"),
            ("pop3", "a command", nothing, b"CA", b"PA\r\n"),
            ("pop3", "AUTH", lambda line: line.ask(b"AUTH PLAIN\r\n"), secret[:10], secret[10:] + b"STAT\r\n"),
        )
        for port, what, prepare, first, second in cases:
            for how in ("close_notify", "an alert", "nothing"):
                with Layered(gateway, port) as line:
                    line.hello()
                    line.begin()
                    prepare(line)
                    sealed = line.seal(first)
                    between = {"close_notify": line.goodbye, "nothing": lambda: b"",
                               "an alert": lambda: b"\x15\x03\x03\x00\x02\x02\x28"}[how]()
                    line.plain(sealed + between + second)
                    rest = line.rest()
                    check(is_tls_or_nothing(rest), f"{port}: {what}, {how}, then the rest in the clear: it says {rest!r}")
        check(self._mail_of_alice(gateway) == 0, "something was taken")
        with connect(gateway) as client:
            check(send_over(client)[0] == 250, "no mail is taken any more")
        check(self._mail_of_alice(gateway) == 1, "mail is not there")

    def clients_that_mean_another_server_are_not_served(self):
        gateway = self.gateway(tls=True)
        for port, names in (("submissions", ("smtp", "esmtp", "lmtp")), ("imaps", ("imap",)), ("pop3s", ("pop3",))):
            for asked in (["http/1.1"], ["h2", "http/1.1"], ["ftp"], ["smtps"]):
                context = context_for()
                context.set_alpn_protocols(asked)
                plain = socket.create_connection(("127.0.0.1", gateway.ports[port]), timeout=30)
                try:
                    context.wrap_socket(plain, server_hostname="localhost").close()
                    check(False, f"{port} serves a client that asks for {asked}")
                except ssl.SSLError as error:
                    check("no application protocol" in str(error), f"{port}: {error}")
                finally:
                    plain.close()
            for name in names:
                context = context_for()
                context.set_alpn_protocols(["h2", name])
                plain = socket.create_connection(("127.0.0.1", gateway.ports[port]), timeout=30)
                with context.wrap_socket(plain, server_hostname="localhost") as client:
                    check(client.selected_alpn_protocol() == name, f"{port} chooses {client.selected_alpn_protocol()} for {name}")
                    check(client.recv(1) in (b"2", b"*", b"+"), f"{port} does not greet")
