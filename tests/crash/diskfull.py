#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A full disk: refused with 4xx and never lost, and taken again as soon as there is room.

    diskfull.py [--cycles N] [--seed S] [--build DIR] [--long]

The mail is on a small tmpfs, with a ballast file that leaves little room. Senders fill it up, reading
over POP3 must go on, then the ballast goes and mail must be taken within two seconds. Half of the
cycles run with a reserve (refused at MAIL, with 452), half without one, where every write may fail.
At the end the ledger must hold. Needs root.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from gateway import Gateway  # noqa: E402
import ledger  # noqa: E402

DISK_SIZE = 160 << 20
RECOVERY_LIMIT = 2.0 * float(os.environ.get("POSTERN_TEST_SLOWNESS", "1"))


def free_bytes(path):
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def put_ballast(path, leave):
    """A file that takes all space but `leave` bytes."""
    size = free_bytes(path) - leave
    descriptor = os.open(os.path.join(path, "ballast"), os.O_CREAT | os.O_WRONLY, 0o600)
    if size > 0:
        os.posix_fallocate(descriptor, 0, size)
    os.close(descriptor)


class Cycle:
    """One filling and freeing."""

    def __init__(self, gateway, path, book, seed):
        self.gateway = gateway
        self.path = path
        self.book = book
        self.seed = seed
        self.generator = random.Random(seed)
        self.problems = []
        self.recovery = 0.0

    def refused_count(self):
        return sum(self.book.refusals.values())

    def wait_until_full(self):
        """Until many were refused in a row and nothing is taken any more."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            refused, taken = self.refused_count(), self.book.acknowledged
            time.sleep(0.25)
            if self.refused_count() >= refused + 10 and self.book.acknowledged <= taken + 20:
                return
        self.problems.append(f"the disk did not fill up: {free_bytes(self.path)} bytes are free, "
                             f"refusals {self.book.refusals}")

    def check_reading(self):
        """POP3 works while the disk is full."""
        try:
            for account in ledger.ACCOUNTS[:3]:
                mailbox = ledger.Mailbox(self.gateway.ports["pop3"], account)
                count = sum(text is not None for text in mailbox.messages())
                if count != mailbox.count:
                    self.problems.append(f"{mailbox.count - count} unreadable while full")
                mailbox.end(False)
        except (ledger.Lost, OSError) as error:
            self.problems.append(f"reading while full: {error!r}")

    def go(self):
        put_ballast(self.path, leave=7 << 20)
        load = ledger.Load(self.gateway.ports, self.book, self.seed, senders=8, pause=0.01,
                           largest=1 << 20)
        self.wait_until_full()
        self.check_reading()
        os.unlink(os.path.join(self.path, "ballast"))
        self.recovery = ledger.wait_until_accepting(self.gateway.ports, self.book, self.generator)
        time.sleep(0.1)
        load.stop()
        self.problems += load.failures
        return self.problems


def run(arguments, results, path, reserve):
    """Some cycles on one gateway."""
    book = ledger.Ledger()
    data = os.path.join(path, "data")
    os.mkdir(data, 0o700)
    gateway = Gateway(arguments.build, users=ledger.USERS, tls=False, data=data,
                      store=f'module "store_local" {{ as = "local", reserve = "{reserve}" }}')
    name = "with_a_reserve" if reserve != "1" else "without_a_reserve"
    good = False
    try:
        slowest = 0.0
        problems = []
        for number in range(arguments.cycles // 2):
            cycle = Cycle(gateway, path, book, f"{arguments.seed}.{reserve}.{number}")
            problems += cycle.go()
            slowest = max(slowest, cycle.recovery)
        results.tell(f"serves_readers_while_the_disk_is_full_{name}", problems)
        results.tell(f"takes_mail_soon_after_space_returned_{name}",
                     [f"it took {slowest:.2f} s"] if slowest > RECOVERY_LIMIT else [])
        wrong = {code: count for code, count in book.refusals.items()
                 if code not in ("452", "451", "503", "421", "554")}
        print(f"# {book.acknowledged} acknowledged, refusals {book.refusals}, "
              f"slowest recovery {slowest:.2f} s")
        results.tell(f"refuses_for_now_and_not_for_good_{name}",
                     [f"refusals {wrong}"] if wrong or "452" not in book.refusals else [])
        report = ledger.check(gateway.ports, book)
        print(f"# {report}")
        results.tell(f"loses_nothing_on_a_full_disk_{name}", report.problems())
        gateway.stop()
        done = subprocess.run([os.path.join(gateway.build, "postern"), "store", "verify", "--config",
                               gateway.config], capture_output=True, text=True, check=False)
        results.tell(f"store_verify_finds_no_damage_{name}",
                     [(done.stdout + done.stderr)[-600:]] if done.returncode else [])
        good = results.failed == 0
    except Exception as error:
        results.tell(f"runs_to_its_end_{name}", [repr(error), gateway.log_tail()])
    finally:
        gateway.kill()
        if good:
            gateway.remove()
        else:
            print(f"# the log: {gateway.log}", flush=True)


def main():
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "main"))
    parser.add_argument("--long", action="store_true", help="20 cycles")
    arguments = parser.parse_args()
    if arguments.long:
        arguments.cycles = 20
    print(f"# seed {arguments.seed}", flush=True)
    results = ledger.Results()
    if os.geteuid() != 0:
        print("skipped: mounting a tmpfs needs root", flush=True)
        return 1
    for reserve in ("2M", "1"):
        path = tempfile.mkdtemp(prefix="postern-diskfull-")
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "tmpfs", path],
                       check=True)
        try:
            run(arguments, results, path, reserve)
        finally:
            subprocess.run(["umount", "-l", path], check=False)
            os.rmdir(path)
    return results.end()


if __name__ == "__main__":
    sys.exit(main())
