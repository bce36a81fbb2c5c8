# SPDX-License-Identifier: Apache-2.0
"""Clients of SASL mechanisms, with everything about them to be changed: generators of messages.

    for message in Scram("alice", "postern"):     send it, and .send() what was answered
"""

import base64
import hashlib
import hmac
import os
import unicodedata


def encode(data):
    return base64.b64encode(data)


def escape(name):
    return name.replace("=", "=3D").replace(",", "=2C")


def prepared(text):
    """What SASLprep makes of texts that are no trouble."""
    return unicodedata.normalize("NFKC", text)


def salted(digest, password, salt, iterations):
    return hashlib.pbkdf2_hmac(digest, prepared(password).encode(), salt, iterations)


def verifier(password, digest="sha256", iterations=4096, salt=None):
    """{SCRAM-SHA-256}iterations,salt,stored key,server key"""
    salt = salt or os.urandom(16)
    key = salted(digest, password, salt, iterations)
    stored = hashlib.new(digest, hmac.digest(key, b"Client Key", digest)).digest()
    server = hmac.digest(key, b"Server Key", digest)
    name = {"sha256": "SCRAM-SHA-256", "sha1": "SCRAM-SHA-1"}[digest]
    return (f"{{{name}}}{iterations}," +
            ",".join(encode(part).decode() for part in (salt, stored, server)))


class Wrong(Exception):
    """The server said something that no server says."""


class Scram:
    """SCRAM (RFC 5802). What is given beside name and password replaces what a client would say."""

    def __init__(self, name, password, digest="sha256", flag="n", authorization="", binding=b"",
                 nonce=None, final_nonce=None, final_binding=None, extensions="", proof=None,
                 header=None):
        self.name, self.password, self.digest = name, password, digest
        self.header = header if header is not None else (
            flag + "," + (f"a={escape(authorization)}" if authorization else "") + ",")
        self.binding = binding
        self.nonce = nonce or encode(os.urandom(15)).decode()
        self.final_nonce, self.final_binding = final_nonce, final_binding
        self.extensions, self.proof = extensions, proof
        self.server_first = ""
        self.iterations, self.salt = 0, b""

    def first(self):
        self.bare = f"n={escape(prepared(self.name))},r={self.nonce}{self.extensions}"
        return (self.header + self.bare).encode()

    def final(self, challenge):
        self.server_first = challenge.decode()
        fields = dict(part.split("=", 1) for part in self.server_first.split(","))
        if not fields["r"].startswith(self.nonce) or len(fields["r"]) < len(self.nonce) + 16:
            raise Wrong(f"the nonce of the server: {self.server_first}")
        self.salt, self.iterations = base64.b64decode(fields["s"]), int(fields["i"])
        key = salted(self.digest, self.password, self.salt, self.iterations)
        client = hmac.digest(key, b"Client Key", self.digest)
        stored = hashlib.new(self.digest, client).digest()
        bound = self.final_binding if self.final_binding is not None else (
            self.header.encode() + self.binding)
        nonce = fields["r"] if self.final_nonce is None else self.final_nonce
        without = f"c={encode(bound).decode()},r={nonce}{self.extensions}"
        messages = f"{self.bare},{self.server_first},{without}".encode()
        proof = bytes(a ^ b for a, b in zip(client, hmac.digest(stored, messages, self.digest)))
        self.signature = hmac.digest(hmac.digest(key, b"Server Key", self.digest), messages,
                                     self.digest)
        if self.proof is not None:
            proof = self.proof
        return f"{without},p={encode(proof).decode()}".encode()

    def check(self, challenge):
        if challenge != b"v=" + encode(self.signature):
            raise Wrong(f"the signature of the server: {challenge}")

    def messages(self):
        """To be sent what the server says; the last message is the empty one."""
        challenge = yield self.first()
        challenge = yield self.final(challenge)
        self.check(challenge)
        yield b""


def plain(name, password, authorization=""):
    yield f"{authorization}\0{name}\0{password}".encode()


def login(name, password):
    yield name.encode()
    yield password.encode()


def cram(name, password, challenge):
    return f"{name} {hmac.new(password.encode(), challenge, 'md5').hexdigest()}".encode()


def bearer(token, name=""):
    header = f"n,a={escape(name)}," if name else "n,,"
    return f"{header}\x01host=mx.example.test\x01port=143\x01auth=Bearer {token}\x01\x01".encode()


def xoauth2(token, name):
    return f"user={name}\x01auth=Bearer {token}\x01\x01".encode()
