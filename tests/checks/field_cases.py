# SPDX-License-Identifier: Apache-2.0
"""What becomes of Authentication-Results on the way in: whose fields are removed, and what ours says."""

import poplib
import smtplib

from gateway import Gateway

ZONE = 'sender.test 300 IN TXT "v=spf1 ip4:192.0.2.1 -all"\n'
OURS = "mx.example.test; spf=pass smtp.mailfrom=sender.test"
POLICY = """on("message.headers", function(session, message)
    message:set_note("seen", tostring(#message:headers("Authentication-Results")))
end)
on("message.change", function(session, message)
    message:add_header("X-Seen", message:note("seen"))
    message:add_header("X-Spf", message.auth.spf and message.auth.spf.result .. " " .. message.auth.spf.domain or "none")
    message:add_header("X-Results", message.authentication_results)
end)
"""

# The value of a field, and whether it goes.
FIELDS = {
    "plain": ("mx.example.test; spf=pass smtp.mailfrom=bank.test", True),
    "any case": ("MX.Example.TEST; dkim=pass", True),
    "nothing found": ("mx.example.test; none", True),
    "a version": ("mx.example.test 1; dkim=pass", True),
    "quoted": ('"mx.example.test"; dkim=pass', True),
    "quoted pairs": ('"mx\\.example\\.test"; dkim=pass', True),
    "behind a comment": ("(who (am) I) mx.example.test; dkim=pass", True),
    "a comment with a bracket": ("(a \\) b) mx.example.test; dkim=pass", True),
    "before a comment": ("mx.example.test(x); dkim=pass", True),
    "folded": ("\r\n mx.example.test;\r\n dkim=pass", True),
    "no semicolon": ("mx.example.test dkim=pass", True),
    "a final dot": ("mx.example.test.; dkim=pass", True),
    "a comment without end": ("(mx.example.test; dkim=pass", True),
    "a quote without end": ('"mx.example.test; dkim=pass', True),
    "another": ("mx.other.test; dkim=pass", False),
    "below ours": ("a.mx.example.test; dkim=pass", False),
    "above ours": ("example.test; dkim=pass", False),
    "ours in a comment": ("mx.other.test (mx.example.test); dkim=pass", False),
    "ours in a result": ("mx.other.test; dkim=pass header.d=mx.example.test", False),
    "a name that begins so": ("mx.example.test.evil.test; dkim=pass", False),
    "empty": ("", False),
    "unreadable, of nobody": ("(x; dkim=pass", False),
}


def unfold(value):
    return " ".join(value.split())


def send(gateway, address, text):
    """What the client hears, and the header fields of what arrived, names in lower case."""
    with smtplib.SMTP("127.0.0.1", gateway.ports["mx"]) as client:
        client.ehlo("trusted.test")
        client.docmd("XCLIENT", f"ADDR={address}")
        client.ehlo("c.test")
        try:
            client.sendmail("x@sender.test", ["alice@example.test"], text.encode())
        except smtplib.SMTPDataError as error:
            return error.smtp_code, []
    reader = poplib.POP3("127.0.0.1", gateway.ports["pop3"])
    reader.user("alice")
    reader.pass_("postern")
    lines = reader.retr(reader.stat()[0])[1]
    reader.quit()
    header = b"\r\n".join(lines).partition(b"\r\n\r\n")[0].decode()
    fields = [line.partition(":") for line in header.replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n")]
    return 250, [(name.lower(), unfold(value)) for name, _, value in fields]


def values(fields, name):
    return [value for other, value in fields if other == name]


def look_at_fields(gateway):
    """All fields in one message: what stays, in its order, below ours; and what scripts see of them."""
    name = "Authentication-Results"
    text = "".join(f"{name}: {value}\r\n" for value, _ in FIELDS.values()) + \
        f"ARC-{name}: i=1; mx.example.test; dkim=pass\r\nFrom: x@sender.test\r\n\r\nHello\r\n"
    _, fields = send(gateway, "192.0.2.1", text)
    found = values(fields, name.lower())
    kept = [unfold(value) for value, goes in FIELDS.values() if not goes]
    yield "ours is on top", "" if found[:1] == [OURS] else f"{found[:1]}"
    for word, (value, goes) in FIELDS.items():
        is_there = unfold(value) in found[1:]
        yield f"{word}: {'goes' if goes else 'stays'}", "" if is_there != goes else f"{found}"
    yield "the order of others", "" if found[1:] == kept else f"{found}"
    yield "what a seal protects", "" if values(fields, f"arc-{name}".lower()) else f"{fields}"
    seen = values(fields, "x-seen")
    yield "scripts see no forgery", "" if seen == [str(len(kept))] else f"{seen}"
    yield "message.auth", "" if values(fields, "x-spf") == ["pass sender.test"] else f"{fields}"
    yield "message.authentication_results", "" if values(fields, "x-results") == [OURS] else f"{fields}"


def look_at_exempt(gateway):
    text = "Authentication-Results: mx.example.test; dkim=pass\r\nFrom: x@sender.test\r\n\r\nHello\r\n"
    _, fields = send(gateway, "198.51.100.9", text)
    found = values(fields, "authentication-results")
    yield "servers of ours", "" if found == ["mx.example.test; dkim=pass"] else f"{found}"


def look_at_many(gateway):
    """More than can be removed: an edit each, a thousand of them."""
    for count, expected in ((996, 250), (1001, 550)):
        text = "Authentication-Results: mx.example.test; a=b\r\n" * count + "From: x@sender.test\r\n\r\nHello\r\n"
        code, fields = send(gateway, "192.0.2.1", text)
        found = values(fields, "authentication-results")
        is_right = code == expected and found == ([OURS] if code == 250 else [])
        yield f"{count} forgeries", "" if is_right else f"{code} {found[:3]}"


def run(build):
    """Name and trouble of each case."""
    exempt = 'exempt_networks = { "198.51.100.0/24" }'
    gateway = Gateway(build, start=False, tls=False, workers=1, mx='xclient_networks = { "127.0.0.1" }',
                      settings='zone_file = "zone"\nmax_header_fields = 1100\n',
                      more=f'module "spf" {{ {exempt} }}\nmodule "authentication_results" {{ {exempt} }}\n'
                      'policy { "policy.lua" }\n')
    try:
        gateway.write("policy.lua", POLICY)
        gateway.write("zone", ZONE)
        gateway.start()
        results = [*look_at_fields(gateway), *look_at_exempt(gateway), *look_at_many(gateway)]
        gateway.stop()
    finally:
        gateway.remove()
    return results
