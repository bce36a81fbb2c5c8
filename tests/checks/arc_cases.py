# SPDX-License-Identifier: Apache-2.0
"""ARC as RFC 8617 has it: chains made here, by what the RFC says and with nothing of the gateway, each wrong in one way;
and chains exchanged with python3-dkim.
"""

import base64
import os
import re
import subprocess

import dkim_cases
from dkim_cases import BODY, HEADER, Keys, message, relaxed_field, signature

SERVER = "mx.example.com"


def seal(keys, below, own, tags, leave_out=(), key=None):
    """The value of an ARC-Seal over the sets below (oldest first) and the two fields of its own."""
    tags = {**tags}
    given = tags.pop("b", None)
    for name in leave_out:
        tags.pop(name, None)
    value = " " + "; ".join(f"{name}={text}" for name, text in tags.items())
    if "b" in leave_out:
        return value
    value += "; b="
    text = "".join(relaxed_field(*field) for group in below for field in group)
    text += "".join(relaxed_field(*field) for field in own) + relaxed_field("ARC-Seal", value)[:-2]
    kind = key or ("ed" if tags.get("a") == "ed25519-sha256" else "rsa")
    return value + (given if given is not None else base64.b64encode(keys.sign(kind, text.encode())).decode())


def chain(keys, count, sets=None, header=None, body=BODY):
    """Fields of a chain, the newest set on top. `sets` has for an instance: "results", "message", "seal": tags that are
    others; "without": tags of the seal, "message_without", "seal_key", "instance" of the three fields."""
    header = list(header or HEADER)
    below = []
    for number in range(1, count + 1):
        other = (sets or {}).get(number, {})
        at = other.get("instance", number)
        results = ("ARC-Authentication-Results", other.get("results", f" i={at}; {SERVER}; spf=pass"))
        tags = {"i": str(at), "c": "relaxed/relaxed", "h": "From:To:Subject:Date:Message-ID", **other.get("message", {})}
        above = [field for group in reversed(below) for field in reversed(group)]
        fields = [*above, *header]
        value = arc_message(keys, fields, body, tags, other.get("message_without", ()))
        own = [results, ("ARC-Message-Signature", value)]
        tags = {"i": str(at), "a": "rsa-sha256", "cv": "none" if number == 1 else "pass", "d": "example.com", "s": "rsa",
                "t": "1700000000", **other.get("seal", {})}
        own.append(("ARC-Seal", seal(keys, below, own, tags, other.get("without", ()), other.get("seal_key"))))
        below.append(own)
    return [field for group in reversed(below) for field in reversed(group)]


def arc_message(keys, fields, body, tags, leave_out):
    """As DKIM's, in a field of another name and without v=."""
    return signature(keys, fields, body, tags, leave_out=("v", *leave_out), field="ARC-Message-Signature")


def whole(keys, count=2, sets=None, change=None, header=None, body=BODY):
    fields = [*chain(keys, count, sets, header, body), *(header or HEADER)]
    if change:
        fields, body = change(fields, body)
    return message(fields, body)


def swap(name, value, which=0):
    """Another value for the which-th field of that name, from the top."""
    def change(fields, body):
        seen = -1
        result = []
        for field in fields:
            if field[0] == name:
                seen += 1
                if seen == which:
                    field = (name, value(field[1]))
            result.append(field)
        return result, body
    return change


def without(name, which=0):
    def change(fields, body):
        places = [at for at, field in enumerate(fields) if field[0] == name]
        return [field for at, field in enumerate(fields) if at != places[which]], body
    return change


def twice(name):
    def change(fields, body):
        return [next(field for field in fields if field[0] == name), *fields], body
    return change


def text(old, new):
    return lambda value: value.replace(old, new)


AAR, AMS, AS = "ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"

# What, the result, and how it is made.
CASES = {
    "one_set": ("pass", {"count": 1}),
    "two_sets": ("pass", {}),
    "five_sets": ("pass", {"count": 5}),
    "no_set": ("none", {"count": 0}),
    "simple_body": ("pass", {"sets": {2: {"message": {"c": "relaxed/simple"}}}}),
    "simple_header": ("pass", {"sets": {2: {"message": {"c": "simple/simple"}}}}),
    "no_c_is_simple": ("pass", {"sets": {2: {"message": {"c": ""}, "message_without": ("c",)}}}),
    "ed25519": ("pass", {"sets": {2: {"message": {"a": "ed25519-sha256", "s": "ed"},
                                      "seal": {"a": "ed25519-sha256", "s": "ed"}}}}),
    # Section 5.2: the structure.
    "results_are_gone": ("fail", {"change": without(AAR)}),
    "message_signature_is_gone": ("fail", {"change": without(AMS)}),
    "seal_is_gone": ("fail", {"change": without(AS)}),
    "results_of_the_first_are_gone": ("fail", {"change": without(AAR, 1)}),
    "seal_of_the_first_is_gone": ("fail", {"change": without(AS, 1)}),
    "first_set_is_gone": ("fail", {"change": lambda f, b: ([x for x in f if "i=1;" not in x[1]], b)}),
    "middle_set_is_gone": ("fail", {"count": 3, "change": lambda f, b: ([x for x in f if "i=2;" not in x[1]], b)}),
    "last_set_is_gone": ("pass", {"count": 3, "change": lambda f, b: ([x for x in f if "i=3;" not in x[1]], b)}),
    "results_twice": ("fail", {"change": twice(AAR)}),
    "message_signature_twice": ("fail", {"change": twice(AMS)}),
    "seal_twice": ("fail", {"change": twice(AS)}),
    "instance_0": ("fail", {"count": 1, "sets": {1: {"instance": 0}}}),
    "instance_2_alone": ("fail", {"count": 1, "sets": {1: {"instance": 2, "seal": {"cv": "pass"}}}}),
    "instance_51": ("fail", {"sets": {2: {"instance": 51}}}),
    "instance_with_zero_in_front": ("fail", {"count": 1, "sets": {1: {"instance": "01"}}}),
    "instance_is_no_number": ("fail", {"count": 1, "sets": {1: {"instance": "one"}}}),
    "results_without_instance": ("fail", {"count": 1, "sets": {1: {"results": f" {SERVER}; spf=pass"}}}),
    "instance_is_not_first_in_results": ("fail", {"count": 1, "sets": {1: {"results": f" {SERVER}; i=1; spf=pass"}}}),
    "message_signature_without_instance": ("fail", {"count": 1, "sets": {1: {"message_without": ("i",)}}}),
    "seal_without_instance": ("fail", {"count": 1, "sets": {1: {"without": ("i",)}}}),
    "order_of_fields_does_not_matter": ("pass", {"change": lambda f, b: (
        [x for x in f if x[0] in (AAR, AMS, AS)][::-1] + [x for x in f if x[0] not in (AAR, AMS, AS)], b)}),
    # cv=.
    "first_says_pass": ("fail", {"count": 1, "sets": {1: {"seal": {"cv": "pass"}}}}),
    "second_says_none": ("fail", {"sets": {2: {"seal": {"cv": "none"}}}}),
    "last_says_fail": ("fail", {"sets": {2: {"seal": {"cv": "fail"}}}}),
    "first_says_fail": ("fail", {"sets": {1: {"seal": {"cv": "fail"}}}}),
    "middle_says_fail": ("fail", {"count": 3, "sets": {2: {"seal": {"cv": "fail"}}}}),
    "unknown_state": ("fail", {"sets": {2: {"seal": {"cv": "good"}}}}),
    "no_state": ("fail", {"sets": {2: {"without": ("cv",)}}}),
    "state_in_capitals": ("pass", {"sets": {2: {"seal": {"cv": "PASS"}}}}),
    # Seals: section 4.1.3.
    "seal_with_h": ("fail", {"sets": {2: {"seal": {"h": "From"}}}}),
    "seal_without_algorithm": ("fail", {"sets": {2: {"without": ("a",)}}}),
    "seal_with_sha1": ("fail", {"sets": {2: {"seal": {"a": "rsa-sha1"}}}}),
    "seal_without_signature": ("fail", {"sets": {2: {"without": ("b",)}}}),
    "seal_without_domain": ("fail", {"sets": {2: {"without": ("d",)}}}),
    "seal_without_selector": ("fail", {"sets": {2: {"without": ("s",)}}}),
    "seal_with_a_tag_twice": ("fail", {"sets": {2: {"seal": {"t": "1; t=2"}}}}),
    "seal_with_an_unknown_tag": ("pass", {"sets": {2: {"seal": {"moo": "man"}}}}),
    "seal_without_time": ("pass", {"sets": {2: {"without": ("t",)}}}),
    "seal_by_another_key": ("fail", {"sets": {2: {"seal_key": "other"}}}),
    "first_seal_by_another_key": ("fail", {"sets": {1: {"seal_key": "other"}}}),
    "seal_is_no_base64": ("fail", {"sets": {2: {"seal": {"b": "!!!"}}}}),
    "key_of_the_seal_is_not_there": ("fail", {"sets": {2: {"seal": {"s": "nobody"}}}}),
    "key_of_the_seal_was_revoked": ("fail", {"sets": {2: {"seal": {"s": "revoked"}}}}),
    "key_of_the_seal_is_silent": ("temperror", {"sets": {2: {"seal": {"s": "timeout"}}}}),
    "key_of_the_first_seal_is_silent": ("temperror", {"sets": {1: {"seal": {"s": "servfail"}}}}),
    "results_were_changed": ("fail", {"change": swap(AAR, text("spf=pass", "spf=fail"))}),
    "results_of_the_first_were_changed": ("fail", {"change": swap(AAR, text("spf=pass", "spf=fail"), 1)}),
    "time_of_the_first_seal_was_changed": ("fail", {"change": swap(AS, text("t=17", "t=18"), 1)}),
    "results_were_folded": ("pass", {"change": swap(AAR, text("; spf", ";\r\n\tspf"))}),
    # Message signatures: section 4.1.2.
    "message_signature_for_seals": ("fail", {"sets": {2: {"message": {"h": "From:ARC-Seal"}}}}),
    "message_signature_without_from": ("fail", {"sets": {2: {"message": {"h": "To:Subject"}}}}),
    "message_signature_without_body_hash": ("fail", {"sets": {2: {"message_without": ("bh",)}}}),
    "message_signature_without_domain": ("fail", {"sets": {2: {"message_without": ("d",)}}}),
    "message_signature_with_an_unknown_form": ("fail", {"sets": {2: {"message": {"c": "nofws"}}}}),
    "key_of_the_message_signature_is_not_there": ("fail", {"sets": {2: {"message": {"s": "nobody"}}}}),
    "key_of_the_message_signature_is_silent": ("temperror", {"sets": {2: {"message": {"s": "timeout"}}}}),
    "subject_was_changed": ("fail", {"change": swap("Subject", lambda value: " Another")}),
    "body_was_changed": ("fail", {"change": lambda f, b: (f, b.replace(b"Hello", b"Hallo"))}),
    "body_got_empty_lines": ("pass", {"change": lambda f, b: (f, b + b"\r\n\r\n")}),
    "field_that_is_not_signed_was_changed": ("pass", {"change": swap("Received", lambda value: " x")}),
    "message_was_changed_before_the_last": ("pass", {"sets": {1: {"message": {
        "bh": base64.b64encode(b"x" * 32).decode()}}}}),
}


def exchange(postern, keys, zone_path):
    import dkim

    known = {line.split()[0]: "".join(re.findall(r'"([^"]*)"', line)).replace("\\;", ";").encode()
             for line in dkim_cases.zone(keys)}

    def ask(name, timeout=5):
        return known.get((name.decode() if isinstance(name, bytes) else name).rstrip("."))

    def ours(given):
        return subprocess.run([postern, "check", "arc", "--zone", zone_path, "-"], input=given, capture_output=True,
                              timeout=60, check=False).stdout.decode().split()

    def we_seal(given):
        return subprocess.run([postern, "sign", "arc", "--key", keys.path("rsa"), "--authserv-id", SERVER, "--selector", "rsa",
                               "--domain", "example.com", "--zone", zone_path, "-"], input=given, capture_output=True,
                              timeout=60, check=True).stdout

    def they_seal(given, has_chain=False):
        # What the chain is worth they take from the results.
        if has_chain:
            given = given.replace(b"\r\nAuthentication-Results: " + SERVER.encode() + b";",
                                  b"\r\nAuthentication-Results: " + SERVER.encode() + b"; arc=pass;")
        with open(keys.path("rsa"), "rb") as file:
            fields = dkim.arc_sign(given, b"rsa", b"example.com", file.read(), SERVER.encode())
        return b"".join(fields) + given

    results = []
    begin = message([("Authentication-Results", f" {SERVER}; spf=pass smtp.mailfrom=example.org"), *HEADER], BODY)
    one = we_seal(begin)
    for name, given, wanted in (("we_seal", one, "pass"), ("we_seal_twice", we_seal(one), "pass"),
                                ("they_seal", they_seal(begin), "pass"), ("they_seal_ours", they_seal(one, True), "pass"),
                                ("we_seal_theirs", we_seal(they_seal(begin)), "pass"),
                                ("we_seal_and_it_is_altered", one.replace(b"Hello", b"Hallo"), "fail")):
        theirs = dkim.arc_verify(given, dnsfunc=ask)[0].decode()
        got = (ours(given), theirs)
        results.append((name, "" if got == ([wanted], wanted) else f"{got}, not {wanted}"))
    broken = we_seal(one.replace(b"Hello", b"Hallo"))
    results.append(("what_has_failed_is_sealed_as_that",
                    "" if b"cv=fail" in broken and ours(broken) == ["fail"] else "it is not"))
    return results


def run(postern, directory):
    """Name and trouble of each case."""
    keys = Keys(directory)
    zone_path = os.path.join(directory, "arc.zone")
    with open(zone_path, "w", encoding="ascii") as file:
        for line in dkim_cases.zone(keys):
            name, kind, data = line.split(None, 2)
            file.write(f"{name} 300 IN {kind} {data}\n")
    results = []
    for name, (expected, how) in CASES.items():
        given = whole(keys, **how)
        answer = subprocess.run([postern, "check", "arc", "--zone", zone_path, "-"], input=given, capture_output=True,
                                timeout=60, check=False)
        words = answer.stdout.decode().split()
        results.append((name, "" if words == [expected] else
                        f"{words}, not {expected}: {answer.stderr.decode().strip()}"))
    return results + exchange(postern, keys, zone_path)
