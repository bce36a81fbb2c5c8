#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random SIGKILL under load: of single workers, of the master, and of all at once.

    kill.py [--kills N] [--seed S] [--build DIR] [--long]

Twelve senders send mail over SMTP and LMTP, six IMAP clients append, flag, copy, move and expunge, and
six senders send mail for others, which goes to a sink, while processes are killed at random moments. After
every twenty kills, and at the end, the queue is worked off, and all mailboxes and what the sink got are
compared with the ledgers (ledger.py, imap_check.py, relay_load.py).
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from gateway import GatewayError  # noqa: E402
import imap_check  # noqa: E402
import imap_load  # noqa: E402
import ledger  # noqa: E402
import relay_load  # noqa: E402
from sink import Sink  # noqa: E402

RESTART_LIMIT = 2.0  # seconds until mail is taken again
# A sanitizer's program starts slower; what is slow is said, and counts only without one.
SLOWNESS = float(os.environ.get("POSTERN_TEST_SLOWNESS", "1"))


def children(pid):
    """The processes that a process started."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def kind_of(pid):
    """Which worker a process is: edge, control, queue, or "" where it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
            return words[2].decode() if len(words) > 2 else ""
    except OSError:
        return ""


def kill_worker(gateway, generator, cut):
    """SIGKILL for one worker; what it was."""
    workers = children(gateway.process.pid)
    if not workers:
        return "nobody"
    victim = generator.choice(workers)
    kind = kind_of(victim)
    with cut(kind) if kind in ("queue", "") else contextlib.nullcontext():
        os.kill(victim, signal.SIGKILL)
    return f"{kind} worker"


def start_again(gateway):
    """Starts the gateway after its master was killed; workers of the old one may need a moment."""
    deadline = time.monotonic() + 10
    while True:
        try:
            gateway.start()
            return
        except GatewayError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def kill_something(gateway, generator, cut):
    """One kill; returns what was killed. `cut` is for those that queue workers feel."""
    choice = generator.random()
    if choice < 0.6:
        return kill_worker(gateway, generator, cut)
    what = "master" if choice < 0.7 else "everything"
    with cut(what):
        if what == "everything":
            gateway.kill()
        else:
            process, gateway.process = gateway.process, None
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
        start_again(gateway)
    return what


def verify(gateway):
    """What `postern store verify` finds."""
    done = subprocess.run([os.path.join(gateway.build, "postern"), "store", "verify", "--config",
                           gateway.config], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return [f"store verify: {(done.stdout + done.stderr)[-600:]}"]
    return []


def check_relay(gateway, book, sink, load, results, name):
    """The queue is worked off; then what was acknowledged for others is there, or its sender was told."""
    problems = relay_load.drain(gateway)
    report = relay_load.check(gateway.ports, book, sink, delete=True)
    print(f"# relay: {report}", flush=True)
    results.tell(name, problems + report.problems() + load.failures)
    relay_load.close_round(book, sink)
    return report.repeated


def run(arguments, gateway, sink, results):
    """The kills, and what they did."""
    generator = random.Random(arguments.seed)
    book = ledger.Ledger()
    desk = imap_load.Desk()
    relayed = relay_load.Book()
    repeated = 0
    slowest = 0.0
    counts = {}
    done = 0
    while done < arguments.kills:
        load = ledger.Load(gateway.ports, book, f"{arguments.seed}.{done}")
        clients = imap_load.DeskLoad(gateway.ports, desk, f"{arguments.seed}.{done}")
        relay = relay_load.RelayLoad(gateway.ports, relayed, sink, f"{arguments.seed}.{done}")
        batch = min(20, arguments.kills - done)
        for _ in range(batch):
            time.sleep(0.15 + generator.random() * 0.5)
            begin = time.monotonic()
            what = kill_something(gateway, generator, relayed.cut)
            counts[what] = counts.get(what, 0) + 1
            ledger.wait_until_accepting(gateway.ports, book, generator)
            slowest = max(slowest, time.monotonic() - begin)
        done += batch
        load.stop()
        clients.stop()
        relay.stop()
        report = ledger.check(gateway.ports, book, delete=True)
        print(f"# {done} kills: {report}", flush=True)
        results.tell(f"loses_and_doubles_nothing_by_kill_{done}", report.problems() + load.failures)
        report = imap_check.check(gateway.ports, desk)
        print(f"# {done} kills: {report}", flush=True)
        results.tell(f"keeps_what_imap_clients_were_answered_by_kill_{done}",
                     report.problems() + clients.failures)
        repeated += check_relay(gateway, relayed, sink, relay, results,
                                f"relays_what_was_acknowledged_by_kill_{done}")
        book.close_round()
    print("# killed: " + ", ".join(f"{count} times {what}" for what, count in counts.items()))
    print(f"# {book.acknowledged} acknowledged, refusals {book.refusals}, "
          f"slowest until mail was taken again {slowest:.2f} s", flush=True)
    print(f"# relay: {relayed.acknowledged} acknowledged, refusals {relayed.refusals}, {sink.messages} "
          f"messages at the sink over {sink.connected} connections, {sink.broken} broken off, "
          f"{repeated} twice", flush=True)
    print(f"# IMAP: {desk.counts} acknowledged, refusals {desk.refusals}, "
          f"{desk.endings} connections ended")
    limit = RESTART_LIMIT * SLOWNESS
    results.tell("accepts_again_within_two_seconds",
                 [f"it took {slowest:.2f} s"] if slowest > limit else [])
    results.tell("sent_enough_to_count",
                 ["hardly anything was sent"]
                 if min(book.acknowledged, relayed.acknowledged) < 20 * arguments.kills else [])
    results.tell("imap_clients_did_enough_to_count",
                 [f"{desk.counts}, refusals {desk.refusals}"]
                 if desk.acknowledged < 20 * arguments.kills or desk.refusals else [])
    last = ledger.check(gateway.ports, book)
    results.tell("deleted_mail_stays_deleted", last.problems())
    results.tell("imap_mail_stays_as_it_was", imap_check.check(gateway.ports, desk).problems())
    gateway.stop()
    results.tell("store_verify_finds_no_damage", verify(gateway) + gateway.findings()[:1])


def main():
    """Reads the arguments, runs, and keeps the directory of a run that failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "main"))
    parser.add_argument("--long", action="store_true", help="200 kills")
    arguments = parser.parse_args()
    if arguments.long:
        arguments.kills = 200
    print(f"# seed {arguments.seed}", flush=True)
    results = ledger.Results()
    sink = Sink()
    gateway = relay_load.make_gateway(arguments.build, sink, tls=False,
                                      users=ledger.USERS + imap_load.USERS + relay_load.USERS)
    try:
        gateway.start()
        run(arguments, gateway, sink, results)
    except Exception as error:
        results.tell("runs_to_its_end", [repr(error), gateway.log_tail()])
    status = results.end(gateway.directory)
    gateway.kill()
    sink.stop()
    if status == 0:
        gateway.remove()
    return status


if __name__ == "__main__":
    sys.exit(main())
