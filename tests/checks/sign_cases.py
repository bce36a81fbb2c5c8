# SPDX-License-Identifier: Apache-2.0
"""What a gateway signs: mail of its users by itself, other mail where scripts ask; verified by python3-dkim and by `postern check`."""

import base64
import os
import poplib
import re
import smtplib
import subprocess

import dkim_cases
from gateway import PASSWORD, Gateway

TABLE = """# keys of the tests
example.test rsa rsa.pem
Example.Test ed ed.pem
example.test next ed.pem new
example.test last ed.pem old
other.test o1 rsa.pem
"""

POLICY = """on("message.headers", function(session, message)
    local wish = message:header("X-Sign")
    if wish then
        local wanted = {}
        for key, value in wish:gmatch("(%w+)=(%S+)") do
            wanted[key] = value
        end
        dkim.sign(wanted)
    end
end)
on("message.change", function(session, message)
    message:add_header("X-Late", "a change before the signature")
    message:replace_header("Subject", "changed " .. (message:header("Subject") or ""))
end)
"""


def letter(sender, *more, body="Dear Bob,\r\n\r\nhello  \r\nthere\r\n\r\n\r\n"):
    return (f"From: {sender}\r\nTo: bob@example.test\r\nSubject: a letter\r\nDate: Mon, 30 Nov 2026 20:00:00 +0000\r\n"
            f"Message-ID: <1@example.test>\r\n" + "".join(f"{field}\r\n" for field in more) + "\r\n" + body).encode()


class Signer:
    def __init__(self, build, keys, directory, form="relaxed/relaxed", more=""):
        self.postern = os.path.join(build, "postern")
        self.keys = keys
        # The clients of the tests come from the loopback: they are strangers here, unless they log in.
        self.gateway = Gateway(build, start=False, tls=False, workers=1, settings='zone_file = "zone"\nmemory_per_message = "256k"\n',
                               more=f'module "dkim_sign" {{ keys = "keys/table", canonicalization = "{form}", '
                               f'networks = {{ "192.0.2.1" }} {more} }}\npolicy {{ "policy.lua", allow = {{ "dkim" }} }}\n')
        folder = os.path.join(self.gateway.directory, "keys")
        os.mkdir(folder)
        self.table = os.path.join(folder, "table")
        for name in ("rsa", "ed"):
            with open(keys.path(name), "rb") as file:
                self.put(f"{name}.pem", file.read())
        self.put("table", TABLE.encode())
        self.gateway.write("policy.lua", POLICY)
        self.zone = os.path.join(directory, "sign.zone")
        records = {name: record_of(keys, name) for name in ("rsa", "ed")}
        names = {"rsa._domainkey.example.test": "rsa", "ed._domainkey.example.test": "ed",
                 "next._domainkey.example.test": "ed", "last._domainkey.example.test": "ed", "o1._domainkey.other.test": "rsa"}
        self.known = {name: records[kind] for name, kind in names.items()}
        text = "".join(f"{name} 300 IN TXT " + " ".join(f'"{value[at:at + 250]}"' for at in range(0, len(value), 250)) + "\n"
                       for name, value in self.known.items())
        self.gateway.write("zone", text)
        with open(self.zone, "w", encoding="ascii") as file:
            file.write(text)

    def put(self, name, content):
        path = os.path.join(os.path.dirname(self.table) if hasattr(self, "table") else self.gateway.directory, name)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, 0o600)

    def send(self, text, login=True):
        """What the client hears, and what bob gets, without what the gateway writes above the header."""
        with smtplib.SMTP("127.0.0.1", self.gateway.ports["submission" if login else "mx"]) as client:
            client.ehlo("client.test")
            if login:
                client.login("alice", PASSWORD)
            try:
                client.sendmail("alice@example.test", ["bob@example.test"], text)
            except smtplib.SMTPResponseException as error:
                return f"{error.smtp_code} {error.smtp_error.decode()}", b""
        reader = poplib.POP3("127.0.0.1", self.gateway.ports["pop3"])
        reader.user("bob")
        reader.pass_(PASSWORD)
        found = b"\r\n".join(reader.retr(reader.stat()[0])[1]) + b"\r\n"
        reader.quit()
        return "250", found

    def theirs(self, text):
        import dkim

        def ask(name, timeout=5):
            name = (name.decode() if isinstance(name, bytes) else name).rstrip(".")
            return self.known.get(name, "").encode() or None
        count = len(re.findall(rb"^DKIM-Signature:", text, re.M))
        return [dkim.DKIM(text).verify(idx=index, dnsfunc=ask) for index in range(count)]

    def ours(self, text):
        done = subprocess.run([self.postern, "check", "dkim", "--zone", self.zone, "-"], input=text, capture_output=True,
                              timeout=60, check=False)
        return done.stdout.decode().split()


def record_of(keys, name):
    der = dkim_cases.run_openssl("pkey", "-in", keys.path(name), "-pubout", "-outform", "DER")
    if name == "ed":
        return "v=DKIM1; k=ed25519; p=" + base64.b64encode(der[-32:]).decode()
    return "v=DKIM1; k=rsa; p=" + base64.b64encode(der).decode()


def signers(text):
    """Selector and domain of each signature, in order of the alphabet."""
    fields = re.findall(rb"^DKIM-Signature:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*", text, re.M)
    tag = lambda field, name: re.search(rb"\b" + name + rb"=([^;\s]+)", field).group(1).decode()  # noqa: E731
    return sorted(f"{tag(field, b's')}.{tag(field, b'd')}" for field in fields)


def expect(name, got, wanted):
    return name, "" if got == wanted else f"{got}, not {wanted}"


BOTH = ["ed.example.test", "rsa.example.test"]
REFUSED = "451"

# Name: what is sent, whether its sender logs in, and who has signed it then; or how the client hears that it is not sent.
SENT = {
    "of_a_user": (letter("alice@example.test"), True, BOTH),
    "of_a_domain_below": (letter("Alice <alice@a.b.example.test>"), True, BOTH),
    "of_a_user_with_a_comment": (letter('"x@other.test" <alice@example.test> (y@other.test)'), True, BOTH),
    "of_a_domain_without_keys": (letter("alice@nowhere.test"), True, []),
    "of_a_stranger": (letter("alice@example.test"), False, []),
    "that_a_script_wants": (letter("x@stranger.test", "X-Sign: domain=other.test"), False, ["o1.other.test"]),
    "that_a_script_wants_as_well": (letter("alice@example.test", "X-Sign: domain=other.test"), True, [*BOTH, "o1.other.test"]),
    "with_a_new_key": (letter("x@stranger.test", "X-Sign: domain=example.test selector=next"), False, ["next.example.test"]),
    "with_an_old_key": (letter("x@stranger.test", "X-Sign: domain=example.test selector=last"), False, ["last.example.test"]),
    "with_no_key": (letter("x@stranger.test", "X-Sign: domain=absent.test"), False, REFUSED),
    "with_no_such_selector": (letter("x@stranger.test", "X-Sign: domain=example.test selector=s9"), False, REFUSED),
    "for_an_identity": (letter("x@stranger.test", "X-Sign: domain=other.test identity=y@z.other.test"), False, ["o1.other.test"]),
    "for_an_identity_elsewhere": (letter("x@stranger.test", "X-Sign: domain=other.test identity=y@example.test"), False, REFUSED),
    "for_an_identity_with_a_tag": (letter("x@stranger.test", "X-Sign: domain=other.test identity=;x=1@other.test"), False, REFUSED),
    "some_fields": (letter("x@stranger.test", "X-Sign: domain=other.test headers=From:Subject:X-Late"), False, ["o1.other.test"]),
    "without_from": (letter("x@stranger.test", "X-Sign: domain=other.test headers=Subject"), False, REFUSED),
    "for_a_day": (letter("x@stranger.test", "X-Sign: domain=other.test expires=86400"), False, ["o1.other.test"]),
    "with_what_is_none": (letter("x@stranger.test", "X-Sign: domain=other.test colour=red"), False, REFUSED),
    "large": (letter("alice@example.test", body="a line of text, and some more of it\r\n" * 30000), True, BOTH),
    "empty": (letter("alice@example.test", body=""), True, BOTH),
    "dots": (letter("alice@example.test", body=".\r\n..\r\n.a\r\n"), True, BOTH),
    "folded": (letter("alice@example.test", "X-A: one\r\n two\r\n\tthree", "List-Id: a list\r\n <l.example.test>"), True, BOTH),
}


def look(signer, name, form):
    text, login, wanted = SENT[name]
    said, found = signer.send(text, login)
    name = f"{name} ({form})"
    if wanted == REFUSED:
        yield name, "" if said.startswith(REFUSED) else said
        return
    yield expect(name, (said, signers(found)), ("250", sorted(wanted)))
    yield expect(f"{name}, as others see it", signer.theirs(found), [True] * len(wanted))
    yield expect(f"{name}, as we see it", signer.ours(found), ["pass"] * len(wanted) or ["none"])
    if wanted:
        altered = found.replace(b"Subject: changed ", b"Subject: altered ", 1)
        yield expect(f"{name}, altered", signer.ours(altered), ["fail"] * len(wanted))


def look_at_table(signer):
    """What the check of the configuration says of tables, with the place."""
    config = signer.gateway.config
    many = "".join(f"d{number}.test s ed.pem\n" for number in range(10000))
    for name, table, words in (
            ("a good one", TABLE, None),
            ("no such file", "example.test s1 absent.pem\n", "table:1: the key absent.pem: cannot open"),
            ("no key", "\nexample.test s1 table\n", "table:2: the key table:"),
            ("too few words", "example.test s1\n", "table:1: a line is DOMAIN SELECTOR FILE"),
            ("too many words", "example.test s1 ed.pem old new\n", "table:1: a line is DOMAIN SELECTOR FILE"),
            ("no such use", "example.test s1 ed.pem later\n", "table:1: a line is DOMAIN SELECTOR FILE"),
            ("no domain", "exam/ple s1 ed.pem\n", "table:1: domain and selector"),
            ("twice", "a.test s1 ed.pem\nA.test S1 rsa.pem\n", "table:2: s1 of a.test has a line already"),
            ("elsewhere", "a.test s1 ../postern.lua\n", "is not in the folder of this table"),
            ("10000 keys", many, None),
            ("10001 keys", many + "more.test s ed.pem\n", "table:10001: at most 10000 keys")):
        signer.put("table", table.encode())
        done = subprocess.run([signer.postern, "config", "check", "--config", config], capture_output=True, text=True,
                              timeout=60, check=False)
        said = done.stdout + done.stderr
        is_right = done.returncode == 0 if words is None else done.returncode != 0 and words in said
        yield f"a table: {name}", "" if is_right else said
    signer.put("table", TABLE.encode())
    path = os.path.join(os.path.dirname(signer.table), "ed.pem")
    os.chmod(path, 0o644)
    done = subprocess.run([signer.postern, "config", "check", "--config", config], capture_output=True, text=True,
                          timeout=60, check=False)
    os.chmod(path, 0o600)
    yield "a key that others can read", "" if "table:3: the key ed.pem" in done.stderr and "chmod" in done.stderr else done.stderr


def look_at_reload(signer):
    """Rotation: what was new is used, what was used is old."""
    signer.put("table", b"example.test next ed.pem\nexample.test rsa rsa.pem old\n")
    done = subprocess.run([signer.postern, "reload", "--config", signer.gateway.config], capture_output=True, text=True,
                          timeout=60, check=False)
    yield "a reload", "" if done.returncode == 0 else done.stderr
    said, found = signer.send(letter("alice@example.test"))
    yield expect("a key after a reload", (said, signers(found), signer.theirs(found)), ("250", ["next.example.test"], [True]))


def run(build, directory):
    """Name and trouble of each case."""
    keys = dkim_cases.Keys(directory)
    results = []
    for number, form in enumerate(("relaxed/relaxed", "simple/simple", "relaxed/simple", "simple/relaxed")):
        signer = Signer(build, keys, directory, form)
        try:
            signer.gateway.start()
            for name in SENT if number < 2 else ("of_a_user", "folded", "large"):
                results += look(signer, name, form)
            if number == 0:
                results += look_at_reload(signer)
            signer.gateway.stop()
            if number == 0:
                results += look_at_table(signer)
        finally:
            signer.gateway.remove()
    return results
