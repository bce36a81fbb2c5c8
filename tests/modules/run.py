#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Everything that a module can be: the small modules of this folder, through a running gateway.

    run.py [--build DIR] [NAME …]
"""

import argparse
import base64
import os
import poplib
import smtplib
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from gateway import DOMAIN, Gateway, PASSWORD, configuration, free_ports  # noqa: E402

POLICY = """
on("client.hello", function(session)
	local name = session.hello
	if name == "twice.test" then
		return reject(550, "5.7.1", "twice 21 is " .. arithmetic.twice(21))
	elseif name == "rest.test" then
		return reject(550, "5.7.1", "the library " .. arithmetic.rest(30))
	elseif name == "spend.test" then
		arithmetic.spend(1000000000000)
		return reject(550, "5.7.1", "spent it all and lives")
	end
end)
"""
ZONE = """
check-good.test. 60 IN MX 10 mail.check-good.test.
mail.check-good.test. 60 IN A 192.0.2.7
check-half.test. 60 IN MX 10 gone.check-half.test.
check-none.test. 60 IN TXT "nothing"
"""
MODULES = """
module "talk" { }
module "judges" { }
module "people" { }
module "sesame" { }
module "abyss" { }
module "named" { }
module "tally" { }
module "pigeon" { }
module "arithmetic" { }
domain "people.test" { store = "abyss", directory = "people" }
policy { "library.lua", allow = { "arithmetic" } }
"""


class Failure(Exception):
    """A test did not see what it should."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def configure(build, directory, ports, **options):
    """The usual configuration, the modules of this folder, and a listener for talk."""
    text = configuration(build, directory, ports, more=MODULES, workers=1,
                         settings=f'zone_file = "{directory}/zone"\ndelivery_deadline = "300ms"\n'
                                  f'listen {{ "127.0.0.1:{ports["pop3s"]}", to = "talk" }}', **options)
    text = text.replace(f'listen {{ "127.0.0.1:{ports["pop3s"]}", to = "pop3", tls = "implicit" }}\n',
                        "")
    text = text.replace(f'domain "{DOMAIN}" {{ store = "local" }}',
                        f'domain "{DOMAIN}" {{ store = "local", directory = "auth_file" }}')
    return text.replace(f'module_directories = {{ "{build}/modules" }}',
                        f'module_directories = {{ "{build}/modules", "{build}/tests/modules" }}')


def configure_impatient(build, directory, ports, **options):
    """The same, with short deadlines, and modules that wait at a gate."""
    text = configure(build, directory, ports, **options)
    for name in ("people", "sesame", "abyss"):
        text = text.replace(f'module "{name}" {{ }}', f'module "{name}" {{ gate = "{directory}/gate" }}')
    return 'auth_deadline = "200ms"\nstore_deadline = "200ms"\n' + text


class Line:
    """A connection on which lines are sent and read."""

    def __init__(self, port, greeting=True):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=15)
        self.stream = self.socket.makefile("rb")
        self.greeting = self.read() if greeting else None

    def read(self):
        return self.stream.readline().decode().rstrip("\r\n")

    def ask(self, text):
        self.socket.sendall(text.encode() + b"\r\n")
        return self.read()

    def secure(self):
        """TLS from here on, unverified."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)
        self.stream = self.socket.makefile("rb")

    def close(self):
        self.stream.close()
        self.socket.close()


class Echo:
    """A peer that says every line back; with TLS where a certificate is given."""

    def __init__(self, certificate=None, key=None):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate, key)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as stream:
                for line in stream:
                    connection.sendall(b"echo " + line)
        except OSError:
            pass

    def close(self):
        self.listener.close()


def proof(secret):
    """What pat says to AUTH PLAIN."""
    return base64.b64encode(f"\0pat@people.test\0{secret}".encode()).decode()


def check_nobody_died(gateway):
    log = gateway.log_tail(100000)
    for word in ("was ended by signal", "ended with status"):
        check(word not in log, [line for line in log.splitlines() if word in line][:1])
    check(not gateway.findings(), gateway.findings()[:1])


class Tests:
    """The tests; one gateway for all."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.talk_port = gateway.ports["pop3s"]

    def talk(self):
        line = Line(self.talk_port)
        check(line.greeting == "talk", f"the greeting is {line.greeting!r}")
        return line

    def hello(self, name):
        """What mx answers to an EHLO: the first three digits, and the text."""
        line = Line(self.gateway.ports["mx"])
        line.socket.sendall(f"EHLO {name}\r\n".encode())
        answer = line.read()
        line.close()
        return answer

    def recipient(self, address, gateway=None):
        """What mx answers to a RCPT, and to the message behind it."""
        line = Line((gateway or self.gateway).ports["mx"])
        line.ask("HELO client.test")
        line.ask("MAIL FROM:<a@sender.test>")
        answer = line.ask(f"RCPT TO:<{address}>")
        last = ""
        if answer.startswith("250"):
            line.ask("DATA")
            last = line.ask("Subject: x\r\n\r\nhello\r\n.")
        line.close()
        return answer, last

    def rows(self, *selectors):
        return subprocess.run([os.path.join(self.gateway.build, "postern"), "queue", "list", "--json", *selectors,
                               "--config", self.gateway.config], capture_output=True, text=True,
                              timeout=30, check=True).stdout

    def log(self):
        with open(self.gateway.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def mailbox(self, name):
        """The messages of an account of ours."""
        client = poplib.POP3("127.0.0.1", self.gateway.ports["pop3"])
        try:
            client.user(f"{name}@{DOMAIN}")
            client.pass_(PASSWORD)
            return [b"\n".join(client.retr(number + 1)[1]).decode() for number in range(client.stat()[0])]
        finally:
            client.quit()

    def login(self, secret, gateway=None):
        """A connection to submission on which pat tried to log in, and the answer."""
        line = Line((gateway or self.gateway).ports["submission"])
        line.socket.sendall(b"EHLO client.test\r\n")
        while line.read().startswith("250-"):
            pass
        return line, line.ask(f"AUTH PLAIN {proof(secret)}")

    def impatient(self):
        """A gateway with short deadlines; until there is a file "gate", some things are late."""
        gateway = Gateway(self.gateway.build, configure=configure_impatient, start=False)
        gateway.write("library.lua", POLICY)
        gateway.write("zone", ZONE)
        gateway.start()
        return gateway

    # ---- a protocol, and every pn_next ----

    def a_line_is_answered_with_a_line(self):
        line = self.talk()
        check(line.ask("ECHO hello there") == "hello there", "no echo")
        line.socket.sendall(b"ECHO one\r\nECHO two\r\nECHO three\r\n")
        check([line.read() for _ in range(3)] == ["one", "two", "three"], "the order is lost")
        check(line.ask("ECHO " + "x" * 3000) == "bad line", "a long line was taken")
        check(line.ask("ECHO after") == "after", "nothing after a long line")
        line.close()

    def bytes_are_counted_and_lines_go_on_behind_them(self):
        line = self.talk()
        line.socket.sendall(b"BYTES 100000\r\n" + b"ECHO no\r\n" * 11111 + b"x" + b"ECHO yes\r\n")
        answer = line.read()
        check(answer == "100000 bytes", f"it answered {answer!r}")
        check(line.read() == "yes", "the line behind them was lost")
        line.close()

    def data_ends_with_a_dot_and_is_unstuffed(self):
        line = self.talk()
        line.socket.sendall(b"DATA\r\n..dot\r\nline\r\n.\r\nECHO next\r\n")
        check(line.read() == "12 of data", "dot and line are not 12 bytes")
        check(line.read() == "next", "the line behind the dot was lost")
        line.socket.sendall(b"DATA\r\nbare\nlf\r\n.\r\n")
        check(line.read() == "bad data", "a bare LF was taken")
        line.close()

    def nothing_is_read_while_an_answer_is_awaited(self):
        line = self.talk()
        line.socket.sendall(b"SLEEP 100\r\nECHO behind\r\n")
        check(line.read() == "the time is over", "the order of answers is lost")
        check(line.read() == "behind", "the next command was lost")
        line.close()

    def idle_ends_by_a_line_or_by_its_answer(self):
        line = self.talk()
        check(line.ask("IDLE 50") == "the time is over", "the answer did not end it")
        line.socket.sendall(b"IDLE 5000\r\nDONE\r\n")
        check(line.read() == "woken by a line", "the line did not end it")
        line.close()

    def a_slow_reader_makes_the_module_wait(self):
        line = self.talk()
        line.socket.sendall(b"FLOOD 100000\r\n")
        count = 0
        while (text := line.read()).startswith("fff"):
            count += 1
        check(count == 100000, f"{count} lines came")
        check(text == "flooded with drains", f"it ended with {text!r}")
        line.close()

    def long_work_lets_others_have_their_turn(self):
        worker = self.talk()
        other = self.talk()
        worker.socket.sendall(b"WORK 20000\r\n")
        for number in range(20):
            check(other.ask(f"ECHO {number}") == str(number), "the other one was not served")
        check(worker.read() == "worked", "the work did not end")
        worker.close()
        other.close()

    def tls_can_be_started(self):
        line = self.talk()
        check(line.ask("STARTTLS") == "go on", "STARTTLS was refused")
        line.secure()
        check(line.read() == "secured", "TLS is not up")
        check(line.ask("ECHO secret") == "secret", "no echo over TLS")
        check(line.ask("STARTTLS") == "no TLS here", "TLS inside TLS")
        line.close()

    def bytes_sent_before_tls_end_the_session(self):
        line = self.talk()
        line.socket.sendall(b"STARTTLS\r\nECHO injected\r\n")
        answers = [line.read(), line.read()]
        check(answers in (["go on", ""], ["", ""]), f"it answered {answers}")
        line.close()

    def quit_flushes_and_closes(self):
        line = self.talk()
        check(line.ask("QUIT") == "bye" and line.read() == "", "QUIT")
        line.close()

    def a_slow_client_is_told_and_closed(self):
        line = self.talk()
        line.socket.sendall(b"ECHO never ends")
        check(line.read() == "too slow", "the deadline was not told")
        check(line.read() == "", "the session goes on")
        line.close()

    # ---- connections of our own ----

    def a_connection_that_a_module_makes_is_a_session(self):
        peer = Echo()
        line = self.talk()
        check(line.ask(f"ASK 127.0.0.1:{peer.port} hello peer") == "echo hello peer", "no echo")
        peer.close()
        check(line.ask(f"ASK 127.0.0.1:{free_ports(['x'])['x']} hello") == "cannot connect",
              "a connection to nobody")
        check(line.ask("ASK nonsense hello") == "cannot connect", "a connection to nonsense")
        line.close()

    def a_connection_that_a_module_makes_can_use_tls(self):
        directory = self.gateway.directory
        peer = Echo(os.path.join(directory, "certificate.pem"), os.path.join(directory, "key.pem"))
        line = self.talk()
        answer = line.ask(f"ASKTLS 127.0.0.1:{peer.port} hello peer")
        check(answer == "echo hello peer over TLS", f"it answered {answer!r}")
        line.close()
        peer.close()

    def two_connections_are_spliced(self):
        peer = Echo()
        line = self.talk()
        check(line.ask(f"SPLICE 127.0.0.1:{peer.port}") == "spliced", "no splice")
        check(line.ask("through and back") == "echo through and back", "nothing passes")
        line.socket.sendall(b"x" * 100000 + b"\r\n")
        check(len(line.read()) == 100005, "many bytes do not pass")
        line.close()
        peer.close()

    def jobs_of_a_lane_run_in_their_order(self):
        line = self.talk()
        check(line.ask("JOBS 20") == " ".join(str(n) for n in range(20)) + " jobs", "the order is lost")
        line.close()

    # ---- hooks ----

    def a_hook_may_wait(self):
        check(self.hello("pending.test") == "550 waited and refused", self.hello("pending.test"))

    def a_hook_that_never_answers_is_given_up(self):
        check(self.hello("timeout.test").startswith("4"), self.hello("timeout.test"))

    def a_verdict_that_the_stage_does_not_know_is_a_failure(self):
        check(self.hello("invalid.test").startswith("4"), self.hello("invalid.test"))

    def shadows_and_observers_do_not_count(self):
        for name in ("shadow.test", "observe.test"):
            check(self.hello(name).startswith("250"), f"{name}: {self.hello(name)}")

    def accept_ends_its_stage(self):
        check(self.hello("accept.test").startswith("250"), self.hello("accept.test"))

    def each_on_error_does_what_it_says(self):
        for name, code in (("default", "4"), ("continue", "250"), ("defer", "4"), ("reject", "5")):
            answer = self.hello(f"fail-{name}.test")
            check(answer.startswith(code), f"{name}: {answer}")

    # ---- the other things that a module can be ----

    def a_directory_knows_who_is_there(self):
        for address, code in (("pat-one", "250"), ("pat-all", "250"), ("pat-off", "4"),
                              ("pat-lost", "4"), ("quentin", "550")):
            answer, last = self.recipient(f"{address}@people.test")
            check(answer.startswith(code), f"{address}: {answer}")
            check(code != "250" or last.startswith("250"), f"{address}: {last}")

    def a_store_may_be_full(self):
        answer, last = self.recipient("pat-full@people.test")
        check(answer.startswith("250") and last.startswith("452 4.2.2"), f"{answer} {last}")

    def a_large_body_that_the_store_cannot_take_waits(self):
        line = Line(self.gateway.ports["mx"])
        line.ask("HELO client.test")
        line.ask("MAIL FROM:<a@sender.test>")
        line.ask("RCPT TO:<pat-one@people.test>")
        line.ask("DATA")
        last = line.ask("Subject: x\r\n\r\n" + "hello\r\n" * 100000 + ".")
        check(last.startswith("250"), last)
        line.close()
        end = time.monotonic() + 15
        while "451 4.3.0" not in (text := self.rows("--recipient", "pat-one@people.test")) \
                and "could not be written" not in text:
            check(time.monotonic() < end, f"the queue says {text}")
            time.sleep(0.05)

    def authentication_of_a_module_opens_the_door(self):
        for secret, code in (("open sesame", "235"), ("open barley", "535"), ("thunder", "4")):
            line, answer = self.login(secret)
            check(answer.startswith(code), f"{secret}: {answer}")
            line.close()

    def accounts_of_another_module_still_log_in(self):
        line = Line(self.gateway.ports["pop3"])
        line.ask(f"USER alice@{DOMAIN}")
        answer = line.ask(f"PASS {PASSWORD}")
        check(answer.startswith("+OK"), answer)
        line.close()

    def a_check_names_its_questions_and_is_called_again(self):
        for name, text in (("check-good.test", "check: 192.0.2.7 in 2 rounds"),
                           ("check-half.test", "check: exchanger without address in 2 rounds"),
                           ("check-none.test", "check: no exchanger in 1 rounds")):
            answer = self.hello(name)
            check(answer == f"550 {text}", f"{name}: {answer}")

    def a_cache_counts(self):
        answers = [self.hello("tally.test")[:3] for _ in range(4)]
        check(answers == ["250", "250", "450", "450"], f"it answered {answers}")

    def a_transport_tells_of_each_recipient(self):
        with smtplib.SMTP("127.0.0.1", self.gateway.ports["mx"]) as client:
            client.sendmail(f"alice@{DOMAIN}", ["near@pigeon.test", "far@pigeon.test", "nowhere@pigeon.test"],
                            "Subject: by air\r\n\r\nCoo.\r\n")
        wanted = ["delivery.start for near@pigeon.test: outcome 0, class none, attempt 1",
                  "delivery.done for near@pigeon.test: outcome 1, class none, attempt 1",
                  "delivery.response for far@pigeon.test: outcome 2, class connection, attempt 1",
                  "delivery.response for nowhere@pigeon.test: outcome 3, class unknown_recipient, attempt 1",
                  "delivery.done for nowhere@pigeon.test: outcome 3, class unknown_recipient, attempt 1",
                  "bounce.create for nowhere@pigeon.test: outcome 3, class unknown_recipient, attempt 1"]
        end = time.monotonic() + 15
        while missing := [text for text in wanted if text not in self.log()]:
            check(time.monotonic() < end, f"the log does not tell {missing}")
            time.sleep(0.02)
        while not any("550 5.1.1 no such roof" in text for text in self.mailbox("alice")):
            check(time.monotonic() < end, "the sender was not told")
            time.sleep(0.02)

    def scripts_use_the_library_of_a_module(self):
        check(self.hello("twice.test") == "550 twice 21 is 42", self.hello("twice.test"))
        check(self.hello("rest.test") == "550 the library waited", self.hello("rest.test"))
        answer = self.hello("spend.test")
        check(answer.startswith("4"), f"a budget that was spent: {answer}")

    # ---- what comes too late ----

    def a_login_that_is_late_is_refused_for_now(self):
        with self.impatient() as gateway:
            line, answer = self.login("open slowly", gateway)
            check(answer.startswith("454"), f"the late one: {answer}")
            answer = line.ask(f"AUTH PLAIN {proof('open sesame')}")
            check(answer.startswith("235"), f"the next one, while the first still waits: {answer}")
            self.leave_in(gateway, "submission", f"EHLO c.test\r\nAUTH PLAIN {proof('open slowly')}\r\n")
            gateway.write("gate", "")
            again, answer = self.login("open slowly", gateway)
            check(answer.startswith("235"), f"the same with the gate open: {answer}")
            check(line.ask("NOOP").startswith("250"), "the session is lost")
            line.close()
            again.close()
            check_nobody_died(gateway)

    def a_directory_that_is_late_is_temporary_trouble(self):
        with self.impatient() as gateway:
            line = Line(gateway.ports["mx"])
            for command in ("HELO client.test", "MAIL FROM:<a@sender.test>"):
                check(line.ask(command).startswith("250"), command)
            answer = line.ask("RCPT TO:<pat-slow@people.test>")
            check(answer.startswith("451"), f"the late one: {answer}")
            answer = line.ask("RCPT TO:<pat-quick@people.test>")
            check(answer.startswith("250"), f"the next one, while the first still waits: {answer}")
            self.leave_in(gateway, "mx", "HELO c.test\r\nMAIL FROM:<a@sender.test>\r\n"
                                         "RCPT TO:<pat-slow@people.test>\r\n")
            gateway.write("gate", "")
            answer = line.ask("RCPT TO:<pat-slow@people.test>")
            check(answer.startswith("250"), f"the same with the gate open: {answer}")
            line.ask("DATA")
            answer = line.ask("Subject: x\r\n\r\nhello\r\n.")
            check(answer.startswith("250"), f"the message: {answer}")
            line.close()
            check_nobody_died(gateway)

    def a_store_that_is_late_is_temporary_trouble(self):
        with self.impatient() as gateway:
            answer, last = self.recipient("pat-late@people.test", gateway)
            check(answer.startswith("250") and last.startswith("451"), f"the late one: {answer} {last}")
            answer, last = self.recipient("pat-quick@people.test", gateway)
            check(last.startswith("250"), f"the next one, while the first still waits: {last}")
            self.leave_in(gateway, "mx", "HELO c.test\r\nMAIL FROM:<a@sender.test>\r\n"
                                         "RCPT TO:<pat-late@people.test>\r\nDATA\r\n"
                                         "Subject: x\r\n\r\nhello\r\n.\r\n")
            gateway.write("gate", "")
            answer, last = self.recipient("pat-late@people.test", gateway)
            check(last.startswith("250"), f"the same with the gate open: {last}")
            check_nobody_died(gateway)

    def a_transaction_may_end_while_it_is_judged_or_stored(self):
        with self.impatient() as gateway:
            line = Line(gateway.ports["pop3s"])
            for address in ("a@pondered.test", "pat-late@people.test", "pat-slow@people.test",
                            "a@pondered.test"):
                answer = line.ask(f"ABANDON {address}")
                check(answer == "abandoned", f"{address}: {answer}")
            # Longer than the hook had and than the deadlines are: all of them would have passed now.
            check(line.ask("SLEEP 400") == "the time is over", "SLEEP")
            gateway.write("gate", "")
            answer, last = self.recipient("pat-late@people.test", gateway)
            check(last.startswith("250"), f"mail with the gate open: {answer} {last}")
            line.close()
            check_nobody_died(gateway)

    def leave_in(self, gateway, port, text):
        """A client that says all of this at once and is gone before the answer."""
        line = Line(gateway.ports[port])
        line.socket.sendall(text.encode())
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()

    def who_idles_does_not_ask_a_store_that_fails_again_and_again(self):
        line = Line(self.gateway.ports["imap"])
        secret = base64.b64encode(b"\0pat-torn@people.test\0open sesame").decode()
        answer = line.ask(f"a AUTHENTICATE PLAIN {secret}")
        check(answer.startswith("a OK"), f"the login: {answer}")
        answer = line.ask("b SELECT INBOX")
        while answer.startswith("*"):
            answer = line.read()
        check(answer.startswith("b OK"), f"SELECT: {answer}")
        # The news cannot be had, and are asked for again where the client idles.
        answer = line.ask("c NOOP")
        check(answer.startswith("c OK"), f"NOOP: {answer}")
        answer = line.ask("d IDLE")
        check(answer.startswith("+"), f"IDLE: {answer}")
        # Others have had many turns of the loop when this is answered.
        for number in range(20):
            answer, _ = self.recipient(f"nobody{number}@nowhere.test")
        answer = line.ask("DONE")
        check(answer.startswith("d OK"), f"DONE: {answer}")
        line.close()
        asked = 0
        for _ in range(200):  # the log is written by a thread of its own
            with open(self.gateway.log, encoding="utf-8", errors="replace") as file:
                asked = file.read().count("the abyss looks back")
            if asked > 0:
                break
            time.sleep(0.05)
        check(1 <= asked <= 4, f"the store was asked {asked} times")

    def every_module_can_be_described(self):
        folder = os.path.join(self.gateway.build, "tests", "modules")
        for name in sorted(os.listdir(folder)):
            if not name.endswith(".so"):
                continue
            done = subprocess.run([os.path.join(self.gateway.build, "postern"), "module", "describe",
                                   os.path.join(folder, name)], capture_output=True, text=True,
                                  check=False)
            check(done.returncode == 0 and name[:-3] in done.stdout, f"{name}: {done.stderr}")

    def no_worker_died(self):
        check_nobody_died(self.gateway)


HELPERS = ("talk", "hello", "recipient", "login", "impatient", "leave_in", "rows", "log", "mailbox")


def main():
    """Runs the tests in their order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "main"))
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    failed = 0
    gateway = Gateway(arguments.build, configure=configure, start=False)
    try:
        gateway.write("library.lua", POLICY)
        gateway.write("zone", ZONE)
        gateway.start()
        tests = Tests(gateway)
        for name, value in vars(Tests).items():
            if name.startswith("_") or name in HELPERS or not callable(value):
                continue
            if arguments.names and not any(word in name for word in arguments.names):
                continue
            try:
                getattr(tests, name)()
                print(f"ok {name}", flush=True)
            except Exception as error:
                failed += 1
                print(f"not ok {name}", flush=True)
                text = str(error) if isinstance(error, Failure) else traceback.format_exc()
                print("\n".join("# " + line for line in text.splitlines()), flush=True)
        gateway.stop()
        tests.no_worker_died()  # a sanitizer tells of leaks at the end
        print("ok the_gateway_ends_cleanly", flush=True)
    except Exception as error:
        failed += 1
        print("not ok the_gateway_runs", flush=True)
        print("\n".join("# " + line for line in str(error).splitlines()), flush=True)
    if failed:
        gateway.kill()
        print(f"# the log: {gateway.log}", flush=True)
    else:
        gateway.remove()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
