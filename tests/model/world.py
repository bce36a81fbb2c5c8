# SPDX-License-Identifier: Apache-2.0
"""Some accounts, the clients that share them, and what is true of both. One process runs one world.

Now and then everything stands still, all sessions say NOOP, and a fresh session looks at what is
there: the model and every session must agree with it.
"""

import random
import re
import select
import time
from email.utils import formatdate

from box import Box
from client import Client
from command import Command, must_be_ok
from moving import SHARED
from wire import Fault

ANSWER_TIMEOUT = 40.0
MODEL_ID = re.compile(rb"X-Model-Id: (\S+)\r\n")


class Account:
    """An account and its mailboxes."""

    def __init__(self, name, boxes, flags):
        self.name = name
        self.boxes = [Box(self, box, flags) for box in boxes]


class World:
    """Runs clients until so many commands were answered, or something is wrong."""

    def __init__(self, number, seed, port, password, names, boxes, clients, commands, kills=False,
                 lenient=False, audit_every=1500, remember=400,
                 may_end=lambda: True):
        self.number = number
        self.seed = f"{seed}/{number}"
        self.random = random.Random(self.seed)
        self.port = port
        self.password = password
        self.wanted = commands
        self.may_end = may_end
        self.kills = kills
        self.lenient = lenient
        self.audit_every = audit_every
        self.remember = remember    # lines of each session, for the report of a fault
        self.now = 0
        self.commands = 0
        self.counts = {}
        self.barrier = 0
        self.audited_at = 0
        self.audits = 0
        self.cut = 0
        self.messages = {}          # token -> (bytes, date)
        self.serial = 0
        self.pending_appends = {}
        self.copied = set()
        self.expects_end = set()
        keywords = tuple(b"k%02d" % number for number in range(clients))
        self.accounts = [Account(name, boxes, SHARED + keywords) for name in names]
        self.clients = [Client(self, number, self.accounts[number % len(self.accounts)])
                        for number in range(clients)]
        self.epoll = select.epoll()
        self.by_file = {}
        self.seconds = time.monotonic

    # ---- what clients and sessions ask of it ----

    def tick(self):
        self.now += 1
        return self.now

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def connected(self, client):
        file = client.session.socket.fileno()
        self.by_file[file] = client
        client.heard_at = self.seconds()
        self.epoll.register(file, select.EPOLLIN)

    def want_write(self, session, wanted):
        self.epoll.modify(session.socket.fileno(),
                          select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def close(self, client):
        connection = client.session.socket
        self.by_file.pop(connection.fileno(), None)
        self.epoll.unregister(connection.fileno())
        connection.close()

    def new_message(self, draw):
        """(token, date, bytes) of a message that is like no other."""
        self.serial += 1
        token = b"m%d-%dz" % (self.number, self.serial)
        when = 1500000000 + draw.randrange(240000000)
        date = time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime(when)).encode()
        if date.startswith(b"0"):
            date = b" " + date[1:]
        data = (b"From: client@model.example\r\nTo: box@model.example\r\nSubject: " + token +
                b"\r\nDate: " + formatdate(when).encode() + b"\r\nX-Model-Id: " + token +
                b"\r\n\r\nThe text of " + token + b"\r\n")
        for _ in range(draw.choice((0, 0, 1, 3, 40))):
            data += b"line %d of some more text that fills the message\r\n" % draw.randrange(1000)
        self.messages[token] = (data, date)
        return token, date, data

    def judge_content(self, box, uid, items):
        """A body, a size or a date was told."""
        token = box.messages[uid].token if uid in box.messages else None
        for section, offset, value in items.sections or ():
            if value is None and self.lenient and box.message(uid).may_go:
                continue
            if value is None:
                raise Fault(f"{section!r} of UID {uid} is NIL")
            match = MODEL_ID.search(value)
            if match is not None:
                token = match.group(1)
                if token not in self.messages:
                    raise Fault(f"UID {uid} of {box.name} has the content {token!r} of nobody")
                box.know_content(uid, token)
            if token is None:
                continue
            data = self.messages[token][0]
            if section == b"BODY[]" and offset is not None:
                data = data[int(offset):int(offset) + 30]
            elif section != b"BODY[]":
                data = b"X-Model-Id: " + token + b"\r\n\r\n"
            if value != data:
                raise Fault(f"{section!r} of UID {uid} is {value!r}, and was {data!r}")
        if token is not None:
            data, date = self.messages[token]
            if items.size is not None and items.size != len(data):
                raise Fault(f"RFC822.SIZE of UID {uid} is {items.size}, and was {len(data)}")
            # RFC 3501: the day is SP DIGIT or two digits.
            if items.date is not None and items.date.replace(b" ", b"0", 1)[:11] + items.date[11:] != \
                    date.replace(b" ", b"0", 1)[:11] + date[11:]:
                raise Fault(f"INTERNALDATE of UID {uid} is {items.date!r}, and was {date!r}")

    # ---- running ----

    def run(self):
        """Runs everything; raises Fault, with the client in `culprit`."""
        self.culprit = None
        for client in self.clients:
            self.culprit = client
            client.begin()
        turn = 0
        while True:
            events = self.epoll.poll(0.05)
            turn += 1
            for file, event in events:
                client = self.by_file.get(file)
                if client is not None:
                    self.culprit = client
                    self.serve(client, event)
            if not events or turn % 20 == 0:
                self.look_around()
            if self.barrier == 0 and self.commands - self.audited_at >= self.audit_every:
                self.set_barrier(1)
            if self.barrier and all(client.parked == self.barrier for client in self.clients):
                if self.barrier == 1:
                    self.set_barrier(2)
                else:
                    self.culprit = None
                    self.audit()
                    if self.commands >= self.wanted and self.may_end():
                        return
                    self.set_barrier(0)

    def set_barrier(self, phase):
        self.barrier = phase
        for client in self.clients:
            self.culprit = client
            client.poke()

    def look_around(self):
        """Clients that wait for time to pass, and those that wait too long."""
        now = self.seconds()
        for client in self.clients:
            self.culprit = client
            client.poke()
            session = client.session
            if session is not None and session.pending and session.pending[0].name != b"IDLE" and \
                    now - client.heard_at > ANSWER_TIMEOUT:
                raise Fault(f"no answer within {ANSWER_TIMEOUT} s to {session.pending[0].text[:80]!r}")

    def serve(self, client, event):
        session = client.session
        client.heard_at = self.seconds()
        if event & select.EPOLLOUT:
            try:
                session.flush()
            except OSError:
                self.end(client)
                return
        try:
            data = session.socket.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end(client)
            return
        before = len(session.pending)
        if session.feed(data):
            self.commands += before - len(session.pending)
        if session is client.session and client.can_go_on():
            try:
                client.step(None)
            except OSError:
                self.end(client)

    def end(self, client):
        """The connection was closed by the other side."""
        session = client.session
        if session is None:
            return
        if session not in self.expects_end and not session.logged_out and not self.kills:
            raise Fault("the connection was closed")
        if session not in self.expects_end:
            self.cut += 1
        self.expects_end.discard(session)
        self.close(client)
        client.lost()

    # ---- when everything stands still ----

    def audit(self):
        """Looks at everything with fresh sessions."""
        self.audits += 1
        for account in self.accounts:
            tries = 0
            while True:
                tries += 1
                try:
                    truths = self.look_at(account)
                    break
                except OSError:
                    if not self.kills or tries > 20:
                        raise Fault("the connection of the auditor was closed") from None
                    time.sleep(0.2)
            self.judge_copies(account, truths)
            for box in account.boxes:
                self.agree(box, truths[box])
            for box in account.boxes:
                for client in self.clients:
                    session = client.session
                    if session is not None and session.box is box:
                        session.changes_at = session.events_at = 0
        for token in list(self.pending_appends):
            del self.pending_appends[token]
        self.audited_at = self.commands

    def look_at(self, account):
        """{box: session} of a fresh connection for each mailbox."""
        truths = {}
        for box in account.boxes:
            auditor = Auditor(self, account)
            try:
                truths[box] = auditor.look_at(box)
            finally:
                auditor.close()
        return truths

    def agree(self, box, fresh):
        """The model and all sessions with what a fresh session sees."""
        truth = {uid: (fresh.flags[uid], fresh.modseqs[uid]) for uid in fresh.view}
        for client in self.clients:
            session = client.session
            if session is None or session.box is not box:
                continue
            self.culprit = client
            if len(session.view) != len(fresh.view) or any(
                    uid is not None and uid != other for uid, other in zip(session.view, fresh.view)):
                raise Fault(f"after NOOP the view is {session.view}, a fresh one {fresh.view}")
            for uid, flags in session.flags.items():
                if flags != fresh.flags[uid]:
                    raise Fault(f"after NOOP UID {uid} has {sorted(flags)} here, "
                                f"{sorted(fresh.flags[uid])} in a fresh session")
            for uid, modseq in session.modseqs.items():
                if modseq != fresh.modseqs[uid]:
                    raise Fault(f"after NOOP UID {uid} has MODSEQ {modseq} here, "
                                f"{fresh.modseqs[uid]} in a fresh session")
        self.culprit = None
        box.audit(truth)

    def judge_copies(self, account, truths):
        """What was appended once and never copied is there once at most."""
        seen = {}
        for box in account.boxes:
            for uid in truths[box].view:
                message = box.messages[uid]
                token = message.token
                if token in self.copied or message.is_copy or \
                        box.strangers and not message.is_acknowledged:
                    continue
                if token in seen:
                    raise Fault(f"{token!r} is in {seen[token]} and in {box.name} {uid}, and was "
                                "appended once")
                seen[token] = f"{box.name} {uid}"


class Auditor(Client):
    """A fresh connection that looks at one mailbox and waits for every answer."""

    def __init__(self, world, account):
        super().__init__(world, 9999, account)
        self.keyword = b"\\Auditor"
        self.file = None

    def drive(self, script):
        """Runs a script to its end, reading as needed."""
        try:
            can_go_on = next(script)
            while True:
                while not can_go_on():
                    self.session.socket.setblocking(True)
                    self.session.socket.settimeout(ANSWER_TIMEOUT)
                    data = self.session.socket.recv(262144)
                    self.session.socket.setblocking(False)
                    if not data:
                        raise OSError("closed")
                    self.session.feed(data)
                can_go_on = next(script)
        except StopIteration:
            pass

    def connected_to(self, box):
        yield from self.connect()
        session = self.session
        session.condstore = True
        command = Command(b"SELECT", b"EXAMINE " + box.name.encode() + b" (CONDSTORE)", (), None, box)
        session.begin_select(command, box, True, None)
        yield from self.run([command])
        if session.view:
            yield from self.run([Command(
                b"FETCH", b"FETCH 1:* (UID FLAGS MODSEQ)", (),
                lambda command, now: must_be_ok(command), box)])
            new = [uid for uid in session.view if uid is not None and
                   box.message(uid).token is None]
            if self.world.audits % 8 == 0:
                new = list(session.view)
            if new:
                yield from self.run([self.fetch(True, [(0, uid) for uid in new],
                                                b"(BODY.PEEK[] RFC822.SIZE INTERNALDATE)")])
        status = self.status(box)
        yield from self.run([status])
        if not session.is_complete() or len(session.uids) != len(session.view):
            raise Fault(f"FETCH 1:* left out something: {session.view}")
        text = status.found[1]
        unseen = sum(1 for flags in session.flags.values() if b"\\Seen" not in flags)
        if b"MESSAGES %d" % len(session.view) not in text or not re.search(
                rb"UNSEEN %d\b" % unseen, text):
            raise Fault(f"STATUS says {text!r} of {len(session.view)} messages, {unseen} unseen")
        if b"SIZE" in text:
            size = sum(len(self.world.messages[box.message(uid).token][0]) for uid in session.view)
            if not re.search(rb"\bSIZE %d\b" % size, text):
                raise Fault(f"STATUS says {text!r}, and the messages have {size} bytes")
        if session.modseqs and session.selected_highest < max(session.modseqs.values()):
            raise Fault(f"HIGHESTMODSEQ {session.selected_highest} is below that of a message")

    def look_at(self, box):
        self.world.culprit = self
        self.drive(self.connected_to(box))
        return self.session

    def close(self):
        if self.session is not None:
            self.world.close(self)
