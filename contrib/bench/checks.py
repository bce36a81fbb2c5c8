#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What judging strangers' mail costs: processor time of a message with the checks and without them.

    checks.py [--build DIR] [--rounds 7] [--messages 500] [--most 300]

Two gateways in one run, in turns: the same but for spf, dkim, arc, dmarc and authentication_results. Messages of 4 kB
with two signatures (RSA, 2048 bits), SPF and DMARC that pass; what DNS knows stands in a zone file, as if it was
cached. One session brings them one after the other. Fails where the median of the differences is more than --most µs.
Processor time is that of the whole process tree, in steps of 10 ms: with fewer messages it says less.
"""

import argparse
import base64
import os
import smtplib
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "support")]

from bench import cpu_seconds  # noqa: E402
from gateway import Gateway  # noqa: E402

CHECKS = "".join(f'module "{name}" {{ }}\n' for name in ("spf", "dkim", "arc", "dmarc", "authentication_results"))
ZONE = """a.test 300 IN TXT "v=spf1 a mx ip4:198.51.100.0/24 include:b.test -all"
a.test 300 IN A 203.0.113.1
a.test 300 IN MX 10 mx.a.test
mx.a.test 300 IN A 203.0.113.2
b.test 300 IN TXT "v=spf1 ip4:192.0.2.0/24 -all"
_dmarc.a.test 300 IN TXT "v=DMARC1; p=reject"
"""


def sign(build, directory, text, domain):
    """The text with a signature on top, and the line of DNS for its key."""
    key = os.path.join(directory, domain + ".pem")
    path = os.path.join(directory, "message")
    with open(path, "wb") as file:
        file.write(text)
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key],
                   check=True, capture_output=True)
    public = subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"], check=True,
                            capture_output=True).stdout
    data = base64.b64encode(public).decode()
    done = subprocess.run([os.path.join(build, "postern"), "sign", "dkim", "--key", key, "--selector", "s", "--domain",
                           domain, path], check=True, capture_output=True)
    return done.stdout, f's._domainkey.{domain} 300 IN TXT "v=DKIM1; p={data[:200]}" "{data[200:]}"\n'


class Side:
    def __init__(self, build, more):
        self.gateway = Gateway(build, start=False, tls=False, workers=1, more=more,
                               mx='xclient_networks = { "127.0.0.1" }, max_transactions = 1000000, max_commands = 10000000',
                               settings='zone_file = "zone"\n')

    def start(self, zone):
        self.gateway.write("zone", zone)
        self.gateway.start()

    def root(self):
        return self.gateway.process.pid

    def quiet(self):
        """Processor time once nothing changes any more."""
        before = -1
        while before != cpu_seconds(self.root()):
            before = cpu_seconds(self.root())
            time.sleep(0.2)
        return before

    def measure(self, text, count):
        """Microseconds of processor time for a message."""
        with smtplib.SMTP("127.0.0.1", self.gateway.ports["mx"], timeout=60) as client:
            client.ehlo("trusted.test")
            client.docmd("XCLIENT", "ADDR=192.0.2.1")
            client.ehlo("mx.a.test")
            before = self.quiet()
            for _ in range(count):
                client.sendmail("x@a.test", ["alice@example.test"], text)
            return (self.quiet() - before) / count * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "gcc"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--most", type=float, default=300)
    options = parser.parse_args()
    sides = [Side(options.build, ""), Side(options.build, CHECKS)]
    try:
        text = (b"From: a@a.test\r\nTo: alice@example.test\r\nDate: Mon, 30 Nov 2026 20:00:00 +0000\r\nSubject: x\r\n\r\n"
                + b"A line of forty bytes, or nearly so ....\r\n" * 90)
        zone = ZONE
        for domain in ("a.test", "b.test"):
            text, line = sign(options.build, sides[0].gateway.directory, text, domain)
            zone += line
        for side in sides:
            side.start(zone)
            side.measure(text, 50)
        differences = []
        for number in range(options.rounds):
            order = sides if number % 2 else sides[::-1]
            found = {side: side.measure(text, options.messages) for side in order}
            without, judged = (found[side] for side in sides)
            differences.append(judged - without)
            print(f"without {without:6.0f} µs   with {judged:6.0f} µs   {judged - without:6.0f} µs")
    finally:
        for side in sides:
            side.gateway.remove()
    median = statistics.median(differences)
    print(f"checks cost {median:.0f} µs of processor time for a message of {len(text)} bytes")
    return 1 if median > options.most else 0


if __name__ == "__main__":
    sys.exit(main())
