# SPDX-License-Identifier: Apache-2.0
"""The three protocols as ways to log in: a Door carries the messages of a mechanism, and says in one
word how it was answered.

    door = Door(gateway, "imap", tls=True)
    answer = door.start("PLAIN", b"\\0alice\\0postern")     # answer.word == "yes"
"""

import base64
import collections
import ctypes
import socket
import ssl

TIMEOUT = 30
PROTOCOLS = ("smtp", "pop3", "imap")
PORTS = {"smtp": ("submission", "submissions"), "pop3": ("pop3", "pop3s"), "imap": ("imap", "imaps")}

# word: challenge yes wrong later malformed cancelled unknown tls closed
Answer = collections.namedtuple("Answer", "word data line")

WORDS = {
    "smtp": (("334", "challenge"), ("235", "yes"), ("535", "wrong"), ("454", "later"),
             ("501 5.7.0", "cancelled"), ("501", "malformed"), ("500", "too long"),
             ("504", "unknown"), ("538", "tls"), ("421", "closed")),
    "pop3": (("+ ", "challenge"), ("+OK", "yes"), ("-ERR [AUTH]", "wrong"),
             ("-ERR [SYS/TEMP]", "later"), ("-ERR authentication was cancelled", "cancelled"),
             ("-ERR this is not what", "malformed"), ("-ERR the line is too long", "too long"),
             ("-ERR this mechanism", "unknown"), ("-ERR no passwords", "tls")),
    "imap": (("+ ", "challenge"), ("a OK", "yes"), ("a NO [AUTHENTICATIONFAILED]", "wrong"),
             ("a NO [UNAVAILABLE]", "later"), ("a BAD authentication was cancelled", "cancelled"),
             ("a BAD this is not what", "malformed"), ("a NO [CANNOT]", "unknown"),
             ("a NO [PRIVACYREQUIRED]", "tls"), ("* BYE", "closed")),
}


def any_certificate(version=None, extended_master_secret=True):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if not extended_master_secret:
        context.options |= 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET of OpenSSL 3
    return context


def channel_binding(connection):
    """tls-exporter (RFC 9266), which Python does not know: by the library below it."""
    if not isinstance(connection, ssl.SSLSocket):
        return b""
    library = ctypes.CDLL("libssl.so.3")
    # struct PySSLSocket: the head of an object, a weak reference, and the SSL.
    handle = ctypes.c_void_p.from_address(id(connection._sslobj) + 3 * ctypes.sizeof(ctypes.c_void_p))
    library.SSL_get_version.restype = ctypes.c_char_p
    library.SSL_get_version.argtypes = [ctypes.c_void_p]
    assert library.SSL_get_version(handle).decode() == connection.version()
    library.SSL_export_keying_material.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t,
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    room = ctypes.create_string_buffer(32)
    label = b"EXPORTER-Channel-Binding"
    assert library.SSL_export_keying_material(handle, room, 32, label, len(label), b"", 0, 1) == 1
    return room.raw


class Door:
    """A connection that nobody has logged in on."""

    def __init__(self, gateway, protocol, tls=False, source=None, context=None):
        port = gateway.ports[PORTS[protocol][1 if tls else 0]]
        self.protocol = protocol
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT,
                                               (source, 0) if source else None)
        # What a real client does: small packets, at once.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = (context or any_certificate()).wrap_socket(self.socket)
        self.buffer = b""
        self.read_line()
        if protocol == "smtp":
            self.ask("EHLO client.example")

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def binding(self):
        return channel_binding(self.socket)

    def read_line(self):
        while b"\n" not in self.buffer:
            piece = self.socket.recv(65536)
            if not piece:
                return ""
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode("latin-1").rstrip("\r")

    def write(self, line):
        if isinstance(line, str):
            line = line.encode("latin-1")
        self.socket.sendall(line + b"\r\n")

    def ask(self, line):
        """Sends a command; the lines of the reply."""
        self.write(("a " if self.protocol == "imap" else "") + line)
        return self.read_reply()

    def read_reply(self):
        lines = [self.read_line()]
        if self.protocol == "smtp":
            while lines[-1][3:4] == "-":
                lines.append(self.read_line())
        elif self.protocol == "imap":
            while lines[-1].startswith("* ") and not lines[-1].startswith("* BYE"):
                lines.append(self.read_line())
        return lines

    def offered(self):
        """The names of the mechanisms, in order."""
        if self.protocol == "smtp":
            lines = self.ask("EHLO client.example")
            return next((line[4:].split()[1:] for line in lines if line[4:].startswith("AUTH ")), [])
        if self.protocol == "imap":
            words = self.ask("CAPABILITY")[0].split()
            return [word[5:] for word in words if word.startswith("AUTH=")]
        self.ask("CAPA")
        names = []
        while (line := self.read_line()) != ".":
            if line.startswith("SASL "):
                names = line.split()[1:]
        return names

    def judge(self):
        try:
            lines = self.read_reply()
        except ConnectionError:
            lines = [""]
        line = lines[-1]
        for prefix, word in WORDS[self.protocol]:
            if line.startswith(prefix):
                break
        else:
            word = "closed" if line == "" else f"?? {line}"
        data = b""
        if word == "challenge":
            data = base64.b64decode(line[line.index(" ") + 1:], validate=True)
        return Answer(word, data, line)

    def command(self, mechanism):
        return {"smtp": "AUTH ", "pop3": "AUTH ", "imap": "a AUTHENTICATE "}[self.protocol] + mechanism

    def start(self, mechanism, initial=None):
        """Begins; `initial` are bytes, None for none, a str for what stands there as it is."""
        line = self.command(mechanism)
        if isinstance(initial, str):
            line += " " + initial
        elif initial is not None:
            line += " " + (base64.b64encode(initial).decode() or "=")
        self.write(line)
        return self.judge()

    def say(self, message):
        """The next message: bytes, or a str for the line as it is."""
        self.write(message if isinstance(message, str) else base64.b64encode(message))
        return self.judge()

    def is_inside(self):
        """Whether somebody is logged in: asked with a command that needs it."""
        line = self.ask({"smtp": "MAIL FROM:<alice@example.test>", "pop3": "STAT",
                         "imap": "STATUS INBOX (MESSAGES)"}[self.protocol])[-1]
        return line.startswith(("250", "+OK", "a OK"))
