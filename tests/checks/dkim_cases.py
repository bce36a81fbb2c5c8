# SPDX-License-Identifier: Apache-2.0
"""DKIM as RFC 6376, 8301 and 8463 have it: messages signed here, by what the RFCs say and with nothing of the
gateway, each changed in one way; and signatures exchanged with python3-dkim and opendkim.
"""

import base64
import hashlib
import os
import re
import subprocess
import sys

sys.path.append("/usr/lib/python3/dist-packages")

HEADER = [("From", " Alice <alice@example.com>"), ("To", " bob@example.net"), ("Subject", " A  letter\r\n of two lines"),
          ("Date", " Mon, 01 Jan 2024 00:00:00 +0000"), ("Received", " one"), ("Received", " two"),
          ("Message-ID", " <1@example.com>")]
BODY = b"Hello  there \r\n\r\n\twith tabs \t\r\nand an end.\r\n\r\n\r\n"
TAGS = {"v": "1", "a": "rsa-sha256", "c": "relaxed/relaxed", "d": "example.com", "s": "rsa",
        "h": "From:To:Subject:Date:Message-ID"}
NOW = 1700000000


def run_openssl(*words, given=None):
    return subprocess.run(["openssl", *words], input=given, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout


class Keys:
    """Private keys in a directory, and what stands of them in DNS."""

    def __init__(self, directory):
        self.directory = directory
        self.records = {}
        for name, kind, bits in (("rsa", "RSA", 2048), ("other", "RSA", 2048), ("rsa1024", "RSA", 1024),
                                 ("rsa512", "RSA", 512), ("ed", "ED25519", 0)):
            more = ["-pkeyopt", f"rsa_keygen_bits:{bits}"] if bits else []
            run_openssl("genpkey", "-algorithm", kind, *more, "-out", self.path(name))
            public = run_openssl("pkey", "-in", self.path(name), "-pubout", "-outform", "DER")
            if kind == "ED25519":
                public = public[-32:]
            self.records[name] = base64.b64encode(public).decode()

    def path(self, name):
        return os.path.join(self.directory, name + ".pem")

    def sign(self, name, text):
        if name == "ed":
            path = os.path.join(self.directory, "digest")
            with open(path, "wb") as file:
                file.write(hashlib.sha256(text).digest())
            return run_openssl("pkeyutl", "-sign", "-inkey", self.path(name), "-rawin", "-in", path)
        return run_openssl("dgst", "-sha256", "-sign", self.path(name), given=text)


def relaxed_field(name, value):
    value = re.sub(r"[ \t]+", " ", value.replace("\r\n", "")).strip(" ")
    return f"{name.strip().lower()}:{value}\r\n"


def body_form(body, relaxed):
    if relaxed:
        lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
        body = b"\r\n".join(lines)
    while body.endswith(b"\r\n"):
        body = body[:-2]
    return body + b"\r\n" if body or not relaxed else b""


def signature(keys, header, body, tags, key=None, leave_out=(), first="", fold=False, field="DKIM-Signature"):
    """The value of a DKIM-Signature field with these tags: bh and b are made, unless they are given."""
    tags = {**TAGS, **tags}
    forms = (tags.get("c") or "simple/simple").split("/") + ["simple"]
    text = body_form(body, forms[1] == "relaxed")
    if "l" in tags and tags["l"].isdigit():
        text = text[:int(tags["l"])]
    tags.setdefault("bh", base64.b64encode(hashlib.sha256(text).digest()).decode())
    given = tags.pop("b", None)
    for name in leave_out:
        tags.pop(name, None)
    gap = ";\r\n " if fold else "; "
    value = " " + first + gap.join(f"{name}={text}" for name, text in tags.items()) + gap + "b="
    used = {}
    signed = ""
    for name in [name.strip() for name in tags.get("h", "").split(":")]:
        there = [field for field in header if field[0].lower() == name.lower()]
        used[name.lower()] = used.get(name.lower(), 0) + 1
        if used[name.lower()] > len(there):
            continue
        other = there[-used[name.lower()]]
        signed += relaxed_field(*other) if forms[0] == "relaxed" else f"{other[0]}:{other[1]}\r\n"
    own = (field, value)
    signed += relaxed_field(*own)[:-2] if forms[0] == "relaxed" else f"{own[0]}:{own[1]}"
    if "b" in leave_out:
        return value[:-len("b=")].rstrip("; \r\n")
    if given is None:
        kind = key or ("ed" if tags.get("a") == "ed25519-sha256" else tags.get("s", "rsa"))
        given = base64.b64encode(keys.sign(kind if os.path.exists(keys.path(kind)) else "rsa",
                                           signed.encode())).decode()
    return value + given


def message(fields, body):
    return "".join(f"{name}:{value}\r\n" for name, value in fields).encode() + b"\r\n" + body


def case(expected, tags=None, change=None, header=None, body=BODY, **more):
    """One that is signed, and then changed: `change(fields, body)` returns both."""
    return {"expected": expected, "tags": tags or {}, "change": change, "header": header or HEADER, "body": body,
            "more": more}


def replace(name, value):
    return lambda fields, body: ([(n, value if n == name else v) for n, v in fields], body)


def rename(name, other):
    return lambda fields, body: ([(other if n == name else n, v) for n, v in fields], body)


def add(name, value):
    return lambda fields, body: ([(name, value), *fields], body)


def drop(name):
    return lambda fields, body: ([field for field in fields if field[0] != name], body)


def edit(old, new):
    def change(fields, body):
        assert old in body
        return fields, body.replace(old, new)
    return change


def more_body(text):
    return lambda fields, body: (fields, body + text)


SIMPLE = {"c": "simple/simple"}
ED = {"a": "ed25519-sha256", "s": "ed"}

CASES = {
    # Section 3.5: the field.
    "as_it_is": case("pass"),
    "simple": case("pass", SIMPLE),
    "simple_header": case("pass", {"c": "simple/relaxed"}),
    "simple_body": case("pass", {"c": "relaxed/simple"}),
    "one_word_of_c_is_the_header": case("pass", {"c": "relaxed"}),
    "no_c_is_simple": case("pass", {"c": ""}, leave_out=("c",)),
    "ed25519": case("pass", ED),
    "ed25519_simple": case("pass", {**ED, **SIMPLE}),
    "folded": case("pass", fold=True),
    "version_2": case("permerror", {"v": "2"}),
    "no_version": case("permerror", leave_out=("v",)),
    "no_algorithm": case("permerror", leave_out=("a",)),
    "sha1": case("permerror", {"a": "rsa-sha1"}),
    "unknown_algorithm": case("permerror", {"a": "dsa-sha256"}),
    "no_signature": case("permerror", leave_out=("b",)),
    "signature_is_no_base64": case("permerror", {"b": "!!!!"}),
    "signature_is_empty": case("permerror", {"b": ""}),
    "no_body_hash": case("permerror", leave_out=("bh",)),
    "short_body_hash": case("permerror", {"bh": "AAAA"}),
    "no_domain": case("permerror", leave_out=("d",)),
    "domain_with_space": case("permerror", {"d": "exa mple.com"}),
    "no_fields": case("permerror", leave_out=("h",)),
    "from_is_not_signed": case("permerror", {"h": "To:Subject"}),
    "empty_name_in_h": case("permerror", {"h": "From::To"}),
    "spaces_in_h": case("pass", {"h": "From : To : Subject"}),
    "names_in_any_case": case("pass", {"h": "FROM:to:SubJECT"}),
    "no_selector": case("permerror", leave_out=("s",)),
    "selector_with_a_slash": case("permerror", {"s": "a/b"}),
    "a_tag_twice": case("permerror", first="d=example.com; "),
    "a_tag_without_value": case("permerror", first="moo; "),
    "an_unknown_tag": case("pass", {"moo": "man"}),
    "names_of_tags_have_a_case": case("permerror", {"V": "1"}, leave_out=("v",)),
    "unknown_canonicalization": case("permerror", {"c": "nofws"}),
    "unknown_query": case("permerror", {"q": "http"}),
    "one_query_is_known": case("pass", {"q": "http:dns/txt"}),
    "identity": case("pass", {"i": "alice@example.com"}),
    "identity_below": case("pass", {"i": "@mail.example.com"}),
    "identity_elsewhere": case("permerror", {"i": "@example.org"}),
    "identity_that_only_ends_alike": case("permerror", {"i": "@badexample.com"}),
    "identity_without_at": case("permerror", {"i": "example.com"}),
    "limit_is_no_number": case("permerror", {"l": "ten"}),
    "limit_is_negative": case("permerror", {"l": "-1"}),
    "time_is_no_number": case("permerror", {"t": "now"}),
    "expiry_before_the_time": case("permerror", {"t": str(NOW), "x": str(NOW - 1)}),
    "expiry_at_the_time": case("permerror", {"t": str(NOW), "x": str(NOW)}),
    "expires_now": case("pass", {"x": str(NOW)}),
    "has_expired": case("fail", {"x": str(NOW - 1)}),
    "expires_in_the_far_future": case("pass", {"x": "9" * 30}),
    # Section 3.6.1: keys.
    "no_such_key": case("permerror", {"s": "nobody"}),
    "name_without_text": case("permerror", {"s": "address"}),
    "dns_fails": case("temperror", {"s": "servfail"}),
    "dns_is_silent": case("temperror", {"s": "timeout"}),
    "key_was_revoked": case("permerror", {"s": "revoked"}),
    "record_without_key": case("permerror", {"s": "nokey"}),
    "key_of_version_2": case("permerror", {"s": "version2"}),
    "version_of_the_key_stands_first": case("permerror", {"s": "lateversion"}),
    "key_without_version": case("pass", {"s": "noversion"}),
    "unknown_kind_of_key": case("permerror", {"s": "kind"}),
    "key_for_sha1": case("permerror", {"s": "sha1"}),
    "key_for_both": case("pass", {"s": "both"}),
    "key_for_something_else": case("permerror", {"s": "tls"}),
    "key_for_mail": case("pass", {"s": "email"}),
    "key_for_everything": case("pass", {"s": "star"}),
    "strict_key": case("pass", {"s": "strict", "i": "x@example.com"}),
    "strict_key_and_a_name_below": case("permerror", {"s": "strict", "i": "x@mail.example.com"}),
    "key_on_trial": case("pass", {"s": "trial"}),
    "key_is_no_list": case("permerror", {"s": "garbage"}),
    "key_is_no_base64": case("permerror", {"s": "nobase64"}),
    "key_is_no_key": case("permerror", {"s": "nonsense"}),
    "key_with_spaces": case("pass", {"s": "spaces"}),
    "key_of_512_bits": case("permerror", {"s": "rsa512"}),
    "key_of_1024_bits": case("pass", {"s": "rsa1024"}),
    "another_key": case("fail", {"s": "other"}, key="rsa"),
    "key_for_another_algorithm": case("permerror", {"s": "ed"}, key="rsa"),
    "second_record_is_right": case("pass", {"s": "two"}),
    # Sections 3.4, 3.7, 5.4: what is signed.
    "subject_was_changed": case("fail", change=replace("Subject", " Another letter")),
    "from_was_changed": case("fail", change=replace("From", " Mallory <m@example.com>")),
    "field_is_gone": case("fail", change=drop("Date")),
    "field_that_is_not_signed": case("pass", change=replace("Received", " three")),
    "body_was_changed": case("fail", change=edit(b"Hello", b"Hallo")),
    "relaxed_name": case("pass", change=rename("Subject", "SUBJECT")),
    "relaxed_fold": case("pass", change=replace("Subject", " A\r\n\tletter of   two lines ")),
    "relaxed_body_spaces": case("pass", change=edit(b"Hello  there ", b"Hello\tthere")),
    "relaxed_body_space_within_a_word": case("fail", change=edit(b"there", b"the re")),
    "simple_name": case("fail", SIMPLE, change=rename("Subject", "SUBJECT")),
    "simple_fold": case("fail", SIMPLE, change=replace("Subject", " A  letter of two lines")),
    "simple_body_spaces": case("fail", SIMPLE, change=edit(b"Hello  there ", b"Hello  there")),
    "more_empty_lines": case("pass", SIMPLE, change=more_body(b"\r\n\r\n")),
    "fewer_empty_lines": case("pass", SIMPLE, change=edit(b"end.\r\n\r\n\r\n", b"end.\r\n")),
    "no_line_end_at_all": case("pass", SIMPLE, change=edit(b"end.\r\n\r\n\r\n", b"end.")),
    "relaxed_without_line_end": case("pass", change=edit(b"end.\r\n\r\n\r\n", b"end.")),
    "empty_body": case("pass", body=b""),
    "empty_body_simple": case("pass", SIMPLE, body=b""),
    "empty_body_becomes_a_line": case("pass", SIMPLE, body=b"", change=more_body(b"\r\n")),
    "body_of_spaces_is_empty": case("pass", body=b"", change=more_body(b" \t \r\n")),
    "limit_and_more_body": case("pass", {"l": "12"}, change=more_body(b"buy this")),
    "limit_and_a_change_within": case("fail", {"l": "12"}, change=edit(b"Hello", b"Hallo")),
    "limit_of_nothing": case("pass", {"l": "0"}, change=edit(b"Hello", b"Hallo")),
    "limit_past_the_body": case("fail", {"l": "100000"}),
    "field_added_above": case("pass", change=add("Subject", " Another one")),
    "field_signed_once_more_than_it_is_there": case("pass", {"h": "From:From:Subject:Subject"}),
    "field_added_where_that_was_signed": case("fail", {"h": "From:Subject:Subject"}, change=add("Subject", " x")),
    "absent_field_is_signed": case("pass", {"h": "From:Reply-To"}),
    "absent_field_was_added": case("fail", {"h": "From:Reply-To"}, change=add("Reply-To", " m@example.org")),
    "one_of_two_from_below": case("pass", {"h": "From:Received"}, change=lambda fields, body: (
        [(n, " changed" if v == " one" else v) for n, v in fields], body)),
    "the_last_of_two_is_signed": case("fail", {"h": "From:Received"}, change=lambda fields, body: (
        [(n, " changed" if v == " two" else v) for n, v in fields], body)),
    "both_of_two": case("fail", {"h": "From:Received:Received"}, change=lambda fields, body: (
        [(n, " changed" if v == " one" else v) for n, v in fields], body)),
}


def zone(keys):
    rsa = keys.records["rsa"]
    records = {
        "rsa": f"v=DKIM1; k=rsa; p={rsa}", "other": f"v=DKIM1; p={keys.records['other']}",
        "ed": f"v=DKIM1; k=ed25519; p={keys.records['ed']}", "rsa512": f"v=DKIM1; p={keys.records['rsa512']}",
        "rsa1024": f"v=DKIM1; p={keys.records['rsa1024']}", "revoked": "v=DKIM1; p=", "nokey": "v=DKIM1; k=rsa",
        "version2": f"v=DKIM2; p={rsa}", "lateversion": f"p={rsa}; v=DKIM1", "noversion": f"p={rsa}",
        "kind": f"v=DKIM1; k=dsa; p={rsa}", "sha1": f"v=DKIM1; h=sha1; p={rsa}",
        "both": f"v=DKIM1; h=sha1:sha256; p={rsa}", "tls": f"v=DKIM1; s=tlsrpt; p={rsa}",
        "email": f"v=DKIM1; s=tlsrpt:email; p={rsa}", "star": f"v=DKIM1; s=*; n=for all; p={rsa};",
        "strict": f"v=DKIM1; t=s; p={rsa}", "trial": f"v=DKIM1; t=y; p={rsa}", "garbage": "hello world",
        "nobase64": "v=DKIM1; p=***", "nonsense": "v=DKIM1; p=AAAA", "spaces": f"v=DKIM1; p= {rsa[:50]} {rsa[50:]} ",
    }
    lines = []
    for name, text in records.items():
        parts = " ".join('"' + text[at:at + 200].replace(";", "\\;") + '"' for at in range(0, len(text), 200))
        lines.append(f"{name}._domainkey.example.com TXT {parts}")
    lines.append('two._domainkey.example.com TXT "v=DKIM1\\; p="')
    parts = " ".join('"' + rsa[at:at + 200] + '"' for at in range(0, len(rsa), 200))
    lines.append(f'two._domainkey.example.com TXT "p=" {parts}')
    lines += ["address._domainkey.example.com A 192.0.2.1", "servfail._domainkey.example.com TXT SERVFAIL",
              "timeout._domainkey.example.com TXT TIMEOUT"]
    return lines


def made(keys, entry):
    value = signature(keys, entry["header"], entry["body"], entry["tags"], **entry["more"])
    fields, body = list(entry["header"]), entry["body"]
    if entry["change"]:
        fields, body = entry["change"](fields, body)
    return message([("DKIM-Signature", value), *fields], body)


def many(keys, count):
    """One that is right below others that are not."""
    right = ("DKIM-Signature", signature(keys, HEADER, BODY, {}))
    return message([("DKIM-Signature", " v=2")] * (count - 1) + [right] + HEADER, BODY)


# ---- others ----

LETTERS = {
    "short": message([("From", " a@example.com"), ("To", " b@example.net"), ("Subject", " x"), ("Date", HEADER[3][1]),
                      ("Message-ID", " <2@example.com>")], b"x\r\n"),
    "long_lines_and_folds": message([("From", " =?utf-8?q?Gr=C3=BCn?= <a@example.com>"),
                                     ("To", " b@example.net,\r\n\tc@example.net"), ("Subject", " " + "word " * 15 + "end"),
                                     ("Date", HEADER[3][1]), ("Message-ID", " <3@example.com>")],
                                    b"a " * 400 + b"\r\n\r\n \r\n.dot\r\n"),
    "no_body": message([("From", " a@example.com"), ("Subject", " nothing"), ("Date", HEADER[3][1]),
                        ("Message-ID", " <4@example.com>")], b""),
    "bytes": message([("From", " a@example.com"), ("Subject", " bytes"), ("Date", HEADER[3][1]),
                      ("Message-ID", " <5@example.com>")], bytes(range(32, 256)) + b"\r\n" + b"\t \x80 \t\r\n\r\n"),
}


def exchange(postern, keys, directory, zone_path):
    """Name and trouble: what we sign is right for others, and what they sign for us; altered copies for nobody."""
    import dkim

    known = {name: text for name, text in
             ((line.split()[0], "".join(re.findall(r'"([^"]*)"', line)).replace("\\;", ";")) for line in zone(keys))}

    def theirs(text):
        def ask(name, timeout=5):
            name = (name.decode() if isinstance(name, bytes) else name).rstrip(".")
            return known.get(name, "").encode() or None
        return dkim.DKIM(text).verify(dnsfunc=ask)

    def ours(text):
        result = subprocess.run([postern, "check", "dkim", "--zone", zone_path, "-"], input=text, capture_output=True,
                                timeout=60, check=False)
        return result.stdout.decode().split()

    def expect(name, got, wanted):
        results.append((name, "" if got == wanted else f"{got}, not {wanted}"))

    results = []
    forms = ("relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple")
    for number, (letter, text) in enumerate(LETTERS.items()):
        for key in ("rsa", "ed"):
            form = forms[(number + (key == "ed")) % 4]
            signed = subprocess.run([postern, "sign", "dkim", "--key", keys.path(key), "--selector", key, "--domain",
                                     "example.com", "--canonicalization", form, "-"], input=text, capture_output=True,
                                    timeout=60, check=True).stdout
            name = f"{letter}_{key}_{form.replace('/', '_')}"
            expect(f"we_sign_{name}", (theirs(signed), ours(signed)), (True, ["pass"]))
            altered = signed.replace(b"Subject: ", b"Subject: not ", 1)
            expect(f"we_sign_{name}_and_it_is_altered", (theirs(altered), ours(altered)), (False, ["fail"]))
            with open(keys.path(key), "rb") as file:
                pem = file.read()
            if key == "ed":
                pem = base64.b64encode(run_openssl("pkey", "-in", keys.path(key), "-outform", "DER")[-32:])
            header, body = form.split("/")
            field = dkim.sign(text, key.encode(), b"example.com", pem, canonicalize=(header.encode(), body.encode()),
                              signature_algorithm=b"ed25519-sha256" if key == "ed" else b"rsa-sha256")
            expect(f"they_sign_{name}", ours(field + text), ["pass"])
            expect(f"they_sign_{name}_and_it_is_altered",
                   ours(field + text.replace(b"Subject: ", b"Subject: not ", 1)), ["fail"])
    return results


def run(postern, directory):
    """Name and trouble of each case."""
    keys = Keys(directory)
    zone_path = os.path.join(directory, "dkim.zone")
    with open(zone_path, "w", encoding="ascii") as file:
        for line in zone(keys):
            name, kind, data = line.split(None, 2)
            file.write(f"{name} 300 IN {kind} {data}\n")

    def ask(text):
        result = subprocess.run([postern, "check", "dkim", "--zone", zone_path, "--time", str(NOW), "-"], input=text,
                                capture_output=True, timeout=60, check=False)
        return result.stdout.decode().split(), result.stderr.decode()

    def compare(name, text, expected):
        words, why = ask(text)
        results.append((name, "" if words == expected else f"{words}, not {expected}: {why.strip()}"))

    results = []
    for name, entry in CASES.items():
        compare(name, made(keys, entry), [entry["expected"]])
    compare("no_signature_at_all", message(HEADER, BODY), ["none"])
    compare("ten_signatures", many(keys, 10), ["permerror"] * 9 + ["pass"])
    compare("eleven_signatures", many(keys, 11), ["permerror"] * 10 + ["policy"])
    compare("lines_that_end_with_lf", made(keys, CASES["as_it_is"]).replace(b"\r\n", b"\n"), ["pass"])
    return results + exchange(postern, keys, directory, zone_path)
