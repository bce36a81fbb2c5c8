#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Places that do not take their mail beside a thousand that do; and a tenant who fills the queue beside one who does not.

    destinations.py [--build DIR] [--rounds N] [--domains 1000] [--each 50] [--queued 50000] [--part bad|tenants]

bad: mail for a thousand domains, each with a host of its own, evenly. A fifth of them is dead: refused, swallowed
(no answer to SYN), silent after the connection, a tarpit (one byte a second), busy (421), or DNS has no answer (SERVFAIL,
nothing). In turns with a gateway for which all thousand are good, and the mail is the same: the good ones must get theirs at
90 % of the rate that they have then. How they fare where there is no mail for the bad ones at all, a fifth less to do, is told too.

tenants: "big" has 50,000 recipients queued for slow places (half of them tarpits, half say their replies a second late);
"small" sends one message after the other to a place that works. It must be there within twice the time that it takes
with an empty queue.

Limits and deadlines are those that ship. Ends with 1 where a figure is past its limit.
"""

import argparse
import asyncio
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "support")]

from bench import cpu_seconds, wait_for_port  # noqa: E402
from gateway import Gateway  # noqa: E402
import sink as recording  # noqa: E402

SHARE = 5        # one in five is bad
LEAST_RATE = 0.9
MOST_DELAY = 2.0
PER_MESSAGE = 100
TURNS_OF_SESSION = 25
DEADLINE = 60
KINDS = ("refused", "swallowed", "silent", "tarpit", "busy", "servfail", "no answer")
WORDS = {"bad": "with bad ones", "good": "all of them good", "without": "without mail for bad ones"}
POLICY = """on("envelope.recipient", function(session, recipient)
	session.message:set_tenant(session.message.sender_local_part)
	if RELEASE > 0 then
		session.message:set_release(RELEASE)
	end
	return accept()
end)
"""
TEXT = (b"From: <bench@sender.test>\r\nTo: <somebody@else.test>\r\nSubject: a bench\r\n"
        b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <bench@sender.test>\r\n\r\n" + b"x" * 60 + b"\r\n") + \
    b"A line of text that is as long as lines of text are.\r\n" * 35


def address_of(number):
    """An address of its own for each place."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


class Misfits:
    """Servers that do not take mail, in a thread."""

    def __init__(self, port):
        self.port = port
        self.sockets = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def call(self, coroutine):
        """Runs something in the thread."""
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def swallow(self, address):
        """A listener whose queue is full: Linux answers no further SYN."""
        listener = socket.socket()
        listener.bind((address, self.port))
        listener.listen(0)
        self.sockets.append(listener)
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((address, self.port))
            self.sockets.append(filler)

    def place(self, kind, address):
        """Opens what is to be found at an address."""
        if kind == "swallowed":
            self.swallow(address)
        elif kind in ("silent", "tarpit", "busy", "slow"):
            serve = {"silent": self.silent, "tarpit": self.tarpit, "busy": self.busy, "slow": self.slow}[kind]
            self.call(asyncio.start_server(serve, address, self.port, backlog=1024))

    async def silent(self, reader, _writer):
        await reader.read()

    async def tarpit(self, reader, writer):
        try:
            for byte in b"220 " + b"welcome " * 1000 + b"\r\n":
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
        except OSError:
            pass
        writer.close()

    async def busy(self, reader, writer):
        writer.write(b"421 4.3.2 too many connections, come back later\r\n")
        writer.close()

    async def slow(self, reader, writer):
        """Takes everything, each reply a second late."""
        try:
            writer.write(b"220 slow.test ESMTP\r\n")
            in_data = False
            while line := await reader.readline():
                if in_data and line != b".\r\n":
                    continue
                await asyncio.sleep(1)
                verb = line[:4].upper()
                in_data = verb == b"DATA"
                writer.write(b"354 go on\r\n" if in_data else b"250 2.0.0 yes\r\n")
        except OSError:
            pass
        writer.close()

    def stop(self):
        for each in self.sockets:
            each.close()
        self.loop.set_exception_handler(lambda *_: None)  # that they are cancelled is no news
        self.call(self.cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    @staticmethod
    async def cancel():
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Sink:
    """The program sink on many addresses, and what it counted."""

    def __init__(self, program, port, addresses):
        words = [word for address in addresses for word in ("-a", address)]
        self.process = subprocess.Popen([program, "-p", str(port), "-a", "127.0.0.1", *words])
        wait_for_port(port, self.process)
        self.client = socket.create_connection(("127.0.0.1", port))
        self.replies = self.client.makefile("rb")
        self.replies.readline()

    def count(self):
        """How many messages came, and when the last one did."""
        self.client.sendall(b"XCOUNT\r\n")
        words = self.replies.readline().split()
        return int(words[1]), float(words[3])

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Client:
    """Sends to the gateway."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.socket.makefile("rb")
        self.reply()
        self.command(b"EHLO bench.test")

    def reply(self):
        while (line := self.replies.readline())[3:4] == b"-":
            pass
        return line

    def command(self, line):
        self.socket.sendall(line + b"\r\n")
        return self.reply()

    def send(self, sender, recipients):
        """One message; all of it must be taken."""
        lines = [b"MAIL FROM:<%s@sender.test>" % sender.encode()]
        lines += [b"RCPT TO:<%s>" % recipient.encode() for recipient in recipients] + [b"DATA", b""]
        self.socket.sendall(b"\r\n".join(lines))
        answers = [self.reply() for _ in lines[:-1]]
        self.socket.sendall(TEXT + b".\r\n")
        answers.append(self.reply())
        if any(not answer.startswith((b"250", b"354")) for answer in answers):
            raise SystemExit(f"the gateway said {[one for one in answers if one[:3] not in (b'250', b'354')][:2]}")


def find_port():
    """A port that is free everywhere: nothing else listens on these addresses."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return probe.getsockname()[1]


class Bench:
    """What the figures were measured with."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.build = os.path.abspath(arguments.build)
        self.port = 0
        self.directory = tempfile.mkdtemp(prefix="postern-bench-")
        self.failed = 0
        self.started = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        self.program = os.path.join(self.directory, "sink")
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", self.program, os.path.join(HERE, "sink.c")], check=True)

    def gateway(self, zone, release=0):
        gateway = Gateway(self.build, start=False, tls=False, workers=2,
                          more=f'module "deliver_smtp" {{ port = {self.port} }}',
                          settings=f'zone_file = "zone"\npolicy "policy.lua"\n')
        gateway.write("zone", zone)
        gateway.write("policy.lua", POLICY.replace("RELEASE", str(release)))
        gateway.start()
        return gateway

    def judge(self, name, value, limit, is_least):
        bad = value < limit if is_least else value > limit
        self.failed += bad
        print(f"{name}: {value:.2f} ({'at least' if is_least else 'at most'} {limit:g})"
              f"{'   MISSED' if bad else ''}", flush=True)

    # ---- bad places beside good ones ----

    def run_domains(self, sink, how):
        """The rate at which the good ones get their mail: with bad ones, with others that are good in their place ("good"), or
        without mail for these ("without")."""
        domains = [f"d{number}.test" for number in range(self.arguments.domains)]
        bad = [number for number in range(len(domains)) if number % SHARE == 0]
        kind_of = {number: KINDS[index % len(KINDS)] for index, number in enumerate(bad)} if how == "bad" else {}
        zone = []
        for number, domain in enumerate(domains):
            kind = kind_of.get(number)
            if kind in ("servfail", "no answer"):
                zone.append(f"{domain} {'SERVFAIL' if kind == 'servfail' else 'TIMEOUT'}")
                continue
            address = address_of(number + len(domains) if how != "bad" and number % SHARE == 0 else number)
            zone += [f"{domain} 300 IN MX 10 mx.{domain}.", f"mx.{domain} 300 IN A {address}"]
        # All of it is queued first, and released at once: what counts is the way out.
        release = int(time.time()) + self.arguments.pause
        gateway = self.gateway("\n".join(zone) + "\n", release)
        wanted = [number for number in range(len(domains)) if how != "without" or number % SHARE != 0]
        good = len(domains) - (0 if how == "good" else len(bad))
        had, _ = sink.count()
        try:
            cpu = cpu_seconds(gateway.process.pid)
            began = time.monotonic()
            for turn in range(self.arguments.each):
                if turn % TURNS_OF_SESSION == 0:
                    client = Client(gateway.ports["mx"])
                for first in range(0, len(wanted), PER_MESSAGE):
                    client.send("bench", [f"user{turn}@{domains[number]}" for number in wanted[first:first + PER_MESSAGE]])
            if time.time() > release:
                raise SystemExit("the mail was not queued in time: --pause must be longer")
            sent = time.monotonic() - began
            began = time.monotonic()
            half = 0.0
            while sink.count()[0] == had and time.monotonic() - began < DEADLINE:
                time.sleep(0.001)
            began = time.monotonic()  # what is due is looked for every second
            while (counted := sink.count())[0] - had < good * self.arguments.each:
                if not half and counted[0] - had >= good * self.arguments.each / 2:
                    half = time.monotonic() - began
                if time.monotonic() - began > DEADLINE:
                    print(f"# after {DEADLINE} s only {counted[0] - had} of {good * self.arguments.each} arrived")
                    self.failed += 1
                    self.explain(gateway)
                    break
                time.sleep(0.01)
            seconds = counted[1] - began
            rate = (counted[0] - had) / seconds
            if how == "good":  # of those that are good in the others, too
                rate *= (len(domains) - len(bad)) / len(domains)
            print(f"# {WORDS[how]}: {counted[0] - had} messages at good ones in "
                  f"{seconds:.2f} s, {rate:.0f} a second; half after {half:.2f} s; all were accepted within {sent:.2f} s; "
                  f"{cpu_seconds(gateway.process.pid) - cpu:.1f} s of CPU", flush=True)
            return rate
        finally:
            gateway.remove()

    def explain(self, gateway):
        """What the queue says of itself."""
        for words in (("queue", "list"), ("status",)):
            done = subprocess.run([os.path.join(self.build, "postern"), *words, "--config", gateway.config],
                                  capture_output=True, text=True, check=False)
            print("".join(f"#   {line}\n" for line in done.stdout.splitlines()[-12:]), end="")

    def bad_places(self):
        misfits = Misfits(self.port)
        self.started.append(misfits)
        addresses = []
        for number in range(self.arguments.domains):
            if number % SHARE == 0:
                misfits.place(KINDS[number // SHARE % len(KINDS)], address_of(number))
                addresses.append(address_of(number + self.arguments.domains))
            else:
                addresses.append(address_of(number))
        sink = Sink(self.program, self.port, addresses)
        self.started.append(sink)
        rates = {how: [] for how in WORDS}
        self.run_domains(sink, "good")  # only warms up
        for number in range(self.arguments.rounds):
            for how in list(WORDS)[::1 - number % 2 * 2]:
                rates[how].append(self.run_domains(sink, how))
        rates = {how: statistics.median(values) for how, values in rates.items()}
        print(f"# rate at the good ones, beside bad ones and without mail for these: {rates['bad'] / rates['without']:.2f}")
        self.judge("rate at the good ones, beside bad ones and where these are good", rates["bad"] / rates["good"],
                   LEAST_RATE, True)

    # ---- tenants ----

    def times_of_small(self, gateway, sink, round_name):
        """Milliseconds from the first byte at the gateway to the arrival, sorted."""
        client = Client(gateway.ports["mx"])
        times = []
        for number in range(self.arguments.few):
            recipient = f"{round_name}-{number}@good.test"
            began = time.monotonic()
            client.send("small", [recipient])
            while recipient not in sink.arrivals:
                if time.monotonic() - began > DEADLINE:
                    print(f"# {recipient} did not arrive in {DEADLINE} s")
                    self.explain(gateway)
                    self.failed += 1
                    return times or [1e3 * DEADLINE]
                time.sleep(0.0002)
            times.append(1e3 * (sink.arrivals[recipient][0].ended - began))
            time.sleep(0.005)
        return sorted(times)

    def tenants(self):
        misfits = Misfits(self.port)
        self.started.append(misfits)
        zone = ["good.test 300 IN MX 10 mx.good.test.", "mx.good.test 300 IN A 127.2.0.1"]
        for number in range(self.arguments.places):
            address = address_of(number)
            misfits.place("tarpit" if number % 2 else "slow", address)
            zone += [f"s{number}.test 300 IN MX 10 mx.s{number}.test.", f"mx.s{number}.test 300 IN A {address}"]
        sink = recording.Sink(addresses=("127.2.0.1",), port=self.port)
        self.started.append(sink)
        gateway = self.gateway("\n".join(zone) + "\n")
        try:
            self.times_of_small(gateway, sink, "warm")
            idle = self.times_of_small(gateway, sink, "idle")
            client = Client(gateway.ports["mx"])
            began = time.monotonic()
            for number in range(0, self.arguments.queued, PER_MESSAGE):
                client.send("big", [f"user{number + index}@s{(number + index) % self.arguments.places}.test"
                                    for index in range(PER_MESSAGE)])
            print(f"# {self.arguments.queued} recipients of big were queued in {time.monotonic() - began:.1f} s", flush=True)
            beside = self.times_of_small(gateway, sink, "beside")
            self.explain(gateway)
            for name, times in (("idle", idle), ("beside", beside)):
                print(f"# small, {name}: from sending to arrival {statistics.median(times):.2f} ms (half), "
                      f"{times[int(len(times) * 0.95)]:.2f} ms (95 %), {times[-1]:.2f} ms (longest)", flush=True)
            self.judge("time of small's mail, beside big's and without (median)",
                       statistics.median(beside) / statistics.median(idle), MOST_DELAY, False)
            self.judge("the same, 95th percentile", beside[int(len(beside) * 0.95)] / idle[int(len(idle) * 0.95)],
                       MOST_DELAY, False)
        finally:
            gateway.remove()

    def run(self):
        try:
            for name, part in (("bad", self.bad_places), ("tenants", self.tenants)):
                if self.arguments.part in (None, name):
                    self.port = find_port()
                    try:
                        part()
                    finally:
                        for one in reversed(self.started):
                            one.stop()
                        self.started = []
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)
        return 1 if self.failed else 0


def main():
    """Measures what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "gcc"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--domains", type=int, default=1000)
    parser.add_argument("--each", type=int, default=50, help="messages for each domain")
    parser.add_argument("--pause", type=int, default=8, help="seconds in which all can be queued")
    parser.add_argument("--queued", type=int, default=50000)
    parser.add_argument("--places", type=int, default=300, help="slow ones, of big")
    parser.add_argument("--few", type=int, default=200)
    parser.add_argument("--part", choices=("bad", "tenants"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    return Bench(parser.parse_args()).run()


if __name__ == "__main__":
    sys.exit(main())
