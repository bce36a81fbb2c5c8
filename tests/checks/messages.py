# SPDX-License-Identifier: Apache-2.0
"""Messages through a gateway with all checks: what policy is told, and what is delivered."""

import base64
import os
import poplib
import smtplib
import subprocess

import dkim_cases
from gateway import PASSWORD, Gateway

CHECKS = """module "spf" { }
module "iprev" { }
module "dkim" { }
module "arc" { }
module "dmarc" { }
module "authentication_results" { exempt_networks = { "198.51.100.9" } }
policy { "policy.lua" }
"""

# What it knows stands in a field of its own.
TELLS = """on("message.decide", function(session, message)
    local told = {}
    for _, key in ipairs{ "spf", "iprev", "dkim", "arc", "dmarc", "dmarc.policy", "dmarc.from", "dmarc.reason" } do
        table.insert(told, message:fact(key) or "nil")
    end
    message:add_header("X-Told", table.concat(told, "|"))
    message:add_header("X-Seen", #message:headers("Authentication-Results"))
end)
"""

ZONE = """{dkim}
pass.test 300 IN TXT "v=spf1 ip4:192.0.2.1 -all"
b.pass.test 300 IN TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.pass.test 300 IN TXT "v=DMARC1; p=reject"
_dmarc.strict.test 300 IN TXT "v=DMARC1; p=quarantine; aspf=s; adkim=s"
strict.test 300 IN TXT "v=spf1 ip4:192.0.2.1 -all"
b.strict.test 300 IN TXT "v=spf1 ip4:192.0.2.1 -all"
other.test 300 IN TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.silent.test 300 IN TXT TIMEOUT
_dmarc.doubt.test 300 IN TXT "v=DMARC1; p=reject"
doubt.test 300 IN TXT TIMEOUT
slow._domainkey.pass.test 300 IN TXT TIMEOUT
1.2.0.192.in-addr.arpa 300 IN PTR client.pass.test
client.pass.test 300 IN A 192.0.2.1
2.2.0.192.in-addr.arpa 300 IN PTR liar.test
liar.test 300 IN A 192.0.2.99
"""

BODY = "".join(f"Line {number} of a body.\r\n" for number in range(40))


def message(sender="a@pass.test", more="", body=BODY):
    return f"{more}From: {sender}\r\nDate: Mon, 30 Nov 2026 20:00:00 +0000\r\nSubject: x\r\n\r\n{body}"


class World:
    def __init__(self, build):
        self.build = build
        self.gateway = Gateway(build, start=False, tls=False, workers=1,
                               mx='xclient_networks = { "127.0.0.1" }',
                               settings='zone_file = "zone"\nmemory_per_message = "64k"\n', more=CHECKS)
        self.key = os.path.join(self.gateway.directory, "own.pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.key], check=True,
                       capture_output=True)
        public = subprocess.run(["openssl", "pkey", "-in", self.key, "-pubout", "-outform", "DER"], check=True,
                                capture_output=True).stdout
        record = f'"v=DKIM1; k=ed25519; p={base64.b64encode(public[-32:]).decode()}"'
        keys = "\n".join(f"s._domainkey.{name} 300 IN TXT {record}"
                         for name in ("pass.test", "b.pass.test", "strict.test", "b.strict.test", "other.test"))
        self.keys = dkim_cases.Keys(self.gateway.directory)
        keys += f'\nrsa._domainkey.pass.test 300 IN TXT "v=DKIM1; p={self.keys.records["rsa"][:200]}" "{self.keys.records["rsa"][200:]}"'
        self.gateway.write("zone", ZONE.format(dkim=keys))
        self.gateway.write("policy.lua", TELLS)

    def sign(self, text, kind="dkim", *, domain="pass.test", more=()):
        path = os.path.join(self.gateway.directory, "to-sign")
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        done = subprocess.run([os.path.join(self.build, "postern"), "sign", kind, "--key", self.key, "--selector", "s",
                               "--domain", domain, *more, path], check=True, capture_output=True)
        return done.stdout.decode()

    def sign_limited(self, size):
        """l=, which our own signatures never have."""
        header = [("From", " a@pass.test"), ("Subject", " x")]
        value = dkim_cases.signature(self.keys, header, BODY.encode(),
                                     {"d": "pass.test", "s": "rsa", "h": "From:Subject", "l": str(size)})
        return dkim_cases.message([("DKIM-Signature", value), *header], BODY.encode()).decode()

    def send(self, text, ip="192.0.2.1", sender="x@pass.test", chunks=False):
        """The message as it was delivered."""
        with smtplib.SMTP("127.0.0.1", self.gateway.ports["mx"], timeout=60) as client:
            client.ehlo("trusted.test")
            client.docmd("XCLIENT", f"ADDR={ip}")
            client.ehlo("client.pass.test")
            code, said = client.docmd("MAIL", f"FROM:<{sender}>")
            assert code == 250, said
            code, said = client.docmd("RCPT", "TO:<alice@example.test>")
            assert code == 250, said
            if chunks:
                data = text.encode()
                pieces = [data[at:at + 30000] for at in range(0, len(data), 30000)]
                for number, piece in enumerate(pieces):
                    last = " LAST" if number == len(pieces) - 1 else ""
                    client.send(b"BDAT %d%s\r\n" % (len(piece), last.encode()) + piece)
                    code, said = client.getreply()
                    assert code == 250, said
            else:
                code, said = client.data(text.encode())
                assert code == 250, said
        return self.delivered()

    def delivered(self):
        """The newest message of alice, with LF at its line ends; it is taken out."""
        client = poplib.POP3("127.0.0.1", self.gateway.ports["pop3"], timeout=60)
        client.user("alice@example.test")
        client.pass_(PASSWORD)
        count = client.stat()[0]
        text = b"\n".join(client.retr(count)[1]).decode()
        client.dele(count)
        client.quit()
        return text


def fields(text, name):
    """Values of a field, each on one line."""
    header = text.partition("\n\n")[0].replace("\n\t", " ").replace("\n ", " ")
    return [line.partition(":")[2].strip() for line in header.split("\n")
            if line.lower().startswith(name.lower() + ":")]


def told(text):
    return fields(text, "X-Told")[0]


GOOD = "pass|pass|pass|none|pass|reject|pass.test|DKIM stands for the domain"
OURS = "Authentication-Results: mx.example.test; spf=pass smtp.mailfrom=bank.test\r\n"

# Fields that say they are ours, however they are written; and those that do not.
FORGED = (
    "Authentication-Results: mx.example.test; dkim=pass header.d=bank.test",
    "AUTHENTICATION-RESULTS:MX.Example.TEST;dkim=pass",
    "authentication-results: \"mx.example.test\" 1; dkim=pass",
    "Authentication-Results: (who (else)) mx.example.test (it is) / 1; dkim=pass",
    "Authentication-Results: \"mx.exam\\ple.test\"; dkim=pass",
    "Authentication-Results:\r\n\tmx.example.test\r\n\t; dkim=pass",
    "Authentication-Results : mx.example.test; dkim=pass",
    "Authentication-Results: mx.example.test",
    "Authentication-Results: mx.example.test.; dkim=pass",
    "Authentication-Results: mx.example.test/1; dkim=pass",
    "Authentication-Results: (\\)) mx.example.test; dkim=pass",
)
KEPT = (
    "Authentication-Results: mx.example.tes; dkim=pass",
    "Authentication-Results: mx.example.testing; dkim=pass",
    "Authentication-Results: amx.example.test; dkim=pass",
    "Authentication-Results: (mx.example.test) other.test; dkim=pass",
    "Authentication-Results: other.test; dkim=pass (mx.example.test)",
    "Authentication-Results:",
    "ARC-Authentication-Results: i=1; mx.example.test; dkim=pass",
    "X-Authentication-Results: mx.example.test; dkim=pass",
)


def judge(world):
    """Name and trouble of each case."""
    def case(name, got, expected):
        results.append((name, "" if got == expected else f"{got!r}, not {expected!r}"))

    def sent(text, **more):
        return told(world.send(text, **more))

    results = []
    signed = world.sign(message())
    got = world.send(signed)
    case("signed", told(got), GOOD)
    value = fields(got, "Authentication-Results")
    case("one_field", len(value), 1)
    case("the_field", value[0].split("; ")[:3], [
        "mx.example.test", "iprev=pass policy.iprev=192.0.2.1 (client.pass.test)",
        "spf=pass smtp.mailfrom=pass.test"])
    case("its_other_parts", [part.split(" ")[0] for part in value[0].split("; ")[3:]],
         ["arc=none", "dkim=pass", "dmarc=pass"])
    case("it_is_on_top", got.index("Authentication-Results:") < got.index("DKIM-Signature:"), True)
    case("its_lines_are_short", max(len(line) for line in got.partition("\n\n")[0].split("\n")
                                    if line.startswith(("\t", " ", "Authentication"))) < 100, True)
    case("altered", sent(signed.replace("Line 3 ", "Line E ")),
         "pass|pass|fail|none|pass|reject|pass.test|SPF stands for the domain")
    case("altered_and_of_another_host", sent(signed.replace("Line 3 ", "Line E "), ip="192.0.2.2"),
         "fail|fail|fail|none|fail|reject|pass.test|nothing stands for the domain")
    case("unsigned_of_another_sender", sent(message(), sender="x@other.test"),
         "pass|pass|none|none|fail|reject|pass.test|nothing stands for the domain")
    case("signed_by_another", sent(world.sign(message(), domain="other.test"), sender="x@other.test"),
         "pass|pass|pass|none|fail|reject|pass.test|nothing stands for the domain")
    case("signed_below", sent(world.sign(message(), domain="b.pass.test"), sender="x@other.test"), GOOD)
    case("sent_from_below", sent(message(), sender="x@b.pass.test"),
         "pass|pass|none|none|pass|reject|pass.test|SPF stands for the domain")
    case("strictly_from_below", sent(message("a@strict.test"), sender="x@b.strict.test"),
         "pass|pass|none|none|fail|quarantine|strict.test|nothing stands for the domain")
    case("strictly_signed_below", sent(world.sign(message("a@strict.test"), domain="b.strict.test")),
         "pass|pass|pass|none|fail|quarantine|strict.test|nothing stands for the domain")
    case("a_domain_that_does_not_answer", sent(message("a@silent.test")),
         "pass|pass|none|none|temperror|nil|silent.test|DNS does not answer".replace("nil", ""))
    case("spf_that_does_not_answer", sent(message("a@doubt.test"), sender="x@doubt.test"),
         "temperror|pass|none|none|temperror|reject|doubt.test|DNS did not answer for what could stand for it")
    case("a_key_that_does_not_answer",
         sent(signed.replace("s=s;", "s=slow;"), sender="x@other.test"),
         "pass|pass|temperror|none|temperror|reject|pass.test|DNS did not answer for what could stand for it")

    field = signed[:-len(message())]
    case("many_signatures", sent(field * 100 + message(), ip="192.0.2.2", sender="x@other.test"),
         "fail|fail|pass|none|pass|reject|pass.test|DKIM stands for the domain")
    case("many_signatures_before_the_right_one",
         sent(field.replace("bh=", "bh=A") * 99 + signed, ip="192.0.2.2", sender="x@other.test"),
         "fail|fail|permerror|none|fail|reject|pass.test|nothing stands for the domain")

    # l=: what was signed must be all that people see.
    for name, size, more, expected in (
            ("none_of_the_body", 0, "", ("pass", "fail")), ("some_of_the_body", 100, "", ("pass", "fail")),
            ("all_but_a_byte", len(BODY) - 1, "", ("pass", "fail")), ("all_of_the_body", len(BODY), "", ("pass", "pass")),
            ("what_was_the_body", len(BODY), "and more\r\n", ("pass", "fail")),
            ("more_than_the_body", len(BODY) + 1, "", ("fail", "fail"))):
        text = world.sign_limited(size) + more
        case(f"signed_{name}", tuple(sent(text, sender="x@other.test").split("|")[2:5:2]), expected)

    # In memory and beyond it, in one piece and in chunks.
    large = world.sign(message(body=BODY * 400))
    case("larger_than_memory", sent(large), GOOD)
    case("larger_than_memory_in_chunks", sent(large, chunks=True), GOOD)
    case("in_chunks", sent(signed, chunks=True), GOOD)
    case("larger_than_memory_and_altered_at_its_end",
         sent(large[:-30] + "X" + large[-29:], sender="x@other.test"),
         "pass|pass|fail|none|fail|reject|pass.test|nothing stands for the domain")

    # Who is not asked about.
    case("a_server_of_ours", sent(message(), ip="127.0.0.2"), "nil|nil|nil|nil|nil|nil|nil|nil")

    # Fields in our name.
    for number, field in enumerate(FORGED, 1):
        got = world.send(message(more=f"X-Above: 1\r\n{field}\r\nX-Below: 1\r\n"))
        case(f"forged_{number}", (fields(got, "X-Seen"), len(fields(got, "Authentication-Results")),
                                  len(fields(got, "X-Below")), "authentication-results :" in got.lower()),
             (["0"], 1, 1, False))
    got = world.send(message(more="".join(field + "\r\n" for field in KEPT)))
    case("foreign_ones", (fields(got, "X-Seen"), len(fields(got, "Authentication-Results"))), (["6"], 7))
    case("foreign_ones_stay", all(field in got for field in KEPT if field[-1] != ":"), True)
    got = world.send(message(more=OURS * 3 + FORGED[1] + "\r\n" + OURS))
    case("several", (fields(got, "X-Seen"), len(fields(got, "Authentication-Results"))), (["0"], 1))
    got = world.send(message(more=OURS), ip="198.51.100.9")
    case("a_server_that_has_checked", fields(got, "X-Seen"), ["1"])

    # From, as RFC 7489 section 6.6.1 has it.
    for name, value, domain in FROM:
        case(f"from_{name}", sent(message(value), sender="x@other.test").split("|")[4:],
             ["fail", "reject", "pass.test", "nothing stands for the domain"] if domain == "pass.test"
             else ["permerror", "nil", "", domain])
    case("from_u_label", sent(message("a@bücher.test"), sender="x@other.test").split("|")[4:],
         ["none", "", "xn--bcher-kva.test", "the domain has no record"])
    case("two_from_fields", sent(message(more="From: x@other.test\r\n")).split("|")[4:],
         ["permerror", "nil", "", "there are several From fields"])
    case("no_from_field", sent("Subject: x\r\n\r\nx\r\n").split("|")[4:],
         ["permerror", "nil", "", "there is no From field"])
    return results


FROM = (
    ("name", "Somebody <a@pass.test>", "pass.test"),
    ("quoted", '"a@other.test" <a@pass.test>', "pass.test"),
    ("unquoted", "a@other.test <a@pass.test>", "pass.test"),
    ("comments", "(a@other.test) a (b) @ (c) pass.test (d@other.test)", "pass.test"),
    ("comment_in_a_comment", "(<b@other.test> (c) \\) d) <a@pass.test>", "pass.test"),
    ("quoted_local_part", '"a@other.test"@pass.test', "pass.test"),
    ("encoded", "=?utf-8?q?a=40other=2Etest?= <a@pass.test>", "pass.test"),
    ("encoded_domain", "a@=?utf-8?q?pass.test?=", "the domain in From is none"),
    ("group", "Team: a@pass.test, b@PASS.test;", "pass.test"),
    ("empty_group", "Team:;", "From has no address"),
    ("two_of_one_domain", "a@pass.test, B <b@pass.test>", "pass.test"),
    ("two_of_two_domains", "x@other.test, a@pass.test", "pass.test"),
    ("case", "a@PaSs.TeSt", "pass.test"),
    ("final_dot", "a@pass.test.", "pass.test"),
    ("folded", "A\r\n\t<a@pass.test>", "pass.test"),
    ("nothing", "", "From has no address"),
    ("name_alone", "Somebody", "From has a name without an address"),
    ("null", "<>", "From has no address in its brackets"),
    ("literal", "a@[192.0.2.1]", "the domain in From is none"),
    ("no_end", "a <a@pass.test", "an address in From does not end"),
    ("two_addresses_in_a_row", "<x@other.test> <a@pass.test>", "From is no list of addresses"),
    ("words_behind", "<x@other.test> a@pass.test", "From is no list of addresses"),
    ("two_signs", "a@other.test@pass.test", "From is no list of addresses"),
    ("name_before_a_bare_one", "A a@pass.test", "From has a name without an address"),
    ("route", "<@other.test:a@pass.test>", "From has a route"),
    ("comment_without_end", "a@pass.test (", "a comment in From does not end"),
    ("six_domains", ", ".join(f"a@d{number}.test" for number in range(6)), "From has addresses of too many domains"),
)


def run(build):
    world = World(build)
    try:
        world.gateway.start()
        results = judge(world)
        world.gateway.stop()
    finally:
        world.gateway.remove()
    return results
