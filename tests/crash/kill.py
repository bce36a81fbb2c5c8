#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random SIGKILL under load: of single workers, of the master, and of all at once.

    kill.py [--kills N] [--seed S] [--build DIR] [--long]

Twelve senders send mail over SMTP and LMTP while processes are killed at random moments. After every
twenty kills, and at the end, all mailboxes are read and compared with the ledger (ledger.py).
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from gateway import Gateway, GatewayError  # noqa: E402
import ledger  # noqa: E402

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
    """Which worker a process is: edge, control, or "" where it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
            return words[2].decode() if len(words) > 2 else ""
    except OSError:
        return ""


def kill_worker(gateway, generator):
    """SIGKILL for one worker; what it was."""
    workers = children(gateway.process.pid)
    if not workers:
        return "nobody"
    victim = generator.choice(workers)
    kind = kind_of(victim)
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


def kill_something(gateway, generator):
    """One kill; returns what was killed."""
    choice = generator.random()
    if choice < 0.6:
        return kill_worker(gateway, generator)
    if choice < 0.7:
        process, gateway.process = gateway.process, None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        start_again(gateway)
        return "master"
    gateway.kill()
    start_again(gateway)
    return "everything"


def verify(gateway):
    """What `postern store verify` finds."""
    done = subprocess.run([os.path.join(gateway.build, "postern"), "store", "verify", "--config",
                           gateway.config], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return [f"store verify: {(done.stdout + done.stderr)[-600:]}"]
    return []


def run(arguments, gateway, results):
    """The kills, and what they did."""
    generator = random.Random(arguments.seed)
    book = ledger.Ledger()
    slowest = 0.0
    counts = {}
    done = 0
    while done < arguments.kills:
        load = ledger.Load(gateway.ports, book, f"{arguments.seed}.{done}")
        batch = min(20, arguments.kills - done)
        for _ in range(batch):
            time.sleep(0.15 + generator.random() * 0.5)
            begin = time.monotonic()
            what = kill_something(gateway, generator)
            counts[what] = counts.get(what, 0) + 1
            ledger.wait_until_accepting(gateway.ports, book, generator)
            slowest = max(slowest, time.monotonic() - begin)
        done += batch
        load.stop()
        report = ledger.check(gateway.ports, book, delete=True)
        print(f"# {done} kills: {report}", flush=True)
        results.tell(f"loses_and_doubles_nothing_by_kill_{done}", report.problems() + load.failures)
        book.close_round()
    print("# killed: " + ", ".join(f"{count} times {what}" for what, count in counts.items()))
    print(f"# {book.acknowledged} acknowledged, refusals {book.refusals}, "
          f"slowest until mail was taken again {slowest:.2f} s", flush=True)
    limit = RESTART_LIMIT * SLOWNESS
    results.tell("accepts_again_within_two_seconds",
                 [f"it took {slowest:.2f} s"] if slowest > limit else [])
    results.tell("sent_enough_to_count",
                 ["hardly anything was sent"] if book.acknowledged < 20 * arguments.kills else [])
    last = ledger.check(gateway.ports, book)
    results.tell("deleted_mail_stays_deleted", last.problems())
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
    gateway = Gateway(arguments.build, users=ledger.USERS, tls=False)
    try:
        run(arguments, gateway, results)
    except Exception as error:
        results.tell("runs_to_its_end", [repr(error), gateway.log_tail()])
    status = results.end(gateway.directory)
    gateway.kill()
    if status == 0:
        gateway.remove()
    return status


if __name__ == "__main__":
    sys.exit(main())
