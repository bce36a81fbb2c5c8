#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `postern check` says about vectors: run.py [--build DIR] [CHECK …]

NAME.vectors has zones and cases; its first lines say how they are written.
"""

import argparse
import json
import os
import smtplib
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

import arc_cases  # noqa: E402
import auth_cases  # noqa: E402
import dkim_cases  # noqa: E402
import field_cases  # noqa: E402
import messages  # noqa: E402
import sign_cases  # noqa: E402
from gateway import Gateway  # noqa: E402

NOW = 1700000000
AT_A_TIME = 4


class Zone:
    def __init__(self, name):
        self.name = name
        self.lines = []
        self.cases = []

    def write(self, directory):
        self.path = os.path.join(directory, self.name)
        with open(self.path, "w", encoding="ascii") as file:
            for line in self.lines:
                name, kind, data = line.split(None, 2)
                file.write(f"{name} 300 IN {kind} {data}\n")


def read(path):
    """The zones of a file, each with its cases: name, arguments, what is expected."""
    zones = []
    with open(path, encoding="ascii") as file:
        for line in file:
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            if line.startswith("zone "):
                zones.append(Zone(line[5:]))
            elif " => " in line:
                given, expected = line.split(" => ", 1)
                name, arguments = given.split(": ", 1)
                zones[-1].cases.append((name, arguments.split(), expected))
            else:
                zones[-1].lines.append(line)
    return zones


def ask(build, words):
    result = subprocess.run([os.path.join(build, "postern"), "check", *words], capture_output=True, text=True,
                            timeout=60, check=False)
    if result.returncode != 0:
        return None, f"status {result.returncode}: {result.stderr.strip()}"
    return json.loads(result.stdout), ""


def run_spf(build, zone, arguments, expected):
    """"" where it is so, else what is not."""
    ip, helo, sender = arguments
    answer, trouble = ask(build, ["spf", "--json", "--zone", zone.path, "--time", str(NOW), "--ip", ip,
                                  "--helo", helo, "--mail-from", "" if sender == "-" else sender])
    if answer is None:
        return trouble
    result, _, explanation = expected.partition(" | ")
    if answer["result"] != result:
        return f"{answer['result']} ({answer['reason']}) where {result} is right"
    if explanation and (answer["explanation"] or "-") != explanation:
        return f"it explains {answer['explanation']!r}, not {explanation!r}"
    return ""


def run_dmarc(build, zone, arguments, expected):
    """"" where it is so, else what is not."""
    domain, spf, signed = arguments
    answer, trouble = ask(build, ["dmarc", "--json", "--zone", zone.path, "--from", domain, "--spf", spf,
                                  "--dkim", signed])
    if answer is None:
        return trouble
    got = f"{answer['result']} {answer['policy'] or '-'}"
    return "" if got == expected else f"{got} ({answer['reason']}) where {expected} is right"


KINDS = {"spf": run_spf, "dmarc": run_dmarc}


def run_silent(build, directory):
    """Names that do not answer: as many as a zone may have, and one more, which is said with its place."""
    results = []
    for count, expected, said in ((256, "pass", ""), (257, "temperror", ":258: more than 256 names")):
        path = os.path.join(directory, f"silent{count}")
        with open(path, "w", encoding="ascii") as file:
            file.write('e.test 300 IN TXT "v=spf1 +all"\n')
            file.writelines(f"t{number}.test 300 IN TXT TIMEOUT\n" for number in range(count))
        done = subprocess.run([os.path.join(build, "postern"), "check", "spf", "--zone", path, "--ip", "192.0.2.1",
                               "--helo", "h.test", "--mail-from", "x@e.test"], capture_output=True, text=True,
                              timeout=60, check=False)
        is_right = done.stdout.split("\n")[0] == expected and said in done.stderr
        results.append((f"{count}_silent_names", "" if is_right else done.stdout + done.stderr))
    return results


IPREV_ZONE = "\n".join(["1.2.0.192.in-addr.arpa 300 IN PTR liar.test", "1.2.0.192.in-addr.arpa 300 IN PTR good.test",
                        "good.test 300 IN A 192.0.2.1", "liar.test 300 IN A 192.0.2.9",
                        "2.2.0.192.in-addr.arpa 300 IN PTR liar.test", "3.2.0.192.in-addr.arpa 300 IN PTR TIMEOUT",
                        "4.2.0.192.in-addr.arpa 300 IN PTR silent.test", "silent.test 300 IN A SERVFAIL",
                        "5.2.0.192.in-addr.arpa 300 IN PTR six.test", "six.test 300 IN AAAA 2001:db8::5",
                        "5." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa 300 IN PTR six.test"]
                       + [f"6.2.0.192.in-addr.arpa 300 IN PTR n{number:02}.test" for number in range(9)]
                       + ["6.2.0.192.in-addr.arpa 300 IN PTR tenth.test", "tenth.test 300 IN A 192.0.2.6"]
                       + [f"7.2.0.192.in-addr.arpa 300 IN PTR n{number:02}.test" for number in range(10)]
                       + ["7.2.0.192.in-addr.arpa 300 IN PTR late.test"]) + "\n"

# An address, the result, and the name where there is one.
IPREV = (("192.0.2.1", "pass", "good.test"), ("192.0.2.2", "fail", None), ("192.0.2.3", "temperror", None),
         ("192.0.2.4", "temperror", None), ("192.0.2.5", "fail", None), ("2001:db8::5", "pass", "six.test"),
         ("2001:DB8:0::5", "pass", "six.test"), ("192.0.2.6", "pass", "tenth.test"), ("192.0.2.7", "fail", None),
         ("192.0.2.8", "permerror", None))


def run_iprev(build, directory):
    """Names that lead back; ten are looked at, and an eleventh does no harm."""
    path = os.path.join(directory, "iprev")
    with open(path, "w", encoding="ascii") as file:
        file.write(IPREV_ZONE)
    results = []
    for ip, *expected in IPREV:
        answer, trouble = ask(build, ["iprev", "--json", "--zone", path, "--ip", ip])
        got = [answer["result"], answer["name"]] if answer else trouble
        results.append((f"iprev_of_{ip}", "" if got == expected else f"{got} where {expected} is right"))
    return results


# ---- in the gateway ----

TELLS = """on("envelope.sender", function(session)
    local message = session.message
    local facts = {}
    for _, key in ipairs{ "spf", "spf.identity", "spf.domain", "spf.reason", "spf.explanation",
            "authentication_results.spf" } do
        table.insert(facts, message:fact(key) or "nil")
    end
    return reject(550, "5.7.1", table.concat(facts, "|"))
end)
"""

ZONE = """sender.test 300 IN TXT "v=spf1 ip4:192.0.2.1 exp=why.sender.test -all"
why.sender.test 300 IN TXT "%{i} is not of %{d}, says %{r}"
mail.sender.test 300 IN TXT "v=spf1 ip4:192.0.2.7 ~all"
silent.test 300 IN TXT TIMEOUT
"""

# Client, EHLO, MAIL FROM, and what policy is told of it.
TOLD = {
    "who_may": ("192.0.2.1", "c.test", "x@sender.test",
                "pass|mail_from|sender.test|matched ip4:192.0.2.1||spf=pass smtp.mailfrom=sender.test"),
    "who_may_not": ("192.0.2.2", "c.test", "x@sender.test",
                    "fail|mail_from|sender.test|matched -all|192.0.2.2 is not of sender.test, says mx.example.test|"
                    "spf=fail smtp.mailfrom=sender.test"),
    "the_null_sender": ("192.0.2.8", "mail.sender.test", "",
                        "softfail|helo|mail.sender.test|matched ~all||spf=softfail smtp.helo=mail.sender.test"),
    "a_domain_that_does_not_answer": ("192.0.2.1", "c.test", "x@silent.test",
                                      "temperror|mail_from|silent.test|DNS does not answer for silent.test: "
                                      "the name servers do not answer||spf=temperror smtp.mailfrom=silent.test"),
    "our_own_networks": ("198.51.100.9", "c.test", "x@sender.test", "nil|nil|nil|nil|nil|nil"),
}


def run_gateway(build):
    """Name and trouble of each case."""
    gateway = Gateway(build, start=False, tls=False, workers=1, mx='xclient_networks = { "127.0.0.1" }',
                      settings='zone_file = "zone"\n', more='module "spf" { exempt_networks = { "198.51.100.0/24" } }\n'
                      'policy { "policy.lua" }\n')
    results = []
    try:
        gateway.write("policy.lua", TELLS)
        gateway.write("zone", ZONE)
        gateway.start()
        for name, (ip, helo, sender, expected) in TOLD.items():
            with smtplib.SMTP("127.0.0.1", gateway.ports["mx"]) as client:
                client.ehlo("trusted.test")
                client.docmd("XCLIENT", f"ADDR={ip}")
                client.ehlo(helo)
                _, reply = client.docmd("MAIL", f"FROM:<{sender}>")
                said = reply.decode().partition(" ")[2]
                results.append((name, "" if said == expected else f"{said!r}, not {expected!r}"))
        gateway.stop()
    finally:
        gateway.remove()
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "gcc"))
    parser.add_argument("names", nargs="*", default=[*KINDS, "dkim", "arc", "auth", "gateway", "field", "messages", "sign"])
    options = parser.parse_args()
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="postern-test-") as directory:
        if "gateway" in options.names:
            for name, trouble in [*run_gateway(options.build), *run_silent(options.build, directory),
                                  *run_iprev(options.build, directory)]:
                passed += not trouble
                failed += bool(trouble)
                print(f"not ok {name}\n#   {trouble}" if trouble else f"ok {name}")
        if "field" in options.names:
            for name, trouble in field_cases.run(options.build):
                passed += not trouble
                failed += bool(trouble)
                print(f"not ok field: {name}\n#   {trouble}" if trouble else f"ok field: {name}")
        for kind, run_cases in (("messages", lambda: messages.run(options.build)),
                                ("sign", lambda: sign_cases.run(options.build, directory))):
            if kind not in options.names:
                continue
            results = run_cases()
            for name, trouble in results:
                passed += not trouble
                failed += bool(trouble)
                if trouble:
                    print(f"not ok {kind}: {name}\n#   {trouble}")
            if not any(trouble for _, trouble in results):
                print(f"ok {kind}: {len(results)} cases")
        for kind, cases in (("dkim", dkim_cases), ("arc", arc_cases), ("auth", auth_cases)):
            if kind not in options.names:
                continue
            results = cases.run(os.path.join(options.build, "postern"), directory)
            for name, trouble in results:
                passed += not trouble
                failed += bool(trouble)
                if trouble:
                    print(f"not ok {kind}: {name}\n#   {trouble}")
            if not any(trouble for _, trouble in results):
                print(f"ok {kind}: {len(results)} cases")
        for kind in (name for name in options.names if name in KINDS):
            zones = read(os.path.join(HERE, kind + ".vectors"))
            for zone in zones:
                zone.write(directory)
            cases = [(zone, case) for zone in zones for case in zone.cases]
            with ThreadPoolExecutor(AT_A_TIME) as pool:
                results = list(pool.map(
                    lambda pair: KINDS[kind](options.build, pair[0], pair[1][1], pair[1][2]), cases))
            for (zone, case), trouble in zip(cases, results):
                passed += not trouble
                failed += bool(trouble)
                if trouble:
                    print(f"not ok {kind} {zone.name}: {case[0]}\n#   {trouble}")
            if not any(results):
                print(f"ok {kind}: {len(cases)} vectors")
    print(f"# checks: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
