# SPDX-License-Identifier: Apache-2.0
"""Mail for others under load, and the ledger of it: what was acknowledged arrives, or its sender is told.

    sink = Sink()
    gateway = make_gateway(build, sink, …)             # not started yet
    book = Book()
    load = RelayLoad(gateway.ports, book, sink, seed)  # senders that work until load.stop()
    with book.cut("queue worker"): …             # whenever something is killed
    drain(gateway)                                     # the gateway works until nothing waits
    report = check(gateway.ports, book, sink)

Some senders log in and send from their own accounts, others are strangers whom a policy allows to
send on. Each recipient has an address of its own, so that it says what is to happen: ok-… is taken,
refused-… refused for good, later-… refused once for now. Some messages are for accounts of ours, too.

At the end each acknowledged recipient is at the sink, or a report about it is where its sender reads it:
in his mailbox, or at the sink. A message may be at the sink twice only where it was on its way when
something that delivers was killed, or had been answered so short before that it could not be written
down; and never in a mailbox of ours.
"""

import base64
import email
import email.policy
import hashlib
import json
import os
import random
import subprocess
import threading
import time

from gateway import DOMAIN, Gateway, PASSWORD, SHA512
import ledger
from ledger import ACKNOWLEDGED, DOUBTFUL, Lost, MARK, REFUSED, Sent, TIMEOUT

ACCOUNTS = [f"relay{number}@{DOMAIN}" for number in range(1, 7)]
USERS = "".join(f"{account}:{SHA512}:\n" for account in ACCOUNTS)
DOMAINS = [f"d{number}.foreign.test" for number in range(6)]
SENDER_DOMAIN = "sender.test"
# A message that was answered so long before a kill has been written down by then.
SETTLING = 0.5 * float(os.environ.get("POSTERN_TEST_SLOWNESS", "1"))
# So many at most wait to be written down at a time: fifty gather in each of two workers while as many are written.
LATE_MAX = 200
DRAIN_LIMIT = 30.0
POLICY = """on("envelope.recipient", function(session, recipient)
	if session.instance == "mx" and recipient.domain:find("%.foreign%.test$") then
		return accept()
	end
end)
"""


def make_gateway(build, sink, settings="", more="", **options):
    """A gateway that sends everything for others to the sink; it is not started yet."""
    settings += ('\nzone_file = "zone"\nqueue_workers = 2\nretry_schedule = { "100ms" }\n'
                 'policy "relay.lua"\n')
    more += f'\nmodule "deliver_smtp" {{ port = {sink.port} }}\n'
    gateway = Gateway(build, start=False, settings=settings, more=more, **options)
    gateway.write("relay.lua", POLICY)
    gateway.write("zone", sink.zone(DOMAINS + [SENDER_DOMAIN]))
    return gateway


class Cut:
    """The time in which something was killed: it lived before, and is dead afterwards. `reach` is how
    long before an answer of the sink may not have been written down."""

    def __init__(self, what, reach=SETTLING):
        self.what = what
        self.reach = reach
        self.late = 0  # copies that were excused because of it
        self.at = time.monotonic()
        self.until = float("inf")

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.until = time.monotonic()


class Book(ledger.Ledger):
    """The ledger of senders, and the moments of the kills."""

    def __init__(self):
        super().__init__()
        self.cuts = []

    def cut(self, what, reach=SETTLING):
        """For a `with` around a kill."""
        self.cuts.append(Cut(what, reach))
        return self.cuts[-1]


def log_in(client, account):
    secret = base64.b64encode(f"\0{account}\0{PASSWORD}".encode())
    answer = client.command(b"AUTH PLAIN " + secret)
    if not answer.startswith(b"235"):
        raise Lost(f"{account}: {answer!r}")


class RelayLoad(ledger.Load):
    """Threads that send mail for others; two of three log in."""

    def __init__(self, ports, book, sink, seed, senders=6, **options):
        self.sink = sink
        super().__init__(ports, book, f"relay.{seed}", senders=senders, **options)

    def work(self, seed, is_stranger):
        """One sender."""
        generator = random.Random(seed)
        try:
            while not self.ending.is_set():
                client = None
                try:
                    client = ledger.Client(self.ports["mx" if is_stranger else "submission"], b"EHLO")
                    account = None if is_stranger else generator.choice(ACCOUNTS)
                    if account is not None:
                        log_in(client, account)
                    for _ in range(generator.randrange(1, 8)):
                        self.send_to_others(client, account, generator)
                        if self.ending.wait(generator.random() * 2 * self.pause):
                            break
                    client.command(b"QUIT")
                except Lost:
                    self.ending.wait(0.02)
                finally:
                    if client is not None:
                        client.close()
        except Exception as error:  # a mistake of the test itself must not pass for success
            self.failures.append(repr(error))
            raise

    def make(self, generator, identity):
        """With the fields that are added where they are missing."""
        text = super().make(generator, identity)
        return text.replace(b"\r\nSubject: ", b"\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n"
                            b"Message-ID: <%s@sender.test>\r\nSubject: " % identity, 1)

    def send_to_others(self, client, account, generator):
        identity = b"%032x" % generator.getrandbits(128)
        recipients = []
        for number in range(generator.choice((1, 1, 1, 2, 3, 8))):
            kind = generator.choices(("ok", "refused", "later"), (80, 10, 10))[0]
            recipients.append(f"{kind}-{identity.decode()}-{number}@{generator.choice(DOMAINS)}")
        if generator.randrange(4) == 0:
            recipients += generator.sample(ACCOUNTS, generator.choice((1, 2)))
        text = self.make(generator, identity)
        sent = Sent(text, recipients)
        self.ledger.enter(identity, sent)
        sender = account.encode() if account else b"%s@%s" % (identity, SENDER_DOMAIN.encode())
        ledger.transact(client, False, sender, recipients, sent, self.ledger, text)


# ---- the queue ----

def queue(gateway, *words):
    """What `postern queue` says; (None, why) where it fails."""
    done = subprocess.run([os.path.join(gateway.build, "postern"), "queue", *words, "--config",
                           gateway.config], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None, f"queue {' '.join(words)}: {(done.stdout + done.stderr)[-300:]}"
    return done.stdout, ""


def waiting(gateway):
    """How many rows the queue has, and how many of them are held; or (None, why not)."""
    text, problem = queue(gateway, "list", "--json")
    if text is None:
        return None, problem
    rows = [json.loads(line) for line in text.splitlines()]  # suspensions are listed, too
    return sum(row.get("recipients", 0) for row in rows), sum(row.get("held", 0) for row in rows)


def drain(gateway, limit=DRAIN_LIMIT, hurry=False):
    """Lets the gateway work until its queue is empty; sentences where it does not become so. What was at
    work twice when a worker died is held as it should be, and released here. With `hurry` what waits for
    its time does not."""
    deadline = time.monotonic() + limit
    while True:
        rows, held = waiting(gateway)
        if rows == 0:
            return []
        if time.monotonic() > deadline:
            return [f"after {limit:.0f} seconds the queue is not empty: {rows}, held {held}\n" +
                    gateway.log_tail(10)]
        if rows is not None and rows == held:
            queue(gateway, "release", "--state", "held", "--yes")
        elif hurry:
            queue(gateway, "retry", "--state", "due", "--yes")
        time.sleep(0.05)


# ---- the comparison ----

class RelayReport(ledger.Report):
    """What a check found."""

    def __init__(self):
        super().__init__()
        self.told = 0
        self.repeated = 0        # at the sink, and excused
        self.repeated_late = 0   # of these: had been answered before the kill
        self.longest = 0.0       # how long before

    def __str__(self):
        return (super().__str__() + f", {self.told} told of, {self.repeated} at the sink again "
                f"({self.repeated_late} answered up to {1000 * self.longest:.0f} ms before a kill)")


def reported(text):
    """The recipients that a report says were refused: [(address, identity)], or None if it is no report."""
    message = email.message_from_bytes(text, policy=email.policy.default)
    if message.get_content_type() != "multipart/report":
        return None
    parts = list(message.iter_parts())
    status = parts[1].get_payload()
    begin = text.rfind(MARK)
    identity = text[begin + len(MARK):begin + len(MARK) + 32] if begin >= 0 else b""
    found = []
    for group in status[1:]:
        if group["Action"] == "failed":
            found.append((group["Final-Recipient"].split(";", 1)[1].strip(), identity))
    return found


class Judge:
    """Compares; what is right is in `seen` afterwards."""

    def __init__(self, book, sink):
        self.book = book
        self.sink = sink
        self.report = RelayReport()
        self.seen = {}   # recipient: how often it was delivered or told of
        self.owners = {recipient: (identity, sent) for identity, sent in book.messages.items()
                       for recipient in sent.outcome if recipient.split("@")[1] != DOMAIN}

    def was_under_way(self, first, second):
        """Whether a kill between two copies excuses the second."""
        for cut in self.book.cuts:
            if second.ended < cut.at:
                continue
            if first.began <= cut.until and first.ended >= cut.at:
                self.report.repeated += 1
                return True
            if 0 <= cut.at - first.ended <= cut.reach and (cut.late < LATE_MAX or cut.reach > SETTLING):
                cut.late += 1
                self.report.repeated += 1
                self.report.repeated_late += 1
                self.report.longest = max(self.report.longest, cut.at - first.ended)
                return True
        return False

    def judge_arrivals(self, recipient, arrivals):
        """What came to the sink for one recipient."""
        identity, sent = self.owners[recipient]
        where = f"{recipient}"
        for number, arrival in enumerate(arrivals):
            self.report.read += 1
            if number > 0 and not self.was_under_way(arrivals[number - 1], arrival):
                gap = arrival.began - arrivals[number - 1].ended
                self.report.doubled.append(f"{where}, {gap:.3f} s after the first")
            if arrival.digest != sent.digest or not ledger.PREFIX.match(
                    b"Return-Path: <x>\r\n" + arrival.prefix):
                self.report.altered.append(f"{where}: {arrival.size} bytes of {sent.size}, behind "
                                           f"{arrival.prefix[:300]!r}")
        outcome = sent.outcome[recipient]
        if outcome == REFUSED:
            self.report.invented.append(f"{where} (was refused or never sent to its end)")
        elif outcome == DOUBTFUL:
            self.report.doubtful += 1
        self.seen[recipient] = len(arrivals)
        if recipient.startswith("refused-"):
            self.report.invented.append(f"{where} (the sink refuses it)")

    def judge_reported(self, recipient, where, may_repeat=False):
        """A report about one recipient."""
        if recipient not in self.owners or not recipient.startswith("refused-"):
            self.report.invented.append(f"a report about {recipient} in {where}")
            return
        self.report.told += 1
        if self.seen.get(recipient) and not may_repeat:
            self.report.doubled.append(f"a report about {recipient} in {where}")
        self.seen[recipient] = 1
        outcome = self.owners[recipient][1].outcome[recipient]
        if outcome == REFUSED:
            self.report.invented.append(f"a report about {recipient}, which was not taken, in {where}")
        elif outcome == DOUBTFUL:
            self.report.doubtful += 1

    def judge_sink(self):
        for recipient, arrivals in list(self.sink.arrivals.items()):
            if recipient in self.owners:
                self.judge_arrivals(recipient, arrivals)
            elif recipient.endswith("@" + SENDER_DOMAIN):
                self.judge_strangers_reports(recipient, arrivals)
            else:
                self.report.invented.append(f"{recipient} at the sink: {arrivals[0].text!r}"[:300])

    def judge_strangers_reports(self, sender, arrivals):
        """Reports go to strangers as any mail does, and may repeat where any mail may."""
        whole = {}
        for arrival in arrivals:
            about = reported(arrival.text) if arrival.text is not None else None
            if about is None:
                self.report.invented.append(f"for {sender}: {arrival.text!r}"[:300])
                continue
            key = hashlib.sha256(arrival.text[arrival.text.find(b"\nDate:"):]).digest()
            again = key in whole and self.was_under_way(whole[key], arrival)
            whole[key] = arrival
            for recipient, _ in about:
                self.judge_reported(recipient, sender, again)

    def judge_stored(self, account, text):
        """A message in a mailbox of ours: a report for who sent it, or mail for us beside that for others."""
        if text is None:
            self.report.unreadable.append(f"one of {account}")
            return
        about = reported(text)
        if about is not None:
            for recipient, identity in about:
                self.judge_reported(recipient, account)
                if identity.decode("ascii", "replace") not in recipient:
                    self.report.altered.append(f"the report about {recipient} encloses {identity}")
            return
        identity = text[text.find(MARK) + len(MARK):][:32]
        sent = self.book.messages.get(identity)
        if sent is None or account not in sent.outcome:
            self.report.invented.append(f"{account}: {text[:200]!r}")
            return
        self.report.read += 1
        if self.seen.get((identity, account)):
            self.report.doubled.append(f"{identity.decode()} for {account}")
        self.seen[(identity, account)] = 1
        if hashlib.sha256(text[text.find(MARK):]).digest() != sent.digest:
            self.report.altered.append(f"{identity.decode()} for {account}")
        if sent.outcome[account] == REFUSED:
            self.report.invented.append(f"{identity.decode()} for {account}")
        elif sent.outcome[account] == DOUBTFUL:
            self.report.doubtful += 1

    def judge_losses(self):
        for identity, sent in self.book.messages.items():
            for recipient, outcome in sent.outcome.items():
                key = recipient if recipient in self.owners else (identity, recipient)
                if outcome == ACKNOWLEDGED and not self.seen.get(key):
                    self.report.lost.append(f"{identity.decode()} for {recipient}")


def check(ports, book, sink, delete=False):
    """Reads the mailboxes of the senders, and compares them and the sink with the ledger."""
    judge = Judge(book, sink)
    judge.judge_sink()
    for account in ACCOUNTS:
        mailbox = ledger.Mailbox(ports["pop3"], account)
        for text in mailbox.messages():
            judge.judge_stored(account, text)
        mailbox.end(delete)
    judge.judge_losses()
    judge.report.unreadable += sink.problems
    return judge.report


def close_round(book, sink):
    """Forgets what was checked: the sink, too. The queue must be empty."""
    book.close_round()
    book.cuts = []
    sink.forget()
