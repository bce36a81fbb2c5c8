#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an idle session costs: private memory of all processes of a gateway of its own.

    idle.py [--build DIR] [--protocol pop3|imap] [--sessions 1000 10000] [--tls plain implicit]

Opens that many sessions, logs each in (IMAP: selects INBOX and idles), and divides the increase of
private memory (Private_Clean + Private_Dirty of /proc/PID/smaps_rollup, summed over the processes)
by their number. A first session of each worker is there before zero is measured. With IMAP it also
measures how long a change takes to reach 20 idlers among all of them, and then all of them.
"""

import argparse
import json
import os
import resource
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ACCOUNTS = 200
PASSWORD = "postern"
HASH = ("$6$rounds=1000$example$"
        "gMibKQIeikkbOu7V8OtIm4kd225ofTJwy/o254pxcHRjT2LMh01w/YYJZYOqAE2bNJg0TJ8gOk1KW9gsaDFcn0")
WATCHERS = 20


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Gateway:
    """A gateway in a directory of its own, with two workers."""

    def __init__(self, build, protocol):
        self.directory = tempfile.mkdtemp(prefix="postern-idle-")
        self.ports = {name: free_port() for name in ("plain", "implicit", "lmtp", "control")}
        os.mkdir(f"{self.directory}/data", 0o700)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj",
                        "/CN=localhost", "-keyout", f"{self.directory}/key.pem", "-out",
                        f"{self.directory}/certificate.pem"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(f"{self.directory}/users", "w", encoding="ascii") as file:
            for number in range(ACCOUNTS + 1):
                file.write(f"u{number}@example.test:{HASH}:\n")
        os.chmod(f"{self.directory}/users", 0o600)
        with open(f"{self.directory}/postern.lua", "w", encoding="ascii") as file:
            file.write(f"""
hostname = "mx.example.test"
data_directory = "{self.directory}/data"
user = ""
module_directories = {{ "{build}/modules" }}
edge_workers = 2
stop_grace = "2s"
max_sessions = 20000
max_sessions_per_address = 40000
max_sessions_per_account = 40000
max_sessions_per_tenant = 40000
control = "127.0.0.1:{self.ports["control"]}"
certificate {{ "{self.directory}/certificate.pem", key = "{self.directory}/key.pem" }}
listen {{ "127.0.0.1:{self.ports["plain"]}", to = "{protocol}" }}
listen {{ "127.0.0.1:{self.ports["implicit"]}", to = "{protocol}", tls = "implicit" }}
listen {{ "127.0.0.1:{self.ports["lmtp"]}", to = "lmtp" }}
domain "example.test" {{ store = "local" }}
module "smtp" {{ as = "lmtp", profile = "lmtp" }}
module "{protocol}" {{ plaintext_login = "loopback" }}
module "auth_file" {{ path = "{self.directory}/users" }}
module "store_local" {{ as = "local" }}
""")
        self.process = None
        self.start(build)

    def start(self, build):
        with open(f"{self.directory}/log", "ab") as log:
            self.process = subprocess.Popen(
                [f"{build}/postern", "serve", "--config", f"{self.directory}/postern.lua"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        for line in self.process.stdout:
            if line.strip() == "postern: ready":
                return
        raise SystemExit(f"the gateway did not start; see {self.directory}/log")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        shutil.rmtree(self.directory, ignore_errors=True)

    def processes(self):
        pids = [self.process.pid]
        for pid in pids:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                pids += [int(word) for word in file.read().split()]
        return pids

    def private_bytes(self):
        total = 0
        for pid in self.processes():
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += sum(int(line.split()[1]) * 1024 for line in file
                             if line.startswith(("Private_Clean", "Private_Dirty")))
        return total

    def deliver(self, account):
        """One message, through LMTP."""
        with socket.create_connection(("127.0.0.1", self.ports["lmtp"])) as connection:
            stream = connection.makefile("rb")
            stream.readline()
            for line in ("LHLO bench.test", "MAIL FROM:<>", f"RCPT TO:<{account}>", "DATA",
                         "Subject: change\r\n\r\nhello\r\n."):
                connection.sendall(line.encode() + b"\r\n")
                while (answer := stream.readline())[3:4] == b"-":
                    pass
                if not answer.startswith((b"2", b"3")):
                    raise SystemExit(f"{line}: {answer}")


class Session:
    """One client session that is logged in and idles."""

    def __init__(self, gateway, protocol, tls, account):
        self.socket = socket.create_connection(("127.0.0.1", gateway.ports[tls]))
        if tls == "implicit":
            self.socket = CONTEXT.wrap_socket(self.socket)
        self.rest = b""
        self.read(b"\n")
        if protocol == "pop3":
            self.ask(f"USER {account}", b"+OK")
            self.ask(f"PASS {PASSWORD}", b"+OK")
        else:
            self.ask(f"a LOGIN {account} {PASSWORD}", b"a OK")
            self.ask("b SELECT INBOX", b"b OK")
            self.ask("c IDLE", b"+ ")

    def read(self, sign):
        while sign not in self.rest:
            more = self.socket.recv(65536)
            if not more:
                raise SystemExit(f"the gateway closed: {self.rest}")
            self.rest += more
        taken, self.rest = self.rest, b""
        return taken

    def ask(self, text, sign):
        self.socket.sendall(text.encode() + b"\r\n")
        self.read(sign)


CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE


def open_sessions(gateway, arguments, tls, count, account_of):
    sessions = [None] * count
    numbers = iter(range(count))
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            sessions[number] = Session(gateway, arguments.protocol, tls, account_of(number))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if None in sessions:
        raise SystemExit("not all sessions were opened")
    return sessions


def settle(gateway):
    """Waits until nothing changes any more: the processes rest and their memory stays."""
    last = None
    for _ in range(60):
        now = gateway.private_bytes()
        if now == last:
            return now
        last = now
        time.sleep(0.5)
    return last


def measure_wakes(gateway, sessions, account, tls):
    """From the acknowledged delivery to the last EXISTS."""
    waiting = {session.socket.fileno(): session for session in sessions}
    poll = select.epoll()
    for number in waiting:
        poll.register(number, select.EPOLLIN)
    done = {}

    def deliver():
        gateway.deliver(account)
        done["at"] = time.monotonic()

    thread = threading.Thread(target=deliver)
    begin = time.monotonic()
    thread.start()
    left = set(waiting)
    while left and time.monotonic() < begin + 30:
        for number, _ in poll.poll(1, 4096):
            session = waiting[number]
            session.rest += session.socket.recv(65536)
            if b"EXISTS" in session.rest and session.rest.endswith(b"\n"):
                session.rest = b""
                left.discard(number)
    end = time.monotonic()
    thread.join()
    return {"reached": len(sessions) - len(left), "of": len(sessions), "tls": tls,
            "from_begin_ms": round((end - begin) * 1000, 1),
            "from_answer_ms": round((end - done["at"]) * 1000, 1)}


def measure(arguments, tls, count):
    gateway = Gateway(os.path.abspath(arguments.build), arguments.protocol)
    try:
        for number in range(ACCOUNTS + 1):
            if number == 0 or arguments.protocol == "imap":
                gateway.deliver(f"u{number}@example.test")
        warm = open_sessions(gateway, arguments, tls, 8, lambda number: f"u{number}@example.test")
        before = settle(gateway)
        begin = time.monotonic()

        def account_of(number):
            if number < WATCHERS:
                return f"u{ACCOUNTS}@example.test"
            return f"u{number % ACCOUNTS}@example.test"

        sessions = open_sessions(gateway, arguments, tls, count, account_of)
        seconds = time.monotonic() - begin
        after = settle(gateway)
        print(json.dumps({"what": "memory", "protocol": arguments.protocol, "tls": tls,
                          "sessions": count, "before_kb": before // 1024,
                          "after_kb": after // 1024, "opened_in_s": round(seconds, 1),
                          "bytes_each": (after - before) // count}), flush=True)
        if arguments.hold:
            print(f"# processes {gateway.processes()}", file=sys.stderr, flush=True)
            input()
        if arguments.protocol == "imap":
            few = measure_wakes(gateway, sessions[:WATCHERS], f"u{ACCOUNTS}@example.test", tls)
            print(json.dumps({"what": "wake_few", **few}), flush=True)
            if arguments.same:
                for session in sessions + warm:
                    session.socket.close()
                time.sleep(1)
                sessions = open_sessions(gateway, arguments, tls, count,
                                         lambda number: "u0@example.test")
                everybody = measure_wakes(gateway, sessions, "u0@example.test", tls)
                print(json.dumps({"what": "wake_all", **everybody}), flush=True)
        del warm
    finally:
        gateway.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "gcc"))
    parser.add_argument("--protocol", choices=("pop3", "imap"), default="imap")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--tls", nargs="+", choices=("plain", "implicit"),
                        default=["plain", "implicit"])
    parser.add_argument("--same", action="store_true",
                        help="IMAP: also with all sessions on the same mailbox")
    parser.add_argument("--hold", action="store_true",
                        help="wait for a line of input while the sessions are open")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for tls in arguments.tls:
        for count in arguments.sessions:
            measure(arguments, tls, count)


if __name__ == "__main__":
    main()
