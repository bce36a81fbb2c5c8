#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What clients that want too much cost those that do not.

    pressure.py [--build DIR] [--case slow|overload|abuser|tls|descriptors …] [--scale 1.0] [--directory DIR]

Each case has a gateway of its own with two workers, and honest clients that come at a steady pace, each
with one message. How they fare alone is measured first, then with the others beside them; what
counts is the ratio. `--scale 0.1` takes a tenth of the others. One line of JSON for each figure.
"""

import sys
sys.path.pop(0)  # queue.py beside this file is another one than the library's

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ENVELOPE = (b"EHLO honest.test", b"MAIL FROM:<a@sender.test>", b"RCPT TO:<user1@example.test>", b"DATA",
            b"Subject: x\r\n\r\nhello\r\n.", b"QUIT")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def tell(**figures):
    print(json.dumps(figures), flush=True)


class Gateway:
    """A gateway in a directory of its own."""

    def __init__(self, arguments, settings="", mx=""):
        build = os.path.abspath(arguments.build)
        self.directory = tempfile.mkdtemp(prefix="postern-pressure-", dir=arguments.directory)
        self.ports = {name: free_port() for name in ("mx", "tls", "control")}
        os.mkdir(f"{self.directory}/data", 0o700)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "30", "-subj", "/CN=localhost", "-keyout", f"{self.directory}/key.pem",
                        "-out", f"{self.directory}/certificate.pem"], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        with open(f"{self.directory}/users", "w", encoding="ascii") as file:
            file.writelines(f"user{number}@example.test:*:\n" for number in range(1, 101))
        os.chmod(f"{self.directory}/users", 0o600)
        with open(f"{self.directory}/postern.lua", "w", encoding="ascii") as file:
            file.write(f"""
hostname = "mx.example.test"
data_directory = "{self.directory}/data"
user = ""
module_directories = {{ "{build}/modules" }}
edge_workers = 2
stop_grace = "2s"
control = "127.0.0.1:{self.ports["control"]}"
log_level = "notice"
{settings}
certificate {{ "{self.directory}/certificate.pem", key = "{self.directory}/key.pem" }}
listen {{ "127.0.0.1:{self.ports["mx"]}", to = "mx" }}
listen {{ "127.0.0.1:{self.ports["tls"]}", to = "mx", tls = "implicit" }}
domain "example.test" {{ store = "local" }}
module "smtp" {{ as = "mx", {mx} }}
module "auth_file" {{ path = "{self.directory}/users" }}
module "store_local" {{ as = "local" }}
""")
        with open(f"{self.directory}/log", "ab") as log:
            self.process = subprocess.Popen(
                [f"{build}/postern", "serve", "--config", f"{self.directory}/postern.lua"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        for line in self.process.stdout:
            if line.strip() == "postern: ready":
                return
        self.stop()
        raise SystemExit("the gateway did not start")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def metric(self, name):
        """The sum over all workers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['control']}/metrics", timeout=20) as page:
            lines = page.read().decode().splitlines()
        return int(sum(float(line.split()[-1]) for line in lines if line.startswith(f"postern_{name}{{")))

    def workers(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]

    def edges(self):
        found = []
        for pid in self.workers():
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if b"\0edge\0" in file.read():
                    found.append(pid)
        return found

    def private_bytes(self):
        total = 0
        for pid in self.workers():
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += sum(int(line.split()[1]) * 1024 for line in file
                             if line.startswith(("Private_Clean", "Private_Dirty")))
        return total

    def settled(self):
        """Its memory when nothing changes any more."""
        last = None
        for _ in range(20):
            now = self.private_bytes()
            if last is not None and abs(now - last) < 65536:
                break
            last = now
            time.sleep(0.5)
        return now


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- honest clients, in a process of their own ----

async def honest_session(port, seen):
    begin = time.monotonic()
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 30)
        line = await asyncio.wait_for(reader.readline(), 30)
        for command in ENVELOPE:
            if not line.startswith((b"2", b"3")):
                raise ConnectionError(line.decode())
            writer.write(command + b"\r\n")
            line = await asyncio.wait_for(reader.readline(), 30)
            while line[3:4] == b"-":
                line = await asyncio.wait_for(reader.readline(), 30)
        writer.close()
        seen.append(time.monotonic() - begin if line.startswith(b"221") else None)
    except (OSError, asyncio.TimeoutError):
        seen.append(None)


async def honest_pace(port, rate, seconds):
    seen, tasks, begin = [], [], time.monotonic()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0, begin + number / rate - time.monotonic()))
        tasks.append(asyncio.ensure_future(honest_session(port, seen)))
    await asyncio.wait(tasks)
    good = sorted(each for each in seen if each is not None)
    return {"failures": len(seen) - len(good), "rate": len(good) / (time.monotonic() - begin),
            "p50_ms": 1000 * good[len(good) // 2] if good else 0,
            "p99_ms": 1000 * good[int(len(good) * 0.99)] if good else 0}


def honest_process(port, rate, seconds, out):
    out.put(asyncio.run(honest_pace(port, rate, seconds)))


def honest(gateway, rate, seconds):
    """How clients at that pace fare."""
    out = multiprocessing.Queue()
    process = multiprocessing.Process(target=honest_process, daemon=True,
                                      args=(gateway.ports["mx"], rate, seconds, out))
    process.start()
    found = out.get(timeout=seconds + 120)
    process.join(10)
    return found


def compare(case, alone, beside, **more):
    tell(case=case, alone_p99_ms=round(alone["p99_ms"], 2), beside_p99_ms=round(beside["p99_ms"], 2),
         p99_ratio=round(beside["p99_ms"] / alone["p99_ms"], 2),
         p50_ratio=round(beside["p50_ms"] / alone["p50_ms"], 2),
         rate_ratio=round(beside["rate"] / alone["rate"], 3), failures=beside["failures"], **more)


# ---- the others ----

def connected(port, source="127.0.0.1", receive=None):
    line = socket.socket()
    if receive:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    line.settimeout(60)
    line.bind((source, 0))
    line.connect(("127.0.0.1", port))
    return line


def client_hello():
    """The first bytes of a TLS client, and what to make whole ones with."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read(), context


def many(count, make):
    """So many of them, made by some threads."""
    made, numbers, lock = [None] * count, iter(range(count)), threading.Lock()

    def work():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            made[number] = make(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made


class Dribblers:
    """One byte each every five seconds, in six states."""

    KINDS = ("banner", "command", "message", "chunk", "handshake", "reader")

    def __init__(self, gateway, count):
        self.hello, _ = client_hello()
        self.left = {}
        self.begin = time.monotonic()
        for line, kind in many(count, lambda number: self.open(gateway, self.KINDS[number % len(self.KINDS)])):
            line.setblocking(False)
            self.left[line] = [kind, 0]
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    @staticmethod
    def open(gateway, kind):
        line = connected(gateway.ports["tls" if kind == "handshake" else "mx"], "127.0.0.9",
                         4096 if kind == "reader" else None)
        if kind in ("message", "chunk"):
            line.sendall(b"\r\n".join(ENVELOPE[:3]) + b"\r\n" +
                         (b"DATA\r\n" if kind == "message" else b"BDAT 1000000\r\n"))
        elif kind == "reader":
            line.sendall(40 * b"EHLO reader.test\r\n")
        elif kind == "command":
            line.sendall(b"NOOP\r\n")
        return line, kind

    def gone(self, line, kind, sent):
        try:
            if kind == "reader":
                return line.recv(1) == b""
            line.send(self.hello[sent % len(self.hello):][:1] if kind == "handshake" else b"x")
            return line.recv(65536) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def run(self):
        while self.left and not self.ending.is_set():
            turn = time.monotonic()
            for line in list(self.left):
                kind, sent = self.left[line]
                self.left[line][1] += 1
                if self.gone(line, kind, sent):
                    line.close()
                    del self.left[line]
            self.ending.wait(max(0, turn + 5 - time.monotonic()))

    def stop(self):
        self.ending.set()
        self.thread.join()
        for line in self.left:
            line.close()


def case_slow(arguments):
    """Ten thousand that idle and five thousand that dribble."""
    idle, dribbling = int(10000 * arguments.scale), int(5000 * arguments.scale)
    settings = ("max_sessions = 20000\nmax_sessions_per_address = 100000\ntls_handshake_deadline = \"30s\"\n"
                "output_rate_window = \"30s\"\n")
    _, context = client_hello()
    for tls in (False, True):
        with Gateway(arguments, settings, 'command_timeout = "10m"') as gateway:
            lines = many(8, lambda _: connected(gateway.ports["mx"]))
            before = gateway.settled()
            try:
                lines += many(idle // 5 if tls else idle,
                              lambda _, tls=tls: context.wrap_socket(connected(gateway.ports["tls"])) if tls
                              else connected(gateway.ports["mx"]))
                for line in lines:
                    line.recv(200)
                tell(case="slow", what="memory", tls=tls, sessions=len(lines) - 8,
                     bytes_each=(gateway.settled() - before) // (len(lines) - 8))
            finally:
                for line in lines:
                    line.close()
    settings += ('networks_without_rates = { "127.0.0.1" }\nmax_new_sessions_per_address = 10000000\n')
    with Gateway(arguments, settings, 'command_timeout = "50s", data_timeout = "30s", min_data_rate = "1k", '
                                      'data_rate_window = "30s"') as gateway:
        honest(gateway, 50, 5)
        alone = honest(gateway, 50, 15)
        lines = many(idle, lambda _: connected(gateway.ports["mx"]))
        dribblers = Dribblers(gateway, dribbling)
        try:
            beside = honest(gateway, 50, 40)
            # What counts is what the gateway still has: a client that does not read does not see its end.
            while gateway.metric("sessions_open") > 0 and time.monotonic() < dribblers.begin + 120:
                time.sleep(0.5)
            compare("slow", alone, beside, idle=idle, dribbling=dribbling,
                    still_there=gateway.metric("sessions_open"),
                    all_gone_after_s=round(time.monotonic() - dribblers.begin, 1))
        finally:
            dribblers.stop()
            for line in lines:
                line.close()


def load(program, gateway, sessions, seconds):
    done = subprocess.run([program, "-p", str(gateway.ports["mx"]), "-c", str(sessions), "-m", "1", "-n",
                           "1000000", "-d", str(seconds), "-B", "100"], capture_output=True, text=True, check=False,
                          timeout=seconds + 60)
    return json.loads(done.stdout)


def ask_again_and_again(gateway, ending, told):
    """How soon one more is told anything."""
    while not ending.wait(0.05):
        begin = time.monotonic()
        try:
            with connected(gateway.ports["mx"]) as line:
                word = line.recv(3)
        except OSError:
            word = b""
        told.append((time.monotonic() - begin, word))


def case_overload(arguments):
    """Three times as many sessions as there are places."""
    directory = tempfile.mkdtemp(prefix="postern-pressure-")
    program = os.path.join(directory, "load")
    try:
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", program, os.path.join(HERE, "load.c")], check=True)
        with Gateway(arguments, "max_sessions = 250\nmax_sessions_per_address = 100000") as gateway:
            load(program, gateway, 50, 3)
            peak = max(load(program, gateway, sessions, 8)["rate"] for sessions in (20, 100, 400))
            ending, told = threading.Event(), []
            thread = threading.Thread(target=ask_again_and_again, args=(gateway, ending, told))
            thread.start()
            over = load(program, gateway, 1500, max(5, int(40 * arguments.scale)))
            ending.set()
            thread.join()
            begin, word = time.monotonic(), b""
            while word != b"220":
                with connected(gateway.ports["mx"]) as line:
                    word = line.recv(3)
            normal_after = time.monotonic() - begin
            after = load(program, gateway, 100, 8)["rate"]
            refused = sorted(took for took, word in told if word == b"421")
            tell(case="overload", peak=round(peak), goodput_ratio=round(over["rate"] / peak, 3),
                 accepted=over["accepted"], turned_away=over["broken"], refused=over["refused"],
                 load_processors=round(over["load_cpu_s"] / over["seconds"], 2), asked=len(told),
                 of_these_turned_away=len(refused),
                 turned_away_p99_ms=round(1000 * refused[int(len(refused) * 0.99)], 1) if refused else None,
                 normal_after_s=round(normal_after, 2), after_ratio=round(after / peak, 3))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Crowd:
    """Connections from one address, as many as there may be at a time."""

    def __init__(self, port, source, count):
        self.port, self.source, self.count = port, source, count
        self.poll = select.epoll()
        self.lines = {}

    def grow(self, most):
        made = 0
        for _ in range(min(most, self.count - len(self.lines))):
            line = socket.socket()
            line.setblocking(False)
            line.bind((self.source, 0))
            try:
                line.connect(("127.0.0.1", self.port))
            except BlockingIOError:
                pass
            except OSError:
                line.close()
                break
            self.lines[line.fileno()] = line
            self.poll.register(line, select.EPOLLIN | select.EPOLLOUT)
            made += 1
        return made

    def leave(self, number):
        self.poll.unregister(number)
        self.lines.pop(number).close()

    def close(self):
        for number in list(self.lines):
            self.leave(number)


def abuse(port, source, count, seconds):
    """Floods of everything that costs the client nothing."""
    floods = (100 * b"NOOP\r\n", 100 * b"RSET\r\n", 100 * b"EHLO a.test\r\n", 100 * b"JUNK\r\n",
              b"MAIL FROM:<a@b.test>\r\nRCPT TO:<user1@example.test>\r\n" + 100 * b"BDAT 1\r\nx")
    crowd, begin = Crowd(port, source, count), time.monotonic()
    while time.monotonic() < begin + seconds:
        crowd.grow(5)
        for number, events in crowd.poll.poll(0.05, 200):
            line = crowd.lines[number]
            try:
                if events & select.EPOLLIN and not line.recv(65536):
                    raise ConnectionError
                if events & select.EPOLLOUT:
                    line.send(floods[number % len(floods)])
            except BlockingIOError:
                pass
            except OSError:
                crowd.leave(number)
        time.sleep(0.005)  # the processors are for the gateway
    crowd.close()


def flood_handshakes(port, source, count, seconds):
    """Hellos that were made once: what is expensive is the answer. At most two thousand a second."""
    hello, _ = client_hello()
    crowd, begin, made = Crowd(port, source, count), time.monotonic(), 0
    while time.monotonic() < begin + seconds:
        made += crowd.grow(min(50, int((time.monotonic() - begin) * 2000) - made))
        for number, events in crowd.poll.poll(0.01, 500):
            try:
                if events == select.EPOLLOUT:
                    crowd.lines[number].send(hello)
                    crowd.poll.modify(number, select.EPOLLIN)
                    continue
            except OSError:
                pass
            crowd.leave(number)
    crowd.close()


def beside(arguments, case, settings, others, port):
    """Honest clients alone, then beside others that come from one address."""
    with Gateway(arguments, settings) as gateway:
        honest(gateway, 100, 5)
        alone = honest(gateway, 100, 15)
        before = gateway.settled()
        process = multiprocessing.Process(target=others, daemon=True, args=(
            gateway.ports[port], "127.0.0.9", int(1000 * arguments.scale), 25))
        process.start()
        time.sleep(3)
        used = sum(processor_seconds(pid) for pid in gateway.edges())
        found = honest(gateway, 100, 15)
        used = sum(processor_seconds(pid) for pid in gateway.edges()) - used
        memory = gateway.private_bytes() - before
        process.join(60)
        compare(case, alone, found, memory_kb=memory // 1024, processors=round(used / 15, 2))


def case_abuser(arguments):
    """One address with a thousand connections that floods all it gets."""
    beside(arguments, "abuser", 'networks_without_rates = { "127.0.0.1" }', abuse, "mx")


def case_tls(arguments):
    """Two thousand handshakes a second are asked for: by one address within its limits, and without any."""
    beside(arguments, "tls", 'networks_without_rates = { "127.0.0.1" }', flood_handshakes, "tls")
    beside(arguments, "tls without limits by address",
           'networks_without_rates = { "127.0.0.0/8" }\nmax_sessions_per_address = 100000', flood_handshakes, "tls")


def case_descriptors(arguments):
    """Workers that may have 256 descriptors, and two thousand clients."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Gateway(arguments, "max_sessions_per_address = 100000") as gateway:
        edges = gateway.edges()
        for pid in edges:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (256, hard))
        lines = []
        for _ in range(int(2000 * arguments.scale)):
            line = socket.socket()
            line.setblocking(False)
            line.connect_ex(("127.0.0.1", gateway.ports["mx"]))
            lines.append(line)
        time.sleep(1)
        used, begin = {pid: processor_seconds(pid) for pid in edges}, time.monotonic()
        time.sleep(5)
        share = max(processor_seconds(pid) - used[pid] for pid in edges) / (time.monotonic() - begin)
        served = told(lines, 0)
        for line in served:
            line.close()
        waiting = [line for line in lines if line not in served]
        begin = time.monotonic()
        resumed = bool(told(waiting, 10))
        resumed_after = time.monotonic() - begin
        for pid in edges:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
        later = 0
        while waiting and time.monotonic() < begin + 60:
            more = told(waiting, 1)
            later += len(more)
            waiting = [line for line in waiting if line not in more]
            for line in more:
                line.close()
        tell(case="descriptors", clients=len(lines), served=len(served), served_later=later, never=len(waiting),
             processor_share=round(share, 3), resumed_after_s=round(resumed_after, 2) if resumed else None)
        for line in waiting:
            line.close()


def told(lines, seconds):
    """Those that were told something by then."""
    poll, found = select.poll(), {line.fileno(): line for line in lines}
    for number in found:
        poll.register(number, select.POLLIN)
    return [found[number] for number, _ in poll.poll(1000 * seconds)]


CASES = {"slow": case_slow, "overload": case_overload, "abuser": case_abuser, "tls": case_tls,
         "descriptors": case_descriptors}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "gcc"))
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--directory", help="where the gateway keeps its mail; the usual place for temporary files")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for case in arguments.case:
        CASES[case](arguments)


if __name__ == "__main__":
    sys.exit(main())
