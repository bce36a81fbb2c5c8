#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every fault point of the store under load: the process dies there, or the disk fails there.

    faults.py [--seed S] [--build DIR] [--long] [POINT …]

For each point a gateway is started whose workers die when they pass it for the Nth time (and again,
each time they were started anew), and gateways in which the Nth pass fails, once or from then on.
Whatever was acknowledged must be there, once and unaltered; mail that cannot be written is refused
for now; after a fault that passes mail is taken again.
"""

import argparse
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from gateway import Gateway  # noqa: E402
import ledger  # noqa: E402
from kill import verify  # noqa: E402

KILLS = ("store.segment.open", "store.segment.directory", "store.segment.grow", "store.segment.write",
         "store.segment.flush", "store.body.open", "store.body.write", "store.body.flush",
         "store.index.begin", "store.index.write", "store.index.commit", "store.commit.before",
         "store.commit.written", "store.commit.flushed", "store.commit.after")
FAILS = ("store.segment.open", "store.segment.grow", "store.segment.write", "store.segment.flush",
         "store.body.open", "store.body.write", "store.body.flush", "store.index.begin",
         "store.index.write", "store.index.commit")
TEMPORARY = {"452", "451", "421", "503", "554"}  # 503 and 554: what was pipelined behind a refusal


def run(arguments, results, point, action, number, lasting):
    """One gateway with one fault."""
    text = f"{point}={action}@{number}{'+' if lasting else ''}"
    name = f"{point}_{action}_{'from' if lasting else 'at'}_{number}"
    gateway = Gateway(arguments.build, users=ledger.USERS, tls=False, start=False,
                      environment={"POSTERN_FAULT": text},
                      store='module "store_local" { as = "local", segment_size = "512k" }')
    generator = random.Random(f"{arguments.seed}.{text}")
    problems = []
    try:
        gateway.start()
        book = ledger.Ledger()
        load = ledger.Load(gateway.ports, book, f"{arguments.seed}.{text}", senders=8, pause=0.005,
                           largest=600 << 10)
        time.sleep(arguments.duration)
        load.stop()
        problems += load.failures
        if gateway.process.poll() is not None:
            problems.append("the gateway ended")
        wrong = set(book.refusals) - TEMPORARY
        if wrong:
            problems.append(f"refused with {book.refusals}")
        if action != "kill" and not lasting:
            recovery = ledger.wait_until_accepting(gateway.ports, book, generator, 10)
            if recovery > 2:
                problems.append(f"mail was taken again after {recovery:.1f} s")
        # Read by a gateway without the fault: a lasting one may keep this one from serving.
        gateway.kill()
        gateway.environment = {}
        gateway.start()
        report = ledger.check(gateway.ports, book)
        print(f"# {text}: {book.acknowledged} acknowledged, refusals {book.refusals}, {report}",
              flush=True)
        # Where the commit itself failed nobody knows whether it happened: the sender was told to try
        # again, and what is there is no invention of ours.
        if point == "store.index.commit":
            report.invented = [text for text in report.invented if "was refused" not in text]
        problems += report.problems()
        gateway.stop()
        problems += verify(gateway)
    except Exception as error:
        problems.append(repr(error))
        problems.append(gateway.log_tail(10))
    results.tell(name, problems)
    gateway.kill()
    if problems:
        print(f"# the directory: {gateway.directory}", flush=True)
    else:
        gateway.remove()


def main():
    """All points, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "main"))
    parser.add_argument("--duration", type=float, default=0.4)
    parser.add_argument("--long", action="store_true", help="five passes, and four errors each")
    parser.add_argument("points", nargs="*")
    arguments = parser.parse_args()
    print(f"# seed {arguments.seed}", flush=True)
    generator = random.Random(arguments.seed)
    results = ledger.Results()
    for point in KILLS:
        if not arguments.points or point in arguments.points:
            for _ in range(5 if arguments.long else 1):
                run(arguments, results, point, "kill", generator.randrange(1, 40), False)
    for point in FAILS:
        if not arguments.points or point in arguments.points:
            for action in ("EIO", "ENOSPC", "short", "EINTR") if arguments.long else ("EIO",):
                run(arguments, results, point, action, generator.randrange(10, 30), False)
                run(arguments, results, point, action, generator.randrange(10, 30), True)
    return results.end()


if __name__ == "__main__":
    sys.exit(main())
