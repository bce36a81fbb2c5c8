# SPDX-License-Identifier: Apache-2.0
"""Whole messages and who sent them, through `postern check auth`: auth.vectors has the table and says how it is read.
Messages are signed with nothing of the gateway (dkim_cases.py, arc_cases.py).
"""

import base64
import json
import os
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor

import arc_cases
import dkim_cases

HERE = os.path.dirname(os.path.abspath(__file__))
HOSTS = {"ours": "192.0.2.1", "else": "192.0.2.2", "ours6": "2001:db8::1", "else6": "2001:db8::2"}
BODY = b"".join(b"Line %d of a body.\r\n" % number for number in range(20))
NOW = 1700000000
AT_A_TIME = 4


def number(value):
    """As DER has it."""
    data = value.to_bytes((value.bit_length() + 8) // 8, "big")
    return b"\x02" + length(len(data)) + data


def length(size):
    return bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")


def large_key():
    """A record with a modulus of 8192 bits, whose factors nobody knows."""
    modulus = random.Random(8192).getrandbits(8192) | 1 << 8191 | 1
    data = number(modulus) + number(65537)
    return base64.b64encode(b"\x30" + length(len(data)) + data).decode()


def strings(text):
    return " ".join(f'"{text[at:at + 200]}"' for at in range(0, len(text), 200))


def zone(keys, lines):
    """Those of the file, and at each domain that signs the keys."""
    records = {name: f"v=DKIM1; k={'ed25519' if name == 'ed' else 'rsa'}; p={value}" for name, value in keys.records.items()}
    records.update(trial=f"v=DKIM1; t=y; p={keys.records['rsa']}", strict=f"v=DKIM1; t=s; p={keys.records['rsa']}",
                   revoked="v=DKIM1; p=", large=f"v=DKIM1; p={large_key()}", broken="v=DKIM1; p=%%%",
                   sha1=f"v=DKIM1; h=sha1; p={keys.records['rsa']}", service=f"v=DKIM1; s=tlsrpt; p={keys.records['rsa']}")
    for domain in ("d.test", "sub.d.test", "q.test", "sub.q.test", "n.test", "o.test", "example.com"):
        for name, value in records.items():
            lines.append(f"{name}._domainkey.{domain} 300 IN TXT {strings(value)}")
        lines.append(f"silent._domainkey.{domain} 300 IN TXT TIMEOUT")
    return lines


def sign(keys, header, word):
    """rsa@d.test,l=10,x=past: one signature, or with *100 as many."""
    word, _, count = word.partition("*")
    first, *options = word.split(",")
    name, _, domain = first.partition("@")
    tags = {"d": domain, "s": name, "h": "From:Subject", "a": "ed25519-sha256" if name == "ed" else "rsa-sha256"}
    for option in options:
        tag, _, value = option.partition("=")
        tags[tag] = {"all": str(len(BODY)), "past": str(NOW - 10), "future": str(NOW + 10), "more": str(len(BODY) + 1),
                     "bad": base64.b64encode(b"x" * 32).decode()}.get(value, value)
    return [("DKIM-Signature", dkim_cases.signature(keys, header, BODY, tags))] * int(count or 1)


def make(keys, sender, signatures, changes):
    header = [("From", " " + sender.replace("\\n", "\r\n\t")), ("Subject", " x")] if sender != "-" else [("Subject", " x")]
    fields = [field for word in signatures.split() if word != "-" for field in sign(keys, header, word)] + header
    body = BODY
    for change in changes.split():
        name, _, value = change.partition("=")
        if name == "arc":
            fields = arc_cases.chain(keys, int(value), header=fields, body=BODY) + fields
        elif name == "arc_gap":
            fields = [field for field in fields if f" i={value};" not in field[1]]
        elif name == "arc_cv":
            fields = [(name, text.replace("cv=pass", f"cv={value}").replace("cv=none", f"cv={value}"))
                      for name, text in fields]
        elif name == "from":
            fields = [("From", " " + value), *fields]
        elif name == "last_from":
            fields = [*fields, ("From", " " + value)]
        elif name == "forged":
            fields = [("Authentication-Results", " localhost; spf=pass; dkim=pass; dmarc=pass"), *fields]
        elif name == "subject":
            fields = [(name, " y" if name == "Subject" else text) for name, text in fields]
        elif name == "body":
            body = {"more": BODY + b"more\r\n", "less": BODY[:-20], "other": BODY.replace(b"3", b"E"),
                    "blank": BODY + b"\r\n\r\n", "none": b""}[value]
    return dkim_cases.message(fields, body)


def read(path):
    lines, cases = [], []
    with open(path, encoding="utf-8") as file:
        for line in file:
            line = line.rstrip("\n")
            if " => " in line and not line.startswith("#"):
                given, _, expected = line.partition(" => ")
                cases.append(([part.strip() for part in given.split("|")], expected.split()))
            elif line and not line.startswith("#"):
                name, kind, data = line.split(None, 2)
                lines.append(f"{name} 300 IN {kind} {data}")
    return lines, cases


def judge(postern, path, host, sender, text):
    done = subprocess.run([postern, "check", "auth", "--json", "--zone", path, "--time", str(NOW), "--ip", HOSTS[host],
                           "--helo", "helo.test", "--mail-from", "" if sender == "-" else sender, "-"], input=text,
                          capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        return [done.stderr.decode().strip()]
    told = json.loads(done.stdout)
    words = [entry["result"] for entry in told["dkim"]["signatures"]] or ["none"]
    short = ",".join(words[:3]) + (f",+{len(words) - 3}" if len(words) > 3 else "")
    return [told["spf"]["result"], told["arc"]["result"], short, told["dmarc"]["result"], told["dmarc"]["policy"] or "-"]


def run(postern, directory):
    """Name and trouble of each vector."""
    directory = os.path.join(directory, "auth")
    os.makedirs(directory, exist_ok=True)
    keys = dkim_cases.Keys(directory)
    lines, cases = read(os.path.join(HERE, "auth.vectors"))
    path = os.path.join(directory, "zone")
    with open(path, "w", encoding="ascii") as file:
        file.writelines(line + "\n" for line in zone(keys, lines))

    def one(case):
        (name, host, sender, author, signatures, changes), expected = case
        got = judge(postern, path, host, sender, make(keys, author, signatures, changes))
        return name, "" if got == expected else f"{' '.join(got)}, not {' '.join(expected)}"

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(one, cases))
