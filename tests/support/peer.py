# SPDX-License-Identifier: Apache-2.0
"""A server that takes mail by SMTP or LMTP and does what a test wants of it, misbehaving included.

    peer = Peer("127.0.0.2", port, rules={"rcpt": [b"450 4.2.1 busy\r\n", OK]})
    peer.messages       # what it took: sender, recipients, parameters, data
    peer.dialogues      # the lines of each connection, "> " from the client
    peer.close()

`rules` names, for a step (connect, ehlo, helo, lhlo, starttls, auth, mail, rcpt, data, end, rset, quit),
what is done instead of the usual: one thing for always, or a list whose last thing stays. A thing is
    bytes       these are sent
    Drop(b"…")  the same, then the connection is closed; with reset=True it is reset
    Slow(b"…")  the same, one byte each `seconds`
    Silent()    nothing is sent, and what comes is read until the client closes
    Bad(b"…")   these are sent, and are no answer: the client had better not believe it
    Clear(b"…") TLS is ended, and these follow in the clear; what is heard in the clear is a problem
    Part(n)     only at "data": 354 is said, and after n bytes of the message the connection is closed;
                with Part(n, b"…") these are said before
At "empty-data" any thing but OK means that DATA is taken without a recipient, too.
    Stall(n)    only at "data": 354 is said, and after n bytes of the message nothing is read any more
    a function  of (step, argument), which returns one of these or OK
    OK          the usual
It runs in threads of its own, a few for a test; bytes and time of each connection are bounded.
"""

import os
import re
import socket
import ssl
import struct
import threading
import time

OK = object()
LIMIT_SECONDS = 60
LIMIT_BYTES = 200 * 1024 * 1024
PATH = re.compile(rb"<([^>]*)>")
USUAL = ("PIPELINING", "SIZE 50000000", "8BITMIME", "ENHANCEDSTATUSCODES")


class Drop:
    def __init__(self, text=b"", reset=False):
        self.text, self.reset = text, reset


class Slow:
    def __init__(self, text, seconds=1.0):
        self.text, self.seconds = text, seconds


class Silent:
    pass


class Bad:
    def __init__(self, text):
        self.text = text


class Clear:
    """TLS is ended as it should be, and then these bytes are sent in the clear. Nothing but TLS may come."""

    def __init__(self, text):
        self.text = text


class Part:
    def __init__(self, size, text=b""):
        self.size, self.text = size, text


class Stall(Part):
    pass


class Message:
    """One that was taken with 2xx (for LMTP: by somebody)."""

    def __init__(self):
        self.sender, self.recipients, self.data = b"", [], b""
        self.mail_parameters, self.rcpt_parameters = b"", []
        self.tls, self.login = None, None
        self.is_flight = False  # DATA came with MAIL
        self.is_chunk = False   # it came with BDAT
        self.raw = None         # as it came behind DATA, where the peer keeps_raw


class Gone(Exception):
    """The connection is over."""


class Connection:
    """One client, in a thread."""

    def __init__(self, peer, client):
        self.peer, self.client = peer, client
        self.pending = b""
        self.lines = []
        self.began = time.monotonic()
        self.taken = 0
        self.tls = None
        self.login = None
        self.message = None

    # ---- bytes ----

    def read(self):
        if time.monotonic() - self.began > LIMIT_SECONDS or self.taken > LIMIT_BYTES:
            raise Gone
        more = self.client.recv(65536)
        if not more:
            raise Gone
        self.taken += len(more)
        self.pending += more

    def line(self):
        while b"\n" not in self.pending:
            self.read()
        line, self.pending = self.pending.split(b"\n", 1)
        if not line.endswith(b"\r"):
            self.peer.problems.append("a command ended with a bare LF: %r" % line)
        line = line.rstrip(b"\r")
        self.lines.append("> " + line.decode(errors="replace"))
        return line

    def write(self, text):
        self.lines.extend("< " + line.decode(errors="replace")
                          for line in text.rstrip(b"\r\n").split(b"\n"))
        self.client.sendall(text)

    def drop(self, reset=False):
        if reset:
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone

    # ---- what is said ----

    def act(self, step, argument, usual):
        """Does what the rule says; false where that was not the usual."""
        thing = self.peer.next_rule(step)
        if callable(thing):
            thing = thing(step, argument)
        if thing is OK or isinstance(thing, Part):
            if usual is not None:
                self.write(usual)
            return True
        if isinstance(thing, Silent):
            while True:
                self.read()
        if isinstance(thing, Bad):
            self.write(thing.text)
            return False
        if isinstance(thing, Clear):
            self.end_tls(thing.text)
        if isinstance(thing, Slow):
            for byte in thing.text:
                self.client.sendall(bytes([byte]))
                time.sleep(thing.seconds)
        elif isinstance(thing, Drop):
            if thing.text:
                self.write(thing.text)
            self.drop(thing.reset)
        else:
            self.write(thing)
            return thing[:1] in b"23" and step != "starttls"
        return False

    def end_tls(self, text):
        plain = socket.socket(fileno=os.dup(self.client.fileno()))
        with plain:
            self.client.setblocking(False)
            try:
                self.client.unwrap()
            except (OSError, ValueError):
                pass  # it was said, and is not waited for
            plain.setblocking(True)
            plain.settimeout(LIMIT_SECONDS)
            plain.sendall(text)
            heard = b""
            while more := plain.recv(65536):
                heard += more
            if heard and heard[:1] not in (b"\x15", b"\x17"):
                self.peer.problems.append("heard in the clear: %r" % heard)
        raise Gone

    def hello(self, verb, argument):
        words = list(self.peer.extensions)
        if self.peer.context is not None and self.tls is None:
            words.append("STARTTLS")
        if self.peer.logins:
            words.append("AUTH " + self.peer.mechanisms)
        if verb == "helo":
            words = []
        reply = [self.peer.name] + words
        text = b"".join(b"250%s%s\r\n" % (b" " if i + 1 == len(reply) else b"-", word.encode())
                        for i, word in enumerate(reply))
        self.act(verb, argument, text)

    def start_tls(self):
        if not self.act("starttls", b"", b"220 go ahead\r\n"):
            return
        self.client = self.peer.context.wrap_socket(self.client, server_side=True)
        self.pending = b""
        self.tls = self.client.version()
        self.peer.resumed.append(self.client.session_reused)

    def log_in(self, argument):
        import base64
        words = argument.split()
        if not self.act("auth", argument, None):
            return
        if words[0].upper() == b"PLAIN":
            _, user, password = base64.b64decode(words[1]).split(b"\0")
        else:
            self.write(b"334 VXNlcm5hbWU6\r\n")
            user = base64.b64decode(self.line())
            self.write(b"334 UGFzc3dvcmQ6\r\n")
            password = base64.b64decode(self.line())
        if self.peer.logins.get(user.decode()) == password.decode():
            self.login = user.decode()
            self.write(b"235 2.7.0 welcome\r\n")
        else:
            self.write(b"535 5.7.8 wrong\r\n")

    def mail(self, argument):
        if self.message is not None:
            self.write(b"503 5.5.1 one at a time\r\n")
            return
        if self.act("mail", argument, b"250 2.1.0 sender\r\n"):
            self.message = Message()
            self.message.is_flight = b"\r\nDATA\r\n" in self.pending
            self.message.sender = PATH.search(argument).group(1)
            self.message.mail_parameters = argument.split(b">", 1)[1].strip()

    def rcpt(self, argument):
        if self.message is None:
            self.write(b"503 5.5.1 MAIL comes first\r\n")
            return
        if self.act("rcpt", argument, b"250 2.1.5 recipient\r\n"):
            self.message.recipients.append(PATH.search(argument).group(1).decode())
            self.message.rcpt_parameters.append(argument.split(b">", 1)[1].strip())

    def data(self):
        if self.message is None or not self.message.recipients:
            if self.peer.next_rule("empty-data") is OK:
                self.write(b"503 5.5.1 no recipients\r\n")
                return
        thing = self.peer.look_at_rule("data")
        if not self.act("data", b"", b"354 go ahead\r\n"):
            return
        text = bytearray(b"\r\n" + self.pending)
        end = text.find(b"\r\n.\r\n")
        while end < 0:
            if isinstance(thing, Stall) and len(text) >= thing.size:
                self.peer.closing.wait(LIMIT_SECONDS)
            if isinstance(thing, Part) and len(text) >= thing.size:
                if thing.text:
                    self.write(thing.text)
                self.drop()
            searched = max(0, len(text) - 4)
            self.pending = b""
            self.read()
            text += self.pending
            end = text.find(b"\r\n.\r\n", searched)
        self.pending = bytes(text[end + 5:])
        message, self.message = self.message, None
        if message is None or not message.recipients:
            self.write(b"250 2.0.0 nothing\r\n")
            return
        message.data = bytes(text[:end + 2]).replace(b"\r\n.", b"\r\n")[2:]
        if self.peer.keeps_raw:
            message.raw = bytes(text[2:end + 5])
        message.tls, message.login = self.tls, self.login
        self.end(message)

    def bdat(self, argument):
        """A chunk; only a last one is understood here."""
        words = argument.split()
        size = int(words[0])
        while len(self.pending) < size:
            self.read()
        text, self.pending = self.pending[:size], self.pending[size:]
        message, self.message = self.message, None
        if message is None or not message.recipients or words[1:] != [b"LAST"]:
            self.write(b"503 5.5.1 no\r\n")
            return
        message.data = text
        message.tls, message.login, message.is_chunk = self.tls, self.login, True
        self.end(message)

    def end(self, message):
        recipients = list(message.recipients)
        if not self.peer.lmtp:
            if self.act("end", recipients, b"250 2.0.0 taken\r\n"):
                self.peer.take(message)
            return
        message.recipients = [recipient for recipient in recipients
                              if self.act("end", recipient, b"250 2.0.0 <%s> taken\r\n" %
                                          recipient.encode())]
        if message.recipients:
            self.peer.take(message)

    def command(self, line):
        if self.peer.forgets:
            self.pending = b""
        verb, _, argument = line.partition(b" ")
        verb = verb.decode(errors="replace").lower()
        if verb in ("lhlo",) if self.peer.lmtp else verb in ("ehlo", "helo"):
            self.hello(verb, argument)
        elif verb == "starttls" and self.peer.context is not None:
            self.start_tls()
        elif verb == "auth":
            self.log_in(argument)
        elif verb == "mail":
            self.mail(argument)
        elif verb == "rcpt":
            self.rcpt(argument)
        elif verb == "data":
            self.data()
        elif verb == "bdat":
            self.bdat(argument)
        elif verb == "rset":
            self.message = None
            self.act("rset", b"", b"250 2.0.0 reset\r\n")
        elif verb == "quit":
            self.act("quit", b"", b"221 2.0.0 bye\r\n")
            raise Gone
        else:
            self.write(b"502 5.5.2 unknown\r\n")

    def run(self):
        self.client.settimeout(LIMIT_SECONDS)
        self.peer.dialogues.append(self.lines)
        try:
            if self.peer.implicit:
                self.client = self.peer.context.wrap_socket(self.client, server_side=True)
                self.tls = self.client.version()
            self.act("connect", b"", b"220 %s ESMTP\r\n" % self.peer.name.encode())
            while True:
                self.command(self.line())
        except (Gone, OSError, ValueError) as error:
            if isinstance(error, ssl.SSLError):
                self.peer.tls_errors.append(str(error))
        finally:
            self.peer.clients.discard(self)
            self.client.close()


class Peer:
    def __init__(self, host="127.0.0.1", port=0, path=None, lmtp=False, name="peer.test",
                 extensions=USUAL, rules=None, certificate=None, implicit=False, logins=None,
                 mechanisms="PLAIN LOGIN", listens=True, receive_buffer=None):
        self.host, self.port, self.path = host, port, path
        self.lmtp, self.name, self.extensions = lmtp, name, extensions
        self.logins, self.mechanisms, self.implicit = logins or {}, mechanisms, implicit
        self.messages, self.dialogues, self.problems, self.tls_errors = [], [], [], []
        self.addresses, self.resumed = [], []
        self.receive_buffer = receive_buffer
        self.keeps_raw = False
        self.forgets = False  # what was sent together with a command is lost
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.rules = dict(rules or {})
        self.clients = set()
        self.server = None
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
        if listens:
            self.listen()

    def listen(self):
        if self.path is not None:
            self.server = socket.socket(socket.AF_UNIX)
            self.server.bind(self.path)
        else:
            self.server = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
            self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.receive_buffer is not None:  # before listen(): connections inherit it
                self.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
            self.server.bind((self.host, self.port))
            self.port = self.server.getsockname()[1]
        self.server.listen(64)
        threading.Thread(target=self.accept, args=(self.server,), daemon=True).start()

    def accept(self, server):
        while True:
            try:
                client, address = server.accept()
            except OSError:
                return
            self.addresses.append(address[0] if address else "")
            connection = Connection(self, client)
            self.clients.add(connection)
            threading.Thread(target=connection.run, daemon=True).start()

    def look_at_rule(self, step):
        with self.lock:
            thing = self.rules.get(step, OK)
            return thing[0] if isinstance(thing, list) else thing

    def next_rule(self, step):
        with self.lock:
            thing = self.rules.get(step, OK)
            if isinstance(thing, list):
                return thing.pop(0) if len(thing) > 1 else thing[0]
            return thing

    def take(self, message):
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()

    def wait(self, count, seconds=15):
        """The messages, when there are so many; fewer when the time is up."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.messages) >= count, seconds)
            return list(self.messages)

    @property
    def recipients(self):
        with self.lock:
            return [recipient for message in self.messages for recipient in message.recipients]

    def story(self):
        """All dialogues, for a test that failed."""
        return "\n".join("\n".join(["    ---"] + ["    " + line[:200] for line in lines[-30:]])
                         for lines in self.dialogues[-5:])

    def stop_listening(self):
        if self.server is not None:
            # A thread in accept() keeps the socket open otherwise.
            try:
                self.server.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.server.close()
            self.server = None

    def close(self):
        self.closing.set()
        self.stop_listening()
        for connection in list(self.clients):
            try:
                connection.client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
