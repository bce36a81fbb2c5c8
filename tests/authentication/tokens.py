# SPDX-License-Identifier: Apache-2.0
"""OAUTHBEARER and XOAUTH2, with a server that gives out tokens: it has keys, says which they are, and
answers questions about tokens, or does not, as a test wants it."""

import base64
import http.server
import json
import os
import subprocess
import tempfile
import threading
import time
import urllib.parse

from doors import Door, PROTOCOLS
from gateway import Gateway, GatewayError, DOMAIN, SHA512
from mechanisms import bearer, xoauth2

ISSUER = "https://id.example.test"
USERS = f"alice@{DOMAIN}:{SHA512}:\nbob@{DOMAIN}:{SHA512}:\n"
SCOPE = ["mail", "imap"]


class Failure(AssertionError):
    """Something is not as it should be."""


def want(condition, what):
    if not condition:
        raise Failure(what)


# ---- keys and tokens ----

def encode(data):
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, data=b""):
    done = subprocess.run(["openssl", *arguments], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=True)
    return done.stdout


def raw_numbers(der):
    """R and S of a signature in DER, 32 bytes each."""
    numbers, at = b"", 2
    for _ in range(2):
        size = der[at + 1]
        numbers += der[at + 2:at + 2 + size].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + size
    return numbers


class Key:
    """A key of one algorithm, by the openssl command."""

    KINDS = {"RS256": ("RSA", "rsa_keygen_bits:2048"), "ES256": ("EC", "ec_paramgen_curve:P-256"),
             "EdDSA": ("ED25519", None), "small": ("RSA", "rsa_keygen_bits:1024"),
             "P-384": ("EC", "ec_paramgen_curve:P-384")}

    def __init__(self, directory, algorithm, identifier):
        kind, option = self.KINDS[algorithm]
        self.algorithm, self.id = algorithm, identifier
        self.path = os.path.join(directory, identifier + ".pem")
        openssl("genpkey", "-algorithm", kind, *(("-pkeyopt", option) if option else ()), "-out",
                self.path)
        self.pem = openssl("pkey", "-in", self.path, "-pubout").decode()

    def sign(self, text):
        if self.algorithm == "EdDSA":
            with tempfile.NamedTemporaryFile() as file:
                file.write(text)
                file.flush()
                return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.path, "-in", file.name)
        signature = openssl("dgst", "-sha256", "-sign", self.path, data=text)
        return raw_numbers(signature) if self.algorithm == "ES256" else signature

    def row(self):
        """As a set in JSON has it."""
        der = openssl("pkey", "-in", self.path, "-pubout", "-outform", "DER")
        if self.algorithm == "EdDSA":
            numbers = {"kty": "OKP", "crv": "Ed25519", "x": encode(der[-32:])}
        elif self.algorithm == "ES256":
            numbers = {"kty": "EC", "crv": "P-256", "x": encode(der[-64:-32]), "y": encode(der[-32:])}
        else:
            modulus = openssl("rsa", "-pubin", "-inform", "DER", "-noout", "-modulus", data=der)
            numbers = {"kty": "RSA", "n": encode(bytes.fromhex(modulus.split(b"=")[1].decode())),
                       "e": "AQAB"}
        return {**numbers, "kid": self.id, "use": "sig", "alg": self.algorithm}


def claims(**changes):
    """Good ones; with None for what is to be absent."""
    now = int(time.time())
    given = {"iss": ISSUER, "aud": "mail-service", "exp": now + 600, "nbf": now - 5, "sub": "4711",
             "email": f"alice@{DOMAIN}", "scope": "openid mail imap"}
    given.update(changes)
    return {name: value for name, value in given.items() if value is not None}


def token(key, header=None, **changes):
    head = {"alg": key.algorithm, "typ": "at+jwt", "kid": key.id}
    head.update(header or {})
    head = {name: value for name, value in head.items() if value is not None}
    text = f"{encode(head)}.{encode(claims(**changes))}"
    return f"{text}.{encode(key.sign(text.encode()))}"


class TokenServer:
    """Says its keys at /keys, and what it knows of tokens at /introspect."""

    def __init__(self):
        self.keys = {"keys": []}
        self.known = {}      # token -> what is said of it
        self.status = 200
        self.body = None     # in place of every answer
        self.asked = []      # paths, and tokens
        self.credentials = "Basic " + base64.b64encode(b"post%3Aern:s%20e").decode()
        self.silent = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, data):
                body = outer.body if outer.body is not None else json.dumps(data).encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def hang(self):
                while outer.silent.is_set() and not outer.is_closed:
                    time.sleep(0.02)

            def do_GET(self):
                outer.asked.append(self.path)
                self.hang()
                self.answer(outer.keys)

            def do_POST(self):
                size = int(self.headers.get("Content-Length", 0))
                form = urllib.parse.parse_qs(self.rfile.read(size).decode())
                outer.asked.append(form["token"][0])
                self.hang()
                if self.headers.get("Authorization") != outer.credentials:
                    self.send_response(401)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.answer(outer.known.get(form["token"][0], {"active": False}))

            def log_message(self, *_):
                pass

        self.is_closed = False
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that waits no longer is none
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.is_closed = True
        self.server.shutdown()
        self.server.server_close()


def with_tokens(*lines, **options):
    """Options of a gateway with such an auth_oauth."""
    many = 'max_login_failures = 1000, max_errors = 100000, plaintext_login = "never"'
    module = 'module "auth_oauth" { ' + ", ".join(lines) + " }"
    return dict(submission=many, pop3=many, imap=many, users=USERS, more=module, workers=1,
                store='module "store_local" { as = "local" }', **options)


SIGNED = (f'issuer = "{ISSUER}"', 'audience = { "other", "mail-service" }',
          'scope = { "mail", "imap" }', 'discovery_url = "https://id.example.test/.well-known"')


def come(door, given, name=f"alice@{DOMAIN}", mechanism="OAUTHBEARER", with_initial=True):
    """One attempt: its last answer, and what was said in JSON before a failure."""
    message = bearer(given, name) if mechanism == "OAUTHBEARER" else xoauth2(given, name)
    if with_initial:
        answer = door.start(mechanism, message)
    else:
        door.start(mechanism)
        answer = door.say(message)
    said = None
    if answer.word == "challenge":
        said = json.loads(answer.data)
        answer = door.say(b"\x01" if mechanism == "OAUTHBEARER" else b"")
    return answer, said


def let_in(gateway, given, name=f"alice@{DOMAIN}", **options):
    with Door(gateway, "imap", tls=True) as door:
        answer, _ = come(door, given, name, **options)
        want(answer.word == "yes" and door.is_inside(), f"not let in: {answer}")


def kept_out(gateway, given, name=f"alice@{DOMAIN}", problem="invalid_token", why=""):
    with Door(gateway, "imap", tls=True) as door:
        answer, said = come(door, given, name)
        want(answer.word == "wrong" and not door.is_inside(), f"{why}: {answer}")
        want(said is not None and said["status"] == problem, f"{why}: said {said}")


# ---- tests ----

def signed(build):
    """Tokens with each algorithm, by PEM and by JSON; over each protocol and mechanism."""
    with tempfile.TemporaryDirectory() as directory:
        keys = [Key(directory, name, f"key-{name}") for name in ("RS256", "ES256", "EdDSA")]
        pem = os.path.join(directory, "all.pem")
        with open(pem, "w", encoding="utf-8") as file:
            file.write("# comment\n" + "".join(key.pem for key in keys))
        as_json = os.path.join(directory, "all.json")
        with open(as_json, "w", encoding="utf-8") as file:
            json.dump({"keys": [key.row() for key in keys] + [{"kty": "oct", "k": "AAAA"}]}, file)
        for path in (pem, as_json):
            with Gateway(build, **with_tokens(f'keys = "{path}"', *SIGNED)) as gateway:
                for key in keys:
                    let_in(gateway, token(key))
                    let_in(gateway, token(key, header={"kid": None}))
                for protocol in PROTOCOLS:
                    with Door(gateway, protocol, tls=True) as door:
                        want({"OAUTHBEARER", "XOAUTH2"} <= set(door.offered()), "not offered")
                    for mechanism in ("OAUTHBEARER", "XOAUTH2"):
                        for with_initial in (True, False):
                            with Door(gateway, protocol, tls=True) as door:
                                answer, _ = come(door, token(keys[1]), mechanism=mechanism,
                                                 with_initial=with_initial)
                                want(answer.word == "yes" and door.is_inside(), f"{answer}")
                            with Door(gateway, protocol, tls=True) as door:
                                answer, said = come(door, token(keys[1]) + "x", mechanism=mechanism,
                                                    with_initial=with_initial)
                                want(answer.word == "wrong", f"{answer}")
                                want(said["schemes"] == "bearer" and said["scope"] == "mail imap" and
                                     said["status"] == ("invalid_token" if mechanism == "OAUTHBEARER"
                                                        else "401"), f"{said}")
                                # Whatever is said then, and nothing, and to go away.
                                door.start(mechanism, (bearer if mechanism == "OAUTHBEARER"
                                                       else xoauth2)("a.b.c", "alice"))
                                want(door.say("*").word == "cancelled", "cancelled")
                    with Door(gateway, protocol) as door:
                        want("OAUTHBEARER" not in door.offered(), "offered without TLS")
                        want(door.start("OAUTHBEARER", bearer("a.b.c")).word == "tls", "without TLS")


def signed_wrong(build):
    """Every way in which a signed token can be no good."""
    with tempfile.TemporaryDirectory() as directory:
        key = Key(directory, "RS256", "one")
        curve = Key(directory, "ES256", "two")
        other = Key(directory, "RS256", "other")
        pem = os.path.join(directory, "all.pem")
        with open(pem, "w", encoding="utf-8") as file:
            file.write(key.pem + curve.pem)
        now = int(time.time())
        good = token(key)
        head, body, signature = good.split(".")

        def with_header(**header):
            """A good signature under another header."""
            return token(key, header=header)

        def hmac_by(secret, name):
            text = f"{encode({'alg': name})}.{body}"
            import hashlib
            import hmac
            return text + "." + encode(hmac.new(secret, text.encode(), hashlib.sha256).digest())

        wrong = {
            "expired": token(key, exp=now - 61), "no end": token(key, exp=None),
            "end is a text": token(key, exp=str(now + 600)), "end is negative": token(key, exp=-1),
            "not yet": token(key, nbf=now + 120), "begin is a text": token(key, nbf="0"),
            "no issuer": token(key, iss=None), "issuer with more": token(key, iss=ISSUER + "/"),
            "issuer in a list": token(key, iss=[ISSUER]), "no audience": token(key, aud=None),
            "another audience": token(key, aud="mail"), "no audience of ours": token(key, aud=["a", "b"]),
            "audience in an object": token(key, aud={"mail-service": 1}),
            "no account": token(key, email=None), "account is a number": token(key, email=7),
            "account with a space": token(key, email="al ice@example.test"),
            "account with a line end": token(key, email="alice@example.test\n"),
            "account too long": token(key, email="a" * 257), "empty account": token(key, email=""),
            "unconfirmed": token(key, email_verified=False),
            "another key": token(other, header={"kid": "one"}), "no such key": token(other),
            "key of another kind": token(key, header={"alg": "ES256"}),
            "algorithm of another kind": token(curve, header={"alg": "RS256"}),
            "none": f"{encode({'alg': 'none'})}.{body}.", "none, signed": with_header(alg="none"),
            "None": with_header(alg="None"), "no algorithm": with_header(alg=None),
            "algorithm is a list": with_header(alg=["RS256"]),
            "HMAC with the public key": hmac_by(key.pem.encode(), "HS256"),
            "HMAC, said to be RSA": hmac_by(key.pem.encode(), "RS256"),
            "RS512": with_header(alg="RS512"), "critical": with_header(crit=["exp"], exp=now),
            "no signature": f"{head}.{body}.", "two parts": f"{head}.{body}", "four parts": good + ".a",
            "half a signature": f"{head}.{body}.{signature[:20]}",
            "other claims": f"{head}.{encode(claims(email='bob@' + DOMAIN))}.{signature}",
            "other header": f"{encode({'alg': 'RS256'})}.{body}.{signature}",
            "claims are a list": ".".join((head, encode([1]), signature)),
            "no JSON": ".".join((head, encode(b"{"), signature)),
            "a name twice": ".".join((head, encode(b'{"exp":1,"exp":2}'), signature)),
            "a NUL": ".".join((head, encode(b'{"email":"a\\u0000b"}'), signature)),
            "deep": ".".join((head, encode(b"[" * 3000), signature)), "empty": "..", "a dot": "."}
        with Gateway(build, **with_tokens(f'keys = "{pem}"', *SIGNED)) as gateway:
            for why, given in wrong.items():
                kept_out(gateway, given, why=why)
            for why, changed in (("no scope", None), ("less scope", "openid mail"),
                                 ("scope is a number", 7), ("scope with more", "mails imap")):
                kept_out(gateway, token(key, scope=changed), problem="insufficient_scope", why=why)
            # The token of one is not the token of another, and one that was stolen is no password.
            kept_out(gateway, good, name=f"bob@{DOMAIN}", why="somebody else")
            kept_out(gateway, good, name="alice@elsewhere.test", why="in another domain")
            with Door(gateway, "imap", tls=True) as door:
                answer = door.start("PLAIN", b"\0alice\0" + good[:900].encode())
                want(answer.word == "wrong", f"as a password: {answer}")
                answer, _ = come(door, "postern")
                want(answer.word == "wrong", f"a password as a token: {answer}")
            # At the limits.
            for given in (token(key, exp=now - 30), token(key, nbf=now + 30), token(key, scope=SCOPE),
                          token(key, scope=None, scp=SCOPE), token(key, aud=["a", "other"]),
                          token(key, email="alice"), token(key, email=f"ALICE@{DOMAIN}"),
                          token(key, email_verified=True), token(key, filler="x" * 4000)):
                let_in(gateway, given)
            let_in(gateway, good, name="")
            let_in(gateway, good, name="alice")
            size = (8192 - len(token(key, filler=""))) // 4 * 3
            for filler, word in ((size, "yes"), (size + 6, "wrong")):
                given = token(key, filler="x" * filler)
                want((len(given) <= 8192) == (word == "yes"), f"{len(given)} bytes")
                with Door(gateway, "smtp", tls=True) as door:
                    answer, _ = come(door, given, with_initial=False)
                    want(answer.word == word, f"{len(given)} bytes: {answer}")


def wrong_options(build):
    with tempfile.TemporaryDirectory() as directory:
        small, curve = Key(directory, "small", "small"), Key(directory, "P-384", "curve")
        paths = {}
        for name, text in (("small", small.pem), ("curve", curve.pem), ("empty", ""),
                           ("damaged", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
                           ("private", open(small.path, encoding="utf-8").read()),
                           ("symmetric", '{"keys":[{"kty":"oct","k":"AAAA"}]}'), ("json", "{")):
            paths[name] = os.path.join(directory, "f-" + name)
            with open(paths[name], "w", encoding="utf-8") as file:
                file.write(text)
        base = f'issuer = "{ISSUER}", audience = {{ "a" }}'
        for lines, words in (
                ("", "nothing says how tokens are judged"),
                (f'keys = "{paths["small"]}"', "issuer and audience must be given"),
                ('keys_url = "https://a/", issuer = "a"', "issuer and audience must be given"),
                (f'keys = "{paths["small"]}", keys_url = "https://a/", {base}', "exclude each other"),
                ('introspection_url = "https://a/"', "needs client_id"),
                ('introspection_url = "http://a.test/", client_id = "a"', "must begin with https://"),
                (f'keys_url = "http://127.0.0.1.evil.test/", {base}', "must begin with https://"),
                ('introspection_url = "https://a/", client_id = "a", account_claim = ""',
                 "account_claim is empty"),
                *((f'keys = "{paths[name]}", {base}', words) for name, words in (
                    ("small", "neither RSA with 2048"), ("curve", "neither RSA with 2048"),
                    ("empty", "there is no key"), ("damaged", "no public key"),
                    ("private", "no public key"), ("symmetric", "there is no key"),
                    ("json", "this is no JSON")))):
            try:
                with Gateway(build, **with_tokens(lines)):
                    raise Failure(f"it started with {lines}")
            except GatewayError as error:
                want(words in str(error), f"{lines}: {error}")


def fetched_keys(build):
    """Keys from a server: asked for once, again for a key that is new, and missed as trouble."""
    with tempfile.TemporaryDirectory() as directory, TokenServer() as server:
        old, new = Key(directory, "ES256", "old"), Key(directory, "EdDSA", "new")
        server.keys["keys"] = [old.row()]
        lines = (f'keys_url = "{server.url}/keys"', *SIGNED)
        with Gateway(build, **with_tokens(*lines, 'request_timeout = "200ms"')) as gateway:
            server.silent.set()
            with Door(gateway, "smtp", tls=True) as door:
                answer, said = come(door, token(old))
                want(answer.word == "later" and said is None and answer.line.startswith("454 4.7.0"),
                     f"no keys: {answer}")
            server.silent.clear()
        server.asked.clear()
        with Gateway(build, **with_tokens(*lines)) as gateway:
            for _ in range(5):
                let_in(gateway, token(old))
            want(server.asked == ["/keys"], f"asked {server.asked}")
            kept_out(gateway, token(old)[:-4] + "AAAA", why="signature")
            # One that is not among them is asked for, but not for every token.
            for _ in range(5):
                kept_out(gateway, token(new), why="a key that is not there yet")
            want(len(server.asked) <= 2, f"asked {server.asked}")
            # Those that are there stay while the server has nothing sensible to say.
            server.body = b"<html>"
            let_in(gateway, token(old))
        server.body = None
        server.keys["keys"] = [old.row(), new.row()]
        with Gateway(build, **with_tokens(*lines)) as gateway:
            let_in(gateway, token(new))
            let_in(gateway, token(old))


def introspection(build):
    """A server that is asked, and asked once; what it says counts, and nothing else lets anybody in."""
    with TokenServer() as server:
        good = {"active": True, "email": f"alice@{DOMAIN}", "scope": "mail imap openid",
                "exp": int(time.time()) + 600, "iss": ISSUER, "aud": ["mail-service"]}
        server.known["opaque-1+/=~"] = good
        lines = (f'introspection_url = "{server.url}/introspect"', 'client_id = "post:ern"',
                 'client_secret = "s e"', *SIGNED)
        with Gateway(build, **with_tokens(*lines, 'cache_lifetime = "1h"', "cache_entries = 2")) as gateway:
            for _ in range(3):
                let_in(gateway, "opaque-1+/=~")
            want(server.asked == ["opaque-1+/=~"], f"asked {server.asked}")
            kept_out(gateway, "opaque-1+/=~", name=f"bob@{DOMAIN}", why="somebody else")
            for number, (why, changes, problem) in enumerate((
                    ("not active", {"active": False}, "invalid_token"),
                    ("expired", {"exp": 5}, "invalid_token"),
                    ("another issuer", {"iss": "x"}, "invalid_token"),
                    ("another audience", {"aud": "x"}, "invalid_token"),
                    ("no account", {"email": ""}, "invalid_token"),
                    ("no scope", {"scope": ""}, "insufficient_scope"))):
                server.known[f"wrong{number}"] = {**good, **changes}
                kept_out(gateway, f"wrong{number}", problem=problem, why=why)
            kept_out(gateway, "unknown", why="unknown")
            # No end, and no issuer: what the server does not say does not count against it.
            server.known["short"] = {key: value for key, value in good.items()
                                     if key not in ("exp", "iss")}
            let_in(gateway, "short")
            # What is no answer is no yes: trouble, for now.
            for why, status, body in (("an error", 500, None), ("no JSON", 200, b"active"),
                                      ("no object", 200, b"[true]"), ("no boolean", 200, b'{"active":"true"}'),
                                      ("a redirect", 302, None), ("too large", 200, b" " * 70000 + b"{}")):
                server.status, server.body = status, body
                server.known[why.replace(" ", "-")] = good
                with Door(gateway, "smtp", tls=True) as door:
                    answer, said = come(door, why.replace(" ", "-"))
                    want(answer.word == "later" and said is None and not door.is_inside() and
                         answer.line.startswith("454 4.7.0"), f"{why}: {answer}")
            server.status, server.body = 200, None
            # It is silent; what it said before still counts.
            server.silent.set()
            let_in(gateway, "short")
            server.silent.clear()
            # Two are kept: the oldest has made room.
            server.known["third"], server.known["fourth"] = good, good
            let_in(gateway, "third")
            let_in(gateway, "fourth")
            server.asked.clear()
            let_in(gateway, "opaque-1+/=~")
            want(server.asked == ["opaque-1+/=~"], f"asked {server.asked}")
        server.silent.set()
        with Gateway(build, **with_tokens(*lines, 'request_timeout = "200ms"')) as gateway:
            for protocol in PROTOCOLS:
                with Door(gateway, protocol, tls=True) as door:
                    answer, said = come(door, "fourth")
                    want(answer.word == "later" and said is None and not door.is_inside(),
                         f"silent, {protocol}: {answer}")
        server.silent.clear()
        # Kept for as long as the option says, and no longer.
        with Gateway(build, **with_tokens(*lines, 'cache_lifetime = "1ms"')) as gateway:
            server.asked.clear()
            let_in(gateway, "third")
            server.known["third"] = {"active": False}
            kept_out(gateway, "third", why="taken back")
            want(server.asked == ["third", "third"], f"asked {server.asked}")
        # And with credentials that the server does not take.
        server.credentials = "Basic other"
        with Gateway(build, **with_tokens(*lines)) as gateway:
            with Door(gateway, "imap", tls=True) as door:
                want(come(door, "fourth")[0].word == "later", "wrong credentials")
            gateway.stop()
            with open(gateway.log, encoding="utf-8") as file:
                log = file.read()
            want("does not take client_id" in log, "the log does not say why")
            want("fourth" not in log and base64.b64encode(b"fourth").decode() not in log,
                 "a token is in the log")


POLICY = """
on("auth.verify", function(session, attempt)
	if attempt.mechanism ~= "XOAUTH2" then return end
	if attempt:secret_is("stolen") then return reject(535, "5.7.8", "we know that one") end
	if attempt:secret_is("house") then return accept() end
end)
"""


def judged_by_policy(build):
    """auth.verify sees the token as the secret, before the modules do."""
    with TokenServer() as server:
        lines = (f'introspection_url = "{server.url}/introspect"', 'client_id = "a"')
        with Gateway(build, start=False, **with_tokens(*lines)) as gateway:
            path = gateway.write("policy.lua", POLICY)
            with open(gateway.config, "a", encoding="utf-8") as file:
                file.write(f'\npolicy {{ "{path}" }}\n')
            gateway.start()
            with Door(gateway, "imap", tls=True) as door:
                answer, said = come(door, "stolen", mechanism="XOAUTH2")
                want(said is None and answer.line.endswith("we know that one"), f"{answer}")
            let_in(gateway, "house", mechanism="XOAUTH2")
            want(server.asked == [], f"asked {server.asked}")


TESTS = [("tokens: signed", signed), ("tokens: signed, and no good", signed_wrong),
         ("tokens: wrong options", wrong_options), ("tokens: keys from a server", fetched_keys),
         ("tokens: introspection", introspection), ("tokens: judged by policy", judged_by_policy)]
