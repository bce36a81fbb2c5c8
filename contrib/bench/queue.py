#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a large queue costs: the start of the gateway, the commands of operators, and accepting mail.

    queue.py [--build DIR] [--rows 1000000] [--rounds 21] [--directory DIR] [--json FILE]

Rows are put into the store by tests/conformance (store_conformance --queue). Three things are measured:
how long the gateway takes until it is ready and until the first of a hundred rows that are due has
reached a server, once with all others due in an hour and once with all of them due now, to places that
cannot be found; what `postern queue list` takes, each first of all and as a whole; and how fast mail is
accepted, for mailboxes and for the queue, in turns with a gateway whose queue is empty.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

from bench import cpu_seconds, settle  # noqa: E402
from gateway import Gateway, SHA512  # noqa: E402
from sink import Sink  # noqa: E402

READY_S = 2.0
INDEXED_MS = 100.0
COST = 0.05
# Selections by what there is an index for, that select few; and others, whose first rows count.
INDEXED = (("--sender", "sender5@client.test"), ("--recipient", "user10007@rare.test"), ("--domain", "rare.test"),
           ("--destination", "rare.test"), ("--tenant", "rare"), ("--state", "held", "--limit", "100"),
           ("--id", "500"))
STREAMED = (("--attempts", "3+"), ("--reason", "try again"), ("--older", "99h"), ("--sender", "<>"),
            ("--all",), ("--destination", "d5.test"))


class Bench:
    """The figures, and what they were measured with."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.build = os.path.abspath(arguments.build)
        self.results = {"rows": arguments.rows}
        self.directory = tempfile.mkdtemp(prefix="postern-bench-")
        self.loader = os.path.join(self.directory, "load")
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", self.loader, os.path.join(HERE, "load.c")],
                       check=True)
        self.failed = 0

    def say(self, name, value, unit, limit=None):
        """A figure; one that is past its limit is told so."""
        self.results[name] = value
        late = limit is not None and value > limit
        self.failed += late
        print(f"{name:66} {value:10.2f} {unit}" +
              (f"   (limit {limit:g})" if limit is not None else "") + ("   TOO MUCH" if late else ""),
              flush=True)

    def gateway(self, rows, due):
        """A gateway with so many rows that are due in so many seconds; not started."""
        gateway = Gateway(self.build, start=False, tls=False, workers=2, imap="",
                          more='module "deliver_smtp" { port = 9 }',
                          settings='queue_lifetime = "50d"\nmax_sessions_per_address = 10000\n'
                                   'zone_file = "zone"')
        gateway.write("zone", "nothing.test. 60 IN A 192.0.2.1\n")
        os.mkdir(os.path.join(gateway.directory, "data", "local"), 0o700)
        os.symlink("local", os.path.join(gateway.directory, "data", "store"))
        began = time.monotonic()
        subprocess.run([os.path.join(self.build, "tests", "conformance", "store_conformance"), "--queue",
                        str(rows), str(due), os.path.join(self.build, "modules", "store_local.so"),
                        os.path.join(gateway.directory, "data")], check=True, stdout=subprocess.DEVNULL)
        if rows > 0:
            print(f"# {rows} rows were put in {time.monotonic() - began:.1f} s", flush=True)
        return gateway

    def ask(self, gateway, *words):
        """A command: the seconds to its first line and to its end, and how many lines."""
        began = time.perf_counter()
        with subprocess.Popen([os.path.join(self.build, "postern"), "queue", *words, "--config",
                               gateway.config], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            first = time.perf_counter() - began
            lines = sum(1 for _ in process.stdout)
            if process.wait() != 0:
                raise SystemExit(f"queue {' '.join(words)} ended with {process.returncode}")
        return first, time.perf_counter() - began, lines

    def start(self, gateway, sink, name):
        """From the start to ready, and to the first message that arrived."""
        self.ask(gateway, "requeue", "--tenant", "rare", "--route", f"hosts:127.0.0.1:{sink.port}")
        began = time.monotonic()
        gateway.start()
        self.say(f"start, {name}: ready", time.monotonic() - began, "s", READY_S)
        while not sink.arrivals:
            if time.monotonic() - began > 120:
                raise SystemExit("nothing was delivered")
            time.sleep(0.005)
        self.say(f"start, {name}: first delivery", time.monotonic() - began, "s", READY_S)

    def lists(self, gateway):
        """Commands beside the running gateway."""
        for words in INDEXED:
            times = [self.ask(gateway, "list", *words)[1] for _ in range(5)]
            self.say(f"list {' '.join(words)}: all", 1000 * statistics.median(times), "ms", INDEXED_MS)
        for words in STREAMED:
            first, whole, lines = self.ask(gateway, "list", *words)
            self.say(f"list {' '.join(words)}: first rows", 1000 * first, "ms", INDEXED_MS)
            self.say(f"list {' '.join(words)}: all {lines} rows", 1000 * whole, "ms")
        self.say("list --transaction: one that stands in the middle", 1000 *
                 self.ask(gateway, "list", "--transaction", f"t{self.arguments.rows // 10}")[1], "ms")
        self.say("list: the summary", 1000 * self.ask(gateway, "list")[1], "ms")
        _, took, _ = self.ask(gateway, "hold", "--destination", "d6.test")
        self.say(f"hold --destination: {self.arguments.rows // 100} rows", 1000 * took, "ms")

    def load(self, gateway):
        """Messages a second, and processor time for each."""
        before = cpu_seconds(gateway.process.pid)
        done = subprocess.run([self.loader, "-p",
                               str(gateway.ports["mx"]), "-c", "20", "-m", "10", "-n",
                               str(self.arguments.messages), "-s", "1024", "-d", "60"],
                              capture_output=True, text=True, check=False)
        if not done.stdout:
            raise SystemExit(f"load: {done.stderr}")
        result = json.loads(done.stdout)
        if result["refused"] or result["broken"] or result["late"]:
            raise SystemExit(f"load: {result}")
        settle(gateway.process.pid)
        used = cpu_seconds(gateway.process.pid) - before
        return result["rate"], 1e6 * used / result["accepted"]

    @staticmethod
    def hold_all(gateway):
        """The recipients of the load are nobody's here, and their mail is put into the queue, held."""
        gateway.stop()
        gateway.write("hold.lua", 'on("envelope.recipient", function() return accept() end)\n'
                                  'on("message.decide", function() return hold("here") end)\n')
        with open(gateway.config, encoding="utf-8") as file:
            text = file.read()
        gateway.write("postern.lua", text.replace('domain "example.test"', 'domain "other.test"') +
                      '\npolicy { "hold.lua" }\n')
        gateway.start()

    def accept(self, full, empty, what):
        """In turns: medians of the ratios."""
        rates, costs = [], []
        self.load(full), self.load(empty)
        for turn in range(self.arguments.rounds):
            pair = (full, empty) if turn % 2 == 0 else (empty, full)
            measured = {id(gateway): self.load(gateway) for gateway in pair}
            rates.append(measured[id(full)][0] / measured[id(empty)][0])
            costs.append(measured[id(full)][1] / measured[id(empty)][1])
        self.say(f"accepting what is {what}, full queue: rate lost, of 1", 1 - statistics.median(rates), "", COST)
        self.say(f"accepting what is {what}, full queue: processor time more, of 1", statistics.median(costs) - 1, "", COST)

    def run(self):
        """Everything."""
        rows = self.arguments.rows
        sink = Sink()
        users = "".join(f"user{number}@example.test:{SHA512}:\n" for number in range(1, 101))
        full = self.gateway(rows, 3600)
        empty = self.gateway(0, 0)
        try:
            for gateway in (full, empty):
                gateway.write("users", users)
            self.start(full, sink, "the others due in an hour")
            self.lists(full)
            empty.start()
            self.accept(full, empty, "stored")
            for gateway in (full, empty):
                self.hold_all(gateway)
            self.accept(full, empty, "queued")
        finally:
            full.remove()
            empty.remove()
        sink.arrivals.clear()
        due = self.gateway(rows, 0)
        try:
            self.start(due, sink, "everything due")
        finally:
            due.remove()
            sink.stop()
            shutil.rmtree(self.directory, ignore_errors=True)
        if self.arguments.json:
            with open(self.arguments.json, "w", encoding="ascii") as file:
                json.dump(self.results, file, indent=1)
        return 1 if self.failed else 0


def main():
    """Measures and says what was too much."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "main"))
    parser.add_argument("--rows", type=int, default=1000000)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--messages", type=int, default=20000)
    parser.add_argument("--directory", help="on the disk that is to be measured")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    if arguments.directory:
        tempfile.tempdir = arguments.directory
    return Bench(arguments).run()


if __name__ == "__main__":
    sys.exit(main())
