#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mail that is taken and handed on: Postern and Postfix, measured in turns with the same load.

    relay.py [--build DIR] [--rounds N] [--case 20x10:4096:2000 …] [--json]

Both take mail for away.test from 127.0.0.1 and hand it to a sink (sink.c), over at most twenty connections.
Postern runs with conf/quickstart.lua, its policies, log and history; one policy more allows the relaying. The
rate counts from the first connection of the load until the last message is at the sink, and the processor time until
all is quiet again. A case is sessions x messages each : bytes : messages.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import bench  # noqa: E402

CASES = ("20x10:4096:2000", "1x10:4096:1000", "8x10:1000000:160")
DEADLINE = 60
POLICY = """on("envelope.recipient", function(session, recipient)
	if session.is_loopback and recipient.domain == "away.test" then
		return accept()
	end
end)
"""
# What Postfix has besides, in place of the hold: the sink is the next hop of everything.
RELAY_CF = """relayhost = [127.0.0.1]:{sink}
smtp_host_lookup = native
initial_destination_concurrency = 20
default_destination_concurrency_limit = 20
qmgr_message_active_limit = 20000
message_size_limit = 104857600
smtp_tls_security_level = none
"""
SMTP_SERVICES = "smtp unix - - n - - smtp\nrelay unix - - n - - smtp\nscache unix - - n - 1 scache\n"


class Sink:
    """The program sink, and what it counted."""

    def __init__(self, program):
        self.port = bench.free_port()
        self.process = subprocess.Popen([program, "-p", str(self.port)])
        bench.wait_for_port(self.port, self.process)
        self.client = socket.create_connection(("127.0.0.1", self.port))
        self.replies = self.client.makefile("rb")
        self.replies.readline()

    def count(self):
        """Messages, bytes, the moment of the last one, processor time."""
        self.client.sendall(b"XCOUNT\r\n")
        words = self.replies.readline().split()
        return int(words[1]), int(words[2]), float(words[3]), float(words[4])

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Postern(bench.Postern):
    """The gateway, with a relay and somebody who may use it."""

    def __init__(self, build, directory, sink):
        super().__init__(build, directory)
        self.sink = sink
        with open(os.path.join(bench.ROOT, "conf", "quickstart.lua"), encoding="utf-8") as file:
            text = file.read().replace("../scripts", os.path.join(bench.ROOT, "scripts"))
        self.config = os.path.join(self.directory, "bench.lua")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text + f'\npolicy "{self.directory}/relay.lua"\n')
        with open(os.path.join(self.directory, "relay.lua"), "w", encoding="utf-8") as file:
            file.write(POLICY)

    def start(self):
        environment = {**os.environ, "POSTERN_DATA": self.directory, "POSTERN_USER": "",
                       "POSTERN_MODULES": os.path.join(self.build, "modules"),
                       "POSTERN_RELAY": f"127.0.0.1:{self.sink.port}",
                       "POSTERN_PORT_OFFSET": str(self.offset)}
        with open(f"{self.directory}/log", "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.build, "postern"), "serve", "--config", self.config],
                env=environment, stdout=log, stderr=log, start_new_session=True)
        bench.wait_for_port(self.port, self.process)


class Postfix(bench.Postfix):
    """Postfix, with a relay."""

    def __init__(self, directory, sink):
        super().__init__(directory)
        self.sink = sink
        etc = os.path.join(self.directory, "etc")
        with open(os.path.join(etc, "main.cf"), encoding="ascii") as file:
            lines = [line for line in file
                     if not line.startswith(("default_transport", "smtpd_recipient_restrictions"))]
        with open(os.path.join(etc, "main.cf"), "w", encoding="ascii") as file:
            file.write("".join(lines) + RELAY_CF.format(sink=sink.port))
        with open(os.path.join(etc, "master.cf"), "a", encoding="ascii") as file:
            file.write(SMTP_SERVICES)


def measure(target, load, case):
    """One run: what the load and the sink saw, and the processor time that the target used."""
    shape, size, messages = case.split(":")
    sessions, each = shape.split("x")
    before = bench.cpu_seconds(target.process.pid)
    had, _, _, sink_before = target.sink.count()
    began = time.monotonic()
    done = subprocess.run([load, "-p", str(target.port), "-c", sessions, "-m", each, "-n", messages, "-s", size,
                           "-D", "away.test", "-d", str(DEADLINE)], capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"load: {done.stderr}")
    result = json.loads(done.stdout)
    while (counted := target.sink.count())[0] - had < result["accepted"]:
        if time.monotonic() - began > DEADLINE + 30:
            break
        time.sleep(0.01)
    bench.settle(target.process.pid)
    result["delivered"] = counted[0] - had
    result["rate"] = result["delivered"] / max(counted[2] - began, 1e-6)
    result["sink_share"] = (counted[3] - sink_before) / max(counted[2] - began, 1e-6)
    result["cpu_us_per_message"] = (1e6 * (bench.cpu_seconds(target.process.pid) - before) /
                                    max(result["delivered"], 1))
    result["target"] = target.name
    result["case"] = case
    return result


def tell(results, case, names):
    """The medians, and what the first has to the second; the figures for those who read on."""
    medians = {}
    for name in names:
        runs = [result for result in results if result["target"] == name and result["case"] == case]
        medians[name] = {key: statistics.median(run[key] for run in runs)
                         for key in ("rate", "cpu_us_per_message", "sink_share", "p99_ms")}
        row = medians[name]
        print(f"{case:20} {name:8} {row['rate']:8.0f} messages/s {row['cpu_us_per_message']:8.0f} us of CPU each   "
              f"p99 of accepting {row['p99_ms']:7.2f} ms   (the sink used {100 * row['sink_share']:.0f} % of a processor)")
    if len(names) == 2:
        ours, theirs = medians[names[0]], medians[names[1]]
        print(f"{case:20} ratio    {ours['rate'] / theirs['rate']:8.2f} x the rate   "
              f"{ours['cpu_us_per_message'] / theirs['cpu_us_per_message']:8.3f} x the CPU", flush=True)


def main():
    """Starts both, measures in turns, stops both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(bench.ROOT, "build", "gcc"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", action="append", help="20x10:4096:2000")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--directory", help="where the mail goes; a disk, not a tmpfs")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    directory = tempfile.mkdtemp(prefix="postern-bench-", dir=arguments.directory)
    for name in ("load", "sink"):
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", os.path.join(directory, name),
                        os.path.join(HERE, name + ".c")], check=True)
    results = []
    started = []
    try:
        sinks = [Sink(os.path.join(directory, "sink"))]
        started += sinks
        targets = [Postern(os.path.abspath(arguments.build), directory, sinks[0])]
        if os.path.exists("/usr/lib/postfix/sbin/master") and os.geteuid() == 0:
            sinks.append(Sink(os.path.join(directory, "sink")))
            started.append(sinks[1])
            targets.append(Postfix(directory, sinks[1]))
        else:
            print("# Postfix is not here, or we are not root: only ours is measured", file=sys.stderr)
        for target in targets:
            target.start()
            started.append(target)
        for case in arguments.case or CASES:
            for number in range(arguments.rounds + 1):
                for target in targets:
                    result = measure(target, os.path.join(directory, "load"), case)
                    if (result["refused"] or result["broken"] or result["late"] or
                            result["delivered"] != result["accepted"]):
                        print(f"# {target.name}: {result}", file=sys.stderr)
                    if arguments.json:
                        print(json.dumps(result), flush=True)
                    if number > 0:  # the first round only warms up
                        results.append(result)
            tell(results, case, [target.name for target in targets])
    finally:
        for one in reversed(started):
            one.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
