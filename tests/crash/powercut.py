#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Power cuts: a gateway writes to a file system in an image file, and the image is copied.

    powercut.py [--cuts N] [--seed S] [--build DIR] [--long] [--expect-loss POINT]

The mail is in an ext4 image behind a loop device. At a random moment the gateway is stopped (SIGSTOP)
and the image is copied: only what reached the device is in the copy. A gateway on the copy must have
all that was acknowledged, once and unaltered, and every flag, copy, move and expunge that an IMAP client
was answered OK. What was acknowledged for others must be at the sink, which goes on through the cut, or its
sender is told; the copy sends again only what was under way at the cut. The first half runs with commit=300, so that the
journal hides nothing that was not flushed; the second with commit=1.

Then each flush is left out at its fault point, and mail must be lost: that shows that this
test would notice (--expect-loss POINT does only that, for one). Flushes of directories cannot be shown
so: ext4 writes the entry of a new file with the file. Needs root.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

import imap_check  # noqa: E402
import imap_load  # noqa: E402
import ledger  # noqa: E402
import relay_load  # noqa: E402
from sink import Sink  # noqa: E402

IMAGE_SIZE = 512 << 20
FLUSHES = ("store.segment.flush", "store.index.commit", "store.body.flush")
RESTART_LIMIT = 2.0 * float(os.environ.get("POSTERN_TEST_SLOWNESS", "1"))


class Unavailable(Exception):
    """This machine cannot do what the test needs."""


def command(*words):
    """Runs a program that must succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(words)}: {done.stderr.strip()}")


class Disk:
    """A file system in an image file, mounted; a copy of it is what a power cut leaves."""

    def __init__(self, directory, name, commit):
        self.image = os.path.join(directory, name + ".image")
        self.path = os.path.join(directory, name)
        self.commit = commit

    def make(self):
        with open(self.image, "wb") as file:
            file.truncate(IMAGE_SIZE)
        command("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", self.image)
        self.mount()

    def mount(self):
        os.makedirs(self.path, exist_ok=True)
        command("mount", "-o", f"loop,commit={self.commit}", self.image, self.path)

    def copy_of(self, other):
        command("cp", "--sparse=always", other.image, self.image)
        self.mount()

    def remove(self):
        subprocess.run(["umount", self.path], capture_output=True, check=False)
        if os.path.ismount(self.path):
            subprocess.run(["umount", "-l", self.path], capture_output=True, check=False)
        if os.path.exists(self.image):
            os.unlink(self.image)


def freeze(gateway):
    """SIGSTOP for the whole gateway, and waits until every thread of it stands."""
    group = gateway.process.pid
    os.killpg(group, signal.SIGSTOP)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done = subprocess.run(["ps", "-L", "-o", "stat=", "-g", str(group)], capture_output=True,
                              text=True, check=False)
        if all(state[0] in "TtZ" for state in done.stdout.split()):
            return
        time.sleep(0.002)
    raise Unavailable("the gateway cannot be stopped")


class Run:
    """One gateway on one disk, cut several times."""

    def __init__(self, arguments, directory, commit, results, environment):
        self.arguments = arguments
        self.directory = directory
        self.results = results
        self.generator = random.Random(f"{arguments.seed}.{commit}.{environment}")
        self.commit = commit
        self.disk = Disk(directory, "disk", commit)
        self.book = ledger.Ledger()
        self.desk = imap_load.Desk()
        self.relayed = relay_load.Book()
        self.sink = Sink()
        self.environment = environment
        self.lost = 0
        self.relay_acknowledged = 0
        self.relay_lost = 0
        self.relay_repeated = 0
        self.imap_acknowledged = 0
        self.imap_lost = 0
        self.acknowledged = 0
        self.problems = []
        self.slowest = 0.0
        self.damages = 0

    def new_gateway(self, data, environment=None, start=True):
        os.makedirs(data, mode=0o700, exist_ok=True)
        command("sync", "-f", data)  # the empty directory is ours; all in it is the gateway's
        gateway = relay_load.make_gateway(
            self.arguments.build, self.sink, tls=False, data=data, environment=environment,
            users=ledger.USERS + imap_load.USERS + relay_load.USERS)
        if start:
            gateway.start()
        return gateway

    def check_copy(self, copy):
        """A gateway on the copy, and what it has."""
        begin = time.monotonic()
        gateway = self.new_gateway(os.path.join(copy.path, "data"), start=False)
        try:
            gateway.start()
            report = ledger.check(gateway.ports, self.book)
            desk_report = imap_check.check(gateway.ports, self.desk, settle=False)
            # Where a flush is left out there are rows that nobody can deliver any more.
            undone = relay_load.drain(gateway, 1.0 if self.environment else relay_load.DRAIN_LIMIT,
                                      hurry=True)
            relay_report = relay_load.check(gateway.ports, self.relayed, self.sink)
            probe = ledger.Ledger()
            ledger.wait_until_accepting(gateway.ports, probe, self.generator)
            self.slowest = max(self.slowest, gateway.ready_after)
            gateway.stop()
            done = subprocess.run([os.path.join(gateway.build, "postern"), "store", "verify",
                                   "--config", gateway.config], capture_output=True, text=True,
                                  check=False)
            if done.returncode != 0:
                self.damages += 1
                if not self.environment:
                    self.problems.append("store verify: " + (done.stdout + done.stderr)[-400:])
        except Exception as error:
            if not self.environment:
                self.problems.append(f"recovery: {error!r}\n" + gateway.log_tail())
            self.lost += 1  # a store that does not open has lost everything
            self.imap_lost += 1
            self.relay_lost += 1
            return f"did not open after {time.monotonic() - begin:.1f} s: {str(error)[-300:]}"
        finally:
            gateway.remove()
        self.lost += len(report.lost)
        self.imap_lost += desk_report.lost()
        self.relay_lost += len(relay_report.lost)
        self.relay_repeated += relay_report.repeated
        self.problems += report.problems() + desk_report.problems() + undone
        self.problems += [f"relay: {problem}" for problem in relay_report.problems()]
        return f"{report}; {desk_report}; relay: {relay_report}"

    def cut_once(self, gateway, number):
        """One cut, under load."""
        with self.relayed.cut("power"):
            freeze(gateway)
        copy = Disk(self.directory, "copy", self.commit)
        try:
            copy.copy_of(self.disk)
            # What the frozen gateway said before is what counts: the senders have read it all.
            self.settle()
            found = self.check_copy(copy)
            print(f"# cut {number}, commit={self.commit}: {found}", flush=True)
        finally:
            copy.remove()

    def settle(self):
        """Answers that the gateway sent before the cut reach the ledger."""
        before = None
        while before != (now := (self.book.acknowledged, self.desk.acknowledged,
                                 self.relayed.acknowledged, self.sink.messages)):
            before = now
            time.sleep(0.05)

    def go(self, cuts):
        """All cuts of this run. Each begins with an empty disk, so that reading stays short."""
        for number in range(1, cuts + 1):
            self.disk.make()
            gateway = self.new_gateway(os.path.join(self.disk.path, "data"), self.environment)
            load = ledger.Load(gateway.ports, self.book, f"{self.arguments.seed}.{number}",
                               pause=0.01, largest=1 << 20)
            clients = imap_load.DeskLoad(gateway.ports, self.desk, f"{self.arguments.seed}.{number}",
                                         pause=0.005)
            relay = relay_load.RelayLoad(gateway.ports, self.relayed, self.sink,
                                         f"{self.arguments.seed}.{number}", pause=0.01, largest=1 << 20)
            try:
                # Where a flush is left out, nothing else is to be missing: what is lost is mail.
                if self.environment:
                    command("sync", "-f", self.disk.path)
                time.sleep(0.2 + self.generator.random() * 0.6)
                self.cut_once(gateway, number)
            finally:
                load.ending.set()
                clients.ending.set()
                relay.ending.set()
                gateway.kill()
                load.stop()
                clients.stop()
                relay.stop()
                gateway.remove()
                self.disk.remove()
            self.problems += load.failures + clients.failures + relay.failures
            self.acknowledged += self.book.acknowledged
            self.imap_acknowledged += self.desk.acknowledged
            self.relay_acknowledged += self.relayed.acknowledged
            self.book = ledger.Ledger()
            self.desk = imap_load.Desk()
            self.relayed = relay_load.Book()
            self.sink.forget()
        self.sink.stop()


def run_one(arguments, directory, results, point):
    """The cuts without a fault, or with one flush left out."""
    environment = {"POSTERN_FAULT": f"{point}=skip@1+"} if point else None
    cuts = 2 if point and arguments.cuts < 100 else 10 if point else arguments.cuts
    runs = []
    for commit, count in ((300, (cuts + 1) // 2), (1, cuts // 2)):
        if point and commit == 1:
            continue  # a journal that is written every second hides what is missing
        run = Run(arguments, directory, commit, results, environment)
        run.go(cuts if point else count)
        runs.append(run)
    acknowledged = sum(run.acknowledged for run in runs)
    lost = sum(run.lost for run in runs)
    imap_acknowledged = sum(run.imap_acknowledged for run in runs)
    imap_lost = sum(run.imap_lost for run in runs)
    relay_acknowledged = sum(run.relay_acknowledged for run in runs)
    relay_lost = sum(run.relay_lost for run in runs)
    print(f"# {acknowledged} acknowledged, {lost} lost; IMAP: {imap_acknowledged} commands acknowledged, "
          f"{imap_lost} lost; relay: {relay_acknowledged} acknowledged, {relay_lost} lost, "
          f"{sum(run.relay_repeated for run in runs)} sent again", flush=True)
    if point:
        # Hardly any message of the IMAP clients, or that waits for others, is so large that it has a file
        # of its own.
        shown = lost > 0 and (min(imap_lost, relay_lost) > 0 or point == "store.body.flush")
        results.tell(f"cuts_without_{point}_lose_mail",
                     [] if shown else ["nothing was lost: this test shows nothing"])
        return
    problems = [problem for run in runs for problem in run.problems]
    if acknowledged < 50 * cuts or imap_acknowledged < 20 * cuts or relay_acknowledged < 20 * cuts:
        problems.append("hardly anything was sent")
    results.tell("loses_and_doubles_nothing_by_power_cut", problems)
    slowest = max(run.slowest for run in runs)
    print(f"# slowest start after a cut {slowest:.2f} s")
    results.tell("serves_within_two_seconds_of_a_cut",
                 [f"it took {slowest:.2f} s"] if slowest > RESTART_LIMIT else [])


def main():
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "main"))
    parser.add_argument("--long", action="store_true", help="200 cuts")
    parser.add_argument("--expect-loss", metavar="POINT")
    arguments = parser.parse_args()
    if arguments.long:
        arguments.cuts = 200
    print(f"# seed {arguments.seed}", flush=True)
    results = ledger.Results()
    directory = tempfile.mkdtemp(prefix="postern-powercut-")
    try:
        if os.geteuid() != 0:
            raise Unavailable("mounting an image needs root")
        for point in [arguments.expect_loss] if arguments.expect_loss else (None,) + FLUSHES:
            run_one(arguments, directory, results, point)
    except Unavailable as error:
        print(f"skipped: {error}", flush=True)
        shutil.rmtree(directory, ignore_errors=True)
        return 1
    status = results.end(directory)
    if status == 0:
        shutil.rmtree(directory, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
