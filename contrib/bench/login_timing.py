#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether the time of a failed login tells if a name is known.

    login_timing.py [--build DIR] [--samples 5000]

Names that are known and names that are not, in turns, by PLAIN and by SCRAM-SHA-256 (its first message), over one
connection of IMAP. Prints Welch's t of the samples between their 10th and 90th percentile; |t| below 4.5 is no
evidence of a difference. On a machine that does something else beside it, repeat it before you believe it.
"""

import argparse
import math
import os
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
sys.path.insert(0, os.path.join(ROOT, "tests", "authentication"))
from doors import Door  # noqa: E402
from gateway import DOMAIN, Gateway, PASSWORD, SHA512  # noqa: E402
from mechanisms import Scram, verifier  # noqa: E402


def plain(door, name):
    return door.start("PLAIN", f"\0{name}\0wrong password".encode())


def scram(door, name):
    answer = door.start("SCRAM-SHA-256", Scram(name, "x", nonce="abcdefghijkl").first())
    door.say("*")
    return answer


def measure(door, attempt, samples):
    """Nanoseconds of known and of unknown names."""
    found = ([], [])
    for number in range(samples):
        for kind, name in enumerate(("known1", "other2") if number % 2 else ("known2", "other1")):
            begin = time.perf_counter_ns()
            attempt(door, name)
            found[kind].append(time.perf_counter_ns() - begin)
    return found


def trimmed(samples):
    samples = sorted(samples)
    return samples[len(samples) // 10:len(samples) * 9 // 10]


def welch(one, other):
    variances = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(variances)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "gcc"))
    parser.add_argument("--samples", type=int, default=5000)
    arguments = parser.parse_args()
    users = "".join(f"known{number}@{DOMAIN}:{SHA512} {verifier(PASSWORD)}:\n" for number in (1, 2))
    worst = 0.0
    with Gateway(arguments.build, users=users, workers=1, imap="max_errors = 100000, max_login_failures = 1000",
                 store='module "store_local" { as = "local" }') as gateway:
        for attempt in (plain, scram):
            known, unknown = [], []
            while len(known) < arguments.samples:
                with Door(gateway, "imap") as door:
                    one, other = measure(door, attempt, min(400, arguments.samples - len(known)))
                    known, unknown = known + one, unknown + other
            known, unknown = trimmed(known), trimmed(unknown)
            t = welch(known, unknown)
            worst = max(worst, abs(t))
            print(f"{attempt.__name__}: known {statistics.median(known) / 1000:.1f} µs, unknown "
                  f"{statistics.median(unknown) / 1000:.1f} µs, t = {t:.2f}", flush=True)
    return 0 if worst < 4.5 else 1


if __name__ == "__main__":
    sys.exit(main())
