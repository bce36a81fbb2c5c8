#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every fault point of the store and of the queue under load: the process dies there, or the disk fails there.

    faults.py [--seed S] [--build DIR] [--long] [POINT …]

For each point a gateway is started whose workers die when they pass it for the Nth time (and again,
each time they were started anew), and gateways in which the Nth pass fails, once or from then on.
Whatever was acknowledged must be there, once and unaltered; mail that cannot be written is refused
for now; after a fault that passes mail is taken again. IMAP clients work meanwhile: what the store could
not do is answered NO [UNAVAILABLE], nothing of it is there, and their sessions go on. Mail for others goes
to a sink meanwhile, and the queue meets the same faults: what it cannot write down for now it writes
down later, without sending anything twice.
"""

import argparse
import contextlib
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from gateway import GatewayError  # noqa: E402
import imap_check  # noqa: E402
import imap_load  # noqa: E402
import ledger  # noqa: E402
import relay_load  # noqa: E402
from kill import verify  # noqa: E402
from sink import Sink  # noqa: E402

KILLS = ("store.segment.open", "store.segment.directory", "store.segment.grow", "store.segment.write",
         "store.segment.flush", "store.body.open", "store.body.write", "store.body.flush",
         "store.index.begin", "store.index.write", "store.index.commit", "store.commit.before",
         "store.commit.written", "store.commit.flushed", "store.commit.after", "queue.deliver.before",
         "queue.deliver.after", "queue.settle.before", "queue.settle.after", "queue.report.before")
FAILS = ("store.segment.open", "store.segment.grow", "store.segment.write", "store.segment.flush",
         "store.body.open", "store.body.write", "store.body.flush", "store.index.begin",
         "store.index.write", "store.index.commit")
# Passed by a worker while it starts: one that always dies there never serves, and the gateway says so.
AT_START = ("store.index.begin", "store.index.write", "store.index.commit")
# Where the disk fails at the beginning, the mailbox that the clients make is not there.
IMAP_TEMPORARY = {"NO UNAVAILABLE", "NO NONEXISTENT", "NO TRYCREATE"}
TEMPORARY = {"452", "451", "421", "503", "554"}  # 503 and 554: what was pipelined behind a refusal


def judge_clients(desk, action, lasting, port):
    """What IMAP clients were told while something failed."""
    problems = []
    wrong = set(desk.refusals) - IMAP_TEMPORARY
    if wrong:
        problems.append(f"IMAP refused with {desk.refusals}")
    if action != "kill" and desk.endings:
        problems.append(f"{desk.endings} IMAP sessions ended")
    if action != "kill" and not lasting:
        again = imap_check.wait_until_working({"imap": port}, desk, "again")
        if again > 2:
            problems.append(f"IMAP clients can work again after {again:.1f} s")
    return problems


def check_relay(gateway, book, sink, text):
    """With a gateway that has no fault any more: sentences."""
    problems = relay_load.drain(gateway, hurry=True)
    report = relay_load.check(gateway.ports, book, sink)
    print(f"# {text}: relay: {book.acknowledged} acknowledged, refusals {book.refusals}, {report}",
          flush=True)
    return problems + [f"relay: {problem}" for problem in report.problems()]


def refuse_to_start(gateway):
    """A gateway whose workers die at the first step says it, and its store serves without the fault."""
    problems = []
    try:
        gateway.start()
        problems.append("the gateway started with workers that cannot")
    except GatewayError as error:
        if "a worker could not start" not in str(error):
            problems.append(f"it did not start, and said {error}")
    gateway.kill()
    gateway.environment = {}
    gateway.start()
    ledger.wait_until_accepting(gateway.ports, ledger.Ledger(), random.Random(1), 10)
    gateway.stop()
    return problems + verify(gateway)


def run(arguments, results, point, action, number, lasting):
    """One gateway with one fault."""
    text = f"{point}={action}@{number}{'+' if lasting else ''}"
    name = f"{point}_{action}_{'from' if lasting else 'at'}_{number}"
    sink = Sink()
    gateway = relay_load.make_gateway(
        arguments.build, sink, tls=False, environment={"POSTERN_FAULT": text},
        users=ledger.USERS + imap_load.USERS + relay_load.USERS,
        store='module "store_local" { as = "local", segment_size = "512k" }')
    generator = random.Random(f"{arguments.seed}.{text}")
    problems = []
    try:
        if action == "kill" and number == 1 and point in AT_START:
            problems += refuse_to_start(gateway)
            return
        gateway.start()
        book = ledger.Ledger()
        desk = imap_load.Desk()
        desk.no_may_happen = point == "store.index.commit"  # see below
        load = ledger.Load(gateway.ports, book, f"{arguments.seed}.{text}", senders=8, pause=0.005,
                           largest=600 << 10)
        clients = imap_load.DeskLoad(gateway.ports, desk, f"{arguments.seed}.{text}", pause=0.002)
        relayed = relay_load.Book()
        relay = relay_load.RelayLoad(gateway.ports, relayed, sink, f"{arguments.seed}.{text}", senders=4,
                                     pause=0.005, largest=600 << 10)
        # Where workers die, or nothing can be written down, what was sent may be sent again.
        with relayed.cut(text, float("inf")) if lasting or action == "kill" else contextlib.nullcontext():
            time.sleep(arguments.duration)
            load.stop()
            clients.stop()
            relay.stop()
        problems += load.failures + clients.failures + relay.failures
        if gateway.process.poll() is not None:
            problems.append("the gateway ended")
        wrong = (set(book.refusals) | set(relayed.refusals)) - TEMPORARY
        if wrong:
            problems.append(f"refused with {book.refusals}, and for others with {relayed.refusals}")
        if action != "kill" and not lasting:
            recovery = ledger.wait_until_accepting(gateway.ports, book, generator, 10)
            if recovery > 2:
                problems.append(f"mail was taken again after {recovery:.1f} s")
        problems += judge_clients(desk, action, lasting, gateway.ports["imap"])
        # Read by a gateway without the fault: a lasting one may keep this one from serving.
        with relayed.cut("the end", float("inf") if lasting else relay_load.SETTLING):
            gateway.kill()
        gateway.environment = {}
        gateway.start()
        report = ledger.check(gateway.ports, book)
        print(f"# {text}: {book.acknowledged} acknowledged, refusals {book.refusals}, {report}",
              flush=True)
        desk_report = imap_check.check(gateway.ports, desk)
        print(f"# {text}: IMAP: {desk.counts} acknowledged, refusals {desk.refusals}, {desk_report}",
              flush=True)
        problems += desk_report.problems()
        # Where the commit itself failed nobody knows whether it happened: the sender was told to try
        # again, and what is there is no invention of ours.
        if point == "store.index.commit":
            report.invented = [text for text in report.invented if "was refused" not in text]
        problems += report.problems()
        problems += check_relay(gateway, relayed, sink, text)
        gateway.stop()
        problems += verify(gateway)
    except Exception as error:
        problems.append(repr(error))
        problems.append(gateway.log_tail(10))
    finally:
        results.tell(name, problems)
        gateway.kill()
        sink.stop()
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
            if point in AT_START:
                run(arguments, results, point, "kill", 1, False)
            for _ in range(5 if arguments.long else 1):
                run(arguments, results, point, "kill", generator.randrange(2, 40), False)
    for point in FAILS:
        if not arguments.points or point in arguments.points:
            for action in ("EIO", "ENOSPC", "short", "EINTR") if arguments.long else ("EIO",):
                run(arguments, results, point, action, generator.randrange(10, 30), False)
                run(arguments, results, point, action, generator.randrange(10, 30), True)
    return results.end()


if __name__ == "__main__":
    sys.exit(main())
