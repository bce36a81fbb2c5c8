# SPDX-License-Identifier: Apache-2.0
"""What the tests of processes share: the commands, the workers, a client with a log of its own."""

import json
import os
import re
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, os.path.join(HERE, "..", "crash"))

from gateway import (DOMAIN, Gateway, GatewayError, PASSWORD, SHA512, free_ports,  # noqa: E402,F401
                     make_certificate)

SLOWNESS = float(os.environ.get("POSTERN_TEST_SLOWNESS", "1"))


class Failure(Exception):
    """A test did not see what it should."""


def check(condition, text):
    """Ends the test with a sentence."""
    if not condition:
        raise Failure(text)


def postern(gateway, *words, timeout=30):
    """Runs a command of the gateway on its configuration."""
    return subprocess.run([os.path.join(gateway.build, "postern"), *words, "--config", gateway.config],
                          capture_output=True, text=True, check=False, timeout=timeout)


def serve_fails(gateway, *sentences, timeout=20):
    """`postern serve` must end by itself, not with 0, and say all of these."""
    try:
        done = postern(gateway, "serve", timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failure("the gateway started all the same") from None
    check(done.returncode == 1, f"serve ended with {done.returncode}: {done.stderr[-500:]}")
    check("postern: ready" not in done.stdout, "it said that it is ready")
    for sentence in sentences:
        check(re.search(sentence, done.stderr), f"it did not say /{sentence}/ but: {done.stderr[-800:]}")


def status(gateway):
    """What `postern status --json` says."""
    done = postern(gateway, "status", "--json")
    check(done.returncode == 0, f"status: {done.stderr}")
    return json.loads(done.stdout)


def edges(gateway):
    """Edge workers that serve: number to pid."""
    return {worker["number"]: worker["pid"] for worker in status(gateway)["workers"]
            if worker["kind"] == "edge" and worker["generation"] > 0}


def wait_for(question, text, timeout=10.0):
    """Asks again until the answer is yes; returns it."""
    deadline = time.monotonic() + timeout * SLOWNESS
    while time.monotonic() < deadline:
        try:
            answer = question()
        except (Failure, OSError):
            answer = None
        if answer:
            return answer
        time.sleep(0.02)
    raise Failure(f"waited in vain: {text}")


def answers_on(port):
    """Whether somebody greets on this port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            return client.recv(1) != b""
    except ConnectionRefusedError:
        return False


def shown_certificate(gateway):
    """The certificate that submission over TLS shows, as DER."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", gateway.ports["submissions"]), timeout=20)
    with context.wrap_socket(plain) as client:
        return client.getpeercert(True)


def processor_seconds(pid):
    """The time that a process, with all its threads, had the processor."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def log_text(gateway):
    with open(gateway.log, encoding="utf-8", errors="replace") as file:
        return file.read()


def edit(gateway, old, new):
    """Changes the configuration file."""
    with open(gateway.config, encoding="utf-8") as file:
        text = file.read()
    check(old in text, f"the configuration has no {old!r}")
    gateway.write("postern.lua", text.replace(old, new))


def send(gateway, subject="x", recipient=f"user@{DOMAIN}", port="mx"):
    """One message over smtplib; returns the text of the last reply."""
    with smtplib.SMTP("127.0.0.1", gateway.ports[port], timeout=20) as client:
        client.ehlo("client.test")
        return send_over(client, subject, recipient)


def send_over(client, subject="x", recipient=f"alice@{DOMAIN}"):
    """One message over an open connection: (code, text)."""
    for command in (f"MAIL FROM:<a@sender.test>", f"RCPT TO:<{recipient}>"):
        code, text = client.docmd(command)
        if code != 250:
            client.docmd("RSET")
            return code, text.decode()
    code, text = client.data(f"From: <a@sender.test>\r\nSubject: {subject}\r\n\r\nhello\r\n")
    return code, text.decode()


def connect(gateway, port="mx"):
    """An open SMTP connection that said hello."""
    client = smtplib.SMTP("127.0.0.1", gateway.ports[port], timeout=20)
    client.ehlo("client.test")
    return client


class Clients:
    """Threads that connect, send one message and leave, and note what happened to each session."""

    def __init__(self, gateway, count=4, pause=0.005):
        self.gateway = gateway
        self.pause = pause
        self.ending = threading.Event()
        self.lock = threading.Lock()
        self.sessions = []  # (begin, end, worker or None, problem or None)
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def work(self):
        while not self.ending.wait(self.pause):
            begin = time.monotonic()
            worker, problem = self.session()
            with self.lock:
                self.sessions.append((begin, time.monotonic(), worker, problem))

    def session(self):
        """One session: the worker that its banner named, and what went wrong."""
        worker = None
        try:
            with socket.create_connection(("127.0.0.1", self.gateway.ports["mx"]), timeout=15) as plain:
                stream = plain.makefile("rb")
                banner = stream.readline()
                if not banner:
                    return worker, "closed before the banner"
                found = re.search(rb" worker (\d+)", banner)
                if found:
                    worker = int(found.group(1))
                for command in (b"EHLO c.test", b"MAIL FROM:<a@sender.test>",
                                b"RCPT TO:<alice@example.test>", b"DATA",
                                b"Subject: x\r\n\r\nhello\r\n.", b"QUIT"):
                    plain.sendall(command + b"\r\n")
                    answer = stream.readline()
                    while answer[3:4] == b"-":
                        answer = stream.readline()
                    if answer.startswith(b"421"):
                        return worker, None  # told in order, between two commands
                    if not answer.startswith((b"2", b"354")):
                        return worker, f"{command[:10]!r}: {answer!r}"
        except OSError as error:
            return worker, repr(error)
        return worker, None

    def served(self):
        """How many sessions went well so far."""
        with self.lock:
            return sum(problem is None for *_, problem in self.sessions)

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(20)
        return self.sessions
