#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Messages that their owners put into mailboxes, and bodies in bulk: the module desk, through a
running gateway.

    deposits.py [--build DIR] [NAME …]
"""

import argparse
import json
import os
import smtplib
import subprocess
import sys
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

from gateway import DOMAIN, Gateway, PASSWORD, USERS, configuration  # noqa: E402
from run import Failure, Line, check, check_nobody_died  # noqa: E402

POLICY = """
on("message.headers", function(session)
	local message = session.message
	local subject = message:header("Subject")
	if subject == "add" then
		message:add_header("X-Added", "\\u{e4}nd this")
		message:replace_header("Subject", "added: " .. subject)
	elseif subject == "retype" then
		message:replace_header("Content-Type", 'text/plain; charset="koi8-r"')
	end
end)
on("mailbox.deliver", { on_error = "reject" }, function(session, recipient)
	local message = session.message
	if not message.has_header then
		return
	end
	local subject = message:header("Subject")
	if subject == "refuse" then
		return reject(550, "5.7.1", "not this one, " .. recipient.account)
	elseif subject == "later" then
		return defer(450, "4.7.1", "come again")
	elseif subject == "discard" then
		return discard("nobody wants it")
	elseif subject == "quarantine" then
		return quarantine("Cage/deep")
	elseif subject == "elsewhere" then
		recipient:set_mailbox("Filed/" .. recipient.mailbox)
	elseif subject == "flag" then
		recipient:set_flags(recipient.flags .. " $Seen-by-policy")
	elseif subject == "edit" then
		message:add_header("X-Edited", "yes")
	elseif subject == "sleep" then
		sleep(30)
	end
end)
"""
QUOTA = 1_000_000
DATE = 1_600_000_000_000


def configure(build, directory, ports, store="store_local", **options):
    """The usual configuration with a listener for desk, and the policy."""
    text = configuration(build, directory, ports, workers=1,
                         settings=f'listen {{ "127.0.0.1:{ports["pop3s"]}", to = "desk" }}',
                         store=f'module "{store}" {{ as = "local" }}',
                         more='module "desk" { }\npolicy { "desk.lua" }\n', **options)
    return text.replace(f'module_directories = {{ "{build}/modules" }}',
                        f'module_directories = {{ "{build}/modules", "{build}/tests/modules" }}')


def message(subject="hello", size=200):
    """A message of at least that many bytes."""
    text = f"Subject: {subject}\r\nFrom: a@b.test\r\n\r\n".encode()
    line = b"all work and no play makes a message of some length, as long as it has to be\r\n"
    return text + line * ((max(0, size - len(text)) + len(line) - 1) // len(line))


def digest(text):
    """As desk computes it."""
    value = 0
    for byte in text:
        value = (value * 31 + byte) & 0xFFFFFFFF
    return value


class Desk(Line):
    """A connection to desk, logged in."""

    def __init__(self, gateway, name="alice"):
        super().__init__(gateway.ports["pop3s"])
        self.socket.settimeout(120)
        check(self.greeting == "desk", f"the greeting is {self.greeting!r}")
        answer = self.ask(f"LOGIN {name}@{DOMAIN} {PASSWORD}")
        check(answer == "ok", f"login: {answer}")

    def put(self, text, box="INBOX", flags="-", date=DATE, limit=1 << 30):
        self.socket.sendall(f"PUT {len(text)} {limit} {date} {flags} {box}\r\n".encode() + text)
        return self.read()

    def put_stream(self, pieces, size, box="INBOX"):
        self.socket.sendall(f"PUT {size} {1 << 40} {DATE} - {box}\r\n".encode())
        for piece in pieces:
            self.socket.sendall(piece)
        return self.read()

    def rows(self, box="INBOX"):
        rows = []
        line = self.ask(f"ROWS {box}")
        while line not in (".", ""):
            if not line[0].isdigit():
                return line
            rows.append(line.split(" "))
            line = self.read()
        return rows

    def bodies(self, box="INBOX", limit=1 << 20):
        found = []
        line = self.ask(f"READ {box} {limit}")
        while not line.startswith("questions"):
            check(line != "" and not line.startswith("no bodies"), f"READ: {line!r}")
            status, size, value = line.rsplit(" ", 2)
            found.append((status, int(size), int(value)))
            line = self.read()
        return found, int(line.split(" ")[1])


def memory(gateway):
    """Private memory of all processes of the gateway, in bytes."""
    total = 0
    pids = [gateway.process.pid]
    while pids:
        pid = pids.pop()
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Private_"))
            children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True,
                                      check=False)
            pids += [int(word) for word in children.stdout.split()]
        except OSError:
            pass
    return total


class Tests:
    """The tests; one gateway for all. Each has mailboxes of its own, by other subjects."""

    def __init__(self, gateway, store):
        self.gateway = gateway
        self.store = store

    def an_account_begins_with_its_first_message(self):
        desk = Desk(self.gateway)
        check(desk.rows() == "no such mailbox", "there is a mailbox before the first message")
        text = message()
        answer = desk.put(text, box="inbox", flags="\\Seen,$Forwarded")
        check(answer == "ok INBOX 1", answer)
        rows = desk.rows()
        header = text.index(b"\r\n\r\n") + 4
        check(len(rows) == 1 and rows[0][:5] == ["1", "1,$Forwarded", str(DATE), str(len(text)),
                                                 str(header)], rows)
        check(int(rows[0][5]) > 0, f"there is no summary: {rows}")
        check(desk.bodies()[0] == [("ok", len(text), digest(text))], "the bytes changed")
        desk.close()

    def a_date_that_is_not_given_is_now(self):
        desk = Desk(self.gateway)
        desk.put(message(), date=0)
        check(int(desk.rows()[-1][2]) > DATE, desk.rows()[-1])
        desk.close()

    def bytes_are_kept_as_they_are(self):
        desk = Desk(self.gateway)
        for text in (b"no header at all", b"\r\n", b"Subject: bare\nlf\n\nbody\n", b"a" * 5000,
                     b"X: \xff\x80\r\n\r\n\xff", b"Many: x\r\n" * 20000 + b"\r\nbody",
                     b"Long: " + b"y" * 200000 + b"\r\n\r\nbody"):
            answer = desk.put(text)
            check(answer.startswith("ok "), f"{text[:20]!r}: {answer}")
            check(desk.bodies()[0][-1] == ("ok", len(text), digest(text)), f"{text[:20]!r} changed")
        desk.close()

    def sizes_around_what_memory_holds(self):
        desk = Desk(self.gateway)
        for size in (262143, 262144, 262145, 524288, 524289, 3_000_000):
            text = message("edges", size)[:size]
            answer = desk.put(text)
            check(answer.startswith("ok "), f"{size}: {answer}")
            check(desk.bodies(limit=1 << 24)[0][-1] == ("ok", len(text), digest(text)), f"{size}")
            check(desk.rows()[-1][3:5] == [str(size), str(text.index(b"\r\n\r\n") + 4)],
                  desk.rows()[-1])
        desk.close()

    def what_is_delivered_has_the_summary_of_what_is_stored(self):
        desk = Desk(self.gateway)
        line = "lines of text in a part, again and again\r\n"
        for size in (100, 10_000, 300_000, 2_000_000):
            for subject in ("plain", "add", "retype"):
                lines = line * (size // len(line))
                text = (f"Subject: {subject}\r\nFrom: A <a@b.test>, c@d.test\r\nMIME-Version: 1.0\r\n"
                        f"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n{lines}--x\r\n"
                        f"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\n{lines}\r\n--x--\r\n")
                with smtplib.LMTP("127.0.0.1", self.gateway.ports["lmtp"]) as client:
                    client.sendmail("sender@elsewhere.test", [f"alice@{DOMAIN}"], text)
                status, stored, _ = desk.bodies(limit=1 << 24)[0][-1]
                check(stored > len(text), "nothing was added to it")
                # A body that went by as another type is left to who reads it.
                expected = "unsummarized" if subject == "retype" and size > 262144 else "ok"
                check(status == expected, f"{subject}, {size} bytes: {status}")
        desk.close()

    def a_mailbox_that_is_not_there_is_not_made(self):
        desk = Desk(self.gateway)
        answer = desk.put(message(), box="Nowhere")
        check(answer == "no not found 550 there is no such mailbox", answer)
        check(desk.put(message("hello", 1_000_000), box="Nowhere").startswith("no not found"),
              "a large one")
        check(desk.rows("Nowhere") == "no such mailbox", "it was made")
        desk.close()

    def more_than_the_limit_is_counted_and_dropped(self):
        desk = Desk(self.gateway)
        before = len(desk.rows())
        for limit, size in ((1000, 1100), (300_000, 400_000), (2_000_000, 5_000_000)):
            answer = desk.put(message("large", size), limit=limit)
            check(answer.startswith("no limit 552 "), answer)
        check(len(desk.rows()) == before, "it was kept")
        text = message("exact", 1000)
        check(desk.put(text, limit=len(text)).startswith("ok "), "exactly the limit was refused")
        desk.close()

    def a_policy_refuses(self):
        desk = Desk(self.gateway)
        before = len(desk.rows())
        answer = desk.put(message("refuse"))
        check(answer == f"no conflict 550 not this one, alice@{DOMAIN}", answer)
        answer = desk.put(message("later", 2_000_000))
        check(answer == "no conflict 450 come again", answer)
        check(desk.put(message("discard")) == "no conflict 550 refused by policy", "discard")
        check(len(desk.rows()) == before, "it was kept")
        desk.close()

    def a_policy_changes_the_mailbox(self):
        desk = Desk(self.gateway)
        check(desk.put(message("elsewhere")) == "ok Filed/INBOX 1", "set_mailbox")
        check(len(desk.rows("Filed/INBOX")) == 1, "it is not there")
        check(desk.put(message("quarantine")) == "ok Cage/deep 1", "quarantine")
        check(len(desk.rows("Cage/deep")) == 1, "it is not in the cage")
        desk.close()

    def a_policy_adds_a_flag(self):
        desk = Desk(self.gateway)
        check(desk.put(message("flag"), flags="\\Flagged").startswith("ok "), "flag")
        check(desk.rows()[-1][1] == "4,$Seen-by-policy", desk.rows()[-1])
        desk.close()

    def a_policy_that_edits_fails(self):
        desk = Desk(self.gateway)
        answer = desk.put(message("edit"))
        check(answer.startswith("no conflict 554"), answer)
        desk.close()

    def the_quota_of_the_directory_counts(self):
        desk = Desk(self.gateway, "erin")
        text = message("hello", 400_000)
        check(desk.put(text) == "ok INBOX 1" and desk.put(text) == "ok INBOX 2", "there was room")
        answer = desk.put(text)
        check(answer.startswith("no limit (quota) 452"), answer)
        check(desk.put(message()).startswith("ok INBOX 3"), "a small one")
        desk.close()

    def copies_count_in_the_quota_too(self):
        line = Line(self.gateway.ports["imap"])
        for text, answer in ((f"a LOGIN erin@{DOMAIN} {PASSWORD}", "a OK"), ("b SELECT INBOX", "b OK"),
                             ("c COPY 1 INBOX", "c NO [OVERQUOTA]"), ("d COPY 3 INBOX", "d OK")):
            last = line.ask(text)
            while last.startswith("*"):
                last = line.read()
            check(last.startswith(answer), f"{text}: {last}")
        line.close()

    def a_deposit_may_be_given_up(self):
        for size in (10, 100_000, 600_000, 5_000_000):
            desk = Desk(self.gateway)
            desk.socket.sendall(f"ABANDON {size}\r\n".encode() + b"x" * size)
            check(desk.read() == "gave up", f"{size}")
            check(desk.put(message()).startswith("ok "), "the next one")
            desk.socket.sendall(f"PUT {size} 1000000000 0 - INBOX\r\n".encode() + b"x" * (size - 1))
            desk.close()
        desk = Desk(self.gateway)
        check(desk.put(message()).startswith("ok "), "another session")
        desk.close()

    def a_client_may_leave_while_policy_ponders(self):
        text = message("sleep")
        desk = Desk(self.gateway)
        desk.socket.sendall(f"PUT {len(text)} 1000000 0 - INBOX\r\n".encode() + text)
        desk.close()
        desk = Desk(self.gateway)
        check(desk.put(message()).startswith("ok "), "another session")
        desk.close()

    def bodies_come_in_bulk(self):
        desk = Desk(self.gateway, "bob")
        texts = [message(f"number {number}", 1000 * (1 + number % 7)) for number in range(60)]
        texts.insert(30, message("large", 300_000))
        for text in texts:
            check(desk.put(text).startswith("ok "), "put")
        expected = [("ok", len(text), digest(text)) for text in texts]
        found, questions = desk.bodies(limit=1 << 24)
        check(found == expected and questions == 1, f"{questions} questions")
        found, questions = desk.bodies(limit=20_000)
        limited = [entry if entry[1] <= 20_000 else ("limit", 0, 0) for entry in expected]
        check(found == limited and 10 < questions < 40, f"{questions} questions")
        found, questions = desk.bodies(limit=1)
        check(found == [("limit", 0, 0)] * len(texts) and questions == 1, f"{questions} questions")
        desk.close()

    def the_history_knows_of_it(self):
        desk = Desk(self.gateway)
        for subject in ("hello", "refuse"):
            desk.put(message(subject))
        desk.socket.sendall(b"ABANDON 10\r\n" + b"x" * 10)
        check(desk.read() == "gave up", "it was not given up")
        desk.close()
        deposits = self.events("deposit")
        check(any(event["outcome"] == "accepted" and event["recipients"][0]["mailbox"] == "INBOX"
                  for event in deposits), deposits[:1])
        check(any(event["outcome"] == "rejected" and event.get("hook", "").startswith("desk.lua")
                  for event in deposits), "no refusal")
        check(any(event["outcome"] == "abandoned" for event in deposits), "none was abandoned")

    def events(self, what):
        """What the history has of that kind; whole, because the gateway ended and began again."""
        found = []
        self.gateway.stop()
        folder = os.path.join(self.gateway.directory, "data", "history")
        for name in os.listdir(folder):
            if name.endswith(".jsonl"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    found += [json.loads(line) for line in file]
        self.gateway.start()
        return [event for event in found if event["event"] == what]

    def a_large_message_takes_no_memory(self):
        size = int(os.environ.get("POSTERN_LARGE", 60_000_000))
        desk = Desk(self.gateway, "carol")
        check(desk.put(message()).startswith("ok "), "a small one first")
        line = b"0123456789" * 7 + b"abcdef\r\n"
        head = message("large", 0)
        block = line * 1000
        count = size // len(block)
        peak = 0
        before = memory(self.gateway)

        def pieces():
            nonlocal peak
            yield head
            for number in range(count):
                if number % 100 == 0:
                    peak = max(peak, memory(self.gateway))
                yield block

        answer = desk.put_stream(pieces(), len(head) + count * len(block))
        check(answer == "ok INBOX 2", answer)
        check(int(desk.rows()[-1][3]) == len(head) + count * len(block), "its size")
        print(f"# {size / 1e6:.0f} MB took {(peak - before) / 1e6:.1f} MB of memory", flush=True)
        if not self.is_sanitized() and self.store == "store_local":
            check(peak - before < 12_000_000, f"{peak - before} bytes of memory")
        desk.close()

    def is_sanitized(self):
        with open(os.path.join(self.gateway.build, "CMakeCache.txt"), encoding="utf-8") as file:
            return any(line.startswith("POSTERN_SANITIZE") and "address" in line for line in file)

    def no_worker_died(self):
        check_nobody_died(self.gateway)


HELPERS = ("events", "is_sanitized")


def run_one(tests, name, test):
    """Runs one test; true where it passed."""
    try:
        test(tests)
        print(f"ok {name}", flush=True)
        return True
    except Exception as error:
        print(f"not ok {name}", flush=True)
        text = str(error) if isinstance(error, Failure) else traceback.format_exc()
        print("\n".join("# " + line for line in text.splitlines()), flush=True)
        return False


def main():
    """Runs the tests in their order, with one store and the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "main"))
    parser.add_argument("--store", default="store_local", help="or store_memory")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    failed = 0
    alice = next(line for line in USERS.splitlines() if line.startswith("alice@"))
    users = USERS + alice.replace("alice@", "erin@") + f"quota={QUOTA}\n"
    gateway = Gateway(arguments.build, configure=configure, start=False, tls=False, users=users,
                      store=arguments.store)
    gateway.write("desk.lua", POLICY)
    gateway.start()
    tests = Tests(gateway, arguments.store)
    for name, value in vars(Tests).items():
        if name.startswith("_") or name in HELPERS or not callable(value):
            continue
        if arguments.names and not any(word in name for word in arguments.names):
            continue
        failed += not run_one(tests, name, value)
    try:
        gateway.stop()
        check_nobody_died(gateway)
        print("ok the_gateway_ends_cleanly", flush=True)
    except Exception as error:
        failed += 1
        print(f"not ok the_gateway_ends_cleanly\n# {error}", flush=True)
    if failed:
        gateway.kill()
        print(f"# the log: {gateway.log}", flush=True)
    else:
        gateway.remove()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
