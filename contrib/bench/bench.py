#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Postern and Postfix, measured in turns with the same load.

    bench.py [--build DIR] [--rounds N] [--case 20x10] [--size 4096] [--messages 2000]

Postern runs with conf/quickstart.lua and its policies; Postfix with a configuration of its own that
puts all mail on hold: it is queued durably and not delivered. Both take mail on 127.0.0.1 only and
in directories of their own. Prints the median rate and processor time for a message, and their
ratios; --json prints every run.
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
ROOT = os.path.dirname(os.path.dirname(HERE))
TICKS = os.sysconf("SC_CLK_TCK")

MAIN_CF = """compatibility_level = 3.6
queue_directory = {directory}/spool
data_directory = {directory}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = bench.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
disable_dns_lookups = yes
alias_maps =
in_flow_delay = 0
default_process_limit = 150
smtpd_client_connection_count_limit = 0
maillog_file_prefixes = {directory}
maillog_file = {directory}/log
default_transport = discard:
smtpd_recipient_restrictions = static:HOLD, permit
"""
MASTER_CF = """127.0.0.1:{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process):
    """Until somebody answers there."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
                if probe.recv(3) == b"220":
                    return
        except OSError:
            pass
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"nobody answers on port {port}")


def tree(root):
    """A process and everything below it."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                    parent = int(file.read().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(name))
            except OSError:
                pass
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_seconds(root):
    """Processor time of a process tree; what ended children used is in their parents' account."""
    total = 0
    for pid in tree(root):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                total += sum(int(word) for word in file.read().rsplit(")", 1)[1].split()[11:15])
        except OSError:
            pass
    return total / TICKS


class Postern:
    """The gateway with the configuration of the quickstart."""

    name = "postern"

    def __init__(self, build, directory):
        self.build = build
        self.directory = os.path.join(directory, "postern")
        os.mkdir(self.directory, 0o700)
        self.offset = free_port() % 20000 + 10000
        self.port = 2525 + self.offset
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3", "-subj",
                        "/CN=localhost", "-keyout", f"{self.directory}/key.pem", "-out",
                        f"{self.directory}/certificate.pem"], check=True, capture_output=True)
        password = subprocess.run([os.path.join(build, "postern"), "password"], input="postern\n",
                                  capture_output=True, text=True, check=True).stdout.split()[-1]
        with open(f"{self.directory}/users", "w", encoding="ascii") as file:
            for name in ["alice", "bob"] + [f"user{number}" for number in range(1, 101)]:
                file.write(f"{name}@example.test:{password}:\n")

    def start(self):
        environment = {**os.environ, "POSTERN_DATA": self.directory, "POSTERN_USER": "",
                       "POSTERN_MODULES": os.path.join(self.build, "modules"),
                       "POSTERN_PORT_OFFSET": str(self.offset)}
        with open(f"{self.directory}/log", "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.build, "postern"), "serve", "--config",
                 os.path.join(ROOT, "conf", "quickstart.lua")],
                env=environment, stdout=log, stderr=log, start_new_session=True)
        wait_for_port(self.port, self.process)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class Postfix:
    """Postfix with a queue of its own, everything on hold."""

    name = "postfix"

    def __init__(self, directory):
        self.directory = os.path.join(directory, "postfix")
        self.port = free_port()
        etc = os.path.join(self.directory, "etc")
        for name in ("etc", "spool", "data"):
            os.makedirs(os.path.join(self.directory, name))
        os.chmod(directory, 0o755)
        shutil.chown(os.path.join(self.directory, "data"), "postfix")
        for name, text in (("main.cf", MAIN_CF), ("master.cf", MASTER_CF)):
            with open(os.path.join(etc, name), "w", encoding="ascii") as file:
                file.write(text.format(directory=self.directory, port=self.port))
        subprocess.run(["postfix", "-c", etc, "check"], check=False, capture_output=True)

    def start(self):
        with open(os.path.join(self.directory, "errors"), "ab") as log:
            self.process = subprocess.Popen(
                ["/usr/lib/postfix/sbin/master", "-c", os.path.join(self.directory, "etc"), "-d"],
                stdout=log, stderr=log, start_new_session=True)
        wait_for_port(self.port, self.process)

    def stop(self):
        pids = tree(self.process.pid)
        self.process.terminate()
        self.process.wait(30)
        for pid in pids[1:]:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass


def settle(root):
    """Until a target does nothing any more: what it put off counts as well."""
    before = -1.0
    for _ in range(40):
        used = cpu_seconds(root)
        if used == before:
            return
        before = used
        time.sleep(0.25)


def measure(target, load, arguments):
    """One run: what the load saw, and the processor time that the target used."""
    sessions, each = arguments.case.split("x")
    before = cpu_seconds(target.process.pid)
    done = subprocess.run([load, "-p", str(target.port), "-c", sessions, "-m", each,
                           "-n", str(arguments.messages), "-s", str(arguments.size),
                           "-d", "60"] + (["-P"] if arguments.pipelining else []),
                          capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"load: {done.stderr}")
    result = json.loads(done.stdout)
    settle(target.process.pid)
    result["target"] = target.name
    result["cpu_us_per_message"] = (1e6 * (cpu_seconds(target.process.pid) - before) /
                                    max(result["accepted"], 1))
    return result


def tell(results, names):
    """The medians, and what the first has to the second."""
    medians = {}
    for name in names:
        runs = [result for result in results if result["target"] == name]
        medians[name] = {key: statistics.median(run[key] for run in runs)
                         for key in ("rate", "cpu_us_per_message", "p50_ms", "p99_ms", "load_cpu_s",
                                     "seconds")}
        row = medians[name]
        print(f"{name:8} {row['rate']:9.0f} messages/s {row['cpu_us_per_message']:8.0f} us of CPU each   "
              f"p50 {row['p50_ms']:7.2f} ms   p99 {row['p99_ms']:7.2f} ms   "
              f"(load used {100 * row['load_cpu_s'] / row['seconds']:.0f} % of a processor)")
    if len(names) == 2:
        ours, theirs = medians[names[0]], medians[names[1]]
        print(f"ratio    {ours['rate'] / theirs['rate']:9.2f} x the rate   "
              f"{ours['cpu_us_per_message'] / theirs['cpu_us_per_message']:8.3f} x the CPU")


def main():
    """Starts both, measures in turns, stops both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "gcc"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", default="20x10", help="sessions x messages each")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--pipelining", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--directory", help="where the mail goes; a disk, not a tmpfs")
    arguments = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="postern-bench-", dir=arguments.directory)
    load = os.path.join(directory, "load")
    subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", load, os.path.join(HERE, "load.c")], check=True)
    targets = [Postern(os.path.abspath(arguments.build), directory)]
    if os.path.exists("/usr/lib/postfix/sbin/master") and os.geteuid() == 0:
        targets.append(Postfix(directory))
    else:
        print("# Postfix is not here, or we are not root: only ours is measured", file=sys.stderr)
    results = []
    started = []
    try:
        for target in targets:
            target.start()
            started.append(target)
        for number in range(arguments.rounds + 1):
            for target in targets:
                result = measure(target, load, arguments)
                if result["refused"] or result["broken"] or result["late"]:
                    print(f"# {target.name}: {result}", file=sys.stderr)
                if arguments.json:
                    print(json.dumps(result))
                if number > 0:  # the first round only warms up
                    results.append(result)
        tell(results, [target.name for target in targets])
    finally:
        for target in started:
            target.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
